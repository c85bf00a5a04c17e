#include "nbd/fields.h"

namespace exshadow::nbd {

// Out of line: inlined into a caller that has just made the vector, gcc 12 sees overflows that are not there.
void append_bytes(std::vector<std::byte>& bytes, std::span<const std::byte> more) {
    bytes.insert(bytes.end(), more.begin(), more.end());
}

}  // namespace exshadow::nbd
