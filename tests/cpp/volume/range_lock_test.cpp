// RangeLock: overlapping requests in order of admission, others beside each other.
#include "volume/range_lock.h"

#include <doctest/doctest.h>

#include <random>
#include <vector>

#include "runtime/sim_loop.h"
#include "runtime/sim_world.h"
#include "runtime/sync.h"

namespace exshadow::test {

namespace {

struct Holder {
    Range range;
    int order = 0;
};

struct Scene {
    RangeLock& lock;
    SimLoop& loop;
    std::vector<Holder> holding;
    std::vector<Holder> granted;
};

Task<void> hold(Scene& scene, Range range, int order, Nanoseconds length) {
    RangeLock::Request request;
    request.range = range;
    co_await scene.lock.admit(request);
    for (const Holder& other : scene.holding) CHECK_FALSE(other.range.overlaps(range));
    for (const Holder& earlier : scene.granted) {
        if (earlier.range.overlaps(range)) CHECK(earlier.order < order);
    }
    scene.holding.push_back({range, order});
    scene.granted.push_back({range, order});
    co_await scene.loop.sleep(length);
    std::erase_if(scene.holding, [order](const Holder& other) { return other.order == order; });
    scene.lock.release(request);
}

Task<void> crowd(Scene& scene, std::uint64_t seed) {
    std::mt19937_64 random(seed);
    TaskGroup group(scene.loop);
    for (int order = 0; order < 200; ++order) {
        const Range range{random() % 1000, 1 + random() % 100};
        group.spawn(hold(scene, range, order, static_cast<Nanoseconds>(random() % 5000)));
        if (random() % 8 == 0) co_await scene.loop.sleep(1000);
    }
    auto waiting = group.wait();
    co_await std::move(waiting);
    CHECK(scene.granted.size() == 200);
    CHECK(scene.lock.empty());
}

}  // namespace

TEST_CASE("overlapping requests are granted in order of admission, one at a time") {
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
        SimWorld world(seed);
        SimLoop loop(world, seed);
        RangeLock lock(loop);
        Scene scene{lock, loop, {}, {}};
        REQUIRE(loop.run_task(crowd(scene, seed)));
    }
}

TEST_CASE("ranges that only touch do not wait for each other") {
    SimWorld world(1);
    SimLoop loop(world, 1);
    RangeLock lock(loop);
    RangeLock::Request a;
    RangeLock::Request b;
    a.range = {0, 4096};
    b.range = {4096, 4096};
    CHECK(lock.admit(a).await_ready());
    CHECK(lock.admit(b).await_ready());
    lock.release(a);
    lock.release(b);
    CHECK(lock.empty());
}

}  // namespace exshadow::test
