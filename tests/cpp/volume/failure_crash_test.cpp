// F1 to F3: crashes under write load, while the activity log is written, and between two plexes.
#include "crash_fixture.h"

namespace exshadow::test {

namespace {

Task<void> open_and_write(Machine& m) {
    auto opening = open_volume(m);
    co_await std::move(opening);
    if (!m.volume) co_return;
    auto checking = check_volume(m);
    co_await std::move(checking);
    auto writing = clients(m, 10);
    co_await std::move(writing);
    auto closing = close_volume(m);
    co_await std::move(closing);
}

Task<void> open_and_check(Machine& m) {
    const std::uint64_t before = m.world.file("m2.img").counters.bytes_read;
    auto opening = must_open_volume(m);
    co_await std::move(opening);
    // Only logged extents are looked at: at most the slots of the log.
    CHECK(m.world.file("m2.img").counters.bytes_read - before <= 8 * 64 * KiB);
    CHECK(m.volume->plexes()[0]->is_member());
    CHECK(m.volume->plexes()[1]->is_member());
    auto checking = check_volume(m);
    co_await std::move(checking);
    auto closing = must(m.volume->close());
    co_await std::move(closing);
    m.volume.reset();
}

// The log names one extent and is being written to name another when the power goes.
Task<void> crash_while_log_is_written(Machine& m) {
    auto opening = must_open_volume(m);
    co_await std::move(opening);
    const std::uint64_t value = m.ledger.issue({0, 4096});
    auto first = m.volume->write(0, Ledger::bytes(4096, value));
    const Status written = co_await std::move(first);
    CHECK(written.ok());
    m.ledger.answer({0, 4096});
    m.loop->hold("v.exv");
    const std::uint64_t writes = m.world.file("p1.img").counters.writes;
    TaskGroup group(*m.loop);
    group.spawn(client(m, {MiB, 64 * KiB}, 1, m.seed));
    co_await m.loop->sleep(100 * millisecond_ns);
    CHECK(m.world.file("p1.img").counters.writes == writes);  // no write before its extent is durable
    m.loop->crash(m.seed % 2 == 0 ? CrashKind::power_cut : CrashKind::process_kill);
    auto waiting = group.wait();
    co_await std::move(waiting);
    auto closing = close_volume(m);
    co_await std::move(closing);
}

// One plex has the write, the other has not when the machine stops.
Task<void> crash_between_plexes(Machine& m) {
    auto opening = must_open_volume(m);
    co_await std::move(opening);
    m.loop->hold(m.seed % 2 == 0 ? "p1.img" : "m2.img", FileOperation::Kind::write);
    TaskGroup group(*m.loop);
    group.spawn(client(m, {MiB, 64 * KiB}, 1, m.seed));
    co_await m.loop->sleep(100 * millisecond_ns);
    m.loop->crash(m.seed % 3 == 0 ? CrashKind::power_cut : CrashKind::process_kill);
    auto waiting = group.wait();
    co_await std::move(waiting);
    auto closing = close_volume(m);
    co_await std::move(closing);
}

// Read back and forth: the same every time, whoever is asked.
Task<void> read_twice(Machine& m) {
    auto opening = must_open_volume(m);
    co_await std::move(opening);
    auto checking = check_volume(m);
    co_await std::move(checking);
    auto reading = must_read(*m.volume, 0, small_size);
    m.remembered = co_await std::move(reading);
    auto removing = must(m.volume->remove_plex("p1"));
    co_await std::move(removing);
    auto again = must_read(*m.volume, 0, small_size);
    const auto content = co_await std::move(again);
    CHECK(same_bytes(content, m.remembered));
    auto closing = must(m.volume->close());
    co_await std::move(closing);
    m.volume.reset();
}

void crash_in_step(Step work, Step after) {
    for (std::uint64_t seed = 1; seed <= 40; ++seed) {
        CAPTURE(seed);
        Machine m(seed);
        run_step(m, make_closed_mirror, seed);
        run_step(m, work, seed + 1);
        run_step(m, after, seed + 2);
    }
}

}  // namespace

TEST_CASE("F2: power cut while the activity log is being written") {
    crash_in_step(crash_while_log_is_written, open_and_check);
}

TEST_CASE("F3: crash between the write on one plex and on the other") {
    crash_in_step(crash_between_plexes, read_twice);
}

TEST_CASE("F1: crash under write load, mirror in sync") {
    sweep(6, 20, make_closed_mirror, open_and_write, open_and_check);
}

TEST_CASE("F1: crash during recovery, again and again") {
    for (std::uint64_t seed = 1; seed <= 8; ++seed) {
        CAPTURE(seed);
        Machine m(seed);
        run_step(m, make_closed_mirror, seed);
        for (std::uint64_t round = 0; round < 5; ++round) {
            const CrashKind kind = m.random.chance(0.7) ? CrashKind::power_cut : CrashKind::process_kill;
            static_cast<void>(
                run_crashing(m, open_and_write, m.random.next(), 20 + m.random.below(200), kind));
            // Recovery itself, interrupted.
            static_cast<void>(run_crashing(m, open_and_write, m.random.next(), 1 + m.random.below(30), kind));
        }
        run_step(m, open_and_check, seed + 5000);
    }
}

}  // namespace exshadow::test
