#include "runtime/socket.h"

#include <fcntl.h>

#include <cerrno>
#include <utility>

#include "runtime/real_loop.h"

namespace exshadow {

namespace {

constexpr std::size_t large_receive = 64 * 1024;

RealLoop& real(Loop& loop) {
    auto* const found = dynamic_cast<RealLoop*>(&loop);
    EXSHADOW_CHECK(found != nullptr);  // simulated loops have no sockets: give them a Stream of their own
    return *found;
}

}  // namespace

std::int64_t perform_nowait(int fd, SocketOperation& operation) {
    for (;;) {
        std::int64_t answer = 0;
        switch (operation.kind) {
            case SocketOperation::Kind::accept:
                answer = ::accept4(fd, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
                break;
            case SocketOperation::Kind::receive:
                answer = ::recvmsg(fd, &operation.message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
                break;
            case SocketOperation::Kind::send:
                answer = ::sendmsg(fd, &operation.message, MSG_DONTWAIT | MSG_NOSIGNAL);
                break;
        }
        if (answer >= 0) return answer;
        if (errno != EINTR) return errno == EWOULDBLOCK ? -EAGAIN : -errno;
    }
}

Socket::Socket(Loop& loop, Descriptor descriptor) : loop_(real(loop)), descriptor_(std::move(descriptor)) {
    const int flags = ::fcntl(descriptor_.get(), F_GETFL);
    EXSHADOW_CHECK(flags >= 0);
    EXSHADOW_CHECK(::fcntl(descriptor_.get(), F_SETFL, flags | O_NONBLOCK) == 0);
}

Socket::~Socket() {
    if (descriptor_.valid()) loop_.forget_socket(descriptor_.get());
}

void Socket::shutdown() {
    shut_down_ = true;
    ::shutdown(descriptor_.get(), SHUT_RDWR);
}

void Socket::shutdown_receiving() {
    ::shutdown(descriptor_.get(), SHUT_RD);
}

Descriptor Socket::release() {
    loop_.forget_socket(descriptor_.get());
    return std::move(descriptor_);
}

bool Socket::start(SocketOperation& operation) {
    if (!loop_.usable()) {
        operation.result = -EOWNERDEAD;
        return true;
    }
    if (shut_down_ && operation.kind == SocketOperation::Kind::accept) {
        operation.result = -EINVAL;  // a Unix socket would say that nobody has come yet
        return true;
    }
    // A send mostly finds room, and the rest of a large payload is mostly there already.
    const bool large = operation.kind == SocketOperation::Kind::receive &&
                       operation.message.msg_iov[0].iov_len >= large_receive;
    if (operation.kind == SocketOperation::Kind::send || large || loop_.tries_sockets_first()) {
        operation.result = perform_nowait(descriptor_.get(), operation);
        if (operation.result != -EAGAIN) return true;
    }
    loop_.start_socket_io(descriptor_.get(), operation);
    return false;
}

}  // namespace exshadow
