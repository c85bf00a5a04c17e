// Copying between two files whose bytes are in memory (tmpfs, page cache), as one piece of work for the
// loop's worker pool: each piece is read and written while it is still in the processor's cache, and the
// loop's thread moves no data (E29). Any thread; the files outlive the call.
#pragma once

#include <cstdint>
#include <span>

#include "base/units.h"
#include "disk/file_disk.h"
#include "disk/kernel_copy.h"

namespace exshadow {

// True when both are real files driven without O_DIRECT.
[[nodiscard]] bool can_copy_in_memory(const FileDisk& source, const FileDisk& target);

struct MemoryCopy {
    Ranges zero;               // whole units that read as zero: not written, the caller makes them zero
    std::uint64_t copied = 0;  // bytes written to the target
    int read_error = 0;        // errno; what was not reached is undefined in the target
    int write_error = 0;
};

// Copies `ranges` from one descriptor to the other, looking for zeroes in units of `unit` bytes. `lanes`:
// null, or what the target's workers share when
// can_copy_in_kernel().
[[nodiscard]] MemoryCopy copy_in_memory(int source, int target, std::span<const Range> ranges,
                                        std::uint64_t unit, CopyLanes* lanes);

}  // namespace exshadow
