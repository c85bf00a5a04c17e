#include "nbd/listen.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace exshadow::nbd {

namespace {

constexpr int backlog = 1024;
constexpr int socket_flags = SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK;

bool is_socket(const std::string& path) {
    struct stat info {};
    return ::lstat(path.c_str(), &info) == 0 && S_ISSOCK(info.st_mode);
}

// Nobody listens on a socket that refuses to be connected to. A full backlog is somebody.
bool is_abandoned(const sockaddr_un& address) {
    const Descriptor probe(::socket(AF_UNIX, socket_flags, 0));
    if (!probe.valid()) return false;
    const auto* const generic = reinterpret_cast<const sockaddr*>(&address);
    return ::connect(probe.get(), generic, sizeof(address)) != 0 && errno == ECONNREFUSED;
}

// Two servers that start at once take turns: the folder's lock is held from the look to the bind.
Descriptor lock_folder(const std::string& path) {
    const auto slash = path.rfind('/');
    const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
    Descriptor lock(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (lock.valid()) ::flock(lock.get(), LOCK_EX);
    return lock;
}

Status bind_unix(int socket, const sockaddr_un& address, const std::string& path) {
    const auto* const generic = reinterpret_cast<const sockaddr*>(&address);
    if (::bind(socket, generic, sizeof(address)) == 0) return {};
    if (errno != EADDRINUSE) return os_error(errno, "listen on", path);
    if (!is_socket(path)) {
        return Error(Code::exists, path + " is there and no socket", "choose another path, or remove it");
    }
    if (!is_abandoned(address)) {
        return Error(Code::busy, "somebody listens on " + path, "another server is running", EADDRINUSE);
    }
    if (::unlink(path.c_str()) == 0 && ::bind(socket, generic, sizeof(address)) == 0) return {};
    return os_error(errno, "listen on", path);
}

// An address of either family.
class TcpAddress {
public:
    [[nodiscard]] sockaddr* generic() { return reinterpret_cast<sockaddr*>(&storage_); }
    [[nodiscard]] sockaddr_in& four() { return reinterpret_cast<sockaddr_in&>(storage_); }
    [[nodiscard]] sockaddr_in6& six() { return reinterpret_cast<sockaddr_in6&>(storage_); }
    [[nodiscard]] int family() const { return storage_.ss_family; }
    void set_family(int family) { storage_.ss_family = static_cast<sa_family_t>(family); }
    [[nodiscard]] bool is_six() const { return family() == AF_INET6; }
    [[nodiscard]] socklen_t size() const { return is_six() ? sizeof(sockaddr_in6) : sizeof(sockaddr_in); }
    void set_port(std::uint16_t port) { (is_six() ? six().sin6_port : four().sin_port) = htons(port); }

    [[nodiscard]] std::string text() {
        std::array<char, INET6_ADDRSTRLEN> host{};
        const void* const bytes = is_six() ? static_cast<const void*>(&six().sin6_addr) : &four().sin_addr;
        ::inet_ntop(family(), bytes, host.data(), host.size());
        const std::string port = std::to_string(ntohs(is_six() ? six().sin6_port : four().sin_port));
        return is_six() ? '[' + std::string(host.data()) + "]:" + port
                        : std::string(host.data()) + ':' + port;
    }

private:
    sockaddr_storage storage_{};
};

// True when `host` is a numeric address of this machine alone.
bool read_loopback(const std::string& host, TcpAddress& address) {
    address.set_family(AF_INET);
    if (::inet_pton(AF_INET, host.c_str(), &address.four().sin_addr) == 1) {
        return (ntohl(address.four().sin_addr.s_addr) >> 24) == 127;
    }
    address.set_family(AF_INET6);
    if (::inet_pton(AF_INET6, host.c_str(), &address.six().sin6_addr) != 1) return false;
    return IN6_IS_ADDR_LOOPBACK(&address.six().sin6_addr);
}

}  // namespace

Result<Listener> listen_unix(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.empty() || path.size() >= sizeof(address.sun_path)) {
        return Error(Code::invalid, "a socket's path has 1 to " +
                                        std::to_string(sizeof(address.sun_path) - 1) + " bytes: " + path);
    }
    std::memcpy(address.sun_path, path.data(), path.size());
    Listener listener;
    listener.address = listener.path = path;
    listener.socket = Descriptor(::socket(AF_UNIX, socket_flags, 0));
    if (!listener.socket.valid()) return os_error(errno, "make a socket for", path);
    // The mode of an unbound socket is its file's from the start: no moment in which others may connect.
    if (::fchmod(listener.socket.get(), S_IRUSR | S_IWUSR) != 0) return os_error(errno, "protect", path);
    const Descriptor lock = lock_folder(path);
    EXSHADOW_TRY(bind_unix(listener.socket.get(), address, path));
    struct stat info {};
    if (::listen(listener.socket.get(), backlog) != 0 || ::lstat(path.c_str(), &info) != 0) {
        return os_error(errno, "listen on", path);
    }
    listener.device = info.st_dev;
    listener.inode = info.st_ino;
    return listener;
}

Result<Listener> listen_tcp(const std::string& host, std::uint16_t port) {
    TcpAddress address;
    if (!read_loopback(host == "localhost" ? "127.0.0.1" : host, address)) {
        return Error(Code::refused, "cannot listen on " + host + ": no TLS yet, so TCP is for loopback only",
                     "use 127.0.0.1 or [::1], or a Unix socket");
    }
    address.set_port(port);
    Listener listener;
    listener.socket = Descriptor(::socket(address.family(), socket_flags, 0));
    if (!listener.socket.valid()) return os_error(errno, "make a socket for", address.text());
    const int on = 1;
    ::setsockopt(listener.socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    socklen_t size = address.size();
    if (::bind(listener.socket.get(), address.generic(), size) != 0 ||
        ::listen(listener.socket.get(), backlog) != 0 ||
        ::getsockname(listener.socket.get(), address.generic(), &size) != 0) {
        if (errno == EADDRINUSE)
            return Error(Code::busy, "somebody listens on " + address.text(), "", EADDRINUSE);
        return os_error(errno, "listen on", address.text());
    }
    listener.address = address.text();
    return listener;
}

void remove_socket_file(const Listener& listener) {
    struct stat info {};
    if (listener.path.empty() || ::lstat(listener.path.c_str(), &info) != 0) return;
    if (info.st_dev == listener.device && info.st_ino == listener.inode) ::unlink(listener.path.c_str());
}

std::string peer_of(int socket) {
    sockaddr_storage storage{};
    socklen_t size = sizeof(storage);
    auto* const generic = reinterpret_cast<sockaddr*>(&storage);
    if (::getpeername(socket, generic, &size) != 0) return "unknown";
    if (storage.ss_family == AF_INET || storage.ss_family == AF_INET6) {
        TcpAddress address;
        std::memcpy(address.generic(), &storage, sizeof(storage));
        return address.text();
    }
    ucred credentials{};
    socklen_t length = sizeof(credentials);
    if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &length) != 0) return "unknown";
    return "pid " + std::to_string(credentials.pid) + " of user " + std::to_string(credentials.uid);
}

}  // namespace exshadow::nbd
