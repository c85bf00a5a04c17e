// Every page of a database file: read once, in order or by several threads, in bounded memory.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "base/error.h"
#include "ese/header.h"
#include "ese/page.h"
#include "ese/source.h"

namespace exshadow::ese {

struct BadPage {
    std::uint32_t pgno = 0;
    PageCheck check;
};

struct ScanOptions {
    unsigned threads = 0;                // 0: as many as processors, at most 8; a stream is read by one
    std::uint64_t bytes_per_second = 0;  // 0: no limit
    std::size_t listed = 1000;           // bad pages kept in the list; all are counted
    Method method = Method::automatic;
    // Bytes done so far; on the caller's thread, every 100 ms or so. False stops the scan.
    std::function<bool(std::uint64_t)> progress;
};

struct PageScan {
    std::uint64_t pages = 0;  // data pages looked at, the two headers left out
    std::uint64_t bad = 0;    // all that are neither good nor empty, correctable ones too
    std::uint64_t correctable = 0;
    std::uint64_t wrong_place = 0;  // and wrong_number
    std::uint64_t empty = 0;
    std::uint64_t empty_inside = 0;  // empty pages below the last used one
    std::uint64_t legacy = 0;        // pages of the form before 2004
    std::uint32_t last_used = 0;
    std::uint32_t used_before = 0;  // the last used one below it
    std::uint64_t highest_dbtime = 0;
    std::uint32_t highest_dbtime_page = 0;
    std::uint64_t odd_bytes = 0;     // behind the last whole page
    std::vector<BadPage> list;       // by page number
    std::optional<Trailer> trailer;  // the last page is the trailer of a streaming backup image
};

// Checks all pages behind the two headers; holes of the file are counted as empty pages without being read.
// Errors: reading failed, Code::cancelled, Code::io when the file becomes shorter meanwhile.
// Memory: 512 KiB a thread and the list.
[[nodiscard]] Result<PageScan> scan_pages(Source& source, const DatabaseHeader& header,
                                          const ScanOptions& options = {});

// The same for the data pages of a flush map (fact sheet, 7): numbered from 0 behind one header page.
[[nodiscard]] Result<PageScan> scan_flush_map(Source& source);

}  // namespace exshadow::ese
