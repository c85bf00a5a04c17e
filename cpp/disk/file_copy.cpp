#include "disk/file_copy.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/buffer.h"
#include "base/crc32c.h"

namespace exshadow {

namespace {

constexpr std::uint64_t piece_bytes = MiB;

std::span<std::byte> scratch() {
    thread_local AlignedBuffer buffer(piece_bytes);
    return buffer.span();
}

// 0 or errno. End of file inside the range is a truncated file: EIO.
int read_all(int file, std::uint64_t offset, std::span<std::byte> buffer) {
    while (!buffer.empty()) {
        const ssize_t got = ::pread(file, buffer.data(), buffer.size(), static_cast<off_t>(offset));
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return got == 0 ? EIO : errno;
        buffer = buffer.subspan(static_cast<std::size_t>(got));
        offset += static_cast<std::uint64_t>(got);
    }
    return 0;
}

int write_all(int file, std::uint64_t offset, std::span<const std::byte> data) {
    while (!data.empty()) {
        const ssize_t put = ::pwrite(file, data.data(), data.size(), static_cast<off_t>(offset));
        if (put < 0 && errno == EINTR) continue;
        if (put <= 0) return put == 0 ? ENOSPC : errno;
        data = data.subspan(static_cast<std::size_t>(put));
        offset += static_cast<std::uint64_t>(put);
    }
    return 0;
}

void add_zero(MemoryCopy& copy, Range range) {
    if (!copy.zero.empty() && copy.zero.back().end() == range.offset) {
        copy.zero.back().length += range.length;
    } else {
        copy.zero.push_back(range);
    }
}

// Writes the runs of units that are not zero. Data shows itself in its first bytes, so the look is cheap.
bool write_piece(MemoryCopy& copy, int target, Range piece, std::span<const std::byte> data,
                 std::uint64_t unit) {
    std::uint64_t run = 0;
    for (std::uint64_t at = 0; at <= piece.length;) {
        const std::uint64_t length = std::min(unit, piece.length - at);
        const bool end = at == piece.length;
        const bool zero = !end && all_zero(data.subspan(at, length));
        if ((zero || end) && run < at) {
            copy.write_error = write_all(target, piece.offset + run, data.subspan(run, at - run));
            if (copy.write_error != 0) return false;
            copy.copied += at - run;
        }
        if (end) break;
        if (zero) add_zero(copy, {piece.offset + at, length});
        at += length;
        if (zero) run = at;
    }
    return true;
}

// Through a buffer, so that every unit can be looked at.
bool copy_through_buffer(MemoryCopy& copy, int source, int target, const Range& range, std::uint64_t unit) {
    for (std::uint64_t at = range.offset; at < range.end();) {
        const Range piece{at, std::min(piece_bytes, range.end() - at)};
        const auto buffer = scratch().first(piece.length);
        copy.read_error = read_all(source, piece.offset, buffer);
        if (copy.read_error != 0 || !write_piece(copy, target, piece, buffer, unit)) return false;
        at = piece.end();
    }
    return true;
}

bool in_memory(const FileDisk& disk) {
    return disk.descriptor() >= 0 && disk.backing() != Backing::direct;
}

}  // namespace

bool can_copy_in_memory(const FileDisk& source, const FileDisk& target) {
    return in_memory(source) && in_memory(target);
}

MemoryCopy copy_in_memory(int source, int target, std::span<const Range> ranges, std::uint64_t unit,
                          CopyLanes* lanes) {
    MemoryCopy copy;
    unit = std::min(unit, piece_bytes);  // both are powers of two
    for (const Range& range : ranges) {
        const KernelCopy fast =
            lanes == nullptr ? KernelCopy::not_done : copy_in_kernel(*lanes, source, target, range, unit);
        if (fast == KernelCopy::done) {
            copy.copied += range.length;
        } else if (!copy_through_buffer(copy, source, target, range, unit)) {
            break;
        }
    }
    return copy;
}

}  // namespace exshadow
