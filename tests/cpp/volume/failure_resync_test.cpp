// F4, F5, F10, F12, F21: writes and crashes round syncs and resyncs.
#include "crash_fixture.h"

namespace exshadow::test {

namespace {

Task<void> sync(Machine& m, std::string label, std::shared_ptr<Job> job) {
    auto syncing = m.volume->sync_plex(label, 0, job);
    const Status status = co_await std::move(syncing);
    m.number = status.ok() ? 1 : 0;
}

Task<void> attach(Machine& m, std::string path, std::string label) {
    m.world.create(path, small_size);
    AddPlexOptions options;
    options.path = path;
    options.label = label;
    auto attaching = m.volume->attach_plex(options);
    const auto attached = co_await std::move(attaching);
    CHECK(attached.ok());
}

Task<void> one_write(Machine& m, Range range) {
    const std::uint64_t value = m.ledger.issue(range);
    auto writing = must(m.volume->write(range.offset, Ledger::bytes(range.length, value)));
    co_await std::move(writing);
    m.ledger.answer(range);
}

Task<void> write_held_over_sync(Machine& m) {
    auto making = make_mirror(m);
    co_await std::move(making);
    auto attaching = attach(m, "m3.img", "m3");
    co_await std::move(attaching);
    m.loop->hold("p1.img", FileOperation::Kind::write);
    TaskGroup group(*m.loop);
    group.spawn(one_write(m, {64 * KiB, 64 * KiB}));
    co_await m.loop->sleep(20 * millisecond_ns);
    group.spawn(sync(m, "m3", std::make_shared<Job>("sync")));
    co_await m.loop->sleep(5 * second_ns);
    CHECK_FALSE(m.volume->plexes()[2]->is_member());  // not before that write is on it, or marked and copied
    m.loop->release("p1.img");
    auto waiting = group.wait();
    co_await std::move(waiting);
    CHECK(m.number == 1);
    auto checking = check_volume(m);
    co_await std::move(checking);
    auto closing = close_volume(m);
    co_await std::move(closing);
}

Task<void> write_held_at_end_of_sync(Machine& m) {
    auto making = make_mirror(m);
    co_await std::move(making);
    auto attaching = attach(m, "m3.img", "m3");
    co_await std::move(attaching);
    TaskGroup group(*m.loop);
    group.spawn(sync(m, "m3", std::make_shared<Job>("sync")));
    group.spawn(clients(m, 8));
    co_await m.loop->sleep(static_cast<Nanoseconds>(m.random.below(8)) * millisecond_ns);
    const std::string held = m.seed % 2 == 0 ? "m3.img" : "p1.img";
    m.loop->hold(held, FileOperation::Kind::write);
    co_await m.loop->sleep(200 * millisecond_ns);
    m.loop->release(held);
    auto waiting = group.wait();
    co_await std::move(waiting);
    CHECK(m.number == 1);
    CHECK(m.volume->plexes()[2]->is_member());
    auto checking = check_volume(m);
    co_await std::move(checking);
    auto closing = close_volume(m);
    co_await std::move(closing);
}

Task<void> split_while_resyncing(Machine& m) {
    auto making = make_mirror(m);
    co_await std::move(making);
    auto splitting = must_split(*m.loop, {m.volume.get()}, "noon");
    co_await std::move(splitting);
    auto writing = clients(m, 3);
    co_await std::move(writing);
    m.loop->hold("m2.img", FileOperation::Kind::write);
    TaskGroup group(*m.loop);
    auto job = std::make_shared<Job>("resync");
    group.spawn(must(m.volume->resync("noon", 0, job)));
    co_await m.loop->sleep(second_ns);
    for (const bool named : {false, true}) {
        SplitRequest request;
        request.volumes = {m.volume.get()};
        request.label = "late";
        if (named) request.plexes["v"] = "m2";
        auto again = split(*m.loop, request);
        const auto refused = co_await std::move(again);
        REQUIRE_FALSE(refused.ok());
        CHECK(refused.error().code() == Code::refused);
        CHECK(refused.error().message().find("resyncing") != std::string::npos);
        CHECK(refused.error().hint().find("mirror sync") != std::string::npos);
    }
    m.loop->release("m2.img");
    auto waiting = group.wait();
    co_await std::move(waiting);
    auto checking = check_volume(m);
    co_await std::move(checking);
    auto closing = close_volume(m);
    co_await std::move(closing);
}

Task<void> make_snapshot(Machine& m) {
    m.options.copy_chunk = 16 * KiB;
    m.options.copy_depth = 2;
    auto making = make_mirror(m);
    co_await std::move(making);
    auto splitting = must_split(*m.loop, {m.volume.get()}, "noon");
    co_await std::move(splitting);
    auto writing = clients(m, 8);
    co_await std::move(writing);
    const auto mark = m.ledger.flush_starts();
    auto closing = must(m.volume->close());
    co_await std::move(closing);
    m.ledger.flush_ends(mark);
    m.volume.reset();
}

// Opens, finishes what is unfinished of the resync, writing meanwhile.
Task<void> resync_with_writes(Machine& m) {
    auto opening = open_volume(m);
    co_await std::move(opening);
    if (!m.volume) co_return;
    TaskGroup group(*m.loop);
    group.spawn(clients(m, 2));
    auto job = std::make_shared<Job>("resync");
    if (m.volume->state().find_snapshot("noon") != nullptr) {
        auto resyncing = m.volume->resync("noon", 0, job);
        static_cast<void>(co_await std::move(resyncing));
    } else {
        auto syncing = m.volume->sync_plex("m2", 0, job);
        static_cast<void>(co_await std::move(syncing));
    }
    auto waiting = group.wait();
    co_await std::move(waiting);
    auto closing = close_volume(m);
    co_await std::move(closing);
}

Task<void> write_more_and_resume(Machine& m) {
    auto opening = must_open_volume(m);
    co_await std::move(opening);
    auto checking = check_volume(m);
    co_await std::move(checking);
    auto writing = clients(m, 2);
    co_await std::move(writing);
    if (m.volume->state().find_snapshot("noon") != nullptr) {
        auto resyncing = must(m.volume->resync("noon", 0, std::make_shared<Job>("resync")));
        co_await std::move(resyncing);
    }
    CHECK_FALSE(m.volume->state().plexes[1].needs_compare);
    auto healing = heal(m);
    co_await std::move(healing);
    CHECK(m.volume->plexes()[1]->is_member());
    auto closing = must(m.volume->close());
    co_await std::move(closing);
    m.volume.reset();
}

Task<void> interrupt_first_sync(Machine& m) {
    m.options.copy_chunk = 16 * KiB;
    m.options.copy_depth = 1;
    m.world.create("p1.img", small_size);
    for (std::uint64_t at = 0; at < small_size; at += 16 * KiB) {
        m.world.poke(
            "p1.img", at,
            *std::static_pointer_cast<const std::vector<std::byte>>(Ledger::bytes(16 * KiB, 0xABCDE).owner));
    }
    auto creating = must_create(*m.loop, small_volume("v", "p1.img"), m.options);
    m.volume = co_await std::move(creating);
    auto attaching = attach(m, "m2.img", "m2");
    co_await std::move(attaching);
    TaskGroup group(*m.loop);
    auto job = std::make_shared<Job>("sync");
    group.spawn(sync(m, "m2", job));
    while (job->bytes_done < small_size / 2) co_await m.loop->sleep(millisecond_ns);
    job->cancel();
    auto waiting = group.wait();
    co_await std::move(waiting);
    CHECK(m.number == 0);
    auto closing = must(m.volume->close());
    co_await std::move(closing);
    m.volume.reset();
}

Task<void> continue_first_sync(Machine& m) {
    auto opening = must_open_volume(m);
    co_await std::move(opening);
    auto job = std::make_shared<Job>("sync");
    auto syncing = must(m.volume->sync_plex("m2", 0, job));
    co_await std::move(syncing);
    CHECK(job->bytes_total <= small_size / 2);  // continues where it was
    CHECK(job->bytes_done == job->bytes_total);
    CHECK(job->bytes_copied > 0);
    CHECK(m.world.same_content("p1.img", "m2.img"));
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

TEST_CASE("F4: write in flight when a resync starts") {
    with_seeds(25, write_held_over_sync);
}

TEST_CASE("F5: write in flight when a resync finishes") {
    with_seeds(40, write_held_at_end_of_sync);
}

TEST_CASE("F10: split requested while a plex is resyncing") {
    with_seeds(10, split_while_resyncing);
}

TEST_CASE("F12: crash during fast resync, then more writes, then resume") {
    sweep(4, 25, make_snapshot, resync_with_writes, write_more_and_resume);
}

TEST_CASE("F21: partially synced plex continues where it was after a restart") {
    for (std::uint64_t seed = 1; seed <= 10; ++seed) {
        CAPTURE(seed);
        Machine m(seed);
        run_step(m, interrupt_first_sync, seed);
        run_step(m, continue_first_sync, seed + 1);
    }
}

}  // namespace exshadow::test
