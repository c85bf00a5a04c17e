#include "disk/helpers.h"

#include "base/buffer.h"
#include "base/units.h"

namespace exshadow {

std::span<const std::byte> zero_bytes() {
    static const AlignedBuffer buffer = AlignedBuffer::zeroed(1 * MiB);
    return buffer.span();
}

Task<Status> answered(Status status) {
    co_return std::move(status);
}

}  // namespace exshadow
