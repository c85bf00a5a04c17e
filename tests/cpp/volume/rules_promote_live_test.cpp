// Promotion of a snapshot while clients read and write: they wait for a moment, nobody gets an error, and
// everything after it is on the copy.
#include "crash_fixture.h"

namespace exshadow::test {

namespace {

struct Traffic {
    bool promoted = false;
    bool stop = false;
    int writes = 0;
    int reads = 0;
};

Task<void> writer(Machine& m, Traffic& traffic, std::uint64_t area) {
    for (std::uint8_t value = 1; !traffic.stop; value = static_cast<std::uint8_t>(value % 100 + 1)) {
        const bool after = traffic.promoted;
        auto writing = must_write(*m.volume, area, 4096, value);
        co_await std::move(writing);
        ++traffic.writes;
        if (!after) continue;  // it may have come before the swap, and is gone by intent
        auto reading = must_read(*m.volume, area, 4096);
        const auto bytes = co_await std::move(reading);
        CHECK(bytes == filled(4096, value));
    }
}

Task<void> reader(Machine& m, Traffic& traffic) {
    while (!traffic.stop) {
        auto reading = must_read(*m.volume, m.random.below(small_size - 4096), 4096);
        static_cast<void>(co_await std::move(reading));
        ++traffic.reads;
        auto flushing = must(m.volume->flush());
        co_await std::move(flushing);
    }
}

Task<void> promote_under_load(Machine& m) {
    auto making = make_mirror(m);
    co_await std::move(making);
    auto splitting = must_split(*m.loop, {m.volume.get()}, "noon");
    co_await std::move(splitting);
    m.remembered = m.world.peek("m2.img", {0, small_size});
    Traffic traffic;
    TaskGroup group(*m.loop);
    for (std::uint64_t i = 0; i < 3; ++i) group.spawn(writer(m, traffic, i * 64 * KiB));
    group.spawn(reader(m, traffic));
    co_await m.loop->sleep(m.random.between(0, 20 * millisecond_ns));
    auto promoting = must(m.volume->promote("noon"));
    co_await std::move(promoting);
    traffic.promoted = true;
    const int before = traffic.writes;
    co_await m.loop->sleep(20 * millisecond_ns);
    traffic.stop = true;
    auto waiting = group.wait();
    co_await std::move(waiting);
    CHECK(traffic.writes > before + 3);
    CHECK(traffic.reads > 0);
    CHECK(m.volume->plexes()[0]->state == PlexState::stale);
    CHECK(m.volume->plexes()[1]->is_member());
    auto reading = must_read(*m.volume, MiB, MiB);
    const auto bytes = co_await std::move(reading);
    CHECK(same_bytes(bytes, std::span(m.remembered).subspan(MiB, MiB)));
    auto syncing = must(m.volume->sync_plex("p1", 0, std::make_shared<Job>("sync")));
    co_await std::move(syncing);
    CHECK(m.world.same_content("p1.img", "m2.img"));
    auto closing = must(m.volume->close());
    co_await std::move(closing);
    m.volume.reset();
}

}  // namespace

TEST_CASE("a snapshot is promoted while requests are under way") {
    for (std::uint64_t seed = 1; seed <= 10; ++seed) {
        CAPTURE(seed);
        Machine m(seed);
        run_step(m, promote_under_load, seed);
    }
}

}  // namespace exshadow::test
