// MetadataDevice: the volume file and, where there is one, its copy elsewhere (--metadata-copy). Every
// write goes to all of them; the caller treats any failure as the end of writing (E20). Loop only.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "disk/file_disk.h"
#include "runtime/loop.h"

namespace exshadow {

class MetadataDevice {
public:
    // Create NAME.exv (and the copy) with `bytes` of sparse room; refuses what exists.
    static Result<std::unique_ptr<MetadataDevice>> create(Loop& loop, const std::string& path,
                                                          const std::string& copy, std::uint64_t bytes);
    // Open for writing under its lock, waiting up to `lock_wait` for a previous owner's last I/O.
    static Result<std::unique_ptr<MetadataDevice>> open(Loop& loop, const std::string& path,
                                                        Nanoseconds lock_wait);
    // Open without lock and without ever writing.
    static Result<std::unique_ptr<MetadataDevice>> open_read_only(Loop& loop, const std::string& path);

    // Add an existing file as the copy, or drop it again.
    Status add_copy(const std::string& path, Nanoseconds lock_wait);
    void drop_copy() { files_.resize(1); }

    [[nodiscard]] std::size_t copies() const { return files_.size(); }
    [[nodiscard]] const std::string& path() const { return path_; }
    [[nodiscard]] std::uint64_t size() const { return files_[0]->size(); }

    Task<Status> read(std::size_t copy, std::uint64_t offset, std::span<std::byte> buffer);
    Task<Status> write(std::uint64_t offset, std::span<const std::byte> data);
    Task<Status> zero(Range range);
    Task<Status> flush();
    // Reserve space so that later writes in `range` cannot fail for want of it (E20).
    Status allocate(Range range);
    // Overwrite `range` of copy `to` with that of copy `from`.
    Task<Status> copy_range(std::size_t from, std::size_t to, Range range);

private:
    MetadataDevice(Loop& loop, std::string path) : loop_(loop), path_(std::move(path)) {}

    Loop& loop_;
    std::string path_;
    std::vector<std::unique_ptr<FileDisk>> files_;
};

}  // namespace exshadow
