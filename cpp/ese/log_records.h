// Format 7 of the log's body; see log.h. The layout is the fact sheet's, tried only on files made after it.
#pragma once

#include "ese/log.h"

namespace exshadow::ese {

[[nodiscard]] Result<LogBody> check_records(Source& source, const LogHeader& header, bool current);

}  // namespace exshadow::ese
