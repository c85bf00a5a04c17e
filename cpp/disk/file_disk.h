// FileDisk: a file or block device as a BlockDevice. Its size is fixed when it is opened.
//
// Short transfers are continued; EINTR and EAGAIN are retried a bounded number of times; 0 from a read
// inside the disk means that somebody truncated the file: Code::io, "truncated" (E33). On a direct file
// a request whose offset, length or address is not aligned goes through an aligned buffer of this
// class; its edge blocks are read, changed and written back. Nothing writes through a second descriptor.
//
// One failed flush is final: later writes, zeroes and flushes fail with the same error until reopened.
// Loop thread only; destroyed only when no request is in flight.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "disk/block_device.h"
#include "runtime/loop.h"
#include "runtime/sync.h"

namespace exshadow {

class FileDisk final : public BlockDevice {
public:
    // Errors as Loop::open's. The loop outlives the disk.
    [[nodiscard]] static Result<std::unique_ptr<FileDisk>> open(Loop& loop, const std::string& path,
                                                                const OpenOptions& options);
    FileDisk(Loop& loop, std::unique_ptr<File> file);

    [[nodiscard]] std::uint64_t size() const override { return size_; }
    [[nodiscard]] std::uint32_t block_size() const override { return block_size_; }
    [[nodiscard]] std::string describe() const override { return file_->info().path; }

    [[nodiscard]] Task<Status> read(std::uint64_t offset, std::span<std::byte> buffer) override;
    [[nodiscard]] Task<Status> write(std::uint64_t offset, std::span<const std::byte> data) override;
    // Durable after flush(). Space: may_unmap gives it back where the file system can; where it cannot
    // zero at all, zeroes are written.
    [[nodiscard]] Task<Status> zero(Range range, ZeroMode mode) override;
    [[nodiscard]] Task<Status> flush() override;
    [[nodiscard]] Task<Result<std::vector<Extent>>> extents(Range range) override;

    // For identity, attributes and allocation (E7). Not for transfers.
    [[nodiscard]] File& file() { return *file_; }
    [[nodiscard]] int descriptor() const { return file_->descriptor(); }
    [[nodiscard]] Backing backing() const { return file_->info().backing; }
    // What every later write will answer: the failed flush, if there was one.
    [[nodiscard]] Status health() const { return broken_ ? Status(*broken_) : Status{}; }

private:
    [[nodiscard]] bool is_aligned(std::uint64_t offset, const std::byte* data, std::uint64_t length) const;
    [[nodiscard]] Task<Status> read_aligned(std::uint64_t offset, std::span<std::byte> buffer);
    [[nodiscard]] Task<Status> write_aligned(std::uint64_t offset, std::span<const std::byte> data);
    [[nodiscard]] Task<Status> read_through_bounce(std::uint64_t offset, std::span<std::byte> buffer);
    [[nodiscard]] Task<Status> write_through_bounce(std::uint64_t offset, std::span<const std::byte> data);
    [[nodiscard]] Task<Status> fill_edges(Range blocks, Range covered, std::span<std::byte> buffer);
    [[nodiscard]] Task<Status> zero_blocks(Range range, ZeroMode mode);
    [[nodiscard]] Task<Status> write_zeroes(Range range);
    [[nodiscard]] Task<bool> may_retry(std::int64_t result, int attempt);
    [[nodiscard]] Error transfer_error(std::string_view verb, std::uint64_t offset,
                                       std::int64_t result) const;

    Loop& loop_;
    Signal flush_done_;
    std::uint64_t flushes_asked_ = 0;  // tickets: a flush covers those drawn before it starts
    std::uint64_t flushes_done_ = 0;   // tickets covered so far
    bool flushing_ = false;
    std::unique_ptr<File> file_;
    const std::uint64_t size_;
    const std::uint32_t block_size_;
    const std::uint32_t zero_unit_;  // alignment of zero and punch
    bool can_zero_ = true;           // until the file system says otherwise
    bool can_punch_;
    std::optional<Error> broken_;  // the failed flush
};

}  // namespace exshadow
