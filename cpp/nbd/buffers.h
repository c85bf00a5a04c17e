// BufferPool: page-aligned buffers that are used again, so that a large request costs no page faults. A
// buffer goes back when its last owner lets go of it, also after the pool itself has gone. Loop thread only.
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "base/buffer.h"
#include "base/units.h"

namespace exshadow::nbd {

class BufferPool : public std::enable_shared_from_this<BufferPool> {
public:
    using Pointer = std::shared_ptr<AlignedBuffer>;

    // At least `size` bytes, contents undefined.
    [[nodiscard]] Pointer take(std::size_t size);

private:
    static constexpr std::size_t smallest = 4 * KiB;
    static constexpr std::size_t classes = 14;           // 4 KiB ... 32 MiB
    static constexpr std::size_t kept_bytes = 16 * MiB;  // of free buffers

    struct Returner {
        std::shared_ptr<BufferPool> pool;
        std::size_t size_class;
        void operator()(AlignedBuffer* buffer) const;
    };

    std::array<std::vector<std::unique_ptr<AlignedBuffer>>, classes> free_;
    std::size_t free_bytes_ = 0;
};

}  // namespace exshadow::nbd
