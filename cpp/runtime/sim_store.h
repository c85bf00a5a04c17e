// SimStore: the bytes of one simulated file, behind a volatile cache.
//
// Reads see the cache. A write, zero or resize becomes durable by a flush() that covers it; until then
// power_cut() may keep it, lose it or tear it. What is kept: the blocks as reads see them, for every
// block touched since its last flush its durable bytes (`saved_`), and the ordered list of unflushed
// changes. So the common case (write, write, flush) copies little, and nothing scans the file.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "base/units.h"
#include "runtime/file.h"
#include "runtime/sim_random.h"
#include "runtime/sim_space.h"

namespace exshadow {

class SimStore {
public:
    static constexpr std::uint64_t block_bytes = 4 * KiB;

    [[nodiscard]] std::uint64_t size() const { return size_; }
    [[nodiscard]] std::size_t unflushed() const { return changes_.size(); }
    [[nodiscard]] std::vector<Extent> extents(Range range) const;

    void read(std::uint64_t offset, std::span<std::byte> out) const;          // zeroes past the end
    void read_durable(std::uint64_t offset, std::span<std::byte> out) const;  // as if all unflushed were lost

    // Volatile changes; a write past the end makes the file longer.
    void write(std::uint64_t offset, std::span<const std::byte> data);
    void zero(Range range);
    void resize(std::uint64_t size);
    // Durable at once, behind everybody's back.
    void poke(std::uint64_t offset, std::span<const std::byte> data);

    // The number of the newest change so far: flush(mark()) covers everything done up to now.
    [[nodiscard]] std::uint64_t mark() const { return sequence_; }
    std::uint64_t take_sequence() { return ++sequence_; }
    void flush(std::uint64_t mark);
    // A failed flush that loses what it covered: reads go back to the old bytes, or (still_visible)
    // keep showing the new ones although no later flush will write them.
    void drop(std::uint64_t mark, bool still_visible);
    void power_cut(SimRandom& random, std::uint64_t sector);

private:
    using Block = std::array<std::byte, block_bytes>;
    using Blocks = std::unordered_map<std::uint64_t, std::shared_ptr<Block>>;  // shared: copied on write
    struct Change {
        enum class Kind : std::uint8_t { write, zero, resize };
        Kind kind = Kind::write;
        bool dropped = false;  // visible, but no flush writes it any more
        std::uint64_t sequence = 0;
        Range range;  // resize: length is the new size
        std::vector<std::byte> data;
    };
    enum class Layer : std::uint8_t { visible, saved };

    static Block& writable(std::shared_ptr<Block>& block);
    static void copy_out(const Blocks& first, const Blocks& second, std::uint64_t offset,
                         std::span<std::byte> out);
    void save(std::uint64_t index);
    void put(Layer layer, std::uint64_t offset, std::span<const std::byte> data);
    void clear(Layer layer, Range range);
    void apply(Layer layer, const Change& change);
    void apply_torn(const Change& change, std::uint64_t sector, SimRandom& random);
    void return_to_durable();

    Blocks blocks_;               // what reads see; absent reads as zeroes
    Blocks saved_;                // durable bytes of blocks changed since; null: zeroes
    std::deque<Change> changes_;  // unflushed, oldest first
    std::uint64_t size_ = 0;
    std::uint64_t durable_size_ = 0;
    std::uint64_t sequence_ = 0;
};

}  // namespace exshadow
