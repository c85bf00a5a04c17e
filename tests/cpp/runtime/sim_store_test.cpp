// SimStore and SimSpace against plain models, operation by operation.
#include "runtime/sim_store.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace exshadow {
namespace {

using Bytes = std::vector<std::byte>;
constexpr std::uint64_t store_size = 64 * KiB;

struct ModelChange {
    std::uint64_t sequence;
    Range range;
    std::byte value;
    bool dropped;
};

void lay(Bytes& bytes, const ModelChange& change) {
    std::fill_n(bytes.begin() + static_cast<std::ptrdiff_t>(change.range.offset), change.range.length,
                change.value);
}

// The obvious implementation: whole copies.
struct Model {
    Bytes visible = Bytes(store_size);
    Bytes durable = Bytes(store_size);
    std::vector<ModelChange> changes;

    void flush(std::uint64_t mark) {
        std::vector<ModelChange> left;
        for (const ModelChange& change : changes) {
            if (change.sequence > mark || change.dropped) {
                left.push_back(change);
            } else {
                lay(durable, change);
            }
        }
        changes = left;
    }
    void drop(std::uint64_t mark, bool still_visible) {
        if (still_visible) {
            for (ModelChange& change : changes) change.dropped |= change.sequence <= mark;
            return;
        }
        std::erase_if(changes, [mark](const ModelChange& change) { return change.sequence <= mark; });
        visible = durable;
        for (const ModelChange& change : changes) lay(visible, change);
    }
};

Bytes content(const SimStore& store, bool durable) {
    Bytes out(store_size);
    durable ? store.read_durable(0, out) : store.read(0, out);
    return out;
}

void step(SimStore& store, Model& model, std::uint64_t& mark, SimRandom& random) {
    const std::uint64_t what = random.below(12);
    const std::uint64_t offset = random.below(store_size / 512) * 512;
    const std::uint64_t longest = random.below(4) == 0 ? store_size : 6 * KiB;
    const std::uint64_t length = 1 + random.below(std::min(store_size - offset, longest));
    if (what < 8) {
        const auto value = static_cast<std::byte>(what < 6 ? 1 + random.below(255) : 0);
        if (what < 6) store.write(offset, Bytes(length, value));
        if (what >= 6) store.zero({offset, length});
        model.changes.push_back({store.mark(), {offset, length}, value, false});
        lay(model.visible, model.changes.back());
    } else if (what == 8) {
        mark = store.mark();
    } else if (what < 11) {
        store.flush(mark);
        model.flush(mark);
    } else {
        const bool still_visible = random.chance(0.5);
        store.drop(mark, still_visible);
        model.drop(mark, still_visible);
    }
}

TEST_CASE("a_store_agrees_with_whole_copies") {
    for (std::uint64_t seed = 0; seed < 30; ++seed) {
        SimRandom random(seed);
        SimStore store;
        store.resize(store_size);
        store.flush(store.mark());
        Model model;
        std::uint64_t mark = 0;
        for (int i = 0; i < 150; ++i) {
            step(store, model, mark, random);
            REQUIRE(content(store, false) == model.visible);
            REQUIRE(content(store, true) == model.durable);
            REQUIRE(store.unflushed() == model.changes.size());
        }
        const SimStore copy = store;  // shares blocks with the store
        store.power_cut(random, 512);
        CHECK(store.unflushed() == 0);
        CHECK(content(store, false) == content(store, true));
        CHECK(content(copy, false) == model.visible);
        // Every sector holds something it held at some moment since it was last durable.
        const Bytes now = content(store, false);
        int unknown = 0;
        for (std::size_t at = 0; at < now.size(); ++at) {
            const bool known =
                now[at] == model.durable[at] ||
                std::any_of(model.changes.begin(), model.changes.end(), [&](const auto& change) {
                    return change.range.contains({at, 1}) && change.value == now[at];
                });
            unknown += known ? 0 : 1;
        }
        CHECK(unknown == 0);
    }
}

TEST_CASE("extents_are_in_order_without_gaps_and_zero_means_zero") {
    SimRandom random(7);
    SimStore store;
    store.resize(store_size);
    for (int i = 0; i < 40; ++i) {
        const std::uint64_t offset = random.below(store_size - 4096);
        if (i % 2 == 0) store.write(offset, Bytes(100, std::byte{1}));
        if (i % 2 == 1) store.zero({offset, 4096});
        const Range asked{random.below(8192), 1 + random.below(store_size - 8192)};
        std::uint64_t at = asked.offset;
        for (const Extent& extent : store.extents(asked)) {
            CHECK(extent.range.offset == at);
            at = extent.range.end();
            Bytes bytes(extent.range.length);
            store.read(extent.range.offset, bytes);
            if (extent.zero) CHECK(bytes == Bytes(bytes.size()));
        }
        CHECK(at == asked.end());
    }
}

TEST_CASE("space_agrees_with_a_bitmap") {
    SimRandom random(11);
    SimSpace space;
    std::vector<bool> model(300);
    for (int i = 0; i < 3000; ++i) {
        const Range range{random.below(250), 1 + random.below(50)};
        const auto first = model.begin() + static_cast<std::ptrdiff_t>(range.offset);
        const auto last = first + static_cast<std::ptrdiff_t>(range.length);
        CHECK(space.missing(range) == static_cast<std::uint64_t>(std::count(first, last, false)));
        const bool adds = random.chance(0.5);
        adds ? space.add(range) : space.remove(range);
        std::fill(first, last, adds);
        CHECK(space.bytes() == static_cast<std::uint64_t>(std::count(model.begin(), model.end(), true)));
    }
}

TEST_CASE("tearing_keeps_whole_sectors_of_the_range") {
    SimRandom random(13);
    for (int i = 0; i < 500; ++i) {
        const Range range{random.below(5000), 1 + random.below(20'000)};
        std::uint64_t end = range.offset;
        const Ranges parts = tear(range, 512, random);
        for (const Range& part : parts) {
            CHECK(range.contains(part));
            CHECK(part.offset >= end);
            CHECK((part.offset % 512 == 0 || part.offset == range.offset));
            CHECK((part.end() % 512 == 0 || part.end() == range.end()));
            end = part.end() + 1;  // neighbours are merged
        }
        if (range.length <= 512 && !parts.empty()) CHECK(parts.front() == range);
    }
}

}  // namespace
}  // namespace exshadow
