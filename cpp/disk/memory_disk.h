// MemoryDisk: bytes in memory, sparse by 64 KiB chunk, for tests, small views and as a model. Answers
// on the spot. An optional capacity makes it fail with Code::no_space like a thin device that fills up.
// Nothing is durable. Loop thread only.
#pragma once

#include <array>
#include <limits>
#include <memory>
#include <unordered_map>

#include "base/buffer.h"
#include "disk/block_device.h"

namespace exshadow {

struct MemoryDiskOptions {
    std::uint64_t size = 0;                                              // bytes
    std::uint64_t capacity = std::numeric_limits<std::uint64_t>::max();  // bytes of memory it may take
    std::uint32_t block_size = 1;
};

class MemoryDisk final : public BlockDevice {
public:
    static constexpr std::uint64_t chunk_bytes = 64 * KiB;

    explicit MemoryDisk(MemoryDiskOptions options) : options_(options) {}

    [[nodiscard]] std::uint64_t size() const override { return options_.size; }
    [[nodiscard]] std::uint32_t block_size() const override { return options_.block_size; }
    [[nodiscard]] std::string describe() const override { return "memory disk"; }

    [[nodiscard]] Task<Status> read(std::uint64_t offset, std::span<std::byte> buffer) override;
    [[nodiscard]] Task<Status> write(std::uint64_t offset, std::span<const std::byte> data) override;
    [[nodiscard]] Task<Status> zero(Range range, ZeroMode mode) override;
    [[nodiscard]] Task<Status> flush() override;
    [[nodiscard]] Task<Result<std::vector<Extent>>> extents(Range range) override;

    [[nodiscard]] std::uint64_t allocated_bytes() const { return chunks_.size() * chunk_bytes; }

private:
    [[nodiscard]] std::byte* find(std::uint64_t index);
    [[nodiscard]] std::byte* find_or_add(std::uint64_t index);  // null when the capacity is used up

    MemoryDiskOptions options_;
    std::unordered_map<std::uint64_t, AlignedBuffer> chunks_;
};

}  // namespace exshadow
