// Format 7: a chain of checksum records, each covering bytes before and after itself.
#include "ese/log_records.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>
#include <vector>

#include "ese/fields.h"

namespace exshadow::ese {

namespace {

constexpr std::size_t record_size = 22;
constexpr std::uint8_t record_type = 42;
constexpr std::uint8_t short_sum_used = 0x9A;
constexpr std::uint8_t short_sum_unused = 0xD1;
constexpr std::uint32_t seed = 0xFEEDBEAF;
constexpr std::uint32_t short_seed = 0xDEADC0DE;
constexpr std::uint32_t shadow_mark = 0x5AD05EC7;

struct Record {
    std::uint64_t at = 0;
    std::uint32_t before = 0;  // bytes covered before the record
    std::uint32_t after = 0;   // and after it
    std::uint32_t next = 0;    // from the record's end to the next record; 0: the last
    std::uint32_t sum = 0;
    std::uint32_t short_sum = 0;
    std::uint8_t use = 0;
    [[nodiscard]] std::uint64_t end() const { return at + record_size; }
};

class Chain {
public:
    Chain(Source& source, const LogHeader& header) : source_(source), header_(header) {}

    // None: there is no record there.
    Result<std::optional<Record>> record_at(std::uint64_t at) {
        std::array<std::byte, record_size> raw{};
        const auto got = source_.read(at, raw);
        if (!got.ok()) return got.error();
        const std::span<const std::byte> bytes(raw);
        if (*got < record_size || field<std::uint8_t>(bytes, 0) != record_type)
            return std::optional<Record>();
        Record record;
        record.at = at;
        record.before = field<std::uint32_t>(bytes, 1);
        record.after = field<std::uint32_t>(bytes, 5);
        record.next = field<std::uint32_t>(bytes, 9);
        record.sum = field<std::uint32_t>(bytes, 13);
        record.short_sum = field<std::uint32_t>(bytes, 17);
        record.use = field<std::uint8_t>(bytes, 21);
        return std::optional(record);
    }

    // Why the record cannot be what was written; empty when nothing speaks against it.
    Result<std::string> complaint(const Record& record, std::uint32_t mark) {
        const auto file_end = header_.size();
        const auto in_sector = record.at % header_.sector_size;
        if (record.before != 0 && record.before != in_sector)
            return std::string("covers bytes it cannot cover");
        if (record.end() + record.after > file_end || record.end() + record.next > file_end) {
            return std::string("points behind the end of the file");
        }
        if (record.use != short_sum_used && record.use != short_sum_unused)
            return std::string("has an unknown mark");
        if (record.use == short_sum_unused && record.short_sum != 0)
            return std::string("has a sum it does not use");
        const auto whole = sum_of(record, seed, record.after);
        if (!whole.ok()) return whole.error();
        if ((*whole ^ mark) != record.sum) return std::string("checksum does not fit");
        if (record.use == short_sum_used) {
            const auto sector_end = (record.at / header_.sector_size + 1) * header_.sector_size;
            const auto rest = sector_end > record.end() ? sector_end - record.end() : 0;
            const auto part = sum_of(record, short_seed, std::min<std::uint64_t>(rest, record.after));
            if (!part.ok()) return part.error();
            // Only the long sum of a shadow bears the mark.
            if (*part != record.short_sum) return std::string("checksum of its sector does not fit");
        }
        return std::string();
    }

private:
    Result<std::uint32_t> sum_of(const Record& record, std::uint32_t start, std::uint64_t after) {
        const auto before = words(record.at - record.before, record.before);
        if (!before.ok()) return before.error();
        const auto behind = words(record.end(), after);
        if (!behind.ok()) return behind.error();
        return start ^ *before ^ *behind ^ record.before ^ record.after ^ record.next ^ record.use ^
               header_.generation;
    }
    // XOR of the words of a range: its own word grid, a short tail padded with zero.
    Result<std::uint32_t> words(std::uint64_t at, std::uint64_t count) {
        std::uint32_t sum = 0;
        while (count > 0) {
            const auto piece = std::span(buffer_).first(std::min<std::uint64_t>(count, buffer_.size()));
            std::ranges::fill(piece, std::byte{0});
            const auto got = source_.read(at, piece);
            if (!got.ok()) return got.error();
            for (std::size_t i = 0; i < piece.size(); ++i) {
                sum ^= static_cast<std::uint32_t>(piece[i]) << (8 * (i % 4));
            }
            at += piece.size();
            count -= piece.size();
        }
        return sum;
    }

