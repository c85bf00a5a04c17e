#include "runtime/sim_store.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace exshadow {

SimStore::Block& SimStore::writable(std::shared_ptr<Block>& block) {
    if (block == nullptr) {
        block = std::make_shared<Block>();
    } else if (block.use_count() > 1) {
        block = std::make_shared<Block>(*block);
    }
    return *block;
}

void SimStore::copy_out(const Blocks& first, const Blocks& second, std::uint64_t offset,
                        std::span<std::byte> out) {
    for_each_piece({offset, out.size()}, block_bytes,
                   [&](std::uint64_t index, std::uint64_t inside, std::uint64_t at, std::uint64_t length) {
                       const Block* block = nullptr;
                       if (const auto it = first.find(index); it != first.end()) {
                           block = it->second.get();
                       } else if (const auto other = second.find(index); other != second.end()) {
                           block = other->second.get();
                       }
                       if (block != nullptr) {
                           std::memcpy(out.data() + at, block->data() + inside, length);
                       } else {
                           std::memset(out.data() + at, 0, length);
                       }
                   });
}

void SimStore::read(std::uint64_t offset, std::span<std::byte> out) const {
    copy_out(blocks_, blocks_, offset, out);
}

void SimStore::read_durable(std::uint64_t offset, std::span<std::byte> out) const {
    copy_out(saved_, blocks_, offset, out);
}

std::vector<Extent> SimStore::extents(Range range) const {
    const std::uint64_t first = range.offset / block_bytes;
    const std::uint64_t last = divide_up(range.end(), block_bytes);
    std::vector<std::uint64_t> present;
    if (last - first <= blocks_.size()) {
        for (std::uint64_t index = first; index < last; ++index) {
            if (blocks_.contains(index)) present.push_back(index);
        }
    } else {
        for (const auto& entry : blocks_) {
            if (entry.first >= first && entry.first < last) present.push_back(entry.first);
        }
        std::sort(present.begin(), present.end());
    }
    std::vector<Extent> out;
    const auto append = [&](std::uint64_t end, bool zero) {
        const std::uint64_t begin = out.empty() ? range.offset : out.back().range.end();
        end = std::min(end, range.end());
        if (end <= begin) return;
        if (!out.empty() && out.back().zero == zero) {
            out.back().range.length += end - begin;
        } else {
            out.push_back({{begin, end - begin}, zero});
        }
    };
    for (const std::uint64_t index : present) {
        append(index * block_bytes, true);
        append((index + 1) * block_bytes, false);
    }
    append(range.end(), true);
    return out;
}

void SimStore::save(std::uint64_t index) {
    const auto [it, added] = saved_.try_emplace(index);
    if (!added) return;
    if (const auto block = blocks_.find(index); block != blocks_.end()) it->second = block->second;
}

// The saved layer holds only blocks that differ, or may differ, from what reads see; others are left.
void SimStore::put(Layer layer, std::uint64_t offset, std::span<const std::byte> data) {
    for_each_piece({offset, data.size()}, block_bytes,
                   [&](std::uint64_t index, std::uint64_t inside, std::uint64_t at, std::uint64_t length) {
                       if (layer == Layer::saved && !saved_.contains(index)) return;
                       Block& block = writable(layer == Layer::saved ? saved_[index] : blocks_[index]);
                       std::memcpy(block.data() + inside, data.data() + at, length);
                   });
}

void SimStore::clear(Layer layer, Range range) {
    Blocks& blocks = layer == Layer::saved ? saved_ : blocks_;
    const auto clear_one = [&](Blocks::iterator it) {
        const std::uint64_t begin = std::max(it->first * block_bytes, range.offset);
        const std::uint64_t end = std::min((it->first + 1) * block_bytes, range.end());
        if (end - begin == block_bytes) {
            it->second = nullptr;
        } else if (it->second != nullptr) {
            std::memset(writable(it->second).data() + begin % block_bytes, 0, end - begin);
        }
        if (layer == Layer::visible && it->second == nullptr) return blocks.erase(it);
        return std::next(it);
    };
    const std::uint64_t first = range.offset / block_bytes;
    const std::uint64_t last = divide_up(range.end(), block_bytes);
    if (last - first <= blocks.size()) {
        for (std::uint64_t index = first; index < last; ++index) {
            if (const auto it = blocks.find(index); it != blocks.end()) clear_one(it);
        }
        return;
    }
    for (auto it = blocks.begin(); it != blocks.end();) {
        it = it->first >= first && it->first < last ? clear_one(it) : std::next(it);
    }
}

void SimStore::apply(Layer layer, const Change& change) {
    std::uint64_t& size = layer == Layer::saved ? durable_size_ : size_;
    switch (change.kind) {
        case Change::Kind::write:
            put(layer, change.range.offset, change.data);
            size = std::max(size, change.range.end());
            break;
        case Change::Kind::zero: clear(layer, change.range); break;
        case Change::Kind::resize:
            size = change.range.length;
            clear(layer, {size, ~std::uint64_t{0} - block_bytes - size});
            break;
    }
}

