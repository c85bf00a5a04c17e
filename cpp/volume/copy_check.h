// Questions about a snapshot before anything is done to it. Whether its copy is there and what was split off
// (E7) is asked without beginning a restore, so that all members of a set can be asked before the first is
// touched.
#pragma once

#include <cstdint>
#include <string>

#include "volume/volume.h"

namespace exshadow {

// Loop only; changes nothing. Errors: not_found, refused (in doubt), permission, io, mismatch.
[[nodiscard]] Task<Status> check_copy(Volume& volume, std::string label);

// Refused while the snapshot is pinned at `now_ns` (nanoseconds since the epoch): for what would end it.
[[nodiscard]] Task<Status> check_unpinned(Volume& volume, std::string label, std::int64_t now_ns);

}  // namespace exshadow
