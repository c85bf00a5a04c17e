#include "volume/volume_device.h"

#include <algorithm>
#include <cstring>

#include "base/buffer.h"

namespace exshadow {

namespace {

std::vector<Extent> all_data(Range range) {
    return {{range, false}};
}

}  // namespace

Task<Status> VolumeDevice::read(std::uint64_t offset, std::span<std::byte> buffer) {
    const VolumeUse volume(*source_);
    if (!volume) co_return closed();
    auto reading = volume->read(offset, buffer);
    co_return co_await std::move(reading);
}

Task<Status> VolumeDevice::write(std::uint64_t offset, std::span<const std::byte> data) {
    auto copy = std::make_shared<AlignedBuffer>(data.size());
    if (!data.empty()) std::memcpy(copy->data(), data.data(), data.size());
    const auto bytes = std::as_const(*copy).span();
    return write(offset, Payload{std::move(copy), bytes}, false);
}

Task<Status> VolumeDevice::write(std::uint64_t offset, Payload data, bool fua) {
    const VolumeUse volume(*source_);
    if (!volume) co_return closed();
    auto writing = volume->write(offset, std::move(data), fua);
    co_return co_await std::move(writing);
}

Task<Status> VolumeDevice::zero(Range range, ZeroMode mode) {
    const VolumeUse volume(*source_);
    if (!volume) co_return closed();
    auto zeroing = volume->zero(range, mode);
    co_return co_await std::move(zeroing);
}

Task<Status> VolumeDevice::flush() {
    const VolumeUse volume(*source_);
    if (!volume) co_return closed();
    auto flushing = volume->flush();
    co_return co_await std::move(flushing);
}

Task<Result<std::vector<Extent>>> VolumeDevice::extents(Range range) {
    EXSHADOW_CO_TRY(check_range(range.offset, range.length));
    const VolumeUse volume(*source_);
    if (!volume) co_return closed();
    // No promise while nobody knows what production is, nor where its file does not tell.
    if (volume->is_restoring()) co_return all_data(range);
    auto asking = volume->production_extents(range);
    auto found = co_await std::move(asking);
    co_return found.ok() ? std::move(found) : all_data(range);
}

Task<Result<Ranges>> VolumeDevice::changed(std::string label, Range range) {
    EXSHADOW_CO_TRY(check_range(range.offset, range.length));
    const VolumeUse volume(*source_);
    if (!volume) co_return closed();
    auto asking = volume->changed_within(std::move(label), range);
    co_return co_await std::move(asking);
}

std::uint32_t VolumeDevice::memory_alignment() {
    const VolumeUse volume(*source_);
    std::uint32_t alignment = 1;
    if (!volume) return alignment;
    for (const auto& plex : volume->plexes()) {
        if (plex->device) alignment = std::max(alignment, plex->device->block_size());
    }
    return alignment;
}

bool VolumeDevice::punches() {
    const VolumeUse volume(*source_);
    if (!volume) return false;
    const auto& plexes = volume->plexes();
    return std::all_of(plexes.begin(), plexes.end(), [](const auto& plex) {
        return !plex->is_member() || (plex->device && plex->device->file().info().can_punch);
    });
}

Status SnapshotDevice::check(const VolumeUse& volume) const {
    if (!volume) return Error(Code::closed, describe() + ": its volume is closed");
    const SnapshotRecord* const found = volume->state().find_snapshot(label_);
    if (found != nullptr && found->set_id == set_id_) return {};
    return Error(Code::not_found, describe() + " has gone");
}

Task<Status> SnapshotDevice::read(std::uint64_t offset, std::span<std::byte> buffer) {
    EXSHADOW_CO_TRY(check_range(offset, buffer.size()));
    const VolumeUse volume(*source_);
    EXSHADOW_CO_TRY(check(volume));
    auto reading = volume->read_snapshot(label_, offset, buffer);
    co_return co_await std::move(reading);
}

Task<Status> SnapshotDevice::write(std::uint64_t, std::span<const std::byte>) {
    co_return Error(Code::permission, describe() + " is read-only");
}

Task<Status> SnapshotDevice::zero(Range, ZeroMode) {
    co_return Error(Code::permission, describe() + " is read-only");
}

Task<Status> SnapshotDevice::flush() {
    co_return Status{};
}

Task<Result<std::vector<Extent>>> SnapshotDevice::extents(Range range) {
    EXSHADOW_CO_TRY(check_range(range.offset, range.length));
    const VolumeUse volume(*source_);
    EXSHADOW_CO_TRY(check(volume));
    auto asking = volume->snapshot_extents(label_, range);
    auto found = co_await std::move(asking);
    EXSHADOW_CO_TRY(check(volume));
    co_return found.ok() ? std::move(found) : all_data(range);
}

}  // namespace exshadow
