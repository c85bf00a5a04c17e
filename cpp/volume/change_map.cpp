#include "volume/change_map.h"

#include <bit>

namespace exshadow {

using format::map_bits_per_block;
using format::map_words_per_block;

namespace {

constexpr std::uint64_t all_ones = ~std::uint64_t{0};

// Bits [first, first + count) of a word; count 1 to 64.
constexpr std::uint64_t word_mask(std::uint64_t first, std::uint64_t count) {
    return (count == 64 ? all_ones : ((std::uint64_t{1} << count) - 1)) << first;
}

std::uint64_t popcount(std::uint64_t word) {
    return static_cast<std::uint64_t>(std::popcount(word));
}

}  // namespace

ChangeMap::ChangeMap(std::uint64_t volume_size, std::uint32_t region_size)
    : size_(volume_size),
      region_size_(region_size),
      region_shift_(static_cast<unsigned>(std::countr_zero(region_size))),
      regions_(divide_up(volume_size, region_size)),
      entries_(divide_up(regions_, map_bits_per_block)) {}

std::uint64_t ChangeMap::marked_bytes() const {
    if (marked_ == 0) return 0;
    const std::uint64_t last_region_bytes = size_ - (regions_ - 1) * region_size_;
    const bool short_tail = test(regions_ - 1);
    return marked_ * region_size_ - (short_tail ? region_size_ - last_region_bytes : 0);
}

std::uint64_t ChangeMap::bits_in(std::uint64_t block) const {
    return std::min(map_bits_per_block, regions_ - block * map_bits_per_block);
}

std::uint64_t ChangeMap::marked_in(std::uint64_t block) const {
    const Entry& entry = entries_[block];
    return entry.full ? bits_in(block) : entry.node ? entry.node->marked : 0;
}

void ChangeMap::set_bits(Node& node, std::uint64_t first, std::uint64_t count, bool value) {
    while (count != 0) {
        const std::uint64_t in_word = std::min(count, 64 - first % 64);
        const std::uint64_t mask = word_mask(first % 64, in_word);
        const std::uint64_t index = first / 64;
        std::uint64_t& word = node.leaf.words[index];
        const std::uint64_t changed = popcount((value ? ~word : word) & mask);
        word = value ? word | mask : word & ~mask;
        const std::uint64_t used = std::uint64_t{1} << (index % 64);
        node.used[index / 64] = word != 0 ? node.used[index / 64] | used : node.used[index / 64] & ~used;
        marked_ = value ? marked_ + changed : marked_ - changed;
        node.marked = static_cast<std::uint32_t>(value ? node.marked + changed : node.marked - changed);
        first += in_word;
        count -= in_word;
    }
}

// Give a full or absent leaf its words, so that single bits can change.
void ChangeMap::materialise(std::uint64_t block) {
    Entry& entry = entries_[block];
    if (entry.node) return;
    entry.node = std::make_unique<Node>();
    if (!entry.full) return;
    entry.full = false;
    marked_ -= bits_in(block);
    set_bits(*entry.node, 0, bits_in(block), true);
}

void ChangeMap::mark_regions(std::uint64_t first, std::uint64_t count) {
    EXSHADOW_CHECK(first + count <= regions_);
    while (count != 0) {
        const std::uint64_t block = first / map_bits_per_block;
        const std::uint64_t bit = first % map_bits_per_block;
        const std::uint64_t here = std::min(count, map_bits_per_block - bit);
        Entry& entry = entries_[block];
        if (here == bits_in(block)) {
            set_leaf_full(block);
            entry.dirty = true;
        } else if (!entry.full) {
            materialise(block);
            const std::uint64_t before = marked_;
            set_bits(*entry.node, bit, here, true);
            if (marked_ != before) entry.dirty = true;
        }
        first += here;
        count -= here;
    }
}

void ChangeMap::clear_regions(std::uint64_t first, std::uint64_t count) {
    EXSHADOW_CHECK(first + count <= regions_);
    while (count != 0) {
        const std::uint64_t block = first / map_bits_per_block;
        const std::uint64_t bit = first % map_bits_per_block;
        const std::uint64_t here = std::min(count, map_bits_per_block - bit);
        Entry& entry = entries_[block];
        if (entry.full || entry.node) {
            materialise(block);
            set_bits(*entry.node, bit, here, false);
            entry.dirty = true;
            if (entry.node->marked == 0) entry.node.reset();
        }
        first += here;
        count -= here;
    }
}

void ChangeMap::mark_all() {
    for (std::uint64_t block = 0; block < entries_.size(); ++block) {
        set_leaf_full(block);
        entries_[block].dirty = true;
    }
}

void ChangeMap::clear_all() {
    for (auto& entry : entries_) {
        entry.dirty = entry.dirty || entry.full || entry.node != nullptr;
        entry.full = false;
        entry.node.reset();
    }
    marked_ = 0;
}

bool ChangeMap::test(std::uint64_t region) const {
    EXSHADOW_CHECK(region < regions_);
    const Entry& entry = entries_[region / map_bits_per_block];
    if (entry.full) return true;
    if (!entry.node) return false;
    const std::uint64_t bit = region % map_bits_per_block;
    return ((entry.node->leaf.words[bit / 64] >> (bit % 64)) & 1U) != 0;
}

bool ChangeMap::any(Range bytes) const {
    const std::uint64_t last = (bytes.end() - 1) >> region_shift_;
    for (std::uint64_t region = bytes.offset >> region_shift_; region <= last; ++region) {
        if (test(region)) return true;
    }
    return false;
}

bool ChangeMap::all(Range bytes) const {
    const std::uint64_t last = (bytes.end() - 1) >> region_shift_;
    for (std::uint64_t region = bytes.offset >> region_shift_; region <= last; ++region) {
        if (!test(region)) return false;
    }
    return true;
}

// The first set bit of a leaf at or after `bit`; map_bits_per_block when there is none.
std::uint64_t ChangeMap::next_in_node(const Node& node, std::uint64_t bit) {
    const std::uint64_t index = bit / 64;
    const std::uint64_t word = node.leaf.words[index] & (all_ones << (bit % 64));
    if (word != 0) return index * 64 + static_cast<std::uint64_t>(std::countr_zero(word));
    std::uint64_t from = index + 1;
    while (from < map_words_per_block) {
        const std::uint64_t used = node.used[from / 64] & (all_ones << (from % 64));
        if (used != 0) {
            from = from / 64 * 64 + static_cast<std::uint64_t>(std::countr_zero(used));
            return from * 64 + static_cast<std::uint64_t>(std::countr_zero(node.leaf.words[from]));
        }
        from = (from / 64 + 1) * 64;
    }
    return map_bits_per_block;
}

std::optional<std::uint64_t> ChangeMap::next_set(std::uint64_t from) const {
    std::uint64_t bit = from % map_bits_per_block;
    for (std::uint64_t block = from / map_bits_per_block; block < entries_.size(); ++block, bit = 0) {
        const Entry& entry = entries_[block];
        if (entry.full) return block * map_bits_per_block + bit;
        if (!entry.node) continue;
        const std::uint64_t found = next_in_node(*entry.node, bit);
        if (found != map_bits_per_block) return block * map_bits_per_block + found;
    }
    return std::nullopt;
}

std::uint64_t ChangeMap::next_clear(std::uint64_t from, std::uint64_t end) const {
    while (from < end) {
        const std::uint64_t block = from / map_bits_per_block;
        const Entry& entry = entries_[block];
        if (entry.full) {
            from = (block + 1) * map_bits_per_block;
            continue;
        }
        if (!entry.node) return from;
        const std::uint64_t bit = from % map_bits_per_block;
        const std::uint64_t clear = ~entry.node->leaf.words[bit / 64] & (all_ones << (bit % 64));
        const std::uint64_t word_start = from - bit % 64;
        if (clear != 0) {
            return std::min(end, word_start + static_cast<std::uint64_t>(std::countr_zero(clear)));
        }
        from = word_start + 64;
        if (bit / 64 + 1 == map_words_per_block) from = (block + 1) * map_bits_per_block;
    }
    return end;
}

std::optional<Range> ChangeMap::next_run(std::uint64_t from_region, std::uint64_t limit) const {
    if (from_region >= regions_) return std::nullopt;
    const auto first = next_set(from_region);
    if (!first) return std::nullopt;
    const std::uint64_t end = limit < regions_ - *first ? *first + limit : regions_;
    const std::uint64_t last = next_clear(*first, end);
    const std::uint64_t offset = *first * region_size_;
    return Range{offset, std::min(last * region_size_, size_) - offset};
}

Ranges ChangeMap::runs() const {
    Ranges list;
    std::uint64_t from = 0;
    while (const auto run = next_run(from, regions_)) {
        list.push_back(*run);
        from = divide_up(run->end(), region_size_);
    }
    return list;
}

bool ChangeMap::merge_step(const ChangeMap& other, std::uint64_t& cursor, std::uint64_t leaves) {
    EXSHADOW_CHECK(other.regions_ == regions_);
    for (; cursor < entries_.size() && leaves != 0; ++cursor, --leaves) {
        merge_leaf(cursor, other, cursor);
    }
    return cursor == entries_.size();
}

void ChangeMap::merge_leaf(std::uint64_t block, const ChangeMap& other, std::uint64_t from) {
    const Entry& source = other.entries_[from];
    Entry& target = entries_[block];
    if (target.full || (!source.full && !source.node)) return;
    if (source.full) {
        set_leaf_full(block);
        target.dirty = true;
        return;
    }
    materialise(block);
    for (std::size_t i = 0; i < map_words_per_block; ++i) {
        const std::uint64_t added = source.node->leaf.words[i] & ~target.node->leaf.words[i];
        if (added == 0) continue;
        target.node->leaf.words[i] |= added;
        target.node->used[i / 64] |= std::uint64_t{1} << (i % 64);
        target.node->marked += static_cast<std::uint32_t>(popcount(added));
        marked_ += popcount(added);
        target.dirty = true;
    }
}

void ChangeMap::merge(const ChangeMap& other) {
    std::uint64_t cursor = 0;
    while (!merge_step(other, cursor)) {
    }
}

ChangeMap::LeafState ChangeMap::leaf_state(std::uint64_t block) const {
    const Entry& entry = entries_[block];
    if (entry.full) return LeafState::full;
    return entry.node ? LeafState::stored : LeafState::clear;
}

ChangeMap::LeafState ChangeMap::leaf_content(std::uint64_t block) const {
    const std::uint64_t marked = marked_in(block);
    if (marked == 0) return LeafState::clear;
    return marked == bits_in(block) ? LeafState::full : LeafState::stored;
}

void ChangeMap::set_leaf(std::uint64_t block, const Leaf& leaf) {
    Entry& entry = entries_[block];
    marked_ -= marked_in(block);
    entry.full = false;
    entry.node = std::make_unique<Node>();
    Node& node = *entry.node;
    node.leaf = leaf;
    for (std::size_t i = 0; i < map_words_per_block; ++i) {
        node.marked += static_cast<std::uint32_t>(popcount(leaf.words[i]));
        if (leaf.words[i] != 0) node.used[i / 64] |= std::uint64_t{1} << (i % 64);
    }
    marked_ += node.marked;
    // Bits behind the volume's end would be marks nobody can settle.
    const std::uint64_t bits = bits_in(block);
    if (bits < map_bits_per_block) set_bits(node, bits, map_bits_per_block - bits, false);
}

void ChangeMap::set_leaf_full(std::uint64_t block) {
    Entry& entry = entries_[block];
    marked_ += bits_in(block) - marked_in(block);
    entry.full = true;
    entry.node.reset();
}

ChangeWindow::ChangeWindow(std::uint64_t volume_size, std::uint32_t region_size, Range range)
    : range_(range),
      leaf_bytes_(map_bits_per_block * region_size),
      first_leaf_(range.offset / leaf_bytes_),
      part_(round_out(range, leaf_bytes_, volume_size).end() - first_leaf_ * leaf_bytes_, region_size) {
    EXSHADOW_CHECK(!range.empty() && range.end() <= volume_size);
}

void ChangeWindow::merge(const ChangeMap& map) {
    for (std::uint64_t i = 0; i < part_.leaf_count(); ++i) part_.merge_leaf(i, map, first_leaf_ + i);
}

Ranges ChangeWindow::runs() const {
    Ranges list;
    const std::uint64_t start = first_leaf_ * leaf_bytes_;
    const std::uint64_t region = part_.region_size();
    std::uint64_t from = (range_.offset - start) / region;
    while (const auto run = part_.next_run(from, part_.regions())) {
        const std::uint64_t begin = std::max(start + run->offset, range_.offset);
        const std::uint64_t end = std::min(start + run->end(), range_.end());
        if (begin >= end) break;
        list.push_back({begin, end - begin});
        from = divide_up(run->end(), region);
    }
    return list;
}

}  // namespace exshadow
