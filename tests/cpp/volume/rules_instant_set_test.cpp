// E24, E26: two volumes restored at one instant, with a crash at every operation of it: both or none.
#include "crash_fixture.h"
#include "volume/instant.h"

namespace exshadow::test {

namespace {

struct Pair {
    explicit Pair(std::uint64_t seed) : world(seed) {}
    SimWorld world;
    VolumeOptions options;
    std::vector<std::unique_ptr<Volume>> volumes;
    int restored = 0;
    int as_before = 0;
};

Task<void> close_pair(Pair& pair) {
    for (auto& volume : pair.volumes) {
        auto closing = volume->close();
        static_cast<void>(co_await std::move(closing));
    }
    pair.volumes.clear();
}

// Both snapshots hold 1 everywhere, both productions 2, flushed.
Task<void> make_pair(Pair& pair, Loop& loop) {
    std::vector<Volume*> both;
    for (const std::string name : {"a", "b"}) {
        for (const char* const end : {"1.img", "2.img"}) pair.world.create(name + end, small_size);
        auto creating = must_create(loop, small_volume(name, name + "1.img"), pair.options);
        pair.volumes.push_back(co_await std::move(creating));
        both.push_back(pair.volumes.back().get());
        auto writing = must_write(*both.back(), 0, small_size, 1);
        co_await std::move(writing);
        auto mirroring = must_mirror(*both.back(), name + "2.img", "m2");
        co_await std::move(mirroring);
    }
    auto splitting = must_split(loop, both, "noon");
    co_await std::move(splitting);
    for (Volume* const volume : both) {
        auto writing = must_write(*volume, 0, small_size, 2);
        co_await std::move(writing);
    }
    auto closing = close_pair(pair);
    co_await std::move(closing);
}

Task<void> open_pair(Pair& pair, Loop& loop) {
    for (const char* const path : {"a.exv", "b.exv"}) {
        auto opening = Volume::open(loop, path, {}, pair.options);
        auto volume = co_await std::move(opening);
        if (volume.ok()) pair.volumes.push_back(std::move(volume).value());
    }
}

Task<void> restore_pair(Pair& pair, Loop& loop) {
    auto opening = open_pair(pair, loop);
    co_await std::move(opening);
    std::vector<RestoreWish> wishes;
    for (auto& volume : pair.volumes) wishes.push_back({volume.get(), "noon"});
    if (wishes.size() == 2) {
        auto restoring = restore_instant(loop, std::move(wishes));
        static_cast<void>(co_await std::move(restoring));
    }
    auto closing = close_pair(pair);
    co_await std::move(closing);
}

Task<void> look_at_pair(Pair& pair, Loop& loop) {
    auto opening = open_pair(pair, loop);
    co_await std::move(opening);
    REQUIRE(pair.volumes.size() == 2);
    // Opened alone a member in doubt takes no I/O, for either content might be wrong.
    for (auto& volume : pair.volumes) {
        if (!volume->is_restore_in_doubt()) continue;
        std::vector<std::byte> byte(512);
        auto reading = volume->read(0, byte);
        const Status status = co_await std::move(reading);
        CHECK_FALSE(status.ok());
    }
    auto resolving = must(resolve_sets({pair.volumes[0].get(), pair.volumes[1].get()}));
    co_await std::move(resolving);
    pair.restored = pair.as_before = 0;
    for (auto& volume : pair.volumes) {
        CHECK_FALSE(volume->is_restore_in_doubt());
        auto reading = must_read(*volume, 0, small_size);
        const auto content = co_await std::move(reading);
        if (content == filled(small_size, 1)) ++pair.restored;
        if (content == filled(small_size, 2)) ++pair.as_before;
    }
    auto closing = close_pair(pair);
    co_await std::move(closing);
}

using PairStep = Task<void> (*)(Pair&, Loop&);

std::uint64_t run_pair(Pair& pair, PairStep step, std::uint64_t crash_at, CrashKind kind) {
    SimLoop loop(pair.world, 5);
    if (crash_at != 0) loop.crash_at(crash_at, kind);
    REQUIRE(loop.run_task(step(pair, loop)));
    return loop.operations();
}

struct Outcomes {
    int restored = 0;
    int as_before = 0;
    int torn = 0;
};

Outcomes crash_everywhere(Order off) {
    Outcomes outcomes;
    std::uint64_t operations = 1;
    for (std::uint64_t at = 0; at <= operations; ++at) {
        for (const CrashKind kind : {CrashKind::power_cut, CrashKind::process_kill}) {
            CAPTURE(at);
            Pair pair(at + 1);
            pair.options.orders.off = off;
            static_cast<void>(run_pair(pair, make_pair, 0, kind));
            const std::uint64_t taken = run_pair(pair, restore_pair, at, kind);
            if (at == 0) operations = taken;
            static_cast<void>(run_pair(pair, look_at_pair, 0, kind));
            if (pair.restored == 2)
                ++outcomes.restored;
            else if (pair.as_before == 2)
                ++outcomes.as_before;
            else
                ++outcomes.torn;
        }
    }
    return outcomes;
}

}  // namespace

TEST_CASE("E24, E26: a crash at any operation leaves all volumes restored or none") {
    const Outcomes outcomes = crash_everywhere(Order::none);
    CHECK(outcomes.torn == 0);
    CHECK(outcomes.restored > 0);
    CHECK(outcomes.as_before > 0);
}

TEST_CASE("E37: without the commit rule of E26 some crash tears the set") {
    CHECK(crash_everywhere(Order::e26_all_members_or_none).torn > 0);
}

}  // namespace exshadow::test
