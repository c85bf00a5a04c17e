// SuperblockStore: reads the newest sound superblock and writes the next one beside it.
//
// Two places in each volume file, one or two files. What choose() decides (a test enumerates it all):
//   any place from a newer version      -> newer_version: this exshadow must not touch the volume
//   no sound place                      -> corrupt
//   sound places of different volumes   -> corrupt: the copy belongs to somebody else
//   otherwise                           -> the highest generation; of equals the first
// A torn write therefore leaves the generation before it in force.
#pragma once

#include <optional>
#include <vector>

#include "runtime/sync.h"
#include "volume/metadata_device.h"
#include "volume/state.h"

namespace exshadow {

struct SuperblockCandidate {
    std::size_t copy = 0;
    unsigned place = 0;
    Result<VolumeState> content;
};

// Index of the candidate to believe.
[[nodiscard]] Result<std::size_t> choose_superblock(const std::vector<SuperblockCandidate>& candidates);

class SuperblockStore {
public:
    SuperblockStore(Loop& loop, MetadataDevice& device) : device_(device), mutex_(loop) {}

    struct Loaded {
        VolumeState state;
        std::size_t copy = 0;  // the file it came from: log and maps are read there too
    };
    Task<Result<Loaded>> load();

    // Writes `state` (as it is when the write starts) as the next generation. Durable on return. Commits
    // are strictly ordered. An error means that nothing is known: the caller stops writing (E20).
    Task<Status> commit(VolumeState& state);

private:
    MetadataDevice& device_;
    Mutex mutex_;
};

}  // namespace exshadow
