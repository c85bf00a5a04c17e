#include "nbd/buffers.h"

#include <algorithm>
#include <bit>

namespace exshadow::nbd {

BufferPool::Pointer BufferPool::take(std::size_t size) {
    const std::size_t rounded = std::bit_ceil(std::max(size, smallest));
    const auto size_class = static_cast<std::size_t>(std::countr_zero(rounded) - std::countr_zero(smallest));
    EXSHADOW_CHECK(size_class < classes);  // the session refuses longer requests
    auto& free = free_[size_class];
    std::unique_ptr<AlignedBuffer> buffer;
    if (free.empty()) {
        buffer = std::make_unique<AlignedBuffer>(rounded);
    } else {
        buffer = std::move(free.back());
        free.pop_back();
        free_bytes_ -= rounded;
    }
    return {buffer.release(), Returner{shared_from_this(), size_class}};
}

void BufferPool::Returner::operator()(AlignedBuffer* buffer) const {
    std::unique_ptr<AlignedBuffer> owned(buffer);
    if (pool->free_bytes_ + owned->size() > kept_bytes) return;
    pool->free_bytes_ += owned->size();
    pool->free_[size_class].push_back(std::move(owned));
}

}  // namespace exshadow::nbd
