#include "runtime/posix_file.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <fstream>

namespace exshadow {

namespace {

std::int64_t answer_of(ssize_t answer) {
    return answer < 0 ? -errno : answer;
}

std::int64_t perform_fallocate(int fd, const FileOperation& operation) {
    const int answer = ::fallocate(fd, fallocate_mode(operation.kind), static_cast<off_t>(operation.offset),
                                   static_cast<off_t>(operation.length));
    return answer_of(answer);
}

std::int64_t in_nanoseconds(const struct timespec& time) {
    return time.tv_sec * 1'000'000'000LL + time.tv_nsec;
}

std::string first_line(const std::string& path) {
    std::ifstream stream(path);
    std::string line;
    std::getline(stream, line);
    const auto last = line.find_last_not_of(" \t\r\n");
    return last == std::string::npos ? std::string{} : line.substr(0, last + 1);
}

// Serial number or WWN of a device; a partition is named by its disk's and its own start.
std::string device_serial(dev_t number) {
    const std::string base =
        "/sys/dev/block/" + std::to_string(major(number)) + ':' + std::to_string(minor(number));
    const std::string start = first_line(base + "/start");
    const std::string disk = first_line(base + "/partition").empty() ? base : base + "/..";
    for (const char* const name : {"/wwid", "/device/wwid", "/serial", "/device/serial", "/dm/uuid"}) {
        const std::string serial = first_line(disk + name);
        if (!serial.empty()) return start.empty() ? serial : serial + "@" + start;
    }
    return {};
}

}  // namespace

Descriptor::~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
}

int fallocate_mode(FileOperation::Kind kind) {
    return kind == FileOperation::Kind::punch ? FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE
                                              : FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE;
}

std::int64_t perform(int fd, const FileOperation& operation) {
    const auto offset = static_cast<off_t>(operation.offset);
    switch (operation.kind) {
        case FileOperation::Kind::read:
            return answer_of(::pread(fd, operation.data, operation.length, offset));
        case FileOperation::Kind::write:
            return answer_of(::pwrite(fd, operation.data, operation.length, offset));
        case FileOperation::Kind::flush:
            return answer_of(operation.with_attributes ? ::fsync(fd) : ::fdatasync(fd));
        case FileOperation::Kind::zero:
        case FileOperation::Kind::punch: return perform_fallocate(fd, operation);
    }
    return -EINVAL;
}

std::int64_t perform_nowait(int fd, const FileOperation& operation) {
    const struct iovec vector { operation.data, operation.length };
    const auto offset = static_cast<off_t>(operation.offset);
    if (operation.kind == FileOperation::Kind::read) {
        return answer_of(::preadv2(fd, &vector, 1, offset, RWF_NOWAIT));
    }
    return answer_of(::pwritev2(fd, &vector, 1, offset, RWF_NOWAIT));
}

Result<FileIdentity> posix_identity(int fd, const FileInfo& info) {
    struct stat status {};
    if (::fstat(fd, &status) != 0) return os_error(errno, "examine", info.path);
    FileIdentity identity;
    if (info.is_block_device) {
        identity.size = info.size;
        identity.serial = device_serial(status.st_rdev);
        // Device numbers change between boots: they identify only what has no serial number.
        if (identity.serial.empty()) identity.device = status.st_rdev;
        return identity;
    }
    identity.device = status.st_dev;
    if (!info.is_block_device) identity.allocated = static_cast<std::uint64_t>(status.st_blocks) * 512;
    identity.inode = status.st_ino;
    identity.size = static_cast<std::uint64_t>(status.st_size);
    identity.modified_ns = in_nanoseconds(status.st_mtim);
    identity.changed_ns = in_nanoseconds(status.st_ctim);
    return identity;
}

Result<std::optional<std::string>> posix_attribute(int fd, const FileInfo& info, const std::string& name) {
    std::string value(4096, '\0');
    const ssize_t length = ::fgetxattr(fd, name.c_str(), value.data(), value.size());
    if (length < 0 && errno == ENODATA) return std::optional<std::string>{};
    if (length < 0) return os_error(errno, "read attribute " + name + " of", info.path);
    value.resize(static_cast<std::size_t>(length));
    return std::optional<std::string>(std::move(value));
}

Result<std::vector<Extent>> posix_extents(int fd, const FileInfo& info, Range range) {
    std::vector<Extent> extents;
    if (range.empty()) return extents;
    const auto add = [&extents](std::uint64_t begin, std::uint64_t end, bool zero) {
        if (begin < end) extents.push_back({{begin, end - begin}, zero});
    };
    std::uint64_t at = range.offset;
    while (!info.is_block_device && at < range.end()) {
        const off_t data = ::lseek(fd, static_cast<off_t>(at), SEEK_DATA);
        if (data < 0 && errno != ENXIO) break;  // the file system does not say: all the rest is data
        const std::uint64_t hole_end = data < 0 ? range.end() : static_cast<std::uint64_t>(data);
        add(at, std::min(hole_end, range.end()), true);
        at = std::min(hole_end, range.end());
        if (at == range.end()) break;
        const off_t hole = ::lseek(fd, static_cast<off_t>(at), SEEK_HOLE);
        if (hole < 0) break;
        const std::uint64_t data_end = std::min(static_cast<std::uint64_t>(hole), range.end());
        add(at, data_end, false);
        at = data_end;
    }
    add(at, range.end(), false);
    return extents;
}

}  // namespace exshadow
