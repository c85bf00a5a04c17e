// Real files and block devices: opening (locks, O_DIRECT, what backs them) and the system calls behind
// File's verbs. Knows nothing of loops: real_loop decides who calls perform() and on which thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/units.h"
#include "runtime/file.h"

namespace exshadow {

// A file descriptor with one owner.
class Descriptor {
public:
    Descriptor() = default;
    explicit Descriptor(int fd) : fd_(fd) {}
    Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;
    Descriptor& operator=(Descriptor&& other) noexcept {
        std::swap(fd_, other.fd_);
        return *this;
    }
    ~Descriptor();

    [[nodiscard]] int get() const { return fd_; }
    [[nodiscard]] bool valid() const { return fd_ >= 0; }

private:
    int fd_ = -1;
};

struct OpenedFile {
    Descriptor descriptor;
    FileInfo info;
};

// Opens by the rules of OpenOptions. Errors: not_found, exists, permission (no write bit, even for
// root), invalid (a directory, a pipe), busy (locked, or a device in use), as os_error() otherwise.
[[nodiscard]] Result<OpenedFile> open_posix_file(const std::string& path, const OpenOptions& options);

// Performs one operation with blocking system calls: bytes or 0, or -errno. Any thread.
[[nodiscard]] std::int64_t perform(int fd, const FileOperation& operation);

// The same for a read or write that must not block: -EAGAIN when it would, -EOPNOTSUPP when this file
// system cannot tell.
[[nodiscard]] std::int64_t perform_nowait(int fd, const FileOperation& operation);

// fallocate(2) mode of a zero or punch operation.
[[nodiscard]] int fallocate_mode(FileOperation::Kind kind);

[[nodiscard]] Result<FileIdentity> posix_identity(int fd, const FileInfo& info);
[[nodiscard]] Result<std::optional<std::string>> posix_attribute(int fd, const FileInfo& info,
                                                                 const std::string& name);
[[nodiscard]] Result<std::vector<Extent>> posix_extents(int fd, const FileInfo& info, Range range);

}  // namespace exshadow
