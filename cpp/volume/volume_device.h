// VolumeDevice and SnapshotDevice: a volume's production side, and one snapshot of it, as BlockDevices for
// whoever serves them to clients. Loop thread only.
//
// The volume may be closed under them: each request enters it first and leaves it at its end, so that the
// owner can wait for both; a request that finds no volume is Code::closed, one whose snapshot has gone (or is
// another one of the same label) Code::not_found.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "disk/block_device.h"
#include "volume/volume.h"

namespace exshadow {

// Who owns the volume. Between enter() and leave() the volume's memory stays.
class VolumeSource {
public:
    VolumeSource() = default;
    VolumeSource(const VolumeSource&) = delete;
    VolumeSource& operator=(const VolumeSource&) = delete;
    virtual ~VolumeSource() = default;

    [[nodiscard]] virtual Volume* enter() = 0;  // null when it is closed: then there is nothing to leave
    virtual void leave() = 0;
};

class VolumeUse {
public:
    explicit VolumeUse(VolumeSource& source) : source_(source), volume_(source.enter()) {}
    VolumeUse(const VolumeUse&) = delete;
    VolumeUse& operator=(const VolumeUse&) = delete;
    ~VolumeUse() {
        if (volume_ != nullptr) source_.leave();
    }
    explicit operator bool() const { return volume_ != nullptr; }
    Volume* operator->() const { return volume_; }
    Volume& operator*() const { return *volume_; }

private:
    VolumeSource& source_;
    Volume* volume_;
};

class VolumeDevice final : public BlockDevice {
public:
    VolumeDevice(std::shared_ptr<VolumeSource> source, std::string name, std::uint64_t size)
        : source_(std::move(source)), name_(std::move(name)), size_(size) {}

    [[nodiscard]] std::uint64_t size() const override { return size_; }
    [[nodiscard]] std::uint32_t block_size() const override { return 1; }  // the volume keeps them apart
    [[nodiscard]] std::string describe() const override { return "volume " + name_; }

    [[nodiscard]] Task<Status> read(std::uint64_t offset, std::span<std::byte> buffer) override;
    // Copies the bytes: a plex that was let go may still be writing after the answer (E13).
    [[nodiscard]] Task<Status> write(std::uint64_t offset, std::span<const std::byte> data) override;
    // Copies nothing; with `fua` durable on every member on return.
    [[nodiscard]] Task<Status> write(std::uint64_t offset, Payload data, bool fua);
    [[nodiscard]] Task<Status> zero(Range range, ZeroMode mode) override;
    [[nodiscard]] Task<Status> flush() override;
    // As the authority's file system tells it; everything is data where it cannot be asked.
    [[nodiscard]] Task<Result<std::vector<Extent>>> extents(Range range) override;

    // Where production may differ from a snapshot, clipped to `range`. Sorted, disjoint.
    [[nodiscard]] Task<Result<Ranges>> changed(std::string label, Range range);
    // What the addresses of bytes to write should be a multiple of.
    [[nodiscard]] std::uint32_t memory_alignment();
    // Every member can give space back and reads as zeroes there.
    [[nodiscard]] bool punches();

private:
    [[nodiscard]] Error closed() const { return Error(Code::closed, describe() + " is closed"); }

    const std::shared_ptr<VolumeSource> source_;
    const std::string name_;
    const std::uint64_t size_;
};

// Read-only: write and zero are Code::permission.
class SnapshotDevice final : public BlockDevice {
public:
    SnapshotDevice(std::shared_ptr<VolumeSource> source, std::string volume, std::string label, Uuid set_id,
                   std::uint64_t size)
        : source_(std::move(source)),
          name_(std::move(volume) + '@' + label),
          label_(std::move(label)),
          set_id_(set_id),
          size_(size) {}

    [[nodiscard]] std::uint64_t size() const override { return size_; }
    [[nodiscard]] std::uint32_t block_size() const override { return 1; }
    [[nodiscard]] std::string describe() const override { return "snapshot " + name_; }

    [[nodiscard]] Task<Status> read(std::uint64_t offset, std::span<std::byte> buffer) override;
    [[nodiscard]] Task<Status> write(std::uint64_t offset, std::span<const std::byte> data) override;
    [[nodiscard]] Task<Status> zero(Range range, ZeroMode mode) override;
    [[nodiscard]] Task<Status> flush() override;
    [[nodiscard]] Task<Result<std::vector<Extent>>> extents(Range range) override;

private:
    [[nodiscard]] Status check(const VolumeUse& volume) const;

    const std::shared_ptr<VolumeSource> source_;
    const std::string name_;
    const std::string label_;
    const Uuid set_id_;
    const std::uint64_t size_;
};

}  // namespace exshadow
