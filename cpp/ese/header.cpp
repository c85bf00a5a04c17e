#include "ese/header.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>

#include "ese/checksum.h"
#include "ese/fields.h"
#include "ese/page.h"

namespace exshadow::ese {

namespace {

using Bytes = std::span<const std::byte>;

constexpr std::uint32_t checkpoint_type = 4;
constexpr std::uint32_t flush_map_type = 7;

template <class Raw>
Raw raw(Bytes bytes, std::size_t at) {
    Raw value;
    EXSHADOW_CHECK(at + sizeof(value.raw) <= bytes.size());
    std::memcpy(value.raw.data(), bytes.data() + at, sizeof(value.raw));
    return value;
}

LogPosition position(Bytes bytes, std::size_t at) {
    return {field<std::uint16_t>(bytes, at), field<std::uint16_t>(bytes, at + 2),
            field<std::int32_t>(bytes, at + 4)};
}

BackupMark backup_mark(Bytes bytes, std::size_t at) {
    return {raw<LogTime>(bytes, at + 8), field<std::uint32_t>(bytes, at + 16),
            field<std::uint32_t>(bytes, at + 20)};
}

bool sound(Bytes bytes) {
    return !all_zero(bytes) && field<std::uint32_t>(bytes, 0) == xor32(bytes);
}

std::uint32_t stated_page_size(Bytes copy) {
    const auto size = field<std::uint32_t>(copy, 236);
    return size == 0 ? 4096 : size;
}

bool good_copy(Bytes copy) {
    return field<std::uint32_t>(copy, 4) == magic && stated_page_size(copy) == copy.size() && sound(copy);
}

DatabaseHeader parse(Bytes copy) {
    DatabaseHeader header;
    header.format = field<std::uint32_t>(copy, 8);
    header.streaming = field<std::uint32_t>(copy, 12) == 1;
    header.dbtime = field<std::uint64_t>(copy, 16);
    header.signature = raw<Signature>(copy, 24);
    header.state = static_cast<DatabaseState>(field<std::uint32_t>(copy, 52));
    header.log_signature = raw<Signature>(copy, 108);
    header.previous_full = backup_mark(copy, 136);
    header.previous_incremental = backup_mark(copy, 160);
    header.current_full = backup_mark(copy, 184);
    header.flags = field<std::uint8_t>(copy, 208);
    header.revision = field<std::uint32_t>(copy, 232);
    header.page_size = stated_page_size(copy);
    header.repair_count = field<std::uint32_t>(copy, 240);
    header.stm_signature = raw<Signature>(copy, 252);
    header.lowest_required = field<std::uint32_t>(copy, 296);
    header.highest_required = field<std::uint32_t>(copy, 300);
    header.highest_committed = field<std::uint32_t>(copy, 416);
    header.previous_copy = backup_mark(copy, 420);
    header.previous_differential = backup_mark(copy, 444);
    header.flush_signature = raw<Signature>(copy, 584);
    header.flush_map_signature = raw<Signature>(copy, 612);
    header.minor_revision = field<std::uint32_t>(copy, 644);
    header.file_type = field<std::uint32_t>(copy, 667);
    return header;
}

bool has_magic_somewhere(Bytes start) {
    if (start.size() >= 8 && field<std::uint32_t>(start, 4) == magic) return true;
    for (std::size_t size = smallest_page; size <= largest_page; size *= 2) {
        if (start.size() >= size + 8 && field<std::uint32_t>(start, size + 4) == magic) return true;
    }
    return false;
}

}  // namespace

std::string LogTime::text() const {
    if (raw[5] == 0 && raw[3] == 0) return {};
    const unsigned milliseconds = (raw[6] >> 1U) | ((raw[7] >> 1U) & 7U) << 7U;
    std::array<char, 48> out{};
    std::snprintf(out.data(), out.size(), "%04u-%02u-%02u %02u:%02u:%02u.%03u", 1900U + raw[5],
                  unsigned{raw[4]}, unsigned{raw[3]}, unsigned{raw[2]}, unsigned{raw[1]}, unsigned{raw[0]},
                  milliseconds);
    return out.data();
}

bool Signature::empty() const {
    return std::ranges::all_of(raw, [](std::uint8_t byte) { return byte == 0; });
}

std::string Signature::text() const {
    if (empty()) return {};
    std::uint32_t random = 0;
    std::memcpy(&random, raw.data(), sizeof random);
    LogTime created;
    std::memcpy(created.raw.data(), raw.data() + 4, sizeof created.raw);
    std::array<char, 16> number{};
    std::snprintf(number.data(), number.size(), "%08x", random);
    auto text = std::string(number.data()) + " of " + created.text();
    if (raw[12] == 0) return text;
    text += " on ";
    for (std::size_t at = 12; at < raw.size() && raw[at] != 0; ++at) {
        text += raw[at] >= 32 && raw[at] < 127 ? static_cast<char>(raw[at]) : '?';
    }
    return text;
}

std::string_view name(DatabaseState state) {
    static constexpr auto names = std::to_array<std::string_view>(
        {"None", "JustCreated", "DirtyShutdown", "CleanShutdown", "BeingConverted", "ForceDetach",
         "IncReseedInProgress", "DirtyAndPatchedShutdown", "RevertInProgress"});
    const auto number = static_cast<std::size_t>(state);
    return number < names.size() ? names[number] : "unknown";
}

Result<ChosenHeader> choose_header(Bytes start) {
    if (start.empty()) return Error(Code::mismatch, "it is empty: 0 bytes", "restore it from another copy");
    ChosenHeader chosen;
    for (std::size_t size = smallest_page; size <= largest_page; size *= 2) {
        if (start.size() < size) break;
        const auto first = start.first(size);
        const bool has_second = start.size() >= 2 * size;
        const auto second = has_second ? start.subspan(size, size) : Bytes{};
        const bool first_good = good_copy(first);
        const bool second_good = has_second && good_copy(second);
        if (!first_good && !second_good) continue;
        chosen.header = parse(first_good ? first : second);
        chosen.first_good = first_good;
        chosen.second_good = second_good;
        chosen.equal = first_good && second_good && std::memcmp(first.data(), second.data(), size) == 0;
        return chosen;
    }
    if (!has_magic_somewhere(start)) {
        return Error(Code::mismatch, "not an ESE database: the mark 0x89ABCDEF is missing",
                     "name a database, log, checkpoint or flush map of ESE, or a folder of them");
    }
    return Error(Code::corrupt, "neither copy of the database header is sound (-1018)",
                 "restore this file from another copy");
}

Result<LogHeader> read_log_header(Bytes bytes) {
    if (bytes.size() < log_header_size)
        return Error(Code::corrupt, "shorter than a log header of 4096 bytes");
    const auto copy = bytes.first(log_header_size);
    if (!sound(copy)) return Error(Code::corrupt, "the checksum of the log header does not fit (-501)");
    LogHeader header;
    header.generation = field<std::uint32_t>(copy, 4);
    header.sector_size = field<std::uint16_t>(copy, 8);
    header.header_sectors = field<std::uint16_t>(copy, 10);
    header.file_sectors = field<std::uint16_t>(copy, 12);
    const auto page = field<std::uint16_t>(copy, 14);
    header.page_size = page == 0 ? 4096 : page;
    header.created = raw<LogTime>(copy, 16);
    header.previous_created = raw<LogTime>(copy, 24);
    header.major = field<std::uint32_t>(copy, 32);
    header.minor = field<std::uint32_t>(copy, 36);
    header.update = field<std::uint32_t>(copy, 40);
    header.signature = raw<Signature>(copy, 44);
    const auto marks = field<std::uint8_t>(copy, 639);
    header.reserve = (marks & 1U) != 0;
    header.circular = (marks & 2U) != 0;
    header.update_minor = field<std::uint32_t>(copy, 648);
    header.previous_sum = field<std::uint64_t>(copy, 653);
    header.file_type = field<std::uint32_t>(copy, 667);
    const bool shape = std::has_single_bit(header.sector_size) && header.sector_size >= 512 &&
                       header.header_sectors > 0 && header.file_sectors > header.header_sectors &&
                       header.body() >= log_header_size;
    if (!shape) return Error(Code::corrupt, "the log header states impossible sizes (-514)");
    if (header.generation == 0) return Error(Code::corrupt, "the log header states generation 0");
    return header;
}

namespace {

// Every header has its XOR over the first 4096 or more bytes: the file type tells them apart. It came
// with log format 7.3704.5; what is older has 0 or something else there.
bool is_of_another_kind(Bytes copy) {
    const auto type = field<std::uint32_t>(copy, 667);
    return field<std::uint32_t>(copy, 4) == magic ||
           (type != 0 && type != checkpoint_type && type <= flush_map_type);
}

}  // namespace

Result<Checkpoint> read_checkpoint(Bytes bytes) {
    Checkpoint checkpoint;
    const auto copy_at = [&](std::size_t at) {
        return bytes.size() >= at + checkpoint_copy_size ? bytes.subspan(at, checkpoint_copy_size) : Bytes{};
    };
    const auto first = copy_at(0);
    const auto second = copy_at(checkpoint_copy_size);
    checkpoint.first_good = !first.empty() && sound(first);
    checkpoint.second_good = !second.empty() && sound(second);
    if ((checkpoint.first_good && is_of_another_kind(first)) ||
        (checkpoint.second_good && is_of_another_kind(second))) {
        return Error(Code::corrupt, "no checkpoint: it has the header of another kind of ESE file (-533)",
                     "look which file it is, and restore the checkpoint from another copy");
    }
    if (!checkpoint.first_good && !checkpoint.second_good) {
        return Error(Code::corrupt, "neither copy of the checkpoint is sound (-533)",
                     "a missing checkpoint is no loss: recovery then starts at the oldest log");
    }
    const auto copy = checkpoint.first_good ? first : second;
    checkpoint.equal = checkpoint.first_good && checkpoint.second_good &&
                       std::memcmp(first.data(), second.data(), first.size()) == 0;
    checkpoint.last_full_backup = position(copy, 4);
    checkpoint.position = position(copy, 12);
    checkpoint.log_signature = raw<Signature>(copy, 20);
    return checkpoint;
}

Result<FlushMapHeader> read_flush_map_header(Bytes bytes) {
    if (bytes.size() < flush_map_page_size || !sound(bytes.first(flush_map_page_size))) {
        return Error(Code::corrupt, "the header of the flush map is not sound",
                     "it is rebuilt by the engine: no reason to fail a backup");
    }
    if (field<std::uint32_t>(bytes, 667) != flush_map_type) {
        return Error(Code::corrupt, "no flush map: it has the header of another kind of ESE file",
                     "it is rebuilt by the engine: no reason to fail a backup");
    }
    FlushMapHeader header;
    header.major = field<std::uint32_t>(bytes, 4);
    header.clean = (field<std::uint32_t>(bytes, 36) & 1U) != 0;
    header.lowest_required = field<std::uint32_t>(bytes, 64);
    header.database_flush_signature = raw<Signature>(bytes, 88);
    header.map_flush_signature = raw<Signature>(bytes, 116);
    return header;
}

}  // namespace exshadow::ese
