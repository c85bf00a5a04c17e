#include "runtime/pool_loop.h"

#include <poll.h>

#include <cerrno>
#include <ctime>

namespace exshadow {

namespace {
constexpr std::size_t device_threads = 16;
}

PoolLoop::PoolLoop() : device_workers_(make_pool(*this, device_threads)) {}

PoolLoop::~PoolLoop() {
    if (!usable()) static_cast<void>(device_workers_.release());  // no such threads in a forked child
}

void PoolLoop::start_device_io(int fd, FileOperation& operation) {
    operation_started();
    device_workers_->add({fd, &operation, {}, {}});
}

void PoolLoop::wait(std::optional<Nanoseconds> timeout) {
    if (timeout == Nanoseconds{0}) return;
    struct pollfd event {
        event_fd(), POLLIN, 0
    };
    struct timespec limit {};
    if (timeout) limit = {*timeout / second_ns, *timeout % second_ns};
    const int answer = ::ppoll(&event, 1, timeout ? &limit : nullptr, nullptr);
    EXSHADOW_CHECK(answer >= 0 || errno == EINTR);
    if (answer > 0) clear_event();
}

}  // namespace exshadow
