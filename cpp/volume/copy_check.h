// Whether the copy of a snapshot is there and what was split off (E7): the questions of a restore, asked
// without beginning one, so that all members of a set can be asked before the first is touched.
#pragma once

#include <string>

#include "volume/volume.h"

namespace exshadow {

// Loop only; changes nothing. Errors: not_found, refused (in doubt), permission, io, mismatch.
[[nodiscard]] Task<Status> check_copy(Volume& volume, std::string label);

}  // namespace exshadow
