#include "runtime/uring_loop.h"

#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <ctime>

namespace exshadow {

namespace {

constexpr unsigned submission_entries = 256;
constexpr unsigned completion_entries = 4096;
constexpr std::uint64_t longest_transfer = 1 * GiB;  // an entry's length has 32 bits; the rest continues
constexpr int submit_attempts = 1000;

// io_uring_enable_rings(), which the shared library of liburing 2.3 forgets to export.
long enable_ring(int fd) {
    return ::syscall(__NR_io_uring_register, fd, IORING_REGISTER_ENABLE_RINGS, nullptr, 0);
}

// Entries carry the address of their operation; a set lowest bit says that it is a socket's.
constexpr std::uint64_t socket_tag = 1;

std::uint64_t tagged(SocketOperation& operation) {
    return reinterpret_cast<std::uintptr_t>(&operation) | socket_tag;
}

bool may_retry_submit(int answer) {
    return answer == -EINTR || answer == -EAGAIN || answer == -EBUSY;
}

}  // namespace

Result<std::unique_ptr<UringLoop>> UringLoop::make() {
    std::unique_ptr<UringLoop> loop(new UringLoop);
    const int answer = loop->set_up();
    if (answer == 0) return loop;
    const Error error = os_error(-answer, "set up", "io_uring");
    return Error(Code::unsupported, error.message(), "use the thread pool: EXSHADOW_LOOP=pool", -answer);
}

// Newest flags first: completions run on the loop's thread when it asks for them, not by interrupt.
int UringLoop::set_up() {
    constexpr unsigned single = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_R_DISABLED;
    constexpr std::array<unsigned, 3> choices{single | IORING_SETUP_DEFER_TASKRUN, IORING_SETUP_COOP_TASKRUN,
                                              0U};
    int answer = -ENOSYS;
    for (const unsigned flags : choices) {
        io_uring_params params{};
        params.flags = flags | IORING_SETUP_CQSIZE;
        params.cq_entries = completion_entries;
        answer = io_uring_queue_init_params(submission_entries, &ring_, &params);
        if (answer == -EINVAL) continue;  // an older kernel does not know the flags
        if (answer != 0) return answer;
        ready_to_use_ = true;
        // Waiting with a time-out needs no entry of its own from Linux 5.11 on; older ones use the pool.
        if ((params.features & IORING_FEAT_EXT_ARG) == 0) return -ENOSYS;
        disabled_at_start_ = (flags & IORING_SETUP_R_DISABLED) != 0;
        capacity_ = params.cq_entries - 16;  // room for the event descriptor's completions
        return 0;
    }
    return answer;
}

UringLoop::~UringLoop() {
    if (!ready_to_use_ || !usable()) return;  // a forked child shares the ring with its parent
    EXSHADOW_CHECK(on_ring_ == 0);
    io_uring_queue_exit(&ring_);
}

void UringLoop::enter() {
    if (!enabled_ && disabled_at_start_) EXSHADOW_CHECK(enable_ring(ring_.ring_fd) == 0);
    enabled_ = true;
    registered_ = io_uring_register_ring_fd(&ring_) == 1;  // saves a file lookup per call
    if (!event_watched_) watch_event();
}

void UringLoop::leave() {
    // The registration is per thread: it must not outlive the thread's stay in run().
    if (registered_) io_uring_unregister_ring_fd(&ring_);
    registered_ = false;
}

void UringLoop::watch_event() {
    io_uring_sqe& entry = next_entry();
    io_uring_prep_poll_multishot(&entry, event_fd(), POLLIN);
    io_uring_sqe_set_data(&entry, nullptr);
    event_watched_ = true;
}

void UringLoop::start_device_io(int fd, FileOperation& operation) {
    operation_started();
    if (on_ring_ >= capacity_) {
        waiting_.push_back({fd, &operation});
        return;
    }
    prepare(fd, operation);
}

void UringLoop::prepare(int fd, FileOperation& operation) {
    io_uring_sqe& entry = next_entry();
    const auto length = static_cast<unsigned>(std::min(operation.length, longest_transfer));
    switch (operation.kind) {
        case FileOperation::Kind::read:
            io_uring_prep_read(&entry, fd, operation.data, length, operation.offset);
            break;
        case FileOperation::Kind::write:
            io_uring_prep_write(&entry, fd, operation.data, length, operation.offset);
            break;
        case FileOperation::Kind::flush:
            io_uring_prep_fsync(&entry, fd, operation.with_attributes ? 0 : IORING_FSYNC_DATASYNC);
            break;
        case FileOperation::Kind::zero:
        case FileOperation::Kind::punch:
            io_uring_prep_fallocate(&entry, fd, fallocate_mode(operation.kind),
                                    static_cast<off_t>(operation.offset),
                                    static_cast<off_t>(operation.length));
            break;
    }
    io_uring_sqe_set_data(&entry, &operation);
    ++on_ring_;
}

// Socket operations may stay on the ring for hours, so they never wait in the list: at most two a socket,
// and whoever opens sockets bounds their number far below the completion queue.
void UringLoop::start_socket_io(int fd, SocketOperation& operation) {
    operation_started();
    io_uring_sqe& entry = next_entry();
    switch (operation.kind) {
        case SocketOperation::Kind::accept:
            io_uring_prep_accept(&entry, fd, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
            break;
        case SocketOperation::Kind::receive:
            if (operation.message.msg_iovlen == 1) {
                const iovec& buffer = *operation.message.msg_iov;
                io_uring_prep_recv(&entry, fd, buffer.iov_base, buffer.iov_len, 0);
            } else {
                io_uring_prep_recvmsg(&entry, fd, &operation.message, 0);
            }
            break;
        case SocketOperation::Kind::send:
            io_uring_prep_sendmsg(&entry, fd, &operation.message, MSG_NOSIGNAL);
            break;
    }
    io_uring_sqe_set_data64(&entry, tagged(operation));
    ++on_ring_;
}

io_uring_sqe& UringLoop::next_entry() {
    io_uring_sqe* entry = io_uring_get_sqe(&ring_);
    if (entry == nullptr) {
        submit();
        entry = io_uring_get_sqe(&ring_);
    }
    EXSHADOW_CHECK(entry != nullptr);
    return *entry;
}

void UringLoop::submit() {
    for (int attempt = 0; io_uring_sq_ready(&ring_) != 0; ++attempt) {
        const int answer = io_uring_submit(&ring_);
        if (answer >= 0) continue;
        EXSHADOW_CHECK(may_retry_submit(answer) && attempt < submit_attempts);
        reap();  // only enqueues, so it is safe even inside start()
    }
}

void UringLoop::wait(std::optional<Nanoseconds> timeout) {
    if (timeout == Nanoseconds{0}) {
        // A loop that is never idle must ask for its completions too. What could not be submitted
        // stays in the queue until the next turn.
        if (io_uring_sq_ready(&ring_) != 0 || on_ring_ != 0) {
            const int answer = io_uring_submit_and_get_events(&ring_);
            EXSHADOW_CHECK(answer >= 0 || may_retry_submit(answer));
        }
    } else {
        block(timeout);
    }
    reap();
    start_waiting();
}

void UringLoop::block(std::optional<Nanoseconds> timeout) {
    io_uring_cqe* completion = nullptr;
    __kernel_timespec limit{};
    if (timeout) limit = {*timeout / second_ns, *timeout % second_ns};
    const int answer =
        io_uring_submit_and_wait_timeout(&ring_, &completion, 1, timeout ? &limit : nullptr, nullptr);
    // What was not submitted stays in the queue; the loop turns and tries again.
    EXSHADOW_CHECK(answer >= 0 || answer == -ETIME || may_retry_submit(answer));
}

void UringLoop::reap() {
    std::array<io_uring_cqe*, 64> completions;
    for (;;) {
        const unsigned count = io_uring_peek_batch_cqe(&ring_, completions.data(), completions.size());
        for (unsigned i = 0; i < count; ++i) {
            complete(*completions[i]);
        }
        io_uring_cq_advance(&ring_, count);
        if (count < completions.size()) break;
    }
}

void UringLoop::complete(const io_uring_cqe& completion) {
    const std::uint64_t data = io_uring_cqe_get_data64(&completion);
    if (data == 0) {
        clear_event();
        event_watched_ = (completion.flags & IORING_CQE_F_MORE) != 0;
        return;
    }
    --on_ring_;
    if ((data & socket_tag) != 0) {
        auto* const operation = reinterpret_cast<SocketOperation*>(data & ~socket_tag);
        operation->result = completion.res;
        operation_done(operation->waiter);
    } else {
        auto* const operation = reinterpret_cast<FileOperation*>(data);
        operation->result = completion.res;
        operation_done(operation->waiter);
    }
}

void UringLoop::start_waiting() {
    if (!event_watched_) watch_event();
    while (!waiting_.empty() && on_ring_ < capacity_) {
        prepare(waiting_.front().fd, *waiting_.front().operation);
        waiting_.pop_front();
    }
}

}  // namespace exshadow
