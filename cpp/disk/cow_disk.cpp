#include "disk/cow_disk.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/buffer.h"
#include "disk/pieces.h"

namespace exshadow {

CowDisk::CowDisk(Loop& loop, BlockDevice& base, std::unique_ptr<BlockDevice> store, std::uint64_t space_limit)
    : base_(base),
      store_(std::move(store)),
      block_size_(std::max(base_.block_size(), store_->block_size())),
      slot_limit_(std::min(space_limit, store_->size()) / chunk_bytes),
      filled_(loop) {}

std::uint64_t CowDisk::chunk_length(std::uint64_t index) const {
    return std::min(chunk_bytes, size() - index * chunk_bytes);
}

// Where the byte at `offset` is, and how much of its chunk follows it there.
CowDisk::Run CowDisk::locate(std::uint64_t offset) const {
    const std::uint64_t index = offset / chunk_bytes;
    const std::uint64_t within = offset % chunk_bytes;
    const std::uint64_t length = chunk_length(index) - within;
    const auto found = slots_.find(index);
    if (found == slots_.end()) return {Source::base, offset, length};
    if (found->second == zeroes_slot) return {Source::zeroes, 0, length};
    return {Source::store, found->second * chunk_bytes + within, length};
}

// The longest run that begins at `offset`: most of a view is still in its base, read in one piece.
CowDisk::Run CowDisk::run_at(std::uint64_t offset, std::uint64_t length) const {
    Run run = locate(offset);
    while (run.length < length) {
        const Run next = locate(offset + run.length);
        if (next.source != run.source) break;
        if (next.source != Source::zeroes && next.offset != run.offset + run.length) break;
        run.length += next.length;
    }
    run.length = std::min(run.length, length);
    return run;
}

Task<Status> CowDisk::read(std::uint64_t offset, std::span<std::byte> buffer) {
    EXSHADOW_CO_TRY(check_range(offset, buffer.size()));
    while (!buffer.empty()) {
        const Run run = run_at(offset, buffer.size());
        const std::span<std::byte> part = buffer.first(run.length);
        if (run.source == Source::zeroes) {
            std::memset(part.data(), 0, part.size());
        } else {
            BlockDevice& from = run.source == Source::base ? base_ : *store_;
            EXSHADOW_CO_TRY(co_await from.read(run.offset, part));
        }
        offset += run.length;
        buffer = buffer.subspan(run.length);
    }
    co_return Status{};
}

Task<Status> CowDisk::write(std::uint64_t offset, std::span<const std::byte> data) {
    EXSHADOW_CO_TRY(check_range(offset, data.size()));
    if (broken_) co_return *broken_;
    for (const Piece piece : pieces_of({offset, data.size()}, chunk_bytes)) {
        EXSHADOW_CO_TRY(co_await write_chunk(offset + piece.done, data.subspan(piece.done, piece.length)));
    }
    co_return Status{};
}

Task<Status> CowDisk::write_chunk(std::uint64_t offset, std::span<const std::byte> data) {
    const std::uint64_t index = offset / chunk_bytes;
    while (filling_.contains(index)) co_await filled_.wait();
    const Run run = locate(offset);
    if (run.source == Source::store) co_return co_await store_->write(run.offset, data);
    filling_.insert(index);
    const Status status = co_await add_chunk(index, offset % chunk_bytes, data);
    filling_.erase(index);
    filled_.notify();
    co_return status;
}

Task<Status> CowDisk::add_chunk(std::uint64_t index, std::uint64_t within, std::span<const std::byte> data) {
    std::uint64_t slot = 0;
    if (!unused_slots_.empty()) {
        slot = unused_slots_.back();
        unused_slots_.pop_back();
    } else if (next_slot_ < slot_limit_) {
        slot = next_slot_++;
    } else {
        co_return Error(Code::no_space, describe() + " has used up its space",
                        "give the view a higher limit, or discard it", ENOSPC);
    }
    const Status status = co_await fill_slot(slot, index, within, data);
    if (status.ok()) {
        slots_[index] = slot;  // from here on readers see the store
    } else {
        unused_slots_.push_back(slot);
    }
    co_return status;
}

Task<Status> CowDisk::fill_slot(std::uint64_t slot, std::uint64_t index, std::uint64_t within,
                                std::span<const std::byte> data) {
    const std::uint64_t length = chunk_length(index);
    if (data.size() == length) co_return co_await store_->write(slot * chunk_bytes, data);
    AlignedBuffer chunk = AlignedBuffer::zeroed(chunk_bytes);
    if (!slots_.contains(index)) {
        EXSHADOW_CO_TRY(co_await base_.read(index * chunk_bytes, chunk.span().first(length)));
    }
    std::memcpy(chunk.data() + within, data.data(), data.size());
    co_return co_await store_->write(slot * chunk_bytes, chunk.span());
}

Task<Status> CowDisk::zero(Range range, ZeroMode mode) {
    EXSHADOW_CO_TRY(check_range(range.offset, range.length));
    if (broken_) co_return *broken_;
    for (const Piece piece : pieces_of(range, chunk_bytes)) {
        EXSHADOW_CO_TRY(co_await zero_chunk({range.offset + piece.done, piece.length}, mode));
    }
    co_return Status{};
}

Task<Status> CowDisk::zero_chunk(Range range, ZeroMode mode) {
    const std::uint64_t index = range.offset / chunk_bytes;
    while (filling_.contains(index)) co_await filled_.wait();
    const Run run = locate(range.offset);
    if (run.source == Source::zeroes) co_return Status{};
    if (run.source == Source::store) co_return co_await store_->zero({run.offset, range.length}, mode);
    if (range.length == chunk_length(index)) {
        slots_[index] = zeroes_slot;
        co_return Status{};
    }
    const AlignedBuffer zeroes = AlignedBuffer::zeroed(range.length);
    co_return co_await write_chunk(range.offset, zeroes.span());
}

Task<Status> CowDisk::flush() {
    if (broken_) co_return *broken_;
    const Status status = co_await store_->flush();
    if (!status.ok()) broken_ = status.error();
    co_return status;
}

Task<Result<std::vector<Extent>>> CowDisk::extents(Range range) {
    EXSHADOW_CO_TRY(check_range(range.offset, range.length));
    std::vector<Extent> found;
    for (std::uint64_t at = range.offset; at < range.end();) {
        const Run run = run_at(at, range.end() - at);
        if (run.source == Source::base) {
            const auto below = co_await base_.extents({run.offset, run.length});
            if (!below.ok()) co_return below.error();
            for (const Extent& extent : below.value()) append_extent(found, extent);
        } else {
            append_extent(found, {{at, run.length}, run.source == Source::zeroes});
        }
        at += run.length;
    }
    co_return std::move(found);
}

}  // namespace exshadow
