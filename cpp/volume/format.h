// The volume file NAME.exv, byte by byte. Little-endian. Everything that is read is checked:
// magic, version, volume id, CRC-32C, own place, bounds; what fails a check is never believed.
//
//        0  owner text (who has it open; advisory, not checked)                     64 KiB
//   64 KiB  superblock place 0      written alternately, the newest sound one      512 KiB
//  576 KiB  superblock place 1      wins (superblock.h has the table)              512 KiB
// 1088 KiB  activity log place 0    likewise alternate                              16 KiB
// 1104 KiB  activity log place 1                                                    16 KiB
//    2 MiB  map slot 0, 1, 2 ...    each slot_bytes(size, region_size)
//
// Superblock: SuperblockHeader, then plexes x PlexDisk, intervals x IntervalDisk, snapshots x SnapshotDisk,
//   and RestoreStartDisk where `starting` is 1. The CRC covers everything up to `length` with its own field
//   as zero. Version 1 throughout, except while an instant restore starts or moves: then it is 2, so that a
//   program that would read production past the redirect (E28) refuses the volume until it is done.
// Map slot:  [ summary place 0 ][ summary place 1 ][ block 0 place 0 ][ block 0 place 1 ][ block 1 ...
//   A summary holds two bits for each block: 0 all clear, 1 stored, 2 all set. A block is 4 KiB: a
//   64-byte header and 32,256 bits, one a region. Of two places the sound one with the higher sequence
//   wins; sequences grow for the life of the volume, so an old use of the slot never wins. A block the
//   summary calls stored and that has no sound place counts as all set (E18).
// Sizes: 16 TiB at 64 KiB regions are 2^28 bits, 8,323 blocks, 65 MiB a slot (sparse until used).
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/error.h"
#include "base/units.h"
#include "volume/state.h"

