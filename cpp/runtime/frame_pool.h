// Free lists for coroutine frames, one set per thread, hence one per loop (E31): a loop's coroutines
// start and end on its thread. Under AddressSanitizer frames come from the heap, so that a use after
// the end of a coroutine is seen.
#pragma once

#include <cstddef>

namespace exshadow {

[[nodiscard]] void* allocate_frame(std::size_t size);
void free_frame(void* frame, std::size_t size) noexcept;

}  // namespace exshadow
