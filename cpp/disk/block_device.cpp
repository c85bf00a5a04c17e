#include "disk/block_device.h"

namespace exshadow {

Status BlockDevice::check_range(std::uint64_t offset, std::uint64_t length) const {
    if (offset <= size() && length <= size() - offset) return {};
    return Error(Code::invalid, "request at " + std::to_string(offset) + " of " + std::to_string(length) +
                                    " bytes is outside " + describe() + " (" + std::to_string(size()) +
                                    " bytes)");
}

}  // namespace exshadow
