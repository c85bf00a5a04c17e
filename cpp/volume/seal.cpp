#include "volume/seal.h"

#include <algorithm>
#include <array>
#include <limits>
#include <span>

#include "base/crc32c.h"
#include "volume/volume.h"

namespace exshadow {

namespace {

enum class Content : std::uint64_t { bits = 1, all_set = 2 };

std::uint32_t add_numbers(std::uint32_t crc, std::array<std::uint64_t, 2> numbers) {
    return crc32c(std::as_bytes(std::span(numbers)), crc);
}

}  // namespace

void MapDigest::add_id(std::uint64_t map_id) {
    crc_ = add_numbers(crc_, {map_id, 0});
}

bool MapDigest::add_step(const ChangeMap& map, std::uint64_t& cursor, std::uint64_t leaves) {
    const std::uint64_t end = std::min(cursor + leaves, map.leaf_count());
    for (; cursor < end; ++cursor) {
        switch (map.leaf_content(cursor)) {
            case ChangeMap::LeafState::clear: break;
            case ChangeMap::LeafState::full:
                crc_ = add_numbers(crc_, {cursor, static_cast<std::uint64_t>(Content::all_set)});
                break;
            case ChangeMap::LeafState::stored:
                crc_ = add_numbers(crc_, {cursor, static_cast<std::uint64_t>(Content::bits)});
                crc_ = crc32c(std::as_bytes(std::span(map.leaf(cursor)->words)), crc_);
                break;
        }
    }
    return cursor == map.leaf_count();
}

void MapDigest::add(const ChangeMap& map) {
    std::uint64_t cursor = 0;
    while (!add_step(map, cursor, std::numeric_limits<std::uint32_t>::max())) continue;
}

std::vector<std::shared_ptr<StoredMap>> Volume::sealed_maps() const {
    std::vector<std::shared_ptr<StoredMap>> maps;
    if (!state_.snapshots.empty()) maps = intervals_;
    for (const auto& plex : plexes_) {
        if (plex->sync_map) maps.push_back(plex->sync_map);
    }
    if (restore_map_) maps.push_back(restore_map_);
    return maps;
}

Task<std::uint32_t> Volume::digest_maps() {
    MapDigest digest;
    for (const auto& map : sealed_maps()) {
        digest.add_id(map->ref.id);
        std::uint64_t cursor = 0;
        while (!digest.add_step(map->bits, cursor)) co_await loop_.yield();
    }
    co_return digest.value();
}

// Nothing has been marked since the maps were loaded.
Task<void> Volume::check_seal() {
    if (!state_.clean || state_.maps_digest == 0) co_return;
    auto digesting = digest_maps();
    const std::uint32_t digest = co_await std::move(digesting);
    if (digest == state_.maps_digest) co_return;
    say("the change maps are not as they were closed: everything counts as changed");
    for (const auto& map : sealed_maps()) {
        if (map != restore_map_ || !redirect_) map->bits.mark_all();
    }
    // What an instant restore has still to move has no safe side (E25).
    if (redirect_ && !redirect_->broken) break_redirect("the change maps are not as they were closed");
}

}  // namespace exshadow
