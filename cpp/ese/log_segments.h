// Format 8 of the log's body; see log.h.
#pragma once

#include <cstddef>

#include "ese/log.h"

namespace exshadow::ese {

inline constexpr std::size_t segment_size = 4096;
[[nodiscard]] Result<LogBody> check_segments(Source& source, const LogHeader& header, bool current);

}  // namespace exshadow::ese
