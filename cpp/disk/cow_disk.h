// CowDisk: a throw-away writable view over a read-only device. The base is never written; what the view
// writes goes to a store of its own, chunk by chunk (64 KiB), up to a space limit:
//
//   base   | 0 | 1 | 2 | 3 | 4 |     chunk 1 and 3 were written, 4 was zeroed whole
//   store  | 3 | 1 |                 chunks in the order of their first write
//   map    1 -> slot 1, 3 -> slot 0, 4 -> zeroes (no slot)
//
// The map is in memory only: closing the view throws it away. The first partial write of a chunk copies
// the rest of it from the base; one that covers it whole reads nothing. Chunks keep their slot for the
// life of the view, so a read never meets another chunk's bytes. When the limit is reached writes that
// need a new chunk fail with Code::no_space; reads and writes of chunks already there go on.
//
// Loop thread only. Borrows the base, which outlives the view and must not change; owns the store.
#pragma once

#include <limits>
#include <memory>
#include <optional>
#include <unordered_map>
#include <unordered_set>

#include "disk/block_device.h"
#include "runtime/sync.h"

namespace exshadow {

class CowDisk final : public BlockDevice {
public:
    static constexpr std::uint64_t chunk_bytes = 64 * KiB;

    // `space_limit`: bytes of the store the view may use; never more than the store's size.
    CowDisk(Loop& loop, BlockDevice& base, std::unique_ptr<BlockDevice> store,
            std::uint64_t space_limit = std::numeric_limits<std::uint64_t>::max());

    [[nodiscard]] std::uint64_t size() const override { return base_.size(); }
    [[nodiscard]] std::uint32_t block_size() const override { return block_size_; }
    [[nodiscard]] std::string describe() const override { return "view of " + base_.describe(); }

    [[nodiscard]] Task<Status> read(std::uint64_t offset, std::span<std::byte> buffer) override;
    [[nodiscard]] Task<Status> write(std::uint64_t offset, std::span<const std::byte> data) override;
    [[nodiscard]] Task<Status> zero(Range range, ZeroMode mode) override;
    [[nodiscard]] Task<Status> flush() override;  // the store's; nothing of a view survives its end
    [[nodiscard]] Task<Result<std::vector<Extent>>> extents(Range range) override;

    [[nodiscard]] std::uint64_t used_bytes() const { return next_slot_ * chunk_bytes; }  // of the store

private:
    enum class Source : std::uint8_t { base, store, zeroes };
    // A part of the view that lies in one piece in one place.
    struct Run {
        Source source;
        std::uint64_t offset;  // in the base or the store
        std::uint64_t length;
    };
    static constexpr std::uint64_t zeroes_slot = std::numeric_limits<std::uint64_t>::max();

    [[nodiscard]] Run locate(std::uint64_t offset) const;
    [[nodiscard]] Run run_at(std::uint64_t offset, std::uint64_t length) const;
    [[nodiscard]] Task<Status> write_chunk(std::uint64_t offset, std::span<const std::byte> data);
    [[nodiscard]] Task<Status> zero_chunk(Range range, ZeroMode mode);
    [[nodiscard]] Task<Status> add_chunk(std::uint64_t index, std::uint64_t within,
                                         std::span<const std::byte> data);
    [[nodiscard]] Task<Status> fill_slot(std::uint64_t slot, std::uint64_t index, std::uint64_t within,
                                         std::span<const std::byte> data);
    [[nodiscard]] std::uint64_t chunk_length(std::uint64_t index) const;

    BlockDevice& base_;
    std::unique_ptr<BlockDevice> store_;
    const std::uint32_t block_size_;
    const std::uint64_t slot_limit_;
    std::uint64_t next_slot_ = 0;
    std::vector<std::uint64_t> unused_slots_;                 // taken, but their first write failed
    std::unordered_map<std::uint64_t, std::uint64_t> slots_;  // chunk index -> slot, or zeroes_slot
    std::unordered_set<std::uint64_t> filling_;               // chunks getting their slot just now
    Signal filled_;
    std::optional<Error> broken_;  // the failed flush
};

}  // namespace exshadow
