// F18, E20: no room and no writing in the volume file.
#include "crash_fixture.h"

namespace exshadow::test {

namespace {

Task<void> split_without_room(Machine& m) {
    auto making = make_mirror(m);
    co_await std::move(making);
    m.world.behaviour("v.exv").space = 0;
    SplitRequest request;
    request.volumes = {m.volume.get()};
    request.label = "noon";
    auto splitting = split(*m.loop, request);
    const auto refused = co_await std::move(splitting);
    REQUIRE_FALSE(refused.ok());
    CHECK(refused.error().code() == Code::no_space);
    CHECK(m.volume->state().snapshots.empty());
    CHECK_FALSE(m.volume->is_read_only());
    CHECK(m.volume->plexes()[1]->is_member());
    auto writing = clients(m, 10);  // production keeps running, with eviction and all
    co_await std::move(writing);
    auto checking = check_volume(m);
    co_await std::move(checking);
    m.world.behaviour("v.exv").space = sim_unlimited;
    auto again = must_split(*m.loop, {m.volume.get()}, "noon");
    co_await std::move(again);
    auto closing = must(m.volume->close());
    co_await std::move(closing);
    m.volume.reset();
}

Task<void> log_without_room(Machine& m) {
    auto making = make_mirror(m);
    co_await std::move(making);
    m.world.behaviour("v.exv").space = 0;  // whatever was promised is there already
    auto writing = clients(m, 12);
    co_await std::move(writing);
    CHECK_FALSE(m.volume->is_read_only());
    SimFault broken;
    broken.kind = SimFault::Kind::write_error;
    broken.count = sim_unlimited;
    m.world.inject("m2.img", broken);
    auto more = clients(m, 12);  // a plex fails: its sync map has its slot
    co_await std::move(more);
    CHECK_FALSE(m.volume->is_read_only());
    CHECK(m.volume->plexes()[1]->state == PlexState::failed);
    m.world.heal("m2.img");
    auto healing = heal(m);
    co_await std::move(healing);
    auto closing = must(m.volume->close());
    co_await std::move(closing);
    m.volume.reset();
}

// One metadata write or flush fails: no write is answered without tracking from then on, reads go on.
Task<void> metadata_fails(Machine& m) {
    auto making = make_mirror(m);
    co_await std::move(making);
    SimFault broken;
    broken.kind = m.seed % 2 == 0 ? SimFault::Kind::write_error : SimFault::Kind::flush_error;
    broken.skip = m.seed % 5;
    m.world.inject("v.exv", broken);
    auto writing = clients(m, 30);
    co_await std::move(writing);
    CHECK(m.volume->is_read_only());
    auto refused = m.volume->write(0, payload(512, 1));
    const Status written = co_await std::move(refused);
    REQUIRE_FALSE(written.ok());
    CHECK(written.error().code() == Code::io);
    CHECK(written.error().message().find("read-only") != std::string::npos);
    auto flushing = m.volume->flush();
    const Status flushed = co_await std::move(flushing);
    CHECK_FALSE(flushed.ok());
    std::vector<std::byte> content(small_size);
    auto reading = must(m.volume->read(0, content));
    co_await std::move(reading);
    SplitRequest request;
    request.volumes = {m.volume.get()};
    request.label = "never";
    auto splitting = split(*m.loop, request);
    const auto refused_split = co_await std::move(splitting);
    CHECK_FALSE(refused_split.ok());
    auto closing = m.volume->close();
    const Status closed = co_await std::move(closing);
    CHECK_FALSE(closed.ok());
    m.volume.reset();
    m.world.heal("v.exv");
}

Task<void> open_and_check(Machine& m) {
    auto opening = must_open_volume(m);
    co_await std::move(opening);
    auto healing = heal(m);
    co_await std::move(healing);
    auto closing = must(m.volume->close());
    co_await std::move(closing);
    m.volume.reset();
}

void with_seeds(std::uint64_t seeds, Step step, Step after) {
    for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
        CAPTURE(seed);
        Machine m(seed);
        run_step(m, step, seed);
        if (seed % 3 == 0) m.world.power_cut();
        run_step(m, after, seed + 1);
    }
}

}  // namespace

TEST_CASE("F18: a split without room for its map fails before the turn and production keeps running") {
    with_seeds(10, split_without_room, open_and_check);
}

TEST_CASE("E20: what running needs is allocated before it is needed") {
    with_seeds(10, log_without_room, open_and_check);
}

TEST_CASE("E20: a failed metadata write makes the volume read-only at once") {
    with_seeds(20, metadata_fails, open_and_check);
}

}  // namespace exshadow::test
