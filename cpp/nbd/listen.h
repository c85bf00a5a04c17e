// Listening sockets. A Unix socket's file belongs to its listener: made with mode 0600 from its first moment,
// in place of a file that nobody listens on any more, and removed by it at the end.
#pragma once

#include <cstdint>
#include <string>

#include "base/error.h"
#include "runtime/posix_file.h"

namespace exshadow::nbd {

struct Listener {
    Descriptor socket;         // non-blocking
    std::string address;       // the path, or "127.0.0.1:10809", for people
    std::string path;          // of a Unix socket, else empty
    std::uint64_t device = 0;  // of the file at `path`
    std::uint64_t inode = 0;
};

// Errors: busy when somebody listens there, exists when something else than a socket is there, invalid for a
// path too long, as os_error() otherwise. Any thread.
[[nodiscard]] Result<Listener> listen_unix(const std::string& path);

// Loopback only (there is no TLS yet): Code::refused for any other host. Port 0: any free one.
[[nodiscard]] Result<Listener> listen_tcp(const std::string& host, std::uint16_t port);

// Remove the socket's file unless another one has taken its place.
void remove_socket_file(const Listener& listener);

// Who is at the other end: "pid 12 of user 1000", or "127.0.0.1:40312".
[[nodiscard]] std::string peer_of(int socket);

}  // namespace exshadow::nbd
