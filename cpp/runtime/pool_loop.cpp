#include "runtime/pool_loop.h"

#include <poll.h>
#include <sys/epoll.h>

#include <array>
#include <cerrno>
#include <ctime>

namespace exshadow {

namespace {
constexpr std::size_t device_threads = 16;
}

PoolLoop::PoolLoop()
    : device_workers_(make_pool(*this, device_threads)), epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
    EXSHADOW_CHECK(epoll_.valid());
}

PoolLoop::~PoolLoop() {
    if (!usable()) static_cast<void>(device_workers_.release());  // no such threads in a forked child
}

void PoolLoop::start_device_io(int fd, FileOperation& operation) {
    operation_started();
    device_workers_->add({fd, &operation, {}, {}});
}

void PoolLoop::start_socket_io(int fd, SocketOperation& operation) {
    operation_started();
    const auto [place, added] = watched_.try_emplace(fd);
    SocketOperation*& waiting =
        operation.kind == SocketOperation::Kind::send ? place->second.outgoing : place->second.incoming;
    EXSHADOW_CHECK(waiting == nullptr);
    waiting = &operation;
    ++sockets_waiting_;
    if (!added) return;
    // Whatever is ready already is told at once, so nothing is lost between the attempt and this.
    struct epoll_event event {};
    event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
    event.data.fd = fd;
    EXSHADOW_CHECK(::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0);
}

void PoolLoop::forget_socket(int fd) {
    const auto found = watched_.find(fd);
    if (found == watched_.end()) return;
    EXSHADOW_CHECK(found->second.incoming == nullptr && found->second.outgoing == nullptr);
    watched_.erase(found);
    if (usable()) ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
}

void PoolLoop::retry(int fd, bool ended, SocketOperation*& waiting) {
    if (waiting == nullptr) return;
    std::int64_t result = perform_nowait(fd, *waiting);
    // A Unix socket that was shut down goes on saying that nobody has come yet.
    if (result == -EAGAIN && ended && waiting->kind == SocketOperation::Kind::accept) result = -EINVAL;
    if (result == -EAGAIN) return;
    SocketOperation& operation = *std::exchange(waiting, nullptr);
    operation.result = result;
    --sockets_waiting_;
    operation_done(operation.waiter);
}

// An event without a waiter is forgotten: the next verb tries on the spot before it waits.
void PoolLoop::take_socket_events() {
    std::array<struct epoll_event, 64> events;
    const int count = ::epoll_wait(epoll_.get(), events.data(), events.size(), 0);
    for (int i = 0; i < count; ++i) {
        const struct epoll_event& event = events[static_cast<std::size_t>(i)];
        const int fd = event.data.fd;
        const bool ended = (event.events & (EPOLLHUP | EPOLLRDHUP)) != 0;
        const auto found = watched_.find(fd);
        if (found == watched_.end()) continue;
        retry(fd, ended, found->second.incoming);
        retry(fd, ended, found->second.outgoing);
    }
}

void PoolLoop::wait(std::optional<Nanoseconds> timeout) {
    if (timeout == Nanoseconds{0}) {
        if (sockets_waiting_ != 0) take_socket_events();
        return;
    }
    std::array<struct pollfd, 2> waits{{{event_fd(), POLLIN, 0}, {epoll_.get(), POLLIN, 0}}};
    struct timespec limit {};
    if (timeout) limit = {*timeout / second_ns, *timeout % second_ns};
    const int answer = ::ppoll(waits.data(), waits.size(), timeout ? &limit : nullptr, nullptr);
    EXSHADOW_CHECK(answer >= 0 || errno == EINTR);
    if (answer > 0 && waits[0].revents != 0) clear_event();
    if (answer > 0 && waits[1].revents != 0) take_socket_events();
}

}  // namespace exshadow
