// The body of an ESE transaction log: format 8 (segments; 2013 and later, Windows 8 and later) and format 7
// (a chain of checksum records; Exchange 2000 to 2010). Fact sheet "ESE files", 8.3 and 8.4. Format 7 was
// tried on files made after the sheet only, never on real ones.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/error.h"
#include "ese/header.h"
#include "ese/source.h"

namespace exshadow::ese {

struct LogBody {
    bool sound = true;
    bool torn_end = false;  // the last write was cut and its shadow is whole: recovery repairs it (event 466)
    bool full = false;      // ends where the file does
    std::uint32_t segments = 0;  // format 8: segments behind the header; format 7: checksum records
    std::uint32_t valid = 0;
    std::uint32_t stale = 0;  // left from the log that the file was before
    std::uint32_t empty = 0;
    std::uint32_t bad = 0;
    std::optional<std::uint32_t>
        first_bad;             // segment number in the file; format 7: byte offset of the record
    bool correctable = false;  // the first bad one has a single flipped bit
    std::uint64_t sum =
        0;  // format 8: XOR of the checksums of all valid segments; the next log's header has it
    std::string trouble;  // what is wrong, for people; empty when sound
};

// `current`: the log that is (or was, at the snapshot) being written: only there a torn end is repairable.
// Errors: reading failed. Damage is in the result.
[[nodiscard]] Result<LogBody> check_log_body(Source& source, const LogHeader& header, bool current);

}  // namespace exshadow::ese
