// Random bytes from the operating system.
#pragma once

#include <cstdint>
#include <span>

namespace exshadow {

void fill_random(std::span<std::uint8_t> bytes);

}  // namespace exshadow
