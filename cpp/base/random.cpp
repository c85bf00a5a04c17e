#ifdef _WIN32
#define _CRT_RAND_S  // makes <stdlib.h> declare rand_s, which asks the system's generator
#include <stdlib.h>
#else
#include <sys/random.h>
#endif

#include <cstddef>

#include "base/check.h"
#include "base/random.h"

namespace exshadow {

void fill_random(std::span<std::uint8_t> bytes) {
#ifdef _WIN32
    for (std::uint8_t& byte : bytes) {
        unsigned int word = 0;
        EXSHADOW_CHECK(rand_s(&word) == 0);
        byte = static_cast<std::uint8_t>(word);
    }
#else
    const auto got = getrandom(bytes.data(), bytes.size(), 0);
    EXSHADOW_CHECK(got == static_cast<ssize_t>(bytes.size()));
#endif
}

}  // namespace exshadow
