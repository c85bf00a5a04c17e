// File: one open file or block device of a Loop. Asynchronous verbs move bytes and answer like the
// system calls do: a byte count (short transfers happen) or a negative errno. disk/file_disk turns them
// into whole-transfer verbs with Status. Loop thread only; a File is destroyed only when no operation
// on it is in flight (E32). Buffers belong to the operation until it is answered.
#pragma once

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/units.h"
#include "runtime/task.h"

namespace exshadow {

enum class FileLock : std::uint8_t {
    none,
    exclusive,  // flock on the descriptor that carries the I/O, and O_EXCL on block devices (E8)
};

struct OpenOptions {
    bool writable = false;
    bool create = false;            // create when missing (regular files)
    bool exclusive_create = false;  // fail with Code::exists when present
    bool direct = false;            // ask for O_DIRECT; FileInfo::direct says whether it was had
    bool force_mounted = false;     // open a block device that is mounted (no O_EXCL)
    FileLock lock = FileLock::none;
    std::int64_t lock_wait_ns = 0;  // how long to retry a lock held by somebody else
};

enum class Backing : std::uint8_t {
    memory,      // tmpfs, ramfs: I/O is a memcpy, answered inline (E29)
    page_cache,  // buffered file
    direct,      // O_DIRECT
};

struct FileInfo {
    std::uint64_t size = 0;       // bytes at open; a block device's capacity
    std::uint32_t alignment = 1;  // offsets, lengths and addresses of direct I/O; 1 when not direct
    std::uint32_t sector_size = 512;
    bool is_block_device = false;
    bool direct = false;
    bool can_punch = false;  // punch() leaves zeroes (regular files on most file systems)
    Backing backing = Backing::page_cache;
    std::string path;
};

// What makes a plex's bytes recognisable from outside (E7). Times are nanoseconds since the epoch,
// for equality only.
struct FileIdentity {
    std::uint64_t device = 0;
    std::uint64_t inode = 0;  // 0 for block devices
    std::uint64_t size = 0;
    std::int64_t modified_ns = 0;
    std::int64_t changed_ns = 0;
    std::string serial;           // block devices: serial or WWN where known
    std::uint64_t allocated = 0;  // bytes of storage behind a regular file; 0: not known
    friend bool operator==(const FileIdentity&, const FileIdentity&) = default;
};

struct Extent {
    Range range;
    bool zero = false;  // reads as zeroes (hole)
    friend bool operator==(const Extent&, const Extent&) = default;
};

// One operation; lives in the awaiter, hence in the awaiting coroutine's frame.
struct FileOperation {
    enum class Kind : std::uint8_t {
        read,
        write,
        flush,  // data and the metadata needed to read it back (fdatasync)
        zero,   // zeroes, space kept allocated
        punch,  // zeroes, space given back
    };
    Kind kind = Kind::read;
    std::byte* data = nullptr;  // read: destination; write: source (not modified)
    std::uint64_t offset = 0;
    std::uint64_t length = 0;
    std::int64_t result = 0;  // bytes (0 for flush, zero, punch) or -errno
    std::coroutine_handle<> waiter;
    FileOperation* next = nullptr;  // queue link for the loop
    bool with_attributes = false;   // flush: attributes set since the last one as well (fsync)
};

class File {
public:
    File() = default;
    File(const File&) = delete;
    File& operator=(const File&) = delete;
    virtual ~File() = default;

    [[nodiscard]] const FileInfo& info() const { return info_; }

    struct Awaiter {
        File& file;
        FileOperation operation;
        [[nodiscard]] bool await_ready() { return file.start(operation); }
        void await_suspend(std::coroutine_handle<> waiter) { operation.waiter = waiter; }
        [[nodiscard]] std::int64_t await_resume() const { return operation.result; }
    };

    // Await the answer: bytes moved, or -errno. read answers 0 only at the end of the file.
    [[nodiscard]] Awaiter read(std::uint64_t offset, std::span<std::byte> buffer);
    [[nodiscard]] Awaiter write(std::uint64_t offset, std::span<const std::byte> data);
    [[nodiscard]] Awaiter flush();
    [[nodiscard]] Awaiter zero(std::uint64_t offset, std::uint64_t length);
    [[nodiscard]] Awaiter punch(std::uint64_t offset, std::uint64_t length);

    // The descriptor that carries the I/O, for work that is offloaded as a whole; -1 where there is none.
    [[nodiscard]] virtual int descriptor() const { return -1; }

    // Synchronous, rare: at open, close, attach and split commit only.
    [[nodiscard]] virtual Result<FileIdentity> identity() = 0;
    [[nodiscard]] virtual Result<std::optional<std::string>> attribute(const std::string& name) = 0;
    // Durable after the next flush.
    [[nodiscard]] virtual Status set_attribute(const std::string& name, const std::string& value) = 0;
    [[nodiscard]] virtual Status allocate(Range range) = 0;       // reserve space, contents kept
    [[nodiscard]] virtual Status resize(std::uint64_t size) = 0;  // regular files
    // Data and holes in `range` as the file system knows them, in order, without gaps.
    [[nodiscard]] virtual Result<std::vector<Extent>> extents(Range range) = 0;

    // True when answered on the spot (operation.result is set); else the loop answers later by
    // resuming operation.waiter from its queue, never from inside this call (E30).
    [[nodiscard]] virtual bool start(FileOperation& operation) = 0;

protected:
    FileInfo info_;
};

inline File::Awaiter File::read(std::uint64_t offset, std::span<std::byte> buffer) {
    return {*this, {FileOperation::Kind::read, buffer.data(), offset, buffer.size(), 0, {}, nullptr, false}};
}
inline File::Awaiter File::write(std::uint64_t offset, std::span<const std::byte> data) {
    // The operation is shared between reads and writes; a write never modifies the buffer.
    auto* const bytes = const_cast<std::byte*>(data.data());  // NOLINT(cppcoreguidelines-pro-type-const-cast)
    return {*this, {FileOperation::Kind::write, bytes, offset, data.size(), 0, {}, nullptr, false}};
}
inline File::Awaiter File::flush() {
    return {*this, {FileOperation::Kind::flush, nullptr, 0, 0, 0, {}, nullptr, false}};
}
inline File::Awaiter File::zero(std::uint64_t offset, std::uint64_t length) {
    return {*this, {FileOperation::Kind::zero, nullptr, offset, length, 0, {}, nullptr, false}};
}
inline File::Awaiter File::punch(std::uint64_t offset, std::uint64_t length) {
    return {*this, {FileOperation::Kind::punch, nullptr, offset, length, 0, {}, nullptr, false}};
}

}  // namespace exshadow
