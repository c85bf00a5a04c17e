// The activity log by itself: hot extents cost nothing, waiters share a write, room is given in order.
#include "volume/activity_log.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "runtime/sim_loop.h"
#include "runtime/sim_world.h"
#include "volume/format.h"

namespace exshadow::test {

namespace {

constexpr std::uint32_t extent = 64 * KiB;

VolumeState shape(std::uint32_t slots) {
    VolumeState state;
    state.uuid = Uuid::from_words(3, 4);
    state.size = 64 * MiB;
    state.region_size = 16 * KiB;
    state.extent_size = extent;
    state.log_slots = slots;
    return state;
}

struct Bench {
    Bench(SimWorld& world, std::uint32_t slots, std::uint64_t seed = 1)
        : loop(world, seed), state(shape(slots)) {
        if (!world.exists("v.exv")) world.create("v.exv", 4 * MiB);
        auto opened = MetadataDevice::open(loop, "v.exv", 0);
        REQUIRE(opened.ok());
        device = std::move(opened).value();
        log = std::make_unique<ActivityLog>(loop, *device, state);
    }
    SimLoop loop;
    VolumeState state;
    std::unique_ptr<MetadataDevice> device;
    std::unique_ptr<ActivityLog> log;
};

Range at(std::uint64_t index, std::uint64_t count = 1) {
    return {index * extent, count * extent};
}

Task<void> must_acquire(ActivityLog& log, Range range) {
    auto acquiring = log.acquire(range);
    const Status status = co_await std::move(acquiring);
    CHECK(status.ok());
}

Task<void> acquire_and_note(ActivityLog& log, Range range, std::vector<std::uint64_t>& order) {
    auto acquiring = must_acquire(log, range);
    co_await std::move(acquiring);
    order.push_back(range.offset / extent);
}

Task<void> hot_path(Bench& bench) {
    ActivityLog& log = *bench.log;
    CHECK_FALSE(log.try_acquire(at(5)));
    auto acquiring = must_acquire(log, at(5));
    co_await std::move(acquiring);
    const std::uint64_t operations = bench.loop.operations();
    for (int i = 0; i < 1000; ++i) CHECK(log.try_acquire({5 * extent + 512, 512}));
    CHECK(bench.loop.operations() == operations);
    CHECK_FALSE(log.try_acquire(at(5, 2)));  // all extents or none
    CHECK(log.used() == 1);
}

Task<void> many_at_once(Bench& bench) {
    TaskGroup group(bench.loop);
    for (std::uint64_t i = 0; i < 40; ++i) group.spawn(must_acquire(*bench.log, at(2 * i)));
    auto waiting = group.wait();
    co_await std::move(waiting);
    CHECK(bench.log->used() == 40);
    CHECK(bench.loop.operations() <= 8);  // two or three sets written and flushed, not forty
}

Task<void> room_in_order(Bench& bench) {
    ActivityLog& log = *bench.log;
    auto filling = must_acquire(log, at(0, 4));
    co_await std::move(filling);
    std::vector<std::uint64_t> order;
    TaskGroup group(bench.loop);
    group.spawn(acquire_and_note(log, at(10, 3), order));  // needs more room than the one behind it
    group.spawn(acquire_and_note(log, at(20), order));
    co_await bench.loop.sleep(millisecond_ns);
    CHECK(order.empty());
    CHECK(log.starved());
    log.release(at(0, 4));
    const auto idle = log.begin_eviction(4);
    CHECK(idle.size() == 4);
    log.finish_eviction(idle);
    auto waiting = group.wait();
    co_await std::move(waiting);
    CHECK(order.size() == 2);
    CHECK(log.used() == 4);
}

Task<void> used_meanwhile_stays(Bench& bench) {
    ActivityLog& log = *bench.log;
    auto filling = must_acquire(log, at(0, 3));
    co_await std::move(filling);
    log.release(at(0, 3));
    const auto idle = log.begin_eviction(2);
    CHECK(idle == std::vector<std::uint32_t>{0, 1});  // longest unused first
    CHECK(log.try_acquire(at(1)));
    log.release(at(1));
    log.finish_eviction(idle);
    auto active = log.active();
    std::sort(active.begin(), active.end());
    CHECK(active == std::vector<std::uint32_t>{1, 2});
}

Task<void> write_three_sets(Bench& bench) {
    for (std::uint64_t i = 0; i < 3; ++i) {
        auto acquiring = must_acquire(*bench.log, at(i));
        co_await std::move(acquiring);
    }
}

Task<void> expect_extents(Bench& bench, std::vector<std::uint32_t> wanted) {
    auto loading = bench.log->load(0);
    auto found = co_await std::move(loading);
    REQUIRE(found.ok());
    std::sort(found->begin(), found->end());
    CHECK(*found == wanted);
}

Task<void> expect_damaged(Bench& bench) {
    auto loading = bench.log->load(0);
    const auto found = co_await std::move(loading);
    REQUIRE_FALSE(found.ok());
    CHECK(found.error().code() == Code::corrupt);
}

}  // namespace

TEST_CASE("hot extents cost no I/O, and a request gets all of its extents or none") {
    SimWorld world(1);
    Bench bench(world, 8);
    REQUIRE(bench.loop.run_task(hot_path(bench)));
}

TEST_CASE("cold extents that wait together are written together") {
    SimWorld world(2);
    Bench bench(world, 100);
    REQUIRE(bench.loop.run_task(many_at_once(bench)));
}

TEST_CASE("who waits for room gets it in order, however much it needs") {
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
        SimWorld world(seed);
        Bench bench(world, 4, seed);
        REQUIRE(bench.loop.run_task(room_in_order(bench)));
    }
}

TEST_CASE("an extent used during its eviction stays") {
    SimWorld world(4);
    Bench bench(world, 8);
    REQUIRE(bench.loop.run_task(used_meanwhile_stays(bench)));
}

TEST_CASE("a torn log leaves the set before it in force, both torn is damage") {
    SimWorld world(5);
    {
        Bench bench(world, 8);
        REQUIRE(bench.loop.run_task(write_three_sets(bench)));
    }
    {
        Bench bench(world, 8, 2);
        REQUIRE(bench.loop.run_task(expect_extents(bench, {0, 1, 2})));
    }
    world.poke_zeroes("v.exv", {format::log_places[1], 64});  // the third set, sequence 3
    {
        Bench bench(world, 8, 3);
        REQUIRE(bench.loop.run_task(expect_extents(bench, {0, 1})));
    }
    world.poke_zeroes("v.exv", {format::log_places[0], 64});
    Bench bench(world, 8, 4);
    REQUIRE(bench.loop.run_task(expect_damaged(bench)));
}

}  // namespace exshadow::test
