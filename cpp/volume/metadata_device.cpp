#include "volume/metadata_device.h"

#include <filesystem>
#include <vector>

namespace exshadow {

namespace {

Result<std::unique_ptr<FileDisk>> open_locked(Loop& loop, const std::string& path, Nanoseconds lock_wait) {
    OpenOptions options;
    options.writable = true;
    options.lock = FileLock::exclusive;
    options.lock_wait_ns = lock_wait;
    return FileDisk::open(loop, path, options);
}

Status create_file(Loop& loop, const std::string& path, std::uint64_t bytes) {
    OpenOptions options;
    options.writable = true;
    options.create = true;
    options.exclusive_create = true;
    auto file = loop.open(path, options);
    if (!file.ok()) return file.error();
    return file.value()->resize(bytes);
}

}  // namespace

Result<std::unique_ptr<MetadataDevice>> MetadataDevice::create(Loop& loop, const std::string& path,
                                                               const std::string& copy, std::uint64_t bytes) {
    EXSHADOW_TRY(create_file(loop, path, bytes));
    if (!copy.empty()) {
        const Status copied = create_file(loop, copy, bytes);
        if (!copied.ok()) {
            std::error_code ignored;
            std::filesystem::remove(path, ignored);  // ours, a moment old
            return copied.error();
        }
    }
    auto device = open(loop, path, 0);
    if (!device.ok()) return device.error();
    if (!copy.empty()) EXSHADOW_TRY(device.value()->add_copy(copy, 0));
    return device;
}

Result<std::unique_ptr<MetadataDevice>> MetadataDevice::open(Loop& loop, const std::string& path,
                                                             Nanoseconds lock_wait) {
    auto file = open_locked(loop, path, lock_wait);
    if (!file.ok()) return file.error();
    std::unique_ptr<MetadataDevice> device(new MetadataDevice(loop, path));
    device->files_.push_back(std::move(file).value());
    return device;
}

Result<std::unique_ptr<MetadataDevice>> MetadataDevice::open_read_only(Loop& loop, const std::string& path) {
    auto file = FileDisk::open(loop, path, OpenOptions{});
    if (!file.ok()) return file.error();
    std::unique_ptr<MetadataDevice> device(new MetadataDevice(loop, path));
    device->files_.push_back(std::move(file).value());
    return device;
}

Status MetadataDevice::add_copy(const std::string& path, Nanoseconds lock_wait) {
    auto file = open_locked(loop_, path, lock_wait);
    if (!file.ok()) return file.error();
    if (file.value()->size() < size()) {
        return Error(Code::corrupt, "metadata copy " + path + " is shorter than the volume file");
    }
    files_.push_back(std::move(file).value());
    return {};
}

Task<Status> MetadataDevice::read(std::size_t copy, std::uint64_t offset, std::span<std::byte> buffer) {
    auto task = files_[copy]->read(offset, buffer);
    co_return co_await std::move(task);
}

Task<Status> MetadataDevice::write(std::uint64_t offset, std::span<const std::byte> data) {
    for (auto& file : files_) {
        auto task = file->write(offset, data);
        EXSHADOW_CO_TRY(co_await std::move(task));
    }
    co_return Status{};
}

Task<Status> MetadataDevice::zero(Range range) {
    for (auto& file : files_) {
        auto task = file->zero(range, ZeroMode::may_unmap);
        EXSHADOW_CO_TRY(co_await std::move(task));
    }
    co_return Status{};
}

Task<Status> MetadataDevice::flush() {
    for (auto& file : files_) {
        auto task = file->flush();
        EXSHADOW_CO_TRY(co_await std::move(task));
    }
    co_return Status{};
}

Status MetadataDevice::allocate(Range range) {
    for (auto& file : files_) {
        Status status = file->file().allocate(range);
        // A file system without fallocate cannot promise space; the write will tell.
        if (!status.ok() && status.error().code() != Code::unsupported) return status;
    }
    return {};
}

Task<Status> MetadataDevice::copy_range(std::size_t from, std::size_t to, Range range) {
    std::vector<std::byte> buffer(std::min<std::uint64_t>(range.length, MiB));
    while (!range.empty()) {
        const auto piece = std::span(buffer).first(std::min<std::uint64_t>(range.length, buffer.size()));
        auto reading = files_[from]->read(range.offset, piece);
        EXSHADOW_CO_TRY(co_await std::move(reading));
        auto writing = files_[to]->write(range.offset, piece);
        EXSHADOW_CO_TRY(co_await std::move(writing));
        range = {range.offset + piece.size(), range.length - piece.size()};
    }
    co_return Status{};
}

}  // namespace exshadow