void SimStore::write(std::uint64_t offset, std::span<const std::byte> data) {
    if (data.empty()) return;
    const Range range{offset, data.size()};
    for_each_piece(range, block_bytes,
                   [&](std::uint64_t index, std::uint64_t, std::uint64_t, std::uint64_t) { save(index); });
    Change change{Change::Kind::write, false, ++sequence_, range, {data.begin(), data.end()}};
    apply(Layer::visible, change);
    changes_.push_back(std::move(change));
}

void SimStore::zero(Range range) {
    if (range.empty()) return;
    const std::uint64_t first = range.offset / block_bytes;
    const std::uint64_t last = divide_up(range.end(), block_bytes);
    if (last - first <= blocks_.size()) {
        for (std::uint64_t index = first; index < last; ++index) {
            if (blocks_.contains(index)) save(index);
        }
    } else {
        for (const auto& entry : blocks_) {
            if (entry.first >= first && entry.first < last) save(entry.first);
        }
    }
    Change change{Change::Kind::zero, false, ++sequence_, range, {}};
    apply(Layer::visible, change);
    changes_.push_back(std::move(change));
}

void SimStore::resize(std::uint64_t size) {
    if (size < size_) zero({size, size_ - size});
    Change change{Change::Kind::resize, false, ++sequence_, {0, size}, {}};
    apply(Layer::visible, change);
    changes_.push_back(std::move(change));
}

void SimStore::poke(std::uint64_t offset, std::span<const std::byte> data) {
    put(Layer::visible, offset, data);
    put(Layer::saved, offset, data);
    size_ = std::max(size_, offset + data.size());
    durable_size_ = std::max(durable_size_, offset + data.size());
}

void SimStore::flush(std::uint64_t mark) {
    std::deque<Change> left;
    for (Change& change : changes_) {
        if (change.sequence > mark || change.dropped) left.push_back(std::move(change));
    }
    if (left.empty()) {  // everything is durable now: what reads see is what is on the disk
        saved_.clear();
        changes_.clear();
        durable_size_ = size_;
        return;
    }
    std::swap(left, changes_);
    for (const Change& change : left) {
        if (change.sequence <= mark && !change.dropped) apply(Layer::saved, change);
    }
}

void SimStore::return_to_durable() {
    for (auto& [index, block] : saved_) {
        if (block == nullptr) {
            blocks_.erase(index);
        } else {
            blocks_[index] = std::move(block);
        }
    }
    saved_.clear();
    size_ = durable_size_;
}

void SimStore::drop(std::uint64_t mark, bool still_visible) {
    if (still_visible) {
        for (Change& change : changes_) {
            if (change.sequence <= mark) change.dropped = true;
        }
        return;
    }
    // Rebuild the cache without the dropped changes: the durable bytes, then the newer changes again.
    const std::deque<Change> all = std::exchange(changes_, {});
    return_to_durable();
    const std::uint64_t newest = sequence_;
    for (const Change& change : all) {
        if (change.sequence <= mark) continue;
        sequence_ = change.sequence - 1;
        if (change.kind == Change::Kind::write) write(change.range.offset, change.data);
        if (change.kind == Change::Kind::zero) zero(change.range);
        if (change.kind == Change::Kind::resize) resize(change.range.length);
        if (!changes_.empty()) changes_.back().dropped = change.dropped;
    }
    sequence_ = newest;
}

void SimStore::apply_torn(const Change& change, std::uint64_t sector, SimRandom& random) {
    if (change.kind == Change::Kind::resize) return;
    const bool is_write = change.kind == Change::Kind::write;
    for (const Range& part : tear(change.range, sector, random, is_write ? 1 << 16 : 256)) {
        if (is_write) {
            put(Layer::visible, part.offset,
                std::span(change.data).subspan(part.offset - change.range.offset, part.length));
            size_ = std::max(size_, part.end());
        } else {
            clear(Layer::visible, part);
        }
    }
}

void SimStore::power_cut(SimRandom& random, std::uint64_t sector) {
    const std::deque<Change> all = std::exchange(changes_, {});
    return_to_durable();
    // A disk often loses everything, nothing, or all after some moment; the rest is each for itself.
    const std::uint64_t mood = random.below(8);
    const std::uint64_t prefix = random.below(all.size() + 1);
    std::uint64_t at = 0;
    for (const Change& change : all) {
        const bool before = at++ < prefix;
        if (change.dropped || mood == 0) continue;
        const std::uint64_t roll = random.below(10);
        const bool whole = mood == 1 || (mood == 2 ? before : roll < 4);
        if (whole) {
            apply(Layer::visible, change);
        } else if (mood > 2 && roll >= 8) {
            apply_torn(change, sector, random);
        }
    }
    durable_size_ = size_;
}

}  // namespace exshadow
