// F6, F7: overlapping writes, writes against zeroes, with a copier on the same blocks.
#include "crash_fixture.h"

namespace exshadow::test {

namespace {

struct Race {
    std::uint64_t last_done = 0;  // value of the request that was answered last
    int running = 0;
};

Task<void> write_one(Machine& m, Race& race, Range range, std::uint64_t value) {
    ++race.running;
    auto writing = must(m.volume->write(range.offset, Ledger::bytes(range.length, value)));
    co_await std::move(writing);
    race.last_done = value;
    --race.running;
}

Task<void> zero_one(Machine& m, Race& race, Range range, ZeroMode mode) {
    ++race.running;
    auto zeroing = must(m.volume->zero(range, mode));
    co_await std::move(zeroing);
    race.last_done = 0;
    --race.running;
}

Task<void> race_on(Machine& m, Range range, bool zeroes) {
    TaskGroup group(*m.loop);
    Race race;
    if (m.seed % 2 == 0) {
        AddPlexOptions options;
        options.path = "m3.img";
        options.overwrite = true;
        auto attaching = m.volume->attach_plex(options);
        const auto label = co_await std::move(attaching);
        REQUIRE(label.ok());
        group.spawn(must(m.volume->sync_plex(*label, 0, std::make_shared<Job>("sync"))));
    }
    for (std::uint64_t i = 1; i <= 12; ++i) {
        if (zeroes && m.random.chance(0.5)) {
            group.spawn(zero_one(m, race, range,
                                 m.random.chance(0.5) ? ZeroMode::may_unmap : ZeroMode::keep_allocated));
        } else {
            group.spawn(write_one(m, race, range, 1000 + i));
        }
        if (m.random.chance(0.4)) co_await m.loop->sleep(m.random.between(1, millisecond_ns));
    }
    auto waiting = group.wait();
    co_await std::move(waiting);
    const auto expected = Ledger::bytes(range.length, race.last_done);
    for (const auto& record : m.volume->state().plexes) {
        CHECK(record.state == PlexState::in_sync);
        CHECK(std::ranges::equal(m.world.peek(record.path, range), expected.bytes));
    }
}

Task<void> overlapping_writes(Machine& m) {
    auto making = make_mirror(m);
    co_await std::move(making);
    m.world.create("m3.img", small_size);
    auto racing = race_on(m, {100 * KiB + 512, 40 * KiB}, false);
    co_await std::move(racing);
    auto closing = close_volume(m);
    co_await std::move(closing);
}

Task<void> writes_and_zeroes(Machine& m) {
    auto making = make_mirror(m);
    co_await std::move(making);
    m.world.create("m3.img", small_size);
    auto racing = race_on(m, {200 * KiB + 512, 33 * KiB}, true);
    co_await std::move(racing);
    auto closing = close_volume(m);
    co_await std::move(closing);
}

}  // namespace

TEST_CASE("F6: overlapping writes with a copy of the same block: the last answered wins on every plex") {
    for (std::uint64_t seed = 1; seed <= 30; ++seed) {
        CAPTURE(seed);
        Machine m(seed);
        run_step(m, overlapping_writes, seed);
    }
}

TEST_CASE("F7: write racing with trim/zero") {
    for (std::uint64_t seed = 1; seed <= 40; ++seed) {
        CAPTURE(seed);
        Machine m(seed);
        m.world.options().behaviour.can_punch = seed % 3 != 0;
        m.world.options().behaviour.can_zero = seed % 5 != 0;
        run_step(m, writes_and_zeroes, seed);
    }
}

}  // namespace exshadow::test
