#include "disk/file_disk.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/buffer.h"
#include "disk/helpers.h"

namespace exshadow {

namespace {

constexpr int retry_limit = 32;
constexpr std::uint64_t bounce_bytes = 1 * MiB;

std::uint32_t zero_unit_of(const FileInfo& info) {
    return info.is_block_device ? std::max(info.alignment, info.sector_size) : info.alignment;
}

}  // namespace

Result<std::unique_ptr<FileDisk>> FileDisk::open(Loop& loop, const std::string& path,
                                                 const OpenOptions& options) {
    auto file = loop.open(path, options);
    if (!file.ok()) return file.error();
    return std::make_unique<FileDisk>(loop, std::move(*file));
}

FileDisk::FileDisk(Loop& loop, std::unique_ptr<File> file)
    : loop_(loop),
      flush_done_(loop),
      file_(std::move(file)),
      size_(file_->info().size),
      block_size_(file_->info().alignment),
      zero_unit_(zero_unit_of(file_->info())),
      can_punch_(file_->info().can_punch) {}

bool FileDisk::is_aligned(std::uint64_t offset, const std::byte* data, std::uint64_t length) const {
    return ((offset | length | reinterpret_cast<std::uintptr_t>(data)) & (block_size_ - 1)) == 0;
}

Error FileDisk::transfer_error(std::string_view verb, std::uint64_t offset, std::int64_t result) const {
    const std::string place = describe() + " at " + std::to_string(offset);
    if (result == 0) {
        return Error(Code::io, "cannot " + std::string(verb) + ' ' + place + ": the file was truncated");
    }
    // Whatever the kernel called it: a transfer inside an open disk that fails is an I/O error.
    const Error error = os_error(static_cast<int>(-result), verb, place);
    if (error.code() == Code::no_space) return error;
    return Error(Code::io, error.message(), error.hint(), error.os_error());
}

// After a transfer that moved nothing: true when it may be tried again, after others had their turn.
Task<bool> FileDisk::may_retry(std::int64_t result, int attempt) {
    if (attempt >= retry_limit) co_return false;
    if (result == -EINTR) {
        co_await loop_.yield();
        co_return true;
    }
    if (result != -EAGAIN) co_return false;
    co_await loop_.sleep(millisecond_ns);
    co_return true;
}

Task<Status> FileDisk::read(std::uint64_t offset, std::span<std::byte> buffer) {
    if (auto status = check_range(offset, buffer.size()); !status.ok()) return answered(std::move(status));
    if (is_aligned(offset, buffer.data(), buffer.size())) return read_aligned(offset, buffer);
    return read_through_bounce(offset, buffer);
}

Task<Status> FileDisk::write(std::uint64_t offset, std::span<const std::byte> data) {
    if (auto status = check_range(offset, data.size()); !status.ok()) return answered(std::move(status));
    if (broken_) return answered(*broken_);
    if (is_aligned(offset, data.data(), data.size())) return write_aligned(offset, data);
    return write_through_bounce(offset, data);
}

// A short direct transfer continues at the last whole block: the rest of that block is moved again.
Task<Status> FileDisk::read_aligned(std::uint64_t offset, std::span<std::byte> buffer) {
    int attempt = 0;
    while (!buffer.empty()) {
        const std::int64_t result = co_await file_->read(offset, buffer);
        if (result > 0) {
            const auto moved = round_down(static_cast<std::uint64_t>(result), block_size_);
            offset += moved;
            buffer = buffer.subspan(moved);
            if (moved != 0) attempt = 0;
            if (moved != 0 || ++attempt < retry_limit) continue;
            co_return transfer_error("read", offset, 0);
        }
        const bool again = co_await may_retry(result, ++attempt);
        if (!again) co_return transfer_error("read", offset, result);
    }
    co_return Status{};
}

Task<Status> FileDisk::write_aligned(std::uint64_t offset, std::span<const std::byte> data) {
    int attempt = 0;
    while (!data.empty()) {
        std::int64_t result = co_await file_->write(offset, data);
        if (result > 0) {
            const auto moved = round_down(static_cast<std::uint64_t>(result), block_size_);
            offset += moved;
            data = data.subspan(moved);
            if (moved != 0) {
                attempt = 0;
                continue;
            }
            result = -EINTR;
        }
        if (result == 0) result = -EIO;
        const bool again = co_await may_retry(result, ++attempt);
        if (!again) co_return transfer_error("write", offset, result);
    }
    co_return Status{};
}

Task<Status> FileDisk::read_through_bounce(std::uint64_t offset, std::span<std::byte> buffer) {
    const Range blocks = round_out({offset, buffer.size()}, block_size_, size_);
    AlignedBuffer bounce(std::min(blocks.length, bounce_bytes));
    while (!buffer.empty()) {
        const std::uint64_t begin = round_down(offset, block_size_);
        const std::uint64_t length = std::min<std::uint64_t>(bounce.size(), blocks.end() - begin);
        EXSHADOW_CO_TRY(co_await read_aligned(begin, bounce.span().first(length)));
        const std::uint64_t moved = std::min<std::uint64_t>(begin + length - offset, buffer.size());
        std::memcpy(buffer.data(), bounce.data() + (offset - begin), moved);
        offset += moved;
        buffer = buffer.subspan(moved);
    }
    co_return Status{};
}

Task<Status> FileDisk::write_through_bounce(std::uint64_t offset, std::span<const std::byte> data) {
    const Range blocks = round_out({offset, data.size()}, block_size_, size_);
    AlignedBuffer bounce(std::min(blocks.length, bounce_bytes));
    while (!data.empty()) {
        const std::uint64_t begin = round_down(offset, block_size_);
        const std::uint64_t length = std::min<std::uint64_t>(bounce.size(), blocks.end() - begin);
        const std::uint64_t moved = std::min<std::uint64_t>(begin + length - offset, data.size());
        const std::span<std::byte> chunk = bounce.span().first(length);
        EXSHADOW_CO_TRY(co_await fill_edges({begin, length}, {offset, moved}, chunk));
        std::memcpy(chunk.data() + (offset - begin), data.data(), moved);
        EXSHADOW_CO_TRY(co_await write_aligned(begin, chunk));
        offset += moved;
        data = data.subspan(moved);
    }
    co_return Status{};
}

// Reads the first and last block of `blocks` where `covered` does not overwrite them whole.
Task<Status> FileDisk::fill_edges(Range blocks, Range covered, std::span<std::byte> buffer) {
    const std::uint64_t last = blocks.end() - block_size_;
    if (covered.offset != blocks.offset) {
        EXSHADOW_CO_TRY(co_await read_aligned(blocks.offset, buffer.first(block_size_)));
    }
    const bool last_is_read = covered.offset != blocks.offset && last == blocks.offset;
    if (covered.end() != blocks.end() && !last_is_read) {
        EXSHADOW_CO_TRY(co_await read_aligned(last, buffer.last(block_size_)));
    }
    co_return Status{};
}

// Whole units by the file system; edges, and what it cannot do, by writing zeroes.
Task<Status> FileDisk::zero(Range range, ZeroMode mode) {
    EXSHADOW_CO_TRY(check_range(range.offset, range.length));
    if (broken_) co_return *broken_;
    const std::uint64_t begin = std::min(round_up(range.offset, zero_unit_), range.end());
    const std::uint64_t end = std::max(round_down(range.end(), zero_unit_), begin);
    EXSHADOW_CO_TRY(co_await write_zeroes({range.offset, begin - range.offset}));
    EXSHADOW_CO_TRY(co_await zero_blocks({begin, end - begin}, mode));
    co_return co_await write_zeroes({end, range.end() - end});
}

Task<Status> FileDisk::zero_blocks(Range range, ZeroMode mode) {
    int attempt = 0;
    while (!range.empty()) {
        const bool punch = mode == ZeroMode::may_unmap && can_punch_;
        if (!punch && !can_zero_) co_return co_await write_zeroes(range);
        std::int64_t result = 0;
        if (punch) {
            result = co_await file_->punch(range.offset, range.length);
        } else {
            result = co_await file_->zero(range.offset, range.length);
        }
        if (result >= 0) break;
        if (result == -EOPNOTSUPP || result == -ENOSYS) {
            (punch ? can_punch_ : can_zero_) = false;
            continue;
        }
        const bool again = co_await may_retry(result, ++attempt);
        if (!again) co_return transfer_error("zero", range.offset, result);
    }
    co_return Status{};
}

Task<Status> FileDisk::write_zeroes(Range range) {
    while (!range.empty()) {
        const std::uint64_t length = std::min<std::uint64_t>(range.length, zero_bytes().size());
        EXSHADOW_CO_TRY(co_await write(range.offset, zero_bytes().first(length)));
        range = {range.offset + length, range.length - length};
    }
    co_return Status{};
}

// One at a time: of two on one descriptor the kernel tells only one of an error, and the other would call
// lost data durable. Whoever comes meanwhile shares the next one.
Task<Status> FileDisk::flush() {
    const std::uint64_t ticket = ++flushes_asked_;
    while (flushing_) {
        co_await flush_done_.wait();
        if (!broken_ && flushes_done_ >= ticket) co_return Status{};
    }
    if (broken_) co_return *broken_;
    flushing_ = true;
    const std::uint64_t covers = flushes_asked_;
    int attempt = 0;
    for (bool again = true; again;) {
        const std::int64_t result = co_await file_->flush();
        if (result >= 0) break;
        again = co_await may_retry(result, ++attempt);
        if (!again) broken_ = os_error(static_cast<int>(-result), "flush", describe());
    }
    flushing_ = false;
    flush_done_.notify();
    if (broken_) co_return *broken_;
    flushes_done_ = covers;
    co_return Status{};
}

Task<Result<std::vector<Extent>>> FileDisk::extents(Range range) {
    if (const auto status = check_range(range.offset, range.length); !status.ok()) co_return status.error();
    Result<std::vector<Extent>> found = std::vector<Extent>{};
    // A fragmented file answers slowly: not on the loop's thread (E34).
    co_await loop_.offload([this, range, &found] { found = file_->extents(range); });
    co_return std::move(found);
}

}  // namespace exshadow
