// UringLoop: device I/O on an io_uring. Operations are prepared as they are started and submitted
// together, once per turn; in flight never exceeds the completion queue (E33), the rest waits in a list.
// The ring belongs to the thread that first called run(): later calls come from the same thread.
#pragma once

#include <liburing.h>

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>

#include "runtime/real_loop.h"

namespace exshadow {

class UringLoop final : public RealLoop {
public:
    // Code::unsupported where this kernel, or its configuration, has no usable io_uring.
    [[nodiscard]] static Result<std::unique_ptr<UringLoop>> make();
    ~UringLoop() override;

    [[nodiscard]] const char* name() const override { return "io_uring"; }
    void start_device_io(int fd, FileOperation& operation) override;
    // The ring tries a receive itself when it is submitted: a call of its own would be one too many.
    [[nodiscard]] bool tries_sockets_first() const override { return false; }
    void start_socket_io(int fd, SocketOperation& operation) override;
    void forget_socket(int) override {}

private:
    UringLoop() = default;
    [[nodiscard]] int set_up();

    void wait(std::optional<Nanoseconds> timeout) override;
    void enter() override;
    void leave() override;

    [[nodiscard]] io_uring_sqe& next_entry();
    void prepare(int fd, FileOperation& operation);
    void complete(const io_uring_cqe& completion);
    void submit();
    void block(std::optional<Nanoseconds> timeout);
    void reap();
    void watch_event();
    void start_waiting();

    struct Waiting {
        int fd;
        FileOperation* operation;
    };

    io_uring ring_{};
    bool ready_to_use_ = false;
    bool enabled_ = false;
    bool registered_ = false;
    bool disabled_at_start_ = false;
    bool event_watched_ = false;
    std::uint32_t on_ring_ = 0;    // operations the kernel has or will have with the next submission
    std::uint32_t capacity_ = 0;   // most of them at a time
    std::deque<Waiting> waiting_;  // FIFO behind a full completion queue
};

}  // namespace exshadow