    Source& source_;
    const LogHeader& header_;
    std::vector<std::byte> buffer_ = std::vector<std::byte>(std::size_t{64} << 10);  // a multiple of four
};

// The file with one sector taken from elsewhere.
class Mended final : public Source {
public:
    Mended(Source& file, std::uint64_t begin, std::vector<std::byte> sector)
        : file_(file), begin_(begin), sector_(std::move(sector)) {}
    Result<std::size_t> read(std::uint64_t offset, std::span<std::byte> into) override {
        const auto got = file_.read(offset, into);
        if (!got.ok()) return got;
        const auto from = std::max(offset, begin_);
        const auto to = std::min(offset + *got, begin_ + sector_.size());
        if (from < to)
            std::memcpy(into.data() + (from - offset), sector_.data() + (from - begin_), to - from);
        return got;
    }
    [[nodiscard]] std::optional<std::uint64_t> size() const override { return file_.size(); }

private:
    Source& file_;
    std::uint64_t begin_;
    std::vector<std::byte> sector_;
};

struct Walk {
    LogBody body;
    bool ended_by_mark = false;           // the last record bears the mark of a shadow
    std::vector<std::uint64_t> suspects;  // sectors that a record which does not fit lies in or leads to
};

// `marked`: the sector that was taken from its shadow; only there the last record may bear the mark.
Result<Walk> walk(Source& source, const LogHeader& header, std::optional<std::uint64_t> marked) {
    Chain chain(source, header);
    Walk found;
    auto& body = found.body;
    for (auto at = header.body();;) {
        ++body.segments;
        const auto parsed = chain.record_at(at);
        if (!parsed.ok()) return parsed.error();
        found.suspects = {at / header.sector_size};
        std::string trouble = "no checksum record where one must be";
        if (const auto& record = *parsed) {
            const auto next = record->end() + record->next;
            const auto complaint = chain.complaint(*record, 0);
            if (!complaint.ok()) return complaint.error();
            if (!complaint->empty() && record->next == 0 && marked == at / header.sector_size) {
                const auto as_shadow = chain.complaint(*record, shadow_mark);
                if (!as_shadow.ok()) return as_shadow.error();
                found.ended_by_mark = as_shadow->empty();
            }
            if (complaint->empty() || found.ended_by_mark) {
                ++body.valid;
                if (record->next == 0) break;
                at = next;
                continue;
            }
            trouble = *complaint;
            if (next / header.sector_size != at / header.sector_size) {
                found.suspects.push_back(next / header.sector_size);
            }
        }
        body.sound = false;
        body.bad = 1;
        body.first_bad = static_cast<std::uint32_t>(at);
        body.trouble = "record at byte " + std::to_string(at) + ": " + trouble;
        break;
    }
    body.full = true;  // the chain says itself where it ends
    return found;
}

// The sector after the last write repeats it, under a mark of its own: with it in place the chain must end
// there.
Result<bool> shadow_mends(Source& source, const LogHeader& header, std::uint64_t sector) {
    std::vector<std::byte> shadow(header.sector_size);
    const auto got = source.read((sector + 1) * header.sector_size, shadow);
    if (!got.ok()) return got.error();
    if (*got < shadow.size()) return false;
    Mended mended(source, sector * header.sector_size, std::move(shadow));
    const auto again = walk(mended, header, sector);
    if (!again.ok()) return again.error();
    return again->body.sound && again->ended_by_mark;
}

}  // namespace

Result<LogBody> check_records(Source& source, const LogHeader& header, bool current) {
    auto found = walk(source, header, std::nullopt);
    if (!found.ok()) return found.error();
    auto& body = found->body;
    if (body.sound || !current) return std::move(body);
    for (const auto sector : found->suspects) {
        const auto mends = shadow_mends(source, header, sector);
        if (!mends.ok()) return mends.error();
        if (!*mends) continue;
        LogBody repairable;
        repairable.segments = repairable.valid = body.segments;
        repairable.torn_end = repairable.full = true;
        return repairable;
    }
    return std::move(body);
}

}  // namespace exshadow::ese
