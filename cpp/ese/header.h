// The headers of ESE files as plain values (fact sheet "ESE files", 2, 6, 7, 8.2, 8.6). Pure functions, any
// thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/error.h"

namespace exshadow::ese {

inline constexpr std::uint32_t magic = 0x89ABCDEF;
inline constexpr std::size_t log_header_size = 4096;
inline constexpr std::size_t checkpoint_copy_size = 4096;
inline constexpr std::size_t flush_map_page_size = 8192;

// Position in a log stream.
struct LogPosition {
    std::uint16_t byte = 0;
    std::uint16_t sector = 0;
    std::int32_t generation = 0;
    friend bool operator==(const LogPosition&, const LogPosition&) = default;
};

// LOGTIME: kept raw for comparison; text() is "2003-10-21 18:04:59.123", empty when never set.
struct LogTime {
    std::array<std::uint8_t, 8> raw{};
    [[nodiscard]] std::string text() const;
    friend bool operator==(const LogTime&, const LogTime&) = default;
};

// Tells one database or one log stream from all others.
struct Signature {
    std::array<std::uint8_t, 28> raw{};
    [[nodiscard]] std::string text() const;  // random number, time of creation, computer
    [[nodiscard]] bool empty() const;
    friend bool operator==(const Signature&, const Signature&) = default;
};

// BKINFO: what a finished backup left in the header.
struct BackupMark {
    LogTime time;
    std::uint32_t lowest = 0;  // generations
    std::uint32_t highest = 0;
    friend bool operator==(const BackupMark&, const BackupMark&) = default;
};

enum class DatabaseState : std::uint32_t {
    none = 0,
    just_created = 1,
    dirty_shutdown = 2,
    clean_shutdown = 3,
    being_converted = 4,
    force_detach = 5,
    incremental_reseed = 6,
    dirty_and_patched = 7,
    revert_in_progress = 8,
};
[[nodiscard]] std::string_view name(DatabaseState state);  // "DirtyShutdown", as eseutil says; "unknown"

struct DatabaseHeader {
    std::uint32_t format = 0;  // 0x620
    std::uint32_t revision = 0;
    std::uint32_t minor_revision = 0;
    bool streaming = false;  // a .stm file
    std::uint64_t dbtime = 0;
    Signature signature;
    Signature log_signature;
    Signature stm_signature;  // of the .stm file that goes with it
    DatabaseState state = DatabaseState::none;
    std::uint32_t page_size = 0;
    std::uint8_t flags = 0;             // 0x01 no shadow header, 0x04 has a .stm
    std::uint32_t lowest_required = 0;  // generations a dirty database needs
    std::uint32_t highest_required = 0;
    std::uint32_t highest_committed = 0;  // needed as well to lose nothing
    std::uint32_t repair_count = 0;
    std::uint32_t file_type = 0;  // 0 in files of before 2004
    BackupMark previous_full, previous_incremental, current_full, previous_copy, previous_differential;
    Signature flush_signature;
    Signature flush_map_signature;

    [[nodiscard]] bool shadow_kept() const { return (flags & 0x01U) == 0; }
    [[nodiscard]] bool has_stm() const { return (flags & 0x04U) != 0; }
    // A temporary database keeps no page checksums; its own file type does not tell.
    [[nodiscard]] bool temporary() const { return state == DatabaseState::just_created && !shadow_kept(); }
    // A streaming backup image: needs hard recovery, its range is in the trailer.
    [[nodiscard]] bool streaming_image() const {
        return current_full.lowest != 0 && current_full.highest == 0;
    }
};

// Which of the two copies was used and what is to be said of the other.
struct ChosenHeader {
    DatabaseHeader header;
    bool first_good = false;
    bool second_good = false;
    bool equal = false;
};
// `start`: the first bytes of the file, 64 KiB of them or all there are. Tries every page size.
// Code::corrupt when neither copy is sound, Code::mismatch when it is no ESE database at all.
[[nodiscard]] Result<ChosenHeader> choose_header(std::span<const std::byte> start);

struct LogHeader {
    std::uint32_t generation = 0;
    std::uint16_t sector_size = 0;
    std::uint16_t header_sectors = 0;
    std::uint16_t file_sectors = 0;
    std::uint32_t page_size = 0;
    LogTime created;
    LogTime previous_created;
    std::uint32_t major = 0, minor = 0, update = 0, update_minor = 0;
    Signature signature;
    bool circular = false;
    bool reserve = false;
    std::uint64_t previous_sum = 0;  // XOR of the segment checksums of the log before (update minor >= 13)
    std::uint32_t file_type = 0;
    [[nodiscard]] bool has_previous_sum() const { return major >= 8 && update_minor >= 13; }
    [[nodiscard]] std::uint64_t body() const { return std::uint64_t{header_sectors} * sector_size; }
    [[nodiscard]] std::uint64_t size() const { return std::uint64_t{file_sectors} * sector_size; }
};
// `bytes`: the first 4096 bytes.
[[nodiscard]] Result<LogHeader> read_log_header(std::span<const std::byte> bytes);

struct Checkpoint {
    LogPosition position;
    LogPosition last_full_backup;
    Signature log_signature;
    bool first_good = false;
    bool second_good = false;
    bool equal = false;
};
// `bytes`: the whole file; one sound copy is enough.
[[nodiscard]] Result<Checkpoint> read_checkpoint(std::span<const std::byte> bytes);

struct FlushMapHeader {
    bool clean = false;
    std::uint32_t major = 0;
    std::uint32_t lowest_required = 0;
    Signature database_flush_signature;
    Signature map_flush_signature;
};
// `bytes`: the first 8192 bytes.
[[nodiscard]] Result<FlushMapHeader> read_flush_map_header(std::span<const std::byte> bytes);

}  // namespace exshadow::ese
