#include "volume/map_store.h"

#include <cstring>

#include "base/crc32c.h"

namespace exshadow {

using format::block_bytes;
using format::MapHeader;
using LeafState = ChangeMap::LeafState;

namespace {

constexpr std::size_t blocks_a_batch = 64;

MapHeader make_header(std::uint64_t magic, const Uuid& volume, std::uint64_t map_id, std::uint64_t sequence,
                      std::uint32_t index, unsigned place) {
    MapHeader header{};
    header.magic = magic;
    header.index = index;
    header.volume = volume.bytes;
    header.map_id = map_id;
    header.sequence = sequence;
    header.place = place;
    return header;
}

// Puts the header in front of the payload already in `bytes` and seals both with the CRC.
void seal(std::span<std::byte> bytes, MapHeader header) {
    header.crc = 0;
    std::memcpy(bytes.data(), &header, sizeof(header));
    header.crc = crc32c(bytes);
    std::memcpy(bytes.data(), &header, sizeof(header));
}

// The sequence of a sound header, 0 for anything else. `bytes` is scribbled on.
std::uint64_t sound_sequence(std::span<std::byte> bytes, const MapHeader& expected) {
    MapHeader header;
    std::memcpy(&header, bytes.data(), sizeof(header));
    if (header.magic != expected.magic || header.volume != expected.volume ||
        header.map_id != expected.map_id || header.index != expected.index ||
        header.place != expected.place) {
        return 0;
    }
    MapHeader blank = header;
    blank.crc = 0;
    std::memcpy(bytes.data(), &blank, sizeof(blank));
    const bool sound = crc32c(bytes) == header.crc;
    std::memcpy(bytes.data(), &header, sizeof(header));
    return sound ? header.sequence : 0;
}

std::uint8_t get_state(std::span<const std::byte> payload, std::uint64_t block) {
    return static_cast<std::uint8_t>(static_cast<unsigned>(payload[block / 4]) >> (2 * (block % 4)) & 3U);
}

void put_state(std::span<std::byte> payload, std::uint64_t block, LeafState state) {
    payload[block / 4] |= static_cast<std::byte>(static_cast<unsigned>(state) << (2 * (block % 4)));
}

}  // namespace

std::unique_ptr<StoredMap> MapStore::start(MapRef ref) const {
    return std::make_unique<StoredMap>(ref, state_.size, state_.region_size);
}

Task<Result<std::unique_ptr<StoredMap>>> MapStore::create(MapRef ref) {
    EXSHADOW_CHECK(ref.slot < format::max_map_slots);
    const auto guard = co_await mutex_.lock();
    auto map = start(ref);
    auto zeroing = device_.zero(layout_.slot(ref.slot));
    EXSHADOW_CO_TRY(co_await std::move(zeroing));
    EXSHADOW_CO_TRY(device_.allocate(layout_.slot(ref.slot)));
    auto flushing = device_.flush();
    EXSHADOW_CO_TRY(co_await std::move(flushing));
    auto writing = write_summary(*map);
    EXSHADOW_CO_TRY(co_await std::move(writing));
    auto flushing_again = device_.flush();
    EXSHADOW_CO_TRY(co_await std::move(flushing_again));
    co_return std::move(map);
}

// Writes the blocks that changed. For each, bits and summary state are taken in one step before the
// write, so marking goes on meanwhile: what is marked later is dirty again.
Task<Status> MapStore::write_blocks(StoredMap& map, Written& written) {
    std::vector<std::byte> buffer(block_bytes);
    std::size_t in_batch = 0;
    for (std::uint64_t block = 0; block < map.bits.leaf_count(); ++block) {
        if (!map.bits.leaf_dirty(block)) continue;
        map.bits.set_leaf_dirty(block, false);
        StoredMap::Block& stored = map.blocks[block];
        const LeafState now = map.bits.leaf_state(block);
        written.summary_changed = written.summary_changed || now != stored.durable;
        stored.durable = now;
        if (now != LeafState::stored) continue;  // the summary says it all
        stored.place ^= 1U;
        std::memcpy(buffer.data() + sizeof(MapHeader), map.bits.leaf(block)->words.data(),
                    sizeof(ChangeMap::Leaf));
        seal(buffer, make_header(format::block_magic, state_.uuid, map.ref.id, next_sequence_++,
                                 static_cast<std::uint32_t>(block), stored.place));
        written.blocks = true;
        auto writing = device_.write(layout_.block_offset(map.ref.slot, block, stored.place), buffer);
        EXSHADOW_CO_TRY(co_await std::move(writing));
        if (++in_batch % blocks_a_batch == 0) co_await loop_.yield();
    }
    co_return Status{};
}

Task<Status> MapStore::write_summary(StoredMap& map) {
    std::vector<std::byte> buffer(layout_.summary_bytes);
    const auto payload = std::span(buffer).subspan(sizeof(MapHeader));
    for (std::uint64_t block = 0; block < map.blocks.size(); ++block) {
        put_state(payload, block, map.blocks[block].durable);
    }
    map.summary_place ^= 1U;
    map.on_disk = true;
    seal(buffer, make_header(format::summary_magic, state_.uuid, map.ref.id, next_sequence_++,
                             static_cast<std::uint32_t>(map.blocks.size()), map.summary_place));
    auto writing = device_.write(layout_.summary_offset(map.ref.slot, map.summary_place), buffer);
    co_return co_await std::move(writing);
}

Task<Status> MapStore::persist(std::vector<std::shared_ptr<StoredMap>> maps) {
    const auto guard = co_await mutex_.lock();
    bool wrote_blocks = false;
    std::vector<StoredMap*> summaries;
    for (const auto& map : maps) {
        Written written;
        auto writing = write_blocks(*map, written);
        EXSHADOW_CO_TRY(co_await std::move(writing));
        wrote_blocks = wrote_blocks || written.blocks;
        if (written.summary_changed || !map->on_disk) summaries.push_back(map.get());
    }
    if (wrote_blocks) {
        auto flushing = device_.flush();
        EXSHADOW_CO_TRY(co_await std::move(flushing));
    }
    if (summaries.empty()) co_return Status{};
    for (StoredMap* const map : summaries) {
        auto writing = write_summary(*map);
        EXSHADOW_CO_TRY(co_await std::move(writing));
    }
    auto flushing = device_.flush();
    co_return co_await std::move(flushing);
}

Task<Result<bool>> MapStore::load_summary(StoredMap& map, std::size_t copy) {
    std::vector<std::byte> buffer(layout_.summary_bytes);
    std::uint64_t best = 0;
    for (unsigned place = 0; place < 2; ++place) {
        auto reading = device_.read(copy, layout_.summary_offset(map.ref.slot, place), buffer);
        const Status status = co_await std::move(reading);
        if (!status.ok()) continue;
        const auto expected = make_header(format::summary_magic, state_.uuid, map.ref.id, 0,
                                          static_cast<std::uint32_t>(map.blocks.size()), place);
        const std::uint64_t sequence = sound_sequence(buffer, expected);
        if (sequence <= best) continue;
        best = sequence;
        map.summary_place = static_cast<std::uint8_t>(place);
        const auto payload = std::span<const std::byte>(buffer).subspan(sizeof(MapHeader));
        for (std::uint64_t block = 0; block < map.blocks.size(); ++block) {
            const std::uint8_t value = get_state(payload, block);
            map.blocks[block].durable = value > 2 ? LeafState::full : static_cast<LeafState>(value);
        }
    }
    map.on_disk = best != 0;
    co_return map.on_disk;
}

Task<Status> MapStore::load_block(StoredMap& map, std::uint64_t block, std::size_t copy,
                                  std::uint64_t& lost) {
    std::vector<std::byte> pair(2 * block_bytes);
    auto reading = device_.read(copy, layout_.block_offset(map.ref.slot, block, 0), pair);
    const Status status = co_await std::move(reading);
    std::uint64_t best = 0;
    for (unsigned place = 0; status.ok() && place < 2; ++place) {
        const auto bytes = std::span(pair).subspan(place * block_bytes, block_bytes);
        const auto expected = make_header(format::block_magic, state_.uuid, map.ref.id, 0,
                                          static_cast<std::uint32_t>(block), place);
        const std::uint64_t sequence = sound_sequence(bytes, expected);
        if (sequence <= best) continue;
        best = sequence;
        map.blocks[block].place = static_cast<std::uint8_t>(place);
        ChangeMap::Leaf leaf;
        std::memcpy(leaf.words.data(), bytes.data() + sizeof(MapHeader), sizeof(leaf));
        map.bits.set_leaf(block, leaf);
    }
    if (best == 0 && orders_.keeps(Order::e18_unreadable_map_is_all_changed)) {
        map.bits.set_leaf_full(block);
        map.bits.set_leaf_dirty(block, true);
        ++lost;
    }
    co_return Status{};
}

Task<Result<std::unique_ptr<StoredMap>>> MapStore::load(MapRef ref, std::size_t copy, std::string& doubts) {
    auto map = start(ref);
    auto loading = load_summary(*map, copy);
    const Result<bool> found = co_await std::move(loading);
    if ((!found.ok() || !*found) && orders_.keeps(Order::e18_unreadable_map_is_all_changed)) {
        map->bits.mark_all();
        doubts = "a change map cannot be read: everything counts as changed";
        co_return std::move(map);
    }
    std::uint64_t lost = 0;
    for (std::uint64_t block = 0; block < map->blocks.size(); ++block) {
        const LeafState durable = map->blocks[block].durable;
        if (durable == LeafState::full) map->bits.set_leaf_full(block);
        if (durable != LeafState::stored) continue;
        auto reading = load_block(*map, block, copy, lost);
        EXSHADOW_CO_TRY(co_await std::move(reading));
    }
    if (lost != 0) {
        doubts =
            std::to_string(lost) + " block(s) of a change map are damaged: their regions count as changed";
    }
    co_return std::move(map);
}

}  // namespace exshadow