namespace exshadow::format {

static_assert(std::endian::native == std::endian::little, "the format is written as it lies in memory");

inline constexpr std::uint32_t version = 1;           // of everything but:
inline constexpr std::uint32_t redirect_version = 2;  // a superblock that knows of an instant restore
inline constexpr std::uint64_t superblock_magic = 0x314B4C4253485845;  // "EXHSBLK1"
inline constexpr std::uint64_t log_magic = 0x31474F4C53485845;         // "EXHSLOG1"
inline constexpr std::uint64_t summary_magic = 0x314D555353485845;     // "EXHSSUM1"
inline constexpr std::uint64_t block_magic = 0x3150414D53485845;       // "EXHSMAP1"

inline constexpr std::uint64_t block_bytes = 4096;
inline constexpr std::uint64_t owner_bytes = 4096;
inline constexpr std::uint64_t superblock_bytes = 512 * KiB;
inline constexpr std::array<std::uint64_t, 2> superblock_places = {64 * KiB, 576 * KiB};
inline constexpr std::uint64_t log_bytes = 16 * KiB;
inline constexpr std::array<std::uint64_t, 2> log_places = {1088 * KiB, 1104 * KiB};
inline constexpr std::uint64_t maps_offset = 2 * MiB;

inline constexpr std::uint32_t max_map_slots = 128;  // 64 plexes, 33 intervals, spare

inline constexpr std::uint64_t map_words_per_block = 504;
inline constexpr std::uint64_t map_bits_per_block = map_words_per_block * 64;

struct SuperblockHeader {
    std::uint64_t magic;
    std::uint32_t version;
    std::uint32_t crc;
    std::uint64_t generation;
    std::uint32_t length;  // bytes of header and records
    std::uint32_t place;   // 0 or 1
    std::array<std::uint8_t, 16> volume;
    std::array<std::uint8_t, 16> authority;
    std::uint64_t size;
    std::uint32_t region_size;
    std::uint32_t extent_size;
    std::uint32_t log_slots;
    std::uint8_t clean;
    std::uint8_t mode;
    std::uint8_t restoring;
    std::uint8_t starting;
    std::uint64_t next_map_id;
    std::uint32_t plex_count;
    std::uint32_t interval_count;
    std::uint32_t snapshot_count;
    std::uint32_t restore_slot;
    std::uint64_t restore_map_id;
    std::array<std::uint8_t, 16> restore_plex;
    std::array<char, 64> name;
    std::array<char, 64> group;
    std::array<char, 1024> metadata_copy;
    std::uint32_t maps_digest;
    std::array<std::uint8_t, 756> reserved;
};
static_assert(sizeof(SuperblockHeader) == 2048);
static_assert(offsetof(SuperblockHeader, maps_digest) == 1288);
static_assert(offsetof(SuperblockHeader, crc) == 12);
static_assert(offsetof(SuperblockHeader, size) == 64);
static_assert(offsetof(SuperblockHeader, name) == 136);

struct PlexDisk {
    std::array<std::uint8_t, 16> uuid;
    std::uint8_t state;
    std::uint8_t needs_compare;
    std::uint8_t identity_recorded;
    std::uint8_t flush_failed;
    std::uint32_t slot;
    std::uint64_t joined;
    std::uint64_t tag;
    std::uint64_t previous_tag;
    std::uint64_t sync_map_id;
    std::uint64_t inode;
    std::uint64_t identity_size;
    std::int64_t modified_ns;
    std::int64_t changed_ns;
    std::uint32_t sample_digest;
    std::uint32_t reserved1;
    std::array<char, 64> label;
    std::array<char, 128> serial;
    std::array<char, 192> note;
    std::array<char, 1024> path;
    std::array<std::uint8_t, 544> reserved;
};
static_assert(sizeof(PlexDisk) == 2048);
static_assert(offsetof(PlexDisk, joined) == 24);
static_assert(offsetof(PlexDisk, label) == 96);
static_assert(offsetof(PlexDisk, path) == 480);

struct IntervalDisk {
    std::uint64_t map_id;
    std::uint32_t slot;
    std::uint32_t reserved;
};
static_assert(sizeof(IntervalDisk) == 16);

struct MemberDisk {
    std::array<std::uint8_t, 16> volume;
    std::array<char, 64> name;
};
static_assert(sizeof(MemberDisk) == 80);

struct SnapshotDisk {
    std::array<std::uint8_t, 16> set_id;
    std::array<std::uint8_t, 16> plex;
    std::uint8_t state;
    std::array<std::uint8_t, 3> reserved0;
    std::uint32_t next_slot;
    std::uint64_t anchor;
    std::uint64_t next_map_id;
    std::int64_t created_ns;
    std::int64_t pinned_until_ns;
    std::uint32_t member_count;
    std::uint32_t reserved1;
    std::array<char, 64> label;
    std::array<char, 16> consistency;
    std::array<std::uint8_t, 352> reserved;
    std::array<MemberDisk, max_set_members> members;
};
static_assert(offsetof(SnapshotDisk, anchor) == 40);
static_assert(offsetof(SnapshotDisk, members) == 512);
static_assert(sizeof(SnapshotDisk) == 512 + 64 * 80);

struct RestoreStartDisk {
    std::array<std::uint8_t, 16> id;
    std::array<std::uint8_t, 16> set_id;
    std::uint8_t state;
    std::array<std::uint8_t, 3> reserved0;
    std::uint32_t map_slot;
    std::uint64_t map_id;
    std::uint32_t interval_slot;
    std::uint32_t member_count;
    std::uint64_t interval_id;
    std::array<std::uint8_t, 448> reserved;
    std::array<MemberDisk, max_set_members> members;
};
static_assert(offsetof(RestoreStartDisk, map_id) == 40);
static_assert(offsetof(RestoreStartDisk, members) == 512);
static_assert(sizeof(RestoreStartDisk) == 512 + 64 * 80);

struct LogHeader {
    std::uint64_t magic;
    std::uint32_t version;
    std::uint32_t crc;  // over header and extents
    std::array<std::uint8_t, 16> volume;
    std::uint64_t sequence;
    std::uint32_t count;
    std::uint32_t place;
    std::array<std::uint8_t, 16> reserved;
};
static_assert(sizeof(LogHeader) == 64);

struct MapHeader {  // of a block and of a summary
    std::uint64_t magic;
    std::uint32_t crc;    // over header and payload
    std::uint32_t index;  // of the block; number of blocks in a summary
    std::array<std::uint8_t, 16> volume;
    std::uint64_t map_id;
    std::uint64_t sequence;
    std::uint32_t place;
    std::uint32_t reserved0;
    std::array<std::uint8_t, 8> reserved;
};
static_assert(sizeof(MapHeader) == 64);
static_assert(sizeof(MapHeader) + map_words_per_block * 8 == block_bytes);

// Where the pieces of one map slot are, for a volume of a given shape.
struct MapLayout {
    std::uint64_t regions = 0;
    std::uint64_t blocks = 0;
    std::uint64_t summary_bytes = 0;  // one place
    std::uint64_t slot_bytes = 0;

    MapLayout(std::uint64_t size, std::uint32_t region_size);
    [[nodiscard]] std::uint64_t file_bytes() const { return slot(max_map_slots).offset; }  // sparse
    [[nodiscard]] Range slot(std::uint32_t index) const;
    [[nodiscard]] std::uint64_t summary_offset(std::uint32_t slot_index, unsigned place) const;
    [[nodiscard]] std::uint64_t block_offset(std::uint32_t slot_index, std::uint64_t block,
                                             unsigned place) const;
};

// Superblock bytes for `state` as written to `place`; padded to whole 4 KiB blocks.
[[nodiscard]] std::vector<std::byte> encode_superblock(const VolumeState& state, unsigned place);
// Decodes and checks one place. Code::corrupt or Code::newer_version otherwise.
[[nodiscard]] Result<VolumeState> decode_superblock(std::span<const std::byte> bytes, unsigned place);

}  // namespace exshadow::format
