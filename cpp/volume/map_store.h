// MapStore: keeps change maps in the slots of the volume file (format.h draws them).
//
// A mark is durable when persist() returned; until then its extent stays in the activity log (E14).
// Order inside persist(): blocks, flush, summaries, flush. A crash between leaves blocks the summary
// does not name (their extents are still active) or blocks it names in their older version (likewise).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "runtime/sync.h"
#include "volume/change_map.h"
#include "volume/hooks.h"
#include "volume/metadata_device.h"
#include "volume/state.h"

namespace exshadow {

// A change map with its place on disk.
struct StoredMap {
    StoredMap(MapRef where, std::uint64_t volume_size, std::uint32_t region_size)
        : ref(where), bits(volume_size, region_size), blocks(bits.leaf_count()) {}

    struct Block {
        ChangeMap::LeafState durable = ChangeMap::LeafState::clear;  // what the durable summary says
        std::uint8_t place = 0;                                      // where the newest sound block is
    };
    MapRef ref;
    ChangeMap bits;
    std::vector<Block> blocks;
    std::uint8_t summary_place = 0;
    bool on_disk = false;  // a summary of this map exists
};

class MapStore {
public:
    MapStore(Loop& loop, MetadataDevice& device, const VolumeState& state, OrderHooks orders)
        : loop_(loop),
          device_(device),
          state_(state),
          orders_(orders),
          layout_(state.size, state.region_size),
          mutex_(loop) {}

    // First sequence number of this opening; larger than any used before (format.h).
    void start_sequences(std::uint64_t generation) { next_sequence_ = (generation << 32) + 1; }

    // A zeroed, allocated slot holding an empty map called `ref`. Durable on return (E18, E20).
    Task<Result<std::unique_ptr<StoredMap>>> create(MapRef ref);
    // A map that starts at once, when a plex fails: its slot was reserved, nothing is waited for. It
    // exists on disk only after the first persist().
    [[nodiscard]] std::unique_ptr<StoredMap> start(MapRef ref) const;
    // Read it back. What cannot be believed counts as changed and is described in `doubts`.
    Task<Result<std::unique_ptr<StoredMap>>> load(MapRef ref, std::size_t copy, std::string& doubts);
    // Make every mark (and every cleared bit) set before the call durable. Shares the maps: one may be
    // given up by everybody else while it is being written.
    Task<Status> persist(std::vector<std::shared_ptr<StoredMap>> maps);

    [[nodiscard]] const format::MapLayout& layout() const { return layout_; }

private:
    struct Written {
        bool blocks = false;
        bool summary_changed = false;
    };
    Task<Status> write_blocks(StoredMap& map, Written& written);
    Task<Status> write_summary(StoredMap& map);
    Task<Result<bool>> load_summary(StoredMap& map, std::size_t copy);
    Task<Status> load_block(StoredMap& map, std::uint64_t block, std::size_t copy, std::uint64_t& lost);

    Loop& loop_;
    MetadataDevice& device_;
    const VolumeState& state_;
    const OrderHooks orders_;
    format::MapLayout layout_;
    Mutex mutex_;
    std::uint64_t next_sequence_ = 1;
};

}  // namespace exshadow
