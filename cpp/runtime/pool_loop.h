// PoolLoop: device I/O by threads that block in it, for systems where io_uring is forbidden (default
// container profiles). The thread limit is the queue depth. Sockets are tried on the spot, then watched
// by epoll (edge-triggered: one registration for a socket's life).
#pragma once

#include <memory>
#include <optional>
#include <unordered_map>

#include "runtime/real_loop.h"

namespace exshadow {

class PoolLoop final : public RealLoop {
public:
    PoolLoop();
    ~PoolLoop() override;

    [[nodiscard]] const char* name() const override { return "threads"; }
    void start_device_io(int fd, FileOperation& operation) override;
    [[nodiscard]] bool tries_sockets_first() const override { return true; }
    void start_socket_io(int fd, SocketOperation& operation) override;
    void forget_socket(int fd) override;

private:
    // What waits for a socket to become ready.
    struct Watch {
        SocketOperation* incoming = nullptr;  // accept or receive
        SocketOperation* outgoing = nullptr;  // send
    };

    void wait(std::optional<Nanoseconds> timeout) override;
    void take_socket_events();
    void retry(int fd, bool ended, SocketOperation*& waiting);

    std::unique_ptr<WorkerPool> device_workers_;
    Descriptor epoll_;
    std::unordered_map<int, Watch> watched_;
    std::size_t sockets_waiting_ = 0;
};

}  // namespace exshadow
