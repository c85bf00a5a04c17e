// Format 8: segments of 4096 bytes, each with its own sums and position.
#include "ese/log_segments.h"

#include <algorithm>
#include <bit>
#include <utility>
#include <vector>

#include "ese/fields.h"
#include "ese/page.h"

namespace exshadow::ese {

namespace {

using Bytes = std::span<const std::byte>;

enum class Kind : std::uint8_t { valid, stale, shadow, empty, correctable, bad };

bool sums_fit(Bytes segment, std::uint32_t number) {
    const BlockSum stored{field<std::uint32_t>(segment, 0), field<std::uint32_t>(segment, 4)};
    return block_sum(segment, number, true) == stored;
}

// Of what is covered, or of the sums themselves.
bool one_bit_flipped(Bytes segment, std::uint32_t number) {
    const BlockSum stored{field<std::uint32_t>(segment, 0), field<std::uint32_t>(segment, 4)};
    std::uint32_t bit = 0;
    if (check_block(segment, number, true, stored, bit) == PageState::correctable) return true;
    const auto sums = block_sum(segment, number, true);
    return std::popcount(stored.xor_sum ^ sums.xor_sum) + std::popcount(stored.ecc ^ sums.ecc) == 1;
}

// The position is part of the rule: otherwise flipping one bit of a sum turns a segment into its own shadow.
Kind classify(Bytes segment, std::uint32_t number, std::uint32_t generation) {
    if (all_zero(segment)) return Kind::empty;
    const auto byte = field<std::uint16_t>(segment, 8);
    const auto sector = field<std::uint16_t>(segment, 10);
    const auto written_in = field<std::uint32_t>(segment, 12);
    if (byte == 0 && sector == number && sums_fit(segment, number)) {
        if (written_in == generation) return Kind::valid;
        if (written_in < generation) return Kind::stale;
    }
    // A recycled file may end with the shadow of the log that it was before.
    const bool of_the_one_before = byte == 0 && sector + 1U == number && written_in <= generation;
    if (of_the_one_before && sums_fit(segment, number - 1)) {
        return written_in == generation ? Kind::shadow : Kind::stale;
    }
    return one_bit_flipped(segment, number) ? Kind::correctable : Kind::bad;
}

class Walk {
public:
    Walk(const LogHeader& header, bool current) : header_(header), current_(current) {}

    void next(Bytes segment, std::uint32_t number) {
        ++body_.segments;
        const auto kind = classify(segment, number, header_.generation);
        if (torn_at_ != 0 && torn_at_ == number - 1 && kind == Kind::shadow) {
            body_.torn_end = true;
            return;
        }
        settle_torn();
        switch (kind) {
            case Kind::valid: return take_valid(segment, number);
            case Kind::shadow: return take_shadow(number);
            case Kind::stale: ++body_.stale; break;
            case Kind::empty: ++body_.empty; break;
            case Kind::correctable:
            case Kind::bad: return take_bad(number, kind == Kind::correctable);
        }
        ended_ = true;
    }

    LogBody end() {
        settle_torn();
        // The last sector is kept for a shadow: a full log ends one before it.
        body_.full = body_.valid + 1 >= body_.segments;
        if (body_.valid == 0 && body_.sound && !body_.torn_end && !current_) {
            complain(header_.header_sectors, "holds no valid segment");
        }
        body_.sound = body_.bad == 0;
        return std::move(body_);
    }

private:
    void take_valid(Bytes segment, std::uint32_t number) {
        if (ended_) return complain(number, "a valid segment follows after the end");
        ++body_.valid;
        last_valid_ = number;
        body_.sum ^= field<std::uint64_t>(segment, 0);
    }
    void take_shadow(std::uint32_t number) {
        if (ended_ || last_valid_ + 1 != number) return complain(number, "a shadow away from the last write");
        ended_ = true;
    }
    // In the current log the shadow may still come to help. One flipped bit is no torn write: the medium
    // lies.
    void take_bad(std::uint32_t number, bool correctable) {
        if (current_ && !correctable && !ended_ && body_.bad == 0) {
            torn_at_ = number;
            ended_ = true;
            return;
        }
        ended_ = true;
        complain(number, correctable ? "a flipped bit" : "checksum or position do not fit", correctable);
    }
    void settle_torn() {
        if (torn_at_ == 0) return;
        const auto number = std::exchange(torn_at_, 0);
        if (!body_.torn_end) complain(number, "checksum or position do not fit");
    }
    void complain(std::uint32_t number, std::string_view what, bool correctable = false) {
        ++body_.bad;
        if (body_.first_bad) return;
        body_.first_bad = number;
        body_.correctable = correctable;
        body_.trouble = "segment " + std::to_string(number) + ": " + std::string(what);
    }

    const LogHeader& header_;
    bool current_;
    LogBody body_;
    bool ended_ = false;
    std::uint32_t last_valid_ = 0;
    std::uint32_t torn_at_ = 0;  // 0: none; segment 0 is the header
};

}  // namespace

Result<LogBody> check_segments(Source& source, const LogHeader& header, bool current) {
    constexpr std::size_t batch = 64;
    if (header.sector_size != segment_size) {
        LogBody body;
        body.sound = false;
        body.trouble = "segments of " + std::to_string(header.sector_size) + " bytes where format 8 has 4096";
        return body;
    }
    Walk walk(header, current);
    std::vector<std::byte> buffer(batch * segment_size);
    for (std::uint32_t number = header.header_sectors; number < header.file_sectors;) {
        const auto count = std::min<std::size_t>(batch, header.file_sectors - number);
        const auto want = std::span(buffer).first(count * segment_size);
        const auto got = source.read(std::uint64_t{number} * segment_size, want);
        if (!got.ok()) return got.error();
        const auto whole = *got / segment_size;
        for (std::size_t i = 0; i < whole; ++i, ++number) {
            walk.next(std::span(std::as_const(buffer)).subspan(i * segment_size, segment_size), number);
        }
        if (whole < count) break;  // the size check tells of a file cut short
    }
    return walk.end();
}

}  // namespace exshadow::ese
