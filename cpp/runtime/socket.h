// Stream: a connection of bytes with awaitable verbs; Socket: the real one, of a RealLoop. Verbs answer like
// the system calls do: a count (short transfers happen; a receive of 0 is the peer's end) or -errno.
//
// One receive (or accept) and one send may be under way at a time. Buffers, the list of them and the stream
// itself stay until the answer (E32). Cancel is "ask, then wait": shutdown() makes what is under way answer,
// with 0 or an error. Loop thread only; a Socket moves to another loop by release() and a new Socket there.
#pragma once

#include <sys/socket.h>
#include <sys/uio.h>

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <span>

#include "runtime/loop.h"
#include "runtime/posix_file.h"

namespace exshadow {

// One operation; lives in the awaiter, hence in the awaiting coroutine's frame.
struct SocketOperation {
    enum class Kind : std::uint8_t { accept, receive, send };
    Kind kind = Kind::receive;
    msghdr message{};         // receive, send: the list of buffers
    std::int64_t result = 0;  // bytes, a new descriptor (accept), or -errno
    std::coroutine_handle<> waiter;
};

class Stream {
public:
    Stream() = default;
    Stream(const Stream&) = delete;
    Stream& operator=(const Stream&) = delete;
    virtual ~Stream() = default;

    struct Awaiter {
        Stream& stream;
        SocketOperation operation;
        [[nodiscard]] bool await_ready() { return stream.start(operation); }
        void await_suspend(std::coroutine_handle<> waiter) { operation.waiter = waiter; }
        [[nodiscard]] std::int64_t await_resume() const { return operation.result; }
    };
    // Some bytes into the buffers, in order. The span of iovecs must outlive the answer too.
    [[nodiscard]] Awaiter receive(std::span<iovec> buffers) {
        return make(SocketOperation::Kind::receive, buffers);
    }
    // Some of the bytes, in order.
    [[nodiscard]] Awaiter send(std::span<iovec> buffers) {
        return make(SocketOperation::Kind::send, buffers);
    }
    // The next connection's descriptor, non-blocking and close-on-exec; the caller owns it.
    [[nodiscard]] Awaiter accept() { return make(SocketOperation::Kind::accept, {}); }

    // End both directions: what is under way answers soon, later verbs at once.
    virtual void shutdown() = 0;
    // No more is received; what is under way answers soon. Sending goes on.
    virtual void shutdown_receiving() = 0;

protected:
    // True when answered on the spot; else operation.waiter is resumed later from the loop's queue (E30).
    [[nodiscard]] virtual bool start(SocketOperation& operation) = 0;

private:
    [[nodiscard]] Awaiter make(SocketOperation::Kind kind, std::span<iovec> buffers) {
        Awaiter awaiter{*this, {}};
        awaiter.operation.kind = kind;
        awaiter.operation.message.msg_iov = buffers.data();
        awaiter.operation.message.msg_iovlen = buffers.size();
        return awaiter;
    }
};

class RealLoop;

class Socket final : public Stream {
public:
    // Makes the descriptor non-blocking. `loop` is a real loop and outlives the socket.
    Socket(Loop& loop, Descriptor descriptor);
    ~Socket() override;

    void shutdown() override;
    void shutdown_receiving() override;
    // Take the descriptor out, for another loop. Nothing is under way.
    [[nodiscard]] Descriptor release();

protected:
    [[nodiscard]] bool start(SocketOperation& operation) override;

private:
    RealLoop& loop_;
    Descriptor descriptor_;
    bool shut_down_ = false;
};

// Performs one operation without blocking: its result, -EAGAIN when it would block.
[[nodiscard]] std::int64_t perform_nowait(int fd, SocketOperation& operation);

}  // namespace exshadow
