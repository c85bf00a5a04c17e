// ChangeMap: bitmap over regions, "may differ since". In memory it is a table of leaves, one for each
// 4 KiB block of its stored form (format.h), so that a sparse map of a huge volume costs almost nothing:
// a leaf is absent (all clear), full (all set, no memory) or 504 words of bits.
//
// Marks outside the volume are a broken invariant (checked), never dropped. Not thread-safe: loop only.
// Long walks are offered in steps (merge_step, next_run) so that callers can yield (E34).
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "base/units.h"
#include "volume/format.h"

namespace exshadow {

class ChangeMap {
public:
    struct Leaf {
        std::array<std::uint64_t, format::map_words_per_block> words{};
    };
    enum class LeafState : std::uint8_t { clear = 0, stored = 1, full = 2 };

    ChangeMap(std::uint64_t volume_size, std::uint32_t region_size);

    [[nodiscard]] std::uint32_t region_size() const { return region_size_; }
    [[nodiscard]] std::uint64_t regions() const { return regions_; }
    [[nodiscard]] std::uint64_t marked() const { return marked_; }  // number of set bits
    [[nodiscard]] std::uint64_t marked_bytes() const;               // clipped at the volume's end
    [[nodiscard]] bool empty() const { return marked_ == 0; }

    // Set the bit of every region that `bytes` touches. Constant time for one region.
    void mark(Range bytes) {
        const std::uint64_t first = bytes.offset >> region_shift_;
        const std::uint64_t last = (bytes.end() - 1) >> region_shift_;
        if (first == last) {
            mark_region(first);
        } else {
            mark_regions(first, last - first + 1);
        }
    }
    void mark_region(std::uint64_t region) {
        EXSHADOW_CHECK(region < regions_);
        const std::uint64_t block = region / format::map_bits_per_block;
        Entry& entry = entries_[block];
        if (entry.node == nullptr) [[unlikely]] {
            if (entry.full) return;
            entry.node = std::make_unique<Node>();
        }
        Node& node = *entry.node;
        const std::uint64_t bit = region - block * format::map_bits_per_block;
        std::uint64_t& word = node.leaf.words[bit >> 6];
        const std::uint64_t mask = std::uint64_t{1} << (bit & 63);
        if ((word & mask) == 0) {
            word |= mask;
            node.used[bit >> 12] |= std::uint64_t{1} << ((bit >> 6) & 63);
            ++node.marked;
            ++marked_;
            entry.dirty = true;
        }
    }
    void mark_regions(std::uint64_t first, std::uint64_t count);
    void clear_regions(std::uint64_t first, std::uint64_t count);
    void mark_all();
    void clear_all();

    [[nodiscard]] bool test(std::uint64_t region) const;
    // True when any region that `bytes` touches is set / when all are.
    [[nodiscard]] bool any(Range bytes) const;
    [[nodiscard]] bool all(Range bytes) const;

    // The first run of set regions at or after `from`, at most `limit` regions long: byte range, clipped
    // to the volume. Nothing when there is none. Skips clear leaves without touching them.
    [[nodiscard]] std::optional<Range> next_run(std::uint64_t from_region, std::uint64_t limit) const;
    // All runs, merged, as byte ranges.
    [[nodiscard]] Ranges runs() const;

    // OR `other` into this map, `leaves` leaves from `cursor` on; true when the end was reached.
    bool merge_step(const ChangeMap& other, std::uint64_t& cursor, std::uint64_t leaves = 128);
    void merge(const ChangeMap& other);
    // OR one leaf of `other` into one of this map; both are of the same length.
    void merge_leaf(std::uint64_t block, const ChangeMap& other, std::uint64_t from);

    // --- stored form (map_store) ---
    [[nodiscard]] std::uint64_t leaf_count() const { return entries_.size(); }
    [[nodiscard]] LeafState leaf_state(std::uint64_t block) const;
    // What its bits amount to, however they are held: clear, full, or `stored` for anything between.
    [[nodiscard]] LeafState leaf_content(std::uint64_t block) const;
    [[nodiscard]] const Leaf* leaf(std::uint64_t block) const {
        return entries_[block].node ? &entries_[block].node->leaf : nullptr;
    }
    void set_leaf(std::uint64_t block, const Leaf& leaf);  // as loaded; bits past the end are dropped
    void set_leaf_full(std::uint64_t block);
    [[nodiscard]] bool leaf_dirty(std::uint64_t block) const { return entries_[block].dirty; }
    void set_leaf_dirty(std::uint64_t block, bool dirty) { entries_[block].dirty = dirty; }

private:
    struct Node {
        Leaf leaf;
        std::array<std::uint64_t, 8> used{};  // one bit a word that is not zero: sparse scans skip by it
        std::uint32_t marked = 0;
    };
    struct Entry {
        std::unique_ptr<Node> node;
        bool full = false;
        bool dirty = false;  // changed since it was last persisted
    };

    [[nodiscard]] std::uint64_t bits_in(std::uint64_t block) const;
    [[nodiscard]] std::uint64_t marked_in(std::uint64_t block) const;
    [[nodiscard]] static std::uint64_t next_in_node(const Node& node, std::uint64_t bit);
    [[nodiscard]] std::optional<std::uint64_t> next_set(std::uint64_t from) const;
    [[nodiscard]] std::uint64_t next_clear(std::uint64_t from, std::uint64_t end) const;
    void set_bits(Node& node, std::uint64_t first, std::uint64_t count, bool value);
    void materialise(std::uint64_t block);

    std::uint64_t size_;
    std::uint32_t region_size_;
    unsigned region_shift_;
    std::uint64_t regions_;
    std::uint64_t marked_ = 0;
    std::vector<Entry> entries_;
};

// The part of change maps that a range touches, in whole leaves: what it costs depends on the range only.
class ChangeWindow {
public:
    // `range` is not empty and lies inside the volume.
    ChangeWindow(std::uint64_t volume_size, std::uint32_t region_size, Range range);
    void merge(const ChangeMap& map);
    // All runs, merged, clipped to the range.
    [[nodiscard]] Ranges runs() const;

private:
    const Range range_;
    const std::uint64_t leaf_bytes_;
    const std::uint64_t first_leaf_;
    ChangeMap part_;
};

}  // namespace exshadow
