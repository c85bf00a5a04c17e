#include "runtime/frame_pool.h"

#include <array>
#include <new>

namespace exshadow {

#if defined(__SANITIZE_ADDRESS__)

void* allocate_frame(std::size_t size) {
    return ::operator new(size);
}
void free_frame(void* frame, std::size_t size) noexcept {
    ::operator delete(frame, size);
}

#else

namespace {

constexpr std::size_t class_bytes = 128;
constexpr std::size_t class_count = 32;       // frames up to 4 KiB are kept
constexpr std::size_t kept_per_class = 1024;  // more go back to the heap

struct FreeFrame {
    FreeFrame* next;
};

class FramePool {
public:
    FramePool() = default;
    FramePool(const FramePool&) = delete;
    FramePool& operator=(const FramePool&) = delete;
    ~FramePool() {
        for (auto& list : lists_) {
            while (list.head != nullptr) {
                FreeFrame* const frame = list.head;
                list.head = frame->next;
                ::operator delete(frame);
            }
        }
    }

    void* take(std::size_t index) {
        List& list = lists_[index];
        if (list.head == nullptr) return ::operator new((index + 1) * class_bytes);
        FreeFrame* const frame = list.head;
        list.head = frame->next;
        --list.count;
        return frame;
    }

    void give(void* memory, std::size_t index) noexcept {
        List& list = lists_[index];
        if (list.count >= kept_per_class) {
            ::operator delete(memory);
            return;
        }
        auto* const frame = static_cast<FreeFrame*>(memory);
        frame->next = list.head;
        list.head = frame;
        ++list.count;
    }

private:
    struct List {
        FreeFrame* head = nullptr;
        std::size_t count = 0;
    };
    std::array<List, class_count> lists_;
};

FramePool& pool() {
    thread_local FramePool frames;
    return frames;
}

}  // namespace

void* allocate_frame(std::size_t size) {
    const std::size_t index = (size - 1) / class_bytes;
    return index < class_count ? pool().take(index) : ::operator new(size);
}

void free_frame(void* frame, std::size_t size) noexcept {
    const std::size_t index = (size - 1) / class_bytes;
    if (index < class_count) {
        pool().give(frame, index);
    } else {
        ::operator delete(frame);
    }
}

#endif

}  // namespace exshadow
