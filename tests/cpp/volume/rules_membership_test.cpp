// E1 to E6, E8, E10, E12: who is in the mirror, and when a client is answered.
#include "crash_fixture.h"

namespace exshadow::test {

namespace {

SimFault broken_writes() {
    SimFault fault;
    fault.kind = SimFault::Kind::write_error;
    fault.count = sim_unlimited;
    return fault;
}

Task<void> noted(Task<Status> task, std::optional<Status>& result) {
    result = co_await std::move(task);
}

// What a machine that stopped now would find in the volume file.
PlexState durable_state(SimWorld& world, std::size_t plex) {
    std::optional<VolumeState> newest;
    for (unsigned place = 0; place < 2; ++place) {
        const auto bytes =
            world.peek_durable("v.exv", {format::superblock_places[place], format::superblock_bytes});
        const auto state = format::decode_superblock(bytes, place);
        if (state.ok() && (!newest || state->generation > newest->generation)) newest = *state;
    }
    REQUIRE(newest.has_value());
    return newest->plexes[plex].state;
}

Task<void> departure_before_answer(Machine& m) {
    auto making = make_mirror(m);
    co_await std::move(making);
    auto warm = must_write(*m.volume, 0, 4096, 1);  // its extent is in the log
    co_await std::move(warm);
    m.world.inject("m2.img", broken_writes());
    m.loop->hold("v.exv");
    std::optional<Status> answer;
    TaskGroup group(*m.loop);
    group.spawn(noted(m.volume->write(0, payload(4096, 2)), answer));
    co_await m.loop->sleep(5 * second_ns);
    CHECK_FALSE(answer.has_value());
    CHECK(m.volume->plexes()[1]->state == PlexState::failed);
    // Nobody else is answered either: not a read of the new bytes, not a flush.
    std::optional<Status> flushed;
    group.spawn(noted(m.volume->flush(), flushed));
    co_await m.loop->sleep(5 * second_ns);
    CHECK_FALSE(flushed.has_value());
    CHECK(durable_state(m.world, 1) == PlexState::in_sync);
    m.loop->release("v.exv");
    auto waiting = group.wait();
    co_await std::move(waiting);
    CHECK((answer && answer->ok()));
    CHECK((flushed && flushed->ok()));
    CHECK(durable_state(m.world, 1) == PlexState::failed);
    m.world.heal("m2.img");
    auto closing = must(m.volume->close());
    co_await std::move(closing);
    m.volume.reset();
}

Task<void> both_plexes_fail(Machine& m) {
    auto making = make_mirror(m);
    co_await std::move(making);
    auto warm = must_write(*m.volume, 0, 16 * KiB, 1);
    co_await std::move(warm);
    SimFault once = broken_writes();
    once.count = 1;
    once.range = {0, 16 * KiB};
    m.world.inject("p1.img", once);
    m.world.inject("m2.img", once);
    auto writing = m.volume->write(0, payload(16 * KiB, 2));
    const Status written = co_await std::move(writing);
    CHECK_FALSE(written.ok());
    CHECK(m.volume->plexes()[0]->is_member());
    CHECK(m.world.same_content("p1.img", "m2.img"));  // evened out under the write's range lock
    auto again = must_write(*m.volume, 0, 16 * KiB, 3);
    co_await std::move(again);
    auto closing = must(m.volume->close());
    co_await std::move(closing);
    m.volume.reset();
}

Task<void> last_plex_stays(Machine& m) {
    auto making = make_mirror(m);
    co_await std::move(making);
    m.world.inject("p1.img", broken_writes());
    auto first = must_write(*m.volume, 0, 4096, 1);
    co_await std::move(first);
    m.world.inject("m2.img", broken_writes());
    auto second = m.volume->write(0, payload(4096, 2));
    const Status refused = co_await std::move(second);
    REQUIRE_FALSE(refused.ok());
    CHECK(refused.error().code() == Code::io);
    CHECK(m.volume->plexes()[1]->is_member());
    m.world.heal("m2.img");
    auto third = must_write(*m.volume, 0, 4096, 3);
    co_await std::move(third);
    auto removing = m.volume->remove_plex("m2");
    const Status removed = co_await std::move(removing);
    REQUIRE_FALSE(removed.ok());
    CHECK(removed.error().code() == Code::refused);
    auto closing = must(m.volume->close());
    co_await std::move(closing);
    m.volume.reset();
}

Task<void> authority_fails_under_writes(Machine& m) {
    auto making = make_mirror(m);
    co_await std::move(making);
    TaskGroup group(*m.loop);
    group.spawn(clients(m, 10));
    co_await m.loop->sleep(m.random.between(0, 5 * millisecond_ns));
    m.world.inject("p1.img", broken_writes());
    SimFault unreadable = broken_writes();
    unreadable.kind = SimFault::Kind::read_error;
    m.world.inject("p1.img", unreadable);
    auto waiting = group.wait();
    co_await std::move(waiting);
    auto checking = check_volume(m);
    co_await std::move(checking);
    CHECK(m.volume->state().authority == m.volume->plexes()[1]->uuid);
    m.world.heal("p1.img");
    auto healing = heal(m);
    co_await std::move(healing);
    auto closing = must(m.volume->close());
    co_await std::move(closing);
    m.volume.reset();
}

Task<void> slow_old_write(Machine& m) {
    m.options.latency_limit = second_ns;
    auto making = make_mirror(m);
    co_await std::move(making);
    m.loop->hold("m2.img", FileOperation::Kind::write);
    auto writing = must_write(*m.volume, 0, 4096, 1);
    co_await std::move(writing);
    CHECK(m.volume->plexes()[1]->state == PlexState::failed);
    std::optional<Status> synced;
    TaskGroup group(*m.loop);
    group.spawn(noted(m.volume->sync_plex("m2", 0, std::make_shared<Job>("sync")), synced));
    auto second = must_write(*m.volume, 0, 4096, 2);
    co_await std::move(second);
    co_await m.loop->sleep(60 * second_ns);
    CHECK_FALSE(synced.has_value());  // its old write is still under way
    m.loop->release("m2.img");
    auto waiting = group.wait();
    co_await std::move(waiting);
    CHECK((synced && synced->ok()));
    CHECK(m.world.same_content("p1.img", "m2.img"));
    CHECK(m.world.peek("m2.img", {0, 4096}) == filled(4096, 2));
    auto closing = must(m.volume->close());
    co_await std::move(closing);
    m.volume.reset();
}

// A request much longer than the log may hold at once.
Task<void> long_request(Machine& m) {
    m.world.create("p1.img", small_size);
    CreateOptions create = small_volume("v", "p1.img");
    create.log_slots = 4;
    auto creating = must_create(*m.loop, create);
    m.volume = co_await std::move(creating);
    auto mirroring = must_mirror(*m.volume, "m2.img", "m2");
    co_await std::move(mirroring);
    TaskGroup group(*m.loop);
    for (std::uint8_t i = 1; i <= 4; ++i) group.spawn(must_write(*m.volume, 512 * i, MiB, i));
    auto waiting = group.wait();
    co_await std::move(waiting);
    const auto content = m.world.peek("p1.img", {0, small_size});
    CHECK(content[512] == std::byte{1});
    CHECK(content[4 * 512 + MiB - 1] == std::byte{4});
    CHECK(m.world.same_content("p1.img", "m2.img"));
    auto job = std::make_shared<Job>("verify");
    m.world.poke("m2.img", MiB, filled(1, 0xEE), SimStamp::keep);
    auto repairing = must(m.volume->verify(true, "", job));  // fits its repairs into the log as well
    co_await std::move(repairing);
    CHECK(m.world.same_content("p1.img", "m2.img"));
    SimFault unreadable = broken_writes();
    unreadable.kind = SimFault::Kind::read_error;
    unreadable.range = {MiB, 512};
    m.world.inject("p1.img", unreadable);
    auto reading = must_read(*m.volume, 0, small_size);
    static_cast<void>(co_await std::move(reading));
    auto closing = must(m.volume->close());
    co_await std::move(closing);
    m.volume.reset();
}

Task<void> flush_reaches_all(Machine& m) {
    auto making = make_mirror(m);
    co_await std::move(making);
    auto writing = clients(m, 3);
    co_await std::move(writing);
    m.loop->hold("m2.img", FileOperation::Kind::flush);
    std::optional<Status> flushed;
    TaskGroup group(*m.loop);
    group.spawn(noted(m.volume->flush(), flushed));
    co_await m.loop->sleep(second_ns);
    CHECK_FALSE(flushed.has_value());
    m.loop->release("m2.img");
    auto waiting = group.wait();
    co_await std::move(waiting);
    CHECK((flushed && flushed->ok()));
    for (const char* const path : {"p1.img", "m2.img"}) {
        CHECK(m.world.peek_durable(path, {0, small_size}) == m.world.peek(path, {0, small_size}));
    }
    auto fua = must(m.volume->write(0, payload(4096, 5), true));
    co_await std::move(fua);
    for (const char* const path : {"p1.img", "m2.img"}) {
        CHECK(m.world.peek_durable(path, {0, 4096}) == filled(4096, 5));
    }
    auto closing = must(m.volume->close());
    co_await std::move(closing);
    m.volume.reset();
}

Task<void> same_file_twice(Machine& m) {
    auto making = make_mirror(m);
    co_await std::move(making);
    auto splitting = must_split(*m.loop, {m.volume.get()}, "noon");
    co_await std::move(splitting);
    const auto before = m.world.peek("m2.img", {0, small_size});
    AddPlexOptions options;
    options.path = "m2.img";  // the snapshot's plex: not open, so no lock guards it
    options.overwrite = true;
    auto attaching = m.volume->attach_plex(options);
    const auto refused = co_await std::move(attaching);
    REQUIRE_FALSE(refused.ok());
    CHECK(refused.error().code() == Code::exists);
    CHECK(same_bytes(m.world.peek("m2.img", {0, small_size}), before));
    auto closing = must(m.volume->close());
    co_await std::move(closing);
    m.volume.reset();
}

void with_seeds(std::uint64_t seeds, Step step) {
    for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
        CAPTURE(seed);
        Machine m(seed);
        run_step(m, step, seed);
    }
}

}  // namespace

TEST_CASE("E1: no write is answered before the departure of a plex is durable") {
    with_seeds(10, departure_before_answer);
}

TEST_CASE("E3: the authority fails under writes and the next member takes over") {
    with_seeds(25, authority_fails_under_writes);
}

TEST_CASE("E4: a write that failed on every plex leaves them alike") {
    with_seeds(30, both_plexes_fail);
}

TEST_CASE("E4: the last plex in sync is never failed and never removed") {
    with_seeds(5, last_plex_stays);
}

TEST_CASE("E6: a plex comes back only when its old operations have ended") {
    with_seeds(10, slow_old_write);
}

TEST_CASE("E10: requests longer than the log are cut and get through") {
    with_seeds(20, long_request);
}

TEST_CASE("E12: a flush is answered when every member has flushed") {
    with_seeds(5, flush_reaches_all);
}

TEST_CASE("a plex of the volume cannot be attached again over itself") {
    with_seeds(2, same_file_twice);
}

}  // namespace exshadow::test
