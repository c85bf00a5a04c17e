#include "volume/format.h"

#include <cstring>
#include <string>

#include "base/crc32c.h"

namespace exshadow::format {

namespace {

template <std::size_t N>
void put_text(std::array<char, N>& field, const std::string& text) {
    field.fill('\0');
    std::memcpy(field.data(), text.data(), std::min(text.size(), N - (N == max_name_bytes ? 0 : 1)));
}

template <std::size_t N>
std::string get_text(const std::array<char, N>& field) {
    return std::string(field.data(), strnlen(field.data(), N));
}

Uuid get_uuid(const std::array<std::uint8_t, 16>& bytes) {
    Uuid uuid;
    uuid.bytes = bytes;
    return uuid;
}

PlexDisk encode(const PlexRecord& record) {
    PlexDisk disk{};
    disk.uuid = record.uuid.bytes;
    disk.state = static_cast<std::uint8_t>(record.state);
    disk.needs_compare = record.needs_compare ? 1 : 0;
    disk.flush_failed = record.flush_failed ? 1 : 0;
    disk.identity_recorded = record.identity.recorded ? 1 : 0;
    disk.slot = record.slot;
    disk.joined = record.joined;
    disk.tag = record.tag;
    disk.previous_tag = record.previous_tag;
    disk.sync_map_id = record.sync_map_id;
    disk.inode = record.identity.inode;
    disk.identity_size = record.identity.size;
    disk.modified_ns = record.identity.modified_ns;
    disk.changed_ns = record.identity.changed_ns;
    disk.sample_digest = record.identity.sample_digest;
    put_text(disk.label, record.label);
    put_text(disk.serial, record.identity.serial);
    put_text(disk.note, record.note);
    put_text(disk.path, record.path);
    return disk;
}

PlexRecord decode(const PlexDisk& disk) {
    PlexRecord record;
    record.uuid = get_uuid(disk.uuid);
    record.label = get_text(disk.label);
    record.path = get_text(disk.path);
    record.state = static_cast<PlexState>(disk.state);
    record.needs_compare = disk.needs_compare != 0;
    record.flush_failed = disk.flush_failed != 0;
    record.joined = disk.joined;
    record.tag = disk.tag;
    record.previous_tag = disk.previous_tag;
    record.slot = disk.slot;
    record.sync_map_id = disk.sync_map_id;
    record.identity = {
        disk.identity_recorded != 0, disk.inode,        disk.identity_size, disk.modified_ns, disk.changed_ns,
        get_text(disk.serial),       disk.sample_digest};
    record.note = get_text(disk.note);
    return record;
}

template <class List>
void put_members(List& disk, const std::vector<SetMember>& members) {
    for (std::size_t i = 0; i < members.size(); ++i) {
        disk[i].volume = members[i].volume.bytes;
        put_text(disk[i].name, members[i].name);
    }
}

template <class List>
std::vector<SetMember> get_members(const List& disk, std::size_t count) {
    std::vector<SetMember> members;
    for (std::size_t i = 0; i < count; ++i)
        members.push_back({get_uuid(disk[i].volume), get_text(disk[i].name)});
    return members;
}

SnapshotDisk encode(const SnapshotRecord& record) {
    SnapshotDisk disk{};
    disk.set_id = record.set_id.bytes;
    disk.plex = record.plex.bytes;
    disk.state = static_cast<std::uint8_t>(record.state);
    disk.next_slot = record.next_interval.slot;
    disk.anchor = record.anchor;
    disk.next_map_id = record.next_interval.id;
    disk.created_ns = record.created_ns;
    disk.pinned_until_ns = record.pinned_until_ns;
    disk.member_count = static_cast<std::uint32_t>(record.members.size());
    put_text(disk.label, record.label);
    put_text(disk.consistency, record.consistency);
    put_members(disk.members, record.members);
    return disk;
}

SnapshotRecord decode(const SnapshotDisk& disk) {
    SnapshotRecord record;
    record.set_id = get_uuid(disk.set_id);
    record.plex = get_uuid(disk.plex);
    record.state = static_cast<SetState>(disk.state);
    record.next_interval = {disk.next_map_id, disk.next_slot};
    record.anchor = disk.anchor;
    record.created_ns = disk.created_ns;
    record.pinned_until_ns = disk.pinned_until_ns;
    record.label = get_text(disk.label);
    record.consistency = get_text(disk.consistency);
    record.members = get_members(disk.members, disk.member_count);
    return record;
}

RestoreStartDisk encode(const RestoreStart& record) {
    RestoreStartDisk disk{};
    disk.id = record.id.bytes;
    disk.set_id = record.set_id.bytes;
    disk.state = static_cast<std::uint8_t>(record.state);
    disk.map_slot = record.map.slot;
    disk.map_id = record.map.id;
    disk.interval_slot = record.interval.slot;
    disk.interval_id = record.interval.id;
    disk.member_count = static_cast<std::uint32_t>(record.members.size());
    put_members(disk.members, record.members);
    return disk;
}

RestoreStart decode(const RestoreStartDisk& disk) {
    RestoreStart record;
    record.id = get_uuid(disk.id);
    record.set_id = get_uuid(disk.set_id);
    record.state = static_cast<SetState>(disk.state);
    record.map = {disk.map_id, disk.map_slot};
    record.interval = {disk.interval_id, disk.interval_slot};
    record.members = get_members(disk.members, disk.member_count);
    return record;
}

SuperblockHeader encode_header(const VolumeState& state, unsigned place, std::size_t length) {
    SuperblockHeader header{};
    header.magic = superblock_magic;
    const bool redirects = state.mode == VolumeMode::redirecting || state.starting;
    header.version = redirects ? redirect_version : version;
    header.starting = state.starting ? 1 : 0;
    header.generation = state.generation;
    header.length = static_cast<std::uint32_t>(length);
    header.place = place;
    header.volume = state.uuid.bytes;
    header.authority = state.authority.bytes;
    header.size = state.size;
    header.region_size = state.region_size;
    header.extent_size = state.extent_size;
    header.log_slots = state.log_slots;
    header.clean = state.clean ? 1 : 0;
    header.maps_digest = state.maps_digest;
    header.mode = static_cast<std::uint8_t>(state.mode);
    header.next_map_id = state.next_map_id;
    header.plex_count = static_cast<std::uint32_t>(state.plexes.size());
    header.interval_count = static_cast<std::uint32_t>(state.intervals.size());
    header.snapshot_count = static_cast<std::uint32_t>(state.snapshots.size());
    header.restore_slot = MapRef::no_slot;
    if (state.restore) {
        header.restoring = 1;
        header.restore_slot = state.restore->map.slot;
        header.restore_map_id = state.restore->map.id;
        header.restore_plex = state.restore->plex.bytes;
    }
    put_text(header.name, state.name);
    put_text(header.group, state.group);
    put_text(header.metadata_copy, state.metadata_copy);
    return header;
}

VolumeState decode_header(const SuperblockHeader& header) {
    VolumeState state;
    state.uuid = get_uuid(header.volume);
    state.name = get_text(header.name);
    state.group = get_text(header.group);
    state.metadata_copy = get_text(header.metadata_copy);
    state.size = header.size;
    state.region_size = header.region_size;
    state.extent_size = header.extent_size;
    state.log_slots = header.log_slots;
    state.generation = header.generation;
    state.next_map_id = header.next_map_id;
    state.clean = header.clean != 0;
    state.maps_digest = header.maps_digest;
    state.mode = static_cast<VolumeMode>(header.mode);
    state.authority = get_uuid(header.authority);
    if (header.restoring != 0) {
        state.restore =
            RestoreRecord{get_uuid(header.restore_plex), {header.restore_map_id, header.restore_slot}};
    }
    return state;
}

std::size_t records_length(const SuperblockHeader& header) {
    return sizeof(SuperblockHeader) + header.plex_count * sizeof(PlexDisk) +
           header.interval_count * sizeof(IntervalDisk) + header.snapshot_count * sizeof(SnapshotDisk) +
           (header.starting != 0 ? sizeof(RestoreStartDisk) : 0);
}

Error damaged(const std::string& what) {
    return Error(Code::corrupt, "superblock: " + what);
}

// Everything that must hold before a record is looked at.
Status check_header(const SuperblockHeader& header, std::span<const std::byte> bytes, unsigned place) {
    if (header.magic != superblock_magic) return damaged("no magic");
    if (header.version > redirect_version) {
        return Error(Code::newer_version,
                     "volume file has format version " + std::to_string(header.version) +
                         ", this exshadow knows " + std::to_string(redirect_version),
                     "use the newer exshadow that wrote it");
    }
    if (header.version < version) return damaged("unknown version");
    if (header.place != place) return damaged("written for another place");
    if (header.plex_count > max_plexes || header.snapshot_count > max_snapshots ||
        header.interval_count > max_snapshots + 2) {
        return damaged("impossible record count");
    }
    if (header.length != records_length(header) || header.length > bytes.size()) {
        return damaged("impossible length");
    }
    std::vector<std::byte> copy(bytes.begin(), bytes.begin() + header.length);
    std::memset(copy.data() + offsetof(SuperblockHeader, crc), 0, sizeof(header.crc));
    if (crc32c(copy) != header.crc) return damaged("checksum");
    return {};
}

class Writer {
public:
    explicit Writer(std::vector<std::byte>& bytes) : bytes_(bytes) {}
    template <class T>
    void put(const T& value) {
        std::memcpy(bytes_.data() + at_, &value, sizeof(T));
        at_ += sizeof(T);
    }

private:
    std::vector<std::byte>& bytes_;
    std::size_t at_ = 0;
};

class Reader {
public:
    explicit Reader(std::span<const std::byte> bytes) : bytes_(bytes) {}
    template <class T>
    T get() {
        T value;
        EXSHADOW_CHECK(at_ + sizeof(T) <= bytes_.size());
        std::memcpy(&value, bytes_.data() + at_, sizeof(T));
        at_ += sizeof(T);
        return value;
    }

private:
    std::span<const std::byte> bytes_;
    std::size_t at_ = 0;
};

}  // namespace

MapLayout::MapLayout(std::uint64_t size, std::uint32_t region_size)
    : regions(divide_up(size, region_size)),
      blocks(divide_up(regions, map_bits_per_block)),
      summary_bytes(round_up(sizeof(MapHeader) + divide_up(blocks, 4), block_bytes)),
      slot_bytes(2 * summary_bytes + 2 * blocks * block_bytes) {}

Range MapLayout::slot(std::uint32_t index) const {
    return {maps_offset + index * slot_bytes, slot_bytes};
}

std::uint64_t MapLayout::summary_offset(std::uint32_t slot_index, unsigned place) const {
    return slot(slot_index).offset + place * summary_bytes;
}

std::uint64_t MapLayout::block_offset(std::uint32_t slot_index, std::uint64_t block, unsigned place) const {
    return slot(slot_index).offset + 2 * summary_bytes + (2 * block + place) * block_bytes;
}

std::vector<std::byte> encode_superblock(const VolumeState& state, unsigned place) {
    SuperblockHeader counts{};
    counts.plex_count = static_cast<std::uint32_t>(state.plexes.size());
    counts.interval_count = static_cast<std::uint32_t>(state.intervals.size());
    counts.snapshot_count = static_cast<std::uint32_t>(state.snapshots.size());
    counts.starting = state.starting ? 1 : 0;
    const std::size_t length = records_length(counts);
    EXSHADOW_CHECK(length <= superblock_bytes);

    std::vector<std::byte> bytes(round_up(length, block_bytes));
    Writer writer(bytes);
    writer.put(encode_header(state, place, length));
    for (const auto& plex : state.plexes) writer.put(encode(plex));
    for (const auto& interval : state.intervals) {
        writer.put(IntervalDisk{interval.map.id, interval.map.slot, 0});
    }
    for (const auto& snapshot : state.snapshots) writer.put(encode(snapshot));
    if (state.starting) writer.put(encode(*state.starting));
    const std::uint32_t crc = crc32c(std::span(bytes).first(length));
    std::memcpy(bytes.data() + offsetof(SuperblockHeader, crc), &crc, sizeof(crc));
    return bytes;
}

Result<VolumeState> decode_superblock(std::span<const std::byte> bytes, unsigned place) {
    if (bytes.size() < sizeof(SuperblockHeader)) return damaged("too short");
    Reader reader(bytes);
    const auto header = reader.get<SuperblockHeader>();
    EXSHADOW_TRY(check_header(header, bytes, place));

    VolumeState state = decode_header(header);
    for (std::uint32_t i = 0; i < header.plex_count; ++i)
        state.plexes.push_back(decode(reader.get<PlexDisk>()));
    for (std::uint32_t i = 0; i < header.interval_count; ++i) {
        const auto disk = reader.get<IntervalDisk>();
        state.intervals.push_back({{disk.map_id, disk.slot}});
    }
    for (std::uint32_t i = 0; i < header.snapshot_count; ++i) {
        const auto disk = reader.get<SnapshotDisk>();
        if (disk.member_count > max_set_members) return damaged("impossible member count");
        state.snapshots.push_back(decode(disk));
    }
    if (header.starting != 0) {
        const auto disk = reader.get<RestoreStartDisk>();
        if (disk.member_count > max_set_members) return damaged("impossible member count");
        state.starting = decode(disk);
    }
    if (auto text = state.problem(); !text.empty()) return damaged(text);
    return state;
}

}  // namespace exshadow::format
