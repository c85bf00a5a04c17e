#include "runtime/real_file.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/file.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "runtime/real_loop.h"

namespace exshadow {

namespace {

// A memcpy of this much takes some 20 us: less than handing it to another thread and back.
constexpr std::uint64_t inline_limit = 256 * KiB;

bool is_transfer(const FileOperation& operation) {
    return operation.kind == FileOperation::Kind::read || operation.kind == FileOperation::Kind::write;
}

}  // namespace

RealFile::RealFile(RealLoop& loop, OpenedFile opened, bool locked)
    : loop_(loop), descriptor_(std::move(opened.descriptor)), locked_(locked) {
    info_ = std::move(opened.info);
}

RealFile::~RealFile() {
    // A child forked in between holds the same open file: closing alone would leave its lock taken. In
    // that child the lock is not ours to release.
    if (locked_ && loop_.usable()) ::flock(descriptor_.get(), LOCK_UN);
}

bool RealFile::start(FileOperation& operation) {
    if (!loop_.usable()) {
        operation.result = -EOWNERDEAD;
        return true;
    }
    if (operation.kind == FileOperation::Kind::flush) {
        // fdatasync leaves attributes behind: the first flush after one was set takes them along.
        operation.with_attributes = std::exchange(attributes_dirty_, false);
    }
    switch (info_.backing) {
        case Backing::memory: return start_in_memory(operation);
        case Backing::page_cache: return start_cached(operation);
        case Backing::direct: break;
    }
    loop_.start_device_io(descriptor_.get(), operation);
    return false;
}

bool RealFile::start_in_memory(FileOperation& operation) {
    if (operation.length > inline_limit) {
        loop_.start_copy(descriptor_.get(), operation);
        return false;
    }
    operation.result = perform(descriptor_.get(), operation);
    return true;
}

bool RealFile::start_cached(FileOperation& operation) {
    if (is_transfer(operation) && operation.length > inline_limit) {
        loop_.start_copy(descriptor_.get(), operation);
        return false;
    }
    bool& nowait = operation.kind == FileOperation::Kind::read ? nowait_reads_ : nowait_writes_;
    if (is_transfer(operation) && nowait) {
        const std::int64_t result = perform_nowait(descriptor_.get(), operation);
        if (result == -EOPNOTSUPP) nowait = false;
        if (result != -EAGAIN && result != -EOPNOTSUPP) {
            operation.result = result;
            return true;
        }
    }
    loop_.start_device_io(descriptor_.get(), operation);
    return false;
}

Result<FileIdentity> RealFile::identity() {
    return posix_identity(descriptor_.get(), info_);
}

Result<std::optional<std::string>> RealFile::attribute(const std::string& name) {
    return posix_attribute(descriptor_.get(), info_, name);
}

Status RealFile::set_attribute(const std::string& name, const std::string& value) {
    attributes_dirty_ = true;
    if (::fsetxattr(descriptor_.get(), name.c_str(), value.data(), value.size(), 0) == 0) return {};
    return os_error(errno, "set attribute " + name + " of", info_.path);
}

Status RealFile::allocate(Range range) {
    if (info_.is_block_device || range.empty()) return {};
    const int answer = ::fallocate(descriptor_.get(), FALLOC_FL_KEEP_SIZE, static_cast<off_t>(range.offset),
                                   static_cast<off_t>(range.length));
    if (answer == 0) return {};
    return os_error(errno, "reserve space for", info_.path);
}

Status RealFile::resize(std::uint64_t size) {
    if (info_.is_block_device) {
        return Error(Code::invalid, info_.path + " is a block device: its size is fixed");
    }
    if (size % info_.alignment != 0) {
        return Error(Code::invalid, "the size of " + info_.path + " must be a multiple of " +
                                        std::to_string(info_.alignment) + " for direct I/O");
    }
    if (::ftruncate(descriptor_.get(), static_cast<off_t>(size)) != 0) {
        return os_error(errno, "resize", info_.path);
    }
    info_.size = size;
    return {};
}

Result<std::vector<Extent>> RealFile::extents(Range range) {
    return posix_extents(descriptor_.get(), info_, range);
}

}  // namespace exshadow
