// ChangeMap against a plain vector of bits.
#include "volume/change_map.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>

namespace exshadow::test {

namespace {

constexpr std::uint32_t region = 4096;

class Model {
public:
    Model(std::uint64_t size, std::uint32_t region_size)
        : map(size, region_size), bits(divide_up(size, region_size)), size_(size) {}

    void mark(Range range) {
        map.mark(range);
        for (auto i = range.offset / region; i <= (range.end() - 1) / region; ++i) bits[i] = true;
    }
    void clear(std::uint64_t first, std::uint64_t count) {
        map.clear_regions(first, count);
        for (auto i = first; i < first + count; ++i) bits[i] = false;
    }
    void check() const {
        const auto count = static_cast<std::uint64_t>(std::count(bits.begin(), bits.end(), true));
        REQUIRE(map.marked() == count);
        REQUIRE(map.empty() == (count == 0));
        Ranges expected;
        std::uint64_t bytes = 0;
        for (std::uint64_t i = 0; i < bits.size(); ++i) {
            if (!bits[i]) continue;
            const std::uint64_t end = std::min((i + 1) * region, size_);
            bytes += end - i * region;
            if (!expected.empty() && expected.back().end() == i * region) {
                expected.back().length = end - expected.back().offset;
            } else {
                expected.push_back({i * region, end - i * region});
            }
        }
        REQUIRE(map.runs() == expected);
        REQUIRE(map.marked_bytes() == bytes);
    }

    ChangeMap map;
    std::vector<bool> bits;

private:
    std::uint64_t size_;
};

Range any_range(std::mt19937_64& random, std::uint64_t size, std::uint64_t longest) {
    const std::uint64_t offset = random() % size;
    return {offset, 1 + random() % std::min(longest, size - offset)};
}

}  // namespace

TEST_CASE("marks, clears and merges agree with a plain bitmap") {
    for (std::uint64_t seed = 1; seed <= 30; ++seed) {
        std::mt19937_64 random(seed);
        // Three leaves and a short last region.
        const std::uint64_t size =
            2 * format::map_bits_per_block * region + (1 + random() % 5000) * region - 1536;
        Model model(size, region);
        for (int step = 0; step < 60; ++step) {
            const auto kind = random() % 10;
            const std::uint64_t longest = random() % 8 == 0 ? size : 40 * region;
            if (kind < 6) {
                model.mark(any_range(random, size, longest));
            } else if (kind < 9) {
                const Range range =
                    any_range(random, model.map.regions(), std::max<std::uint64_t>(longest / region, 1));
                model.clear(range.offset, range.length);
            } else {
                Model other(size, region);
                for (int i = 0; i < 5; ++i) other.mark(any_range(random, size, longest));
                model.map.merge(other.map);
                for (std::size_t i = 0; i < model.bits.size(); ++i) {
                    if (other.bits[i]) model.bits[i] = true;
                }
            }
            if (step % 10 == 9) model.check();
        }
    }
}

TEST_CASE("any and all look at every region a range touches") {
    ChangeMap map(100 * region, region);
    map.mark({10 * region, 2 * region});
    CHECK(map.any({9 * region, region + 1}));
    CHECK_FALSE(map.any({9 * region, region}));
    CHECK(map.all({10 * region + 5, region}));
    CHECK_FALSE(map.all({11 * region, region + 1}));
}

TEST_CASE("runs are cut to the limit and clipped to the volume") {
    ChangeMap map(10 * region + 512, region);
    map.mark_all();
    CHECK(map.next_run(0, 4) == Range{0, 4 * region});
    CHECK(map.next_run(9, 100) == Range{9 * region, region + 512});
    CHECK_FALSE(map.next_run(11, 1).has_value());
    CHECK(map.marked_bytes() == 10 * region + 512);
}

TEST_CASE("a window has the runs of its range, of all maps together") {
    constexpr std::uint64_t leaf = format::map_bits_per_block * region;
    std::mt19937_64 random(5);
    for (int round = 0; round < 20; ++round) {
        CAPTURE(round);
        const std::uint64_t size = 3 * leaf + random() % leaf / 512 * 512 + 512;
        ChangeMap first(size, region);
        ChangeMap second(size, region);
        for (int i = 0; i < 300; ++i) first.mark(any_range(random, size, 20 * region));
        for (int i = 0; i < 3; ++i) second.mark(any_range(random, size, size));
        if (round == 0) second.mark_all();
        if (round == 1) second.clear_all();
        ChangeMap both(size, region);
        both.merge(first);
        both.merge(second);
        std::vector<Range> ranges = {{0, size}, {leaf, leaf}, {leaf - 1, 2}, {size - 1, 1}, {0, 1}};
        for (int i = 0; i < 50; ++i) ranges.push_back(any_range(random, size, i < 25 ? size : 5 * region));
        for (const Range& range : ranges) {
            CAPTURE(range.offset);
            CAPTURE(range.length);
            ChangeWindow window(size, region, range);
            window.merge(first);
            window.merge(second);
            Ranges expected;
            for (const Range& run : both.runs()) {
                const std::uint64_t begin = std::max(run.offset, range.offset);
                const std::uint64_t end = std::min(run.end(), range.end());
                if (begin < end) expected.push_back({begin, end - begin});
            }
            REQUIRE(window.runs() == expected);
        }
    }
}

TEST_CASE("a full map of 16 TiB takes no memory for its bits") {
    ChangeMap map(16 * TiB, 64 * KiB);
    map.mark_all();
    CHECK(map.marked_bytes() == 16 * TiB);
    CHECK(map.leaf(0) == nullptr);
    CHECK(map.leaf_state(0) == ChangeMap::LeafState::full);
    map.clear_regions(5, 1);
    CHECK(map.leaf_state(0) == ChangeMap::LeafState::stored);
    CHECK(map.leaf_state(1) == ChangeMap::LeafState::full);
    CHECK(map.marked() == 16 * TiB / (64 * KiB) - 1);
}

TEST_CASE("only what changed is dirty") {
    ChangeMap map(16 * GiB, 64 * KiB);
    map.mark({0, 1});
    CHECK(map.leaf_dirty(0));
    CHECK_FALSE(map.leaf_dirty(1));
    map.set_leaf_dirty(0, false);
    map.mark({1, 1});  // the same region: nothing new to persist
    CHECK_FALSE(map.leaf_dirty(0));
    map.clear_regions(0, 1);
    CHECK(map.leaf_dirty(0));
    CHECK(map.leaf_state(0) == ChangeMap::LeafState::clear);
}

}  // namespace exshadow::test
