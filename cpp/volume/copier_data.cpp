// How the copier moves the bytes of one chunk: read, skip zeroes, write to each target.
#include <algorithm>
#include <cstring>

#include "base/crc32c.h"
#include "volume/copier.h"

namespace exshadow {

Task<Status> Copier::read_source(std::uint64_t offset, std::span<std::byte> buffer) {
    if (plan_.source) return plan_.source->device->read(offset, buffer);
    if (!through_redirect_) return volume_.read_members(offset, buffer, true);
    return volume_.read_production(offset, buffer, true);
}

Task<Status> Copier::copy_data(Range range) {
    AlignedBuffer buffer;
    if (!buffers_.empty()) {
        buffer = std::move(buffers_.back());
        buffers_.pop_back();
    }
    if (buffer.size() < range.length) buffer = AlignedBuffer(std::max(range.length, chunk_bytes_));
    const auto bytes = buffer.span().first(range.length);
    auto reading = read_source(range.offset, bytes);
    Status status = co_await std::move(reading);
    for (const auto& target : targets()) {
        if (!status.ok()) break;
        if (left(*target)) continue;
        auto writing =
            plan_.compare ? write_different(target, range, bytes) : write_segments(target, range, bytes);
        const Status written = co_await std::move(writing);
        auto judging = target_result(target, written);
        status = co_await std::move(judging);
    }
    buffers_.push_back(std::move(buffer));
    if (!status.ok()) co_return status;
    settled(range);
    copied_bytes_ += range.length;
    co_return Status{};
}

// A failing sync target ends the job; a member that fails during a restore leaves the mirror.
Task<Status> Copier::target_result(std::shared_ptr<Plex> target, Status status) {
    if (status.ok() || plan_.target) co_return status;
    if (!target->is_member()) co_return Status{};
    if (volume_.members().size() < 2) co_return status;
    volume_.depart(target, PlexState::failed, status.error().message());
    auto recording = volume_.departures_recorded();
    co_return co_await std::move(recording);
}

// Writes `data` in runs of zero and of other regions: zeroes cost no transfer and keep the target sparse.
Task<Status> Copier::write_segments(const std::shared_ptr<Plex>& target, Range range,
                                    std::span<const std::byte> data) {
    const std::uint64_t region = volume_.state().region_size;
    std::uint64_t at = 0;
    while (at < range.length) {
        std::uint64_t end = at;
        bool zero = false;
        for (bool first = true; end < range.length; first = false) {
            const std::uint64_t length = std::min(region, range.length - end);
            const bool is_zero = all_zero(data.subspan(end, length));
            if (first) zero = is_zero;
            if (is_zero != zero) break;
            end += length;
        }
        const Range segment{range.offset + at, end - at};
        auto writing = zero ? make_zero(target, segment)
                            : write_segment(target, segment, data.subspan(at, segment.length));
        EXSHADOW_CO_TRY(co_await std::move(writing));
        if (zero) job_->bytes_zeroed += segment.length;
        at = end;
    }
    co_return Status{};
}

Task<Status> Copier::write_segment(std::shared_ptr<Plex> target, Range segment,
                                   std::span<const std::byte> data) {
    auto writing = volume_.write_plex(target, segment.offset, data);
    const Status status = co_await std::move(writing);
    if (status.ok()) job_->bytes_copied += segment.length;
    co_return status;
}

Task<Status> Copier::write_different(std::shared_ptr<Plex> target, Range range,
                                     std::span<const std::byte> data) {
    AlignedBuffer found(range.length);
    auto reading = volume_.read_plex(target, range.offset, found.span());
    EXSHADOW_CO_TRY(co_await std::move(reading));
    const std::uint64_t region = volume_.state().region_size;
    for (std::uint64_t at = 0; at < range.length; at += region) {
        const std::uint64_t length = std::min(region, range.length - at);
        if (std::memcmp(found.data() + at, data.data() + at, length) == 0) continue;
        auto writing = write_segment(target, {range.offset + at, length}, data.subspan(at, length));
        EXSHADOW_CO_TRY(co_await std::move(writing));
    }
    co_return Status{};
}

// Elided where the target is known to read as zero at this moment, under the range lock (E11).
Task<Status> Copier::make_zero(std::shared_ptr<Plex> target, Range range) {
    auto asking = extents_of(target, range);
    const auto extents = co_await std::move(asking);
    if (!extents.ok()) co_return extents.error();
    for (const auto& extent : *extents) {
        const bool known_zero =
            extent.zero || !volume_.options_.orders.keeps(Order::e11_elide_only_known_zeroes);
        if (known_zero && !plan_.rewrite) continue;
        if (!target->device) co_return Error(Code::io, "plex " + target->label + " is not open any more");
        ++target->in_flight;
        auto zeroing = target->device->zero(extent.range, ZeroMode::may_unmap);
        const Status status = co_await std::move(zeroing);
        if (--target->in_flight == 0) volume_.idle_.notify();
        if (!status.ok()) co_return status;
    }
    co_return Status{};
}

}  // namespace exshadow
