#include "ese/log.h"

#include "ese/log_records.h"
#include "ese/log_segments.h"

namespace exshadow::ese {

Result<LogBody> check_log_body(Source& source, const LogHeader& header, bool current) {
    if (header.major >= 8) return check_segments(source, header, current);
    return check_records(source, header, current);
}

}  // namespace exshadow::ese
