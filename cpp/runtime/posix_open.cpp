// Opening: what may be opened, by whom, and what backs it.
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <thread>

#include "runtime/posix_file.h"

namespace exshadow {

namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr std::uint32_t fallback_alignment = 4096;
constexpr mode_t any_write_bit = 0222;

Status check_kind(const struct stat& status, const std::string& path) {
    if (S_ISDIR(status.st_mode)) {
        return Error(Code::invalid, path + " is a directory", "name a file or a block device", EISDIR);
    }
    if (!S_ISREG(status.st_mode) && !S_ISBLK(status.st_mode)) {
        return Error(Code::invalid, path + " is neither a file nor a block device");
    }
    return {};
}

Status check_write_bits(const struct stat& status, const std::string& path) {
    if (!S_ISREG(status.st_mode) || (status.st_mode & any_write_bit) != 0) return {};
    return Error(Code::permission, path + " is write-protected: no write bit is set",
                 "if it may be written: chmod u+w " + path, EACCES);
}

Status check_before_open(const std::string& path, const OpenOptions& options) {
    struct stat status {};
    if (::stat(path.c_str(), &status) != 0) {
        if (errno == ENOENT && (options.create || options.exclusive_create)) return {};
        return os_error(errno, "open", path);
    }
    EXSHADOW_TRY(check_kind(status, path));
    if (options.exclusive_create) return os_error(EEXIST, "create", path);
    if (options.writable) return check_write_bits(status, path);
    return {};
}

bool is_block_device(const std::string& path) {
    struct stat status {};
    return ::stat(path.c_str(), &status) == 0 && S_ISBLK(status.st_mode);
}

bool on_memory_file_system(const std::string& path, int fd) {
    struct statfs system {};
    const int answer = fd >= 0 ? ::fstatfs(fd, &system) : ::statfs(path.c_str(), &system);
    if (answer != 0) return false;
    return system.f_type == TMPFS_MAGIC || system.f_type == RAMFS_MAGIC;
}

Error open_error(int error_number, const std::string& path, bool block_device) {
    if (error_number == EBUSY && block_device) {
        return Error(Code::busy, path + " is mounted or in use", "unmount it, or use --force if it must be",
                     EBUSY);
    }
    return os_error(error_number, "open", path);
}

Result<Descriptor> open_descriptor(const std::string& path, const OpenOptions& options) {
    const bool block_device = is_block_device(path);
    int flags = O_CLOEXEC | O_NOCTTY | (options.writable ? O_RDWR : O_RDONLY);
    if (options.create && !block_device) flags |= O_CREAT;
    if (options.exclusive_create) flags |= O_CREAT | O_EXCL;
    if (block_device && options.lock == FileLock::exclusive && !options.force_mounted) flags |= O_EXCL;
    // A copy of a database is as private as the database: nobody else gets to read a new file.
    constexpr mode_t mode = S_IRUSR | S_IWUSR;
    const int fd = ::open(path.c_str(), flags, mode);
    if (fd < 0) return open_error(errno, path, block_device);
    return Descriptor(fd);
}

// flock on the descriptor that carries the I/O (E8).
Status take_lock(int fd, const std::string& path, std::int64_t wait_ns) {
    const auto deadline = steady_clock::now() + std::chrono::nanoseconds(std::max<std::int64_t>(wait_ns, 0));
    for (;;) {
        if (::flock(fd, LOCK_EX | LOCK_NB) == 0) return {};
        if (errno == EINTR) continue;
        if (errno != EWOULDBLOCK) return os_error(errno, "lock", path);
        if (steady_clock::now() >= deadline) break;
        std::this_thread::sleep_for(milliseconds(5));
    }
    return Error(Code::busy, path + " is locked", "another exshadow process or volume uses it", EWOULDBLOCK);
}

std::uint32_t block_device_sector(int fd) {
    int sector = 0;
    if (::ioctl(fd, BLKSSZGET, &sector) != 0 || sector <= 0) return fallback_alignment;
    return static_cast<std::uint32_t>(sector);
}

// Alignment of direct I/O on a regular file, from the kernel where it says (6.1 and newer).
std::uint32_t file_dio_alignment(int fd) {
#ifdef STATX_DIOALIGN
    struct statx status {};
    if (::statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &status) == 0 &&
        (status.stx_mask & STATX_DIOALIGN) != 0 && status.stx_dio_offset_align != 0) {
        return std::max(status.stx_dio_offset_align, status.stx_dio_mem_align);
    }
#endif
    static_cast<void>(fd);
    return fallback_alignment;
}

Status read_size(int fd, FileInfo& info) {
    struct stat status {};
    if (::fstat(fd, &status) != 0) return os_error(errno, "examine", info.path);
    EXSHADOW_TRY(check_kind(status, info.path));
    info.is_block_device = S_ISBLK(status.st_mode);
    if (!info.is_block_device) {
        info.size = static_cast<std::uint64_t>(status.st_size);
        return {};
    }
    std::uint64_t capacity = 0;
    if (::ioctl(fd, BLKGETSIZE64, &capacity) != 0) return os_error(errno, "examine", info.path);
    info.size = capacity;
    info.sector_size = block_device_sector(fd);
    return {};
}

// Some kernels open a read-only device for writing and refuse the writes.
Status check_writable(int fd, const FileInfo& info) {
    int read_only = 0;
    if (!info.is_block_device || ::ioctl(fd, BLKROGET, &read_only) != 0 || read_only == 0) return {};
    return Error(Code::permission, info.path + " is a read-only device",
                 "make it writable with: blockdev --setrw " + info.path, EROFS);
}

// Turns O_DIRECT on where the file system permits it. A file whose size is no multiple of the alignment
// stays buffered: a direct write of its last block would make it longer.
void try_direct(int fd, FileInfo& info) {
    const std::uint32_t alignment = info.is_block_device ? info.sector_size : file_dio_alignment(fd);
    if (!is_power_of_two(alignment) || info.size % alignment != 0) return;
    const int flags = ::fcntl(fd, F_GETFL);
    if (flags < 0 || ::fcntl(fd, F_SETFL, flags | O_DIRECT) != 0) return;
    info.direct = true;
    info.backing = Backing::direct;
    info.alignment = alignment;
    info.sector_size = std::max(info.sector_size, alignment);
}

}  // namespace

Result<OpenedFile> open_posix_file(const std::string& path, const OpenOptions& options) {
    EXSHADOW_TRY(check_before_open(path, options));
    auto opened = open_descriptor(path, options);
    if (!opened.ok()) return opened.error();
    OpenedFile file;
    file.descriptor = std::move(*opened);
    const int fd = file.descriptor.get();
    file.info.path = path;
    if (options.lock == FileLock::exclusive) EXSHADOW_TRY(take_lock(fd, path, options.lock_wait_ns));
    EXSHADOW_TRY(read_size(fd, file.info));
    if (options.writable) EXSHADOW_TRY(check_writable(fd, file.info));
    file.info.can_punch = options.writable;
    // Newer kernels accept O_DIRECT on tmpfs; its I/O is a memcpy all the same.
    if (!file.info.is_block_device && on_memory_file_system(path, fd)) {
        file.info.backing = Backing::memory;
    } else if (options.direct) {
        try_direct(fd, file.info);
    }
    return file;
}

}  // namespace exshadow
