#include "bindings/pending.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <climits>
#include <ctime>

namespace exshadow {

static_assert(sizeof(std::atomic<std::uint32_t>) == sizeof(std::uint32_t));

bool Completion::wait_for(std::chrono::nanoseconds slice) const {
    if (done()) return true;
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(slice);
    struct timespec timeout {};
    timeout.tv_sec = seconds.count();
    timeout.tv_nsec = (slice - seconds).count();
    ::syscall(SYS_futex, &done_, FUTEX_WAIT_PRIVATE, 0U, &timeout, nullptr, 0);
    return done();
}

void Completion::finish() {
    done_at_ = std::chrono::steady_clock::now();
    done_.store(1, std::memory_order_release);
    ::syscall(SYS_futex, &done_, FUTEX_WAKE_PRIVATE, INT_MAX, nullptr, nullptr, 0);
}

}  // namespace exshadow
