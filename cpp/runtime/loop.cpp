#include "runtime/loop.h"

namespace exshadow {

namespace {
thread_local Loop* current_loop = nullptr;
thread_local int resume_depth = 0;
constexpr int resume_depth_limit = 64;
}  // namespace

Loop* Loop::current() {
    return current_loop;
}

Loop::Scope::Scope(Loop& loop) : previous_(current_loop) {
    current_loop = &loop;
}
Loop::Scope::~Scope() {
    current_loop = previous_;
}

void resume_soon(std::coroutine_handle<> waiter) noexcept {
    if (resume_depth < resume_depth_limit) {
        ++resume_depth;
        waiter.resume();
        --resume_depth;
        return;
    }
    Loop* const loop = Loop::current();
    EXSHADOW_CHECK(loop != nullptr);
    loop->enqueue(waiter);
}

}  // namespace exshadow
