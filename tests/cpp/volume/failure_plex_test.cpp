// F15 to F17, F19: plexes that answer errors, wrong bytes, failed flushes, or nothing for seconds.
#include "crash_fixture.h"

namespace exshadow::test {

namespace {

bool said(const Volume& volume, const std::string& text) {
    return std::any_of(volume.events().begin(), volume.events().end(),
                       [&](const VolumeEvent& event) { return event.text.find(text) != std::string::npos; });
}

Task<void> finish(Machine& m) {
    auto healing = heal(m);
    co_await std::move(healing);
    for (const auto& plex : m.volume->plexes()) CHECK(plex->is_member());
    auto closing = must(m.volume->close());
    co_await std::move(closing);
    m.volume.reset();
}

SimFault fault(SimFault::Kind kind, Range range = {0, sim_unlimited}, std::uint64_t count = sim_unlimited) {
    SimFault result;
    result.kind = kind;
    result.range = range;
    result.count = count;
    return result;
}

Task<void> unreadable_block(Machine& m) {
    auto making = make_mirror(m);
    co_await std::move(making);
    m.world.inject("p1.img", fault(SimFault::Kind::read_error, {64 * KiB, 512}));
    auto checking = check_volume(m);  // reads everything: served from m2, rewritten on p1
    co_await std::move(checking);
    CHECK(said(*m.volume, "rewritten from another plex"));
    CHECK(m.volume->plexes()[0]->is_member());
    auto again = must_read(*m.volume, 64 * KiB, 512);
    static_cast<void>(co_await std::move(again));
    auto finishing = finish(m);
    co_await std::move(finishing);
}

Task<void> unwritable_block(Machine& m) {
    auto making = make_mirror(m);
    co_await std::move(making);
    const std::string bad = m.seed % 2 == 0 ? "p1.img" : "m2.img";
    m.world.inject(bad, fault(SimFault::Kind::write_error, {0, 600 * KiB}));
    TaskGroup group(*m.loop);
    group.spawn(clients(m, 12));
    auto waiting = group.wait();
    co_await std::move(waiting);
    const auto& broken = m.volume->plexes()[m.seed % 2 == 0 ? 0 : 1];
    CHECK(broken->state == PlexState::failed);
    CHECK(said(*m.volume, "plex " + broken->label + " left the mirror"));
    CHECK_FALSE(m.volume->state().find_plex(broken->uuid)->note.empty());
    auto checking = check_volume(m);
    co_await std::move(checking);
    m.world.heal(bad);
    auto finishing = finish(m);
    co_await std::move(finishing);
}

Task<void> unreadable_and_unwritable(Machine& m) {
    auto making = make_mirror(m);
    co_await std::move(making);
    m.world.inject("p1.img", fault(SimFault::Kind::read_error, {64 * KiB, 512}));
    m.world.inject("p1.img", fault(SimFault::Kind::write_error, {64 * KiB, 512}));
    auto checking = check_volume(m);
    co_await std::move(checking);
    CHECK(m.volume->plexes()[0]->state == PlexState::failed);
    CHECK(m.volume->state().authority == m.volume->plexes()[1]->uuid);
    m.world.heal("p1.img");
    auto finishing = finish(m);
    co_await std::move(finishing);
}

Task<void> rotten_bits(Machine& m) {
    auto making = make_mirror(m);
    co_await std::move(making);
    const auto right = m.world.peek("p1.img", {0, small_size});
    m.world.poke("m2.img", 300 * KiB + 17, filled(1, 0xEE), SimStamp::keep);
    TaskGroup group(*m.loop);
    group.spawn(client(m, {MiB, 256 * KiB}, 5, m.seed));  // verify works under writes
    auto job = std::make_shared<Job>("verify");
    auto verifying = m.volume->verify(false, "", job);
    const Status found = co_await std::move(verifying);
    REQUIRE_FALSE(found.ok());
    CHECK(found.error().code() == Code::mismatch);
    CHECK(job->differences() == Ranges{{300 * KiB, 4 * KiB}});
    auto waiting = group.wait();
    co_await std::move(waiting);
    if (m.seed % 2 == 0) {
        auto repairing = must(m.volume->verify(true, "p1", std::make_shared<Job>("verify")));
        co_await std::move(repairing);
    } else {
        auto repairing = must(m.volume->verify(true, "", std::make_shared<Job>("verify")));
        co_await std::move(repairing);
    }
    const Range area{0, MiB};
    CHECK(m.world.peek("m2.img", area) == std::vector<std::byte>(right.begin(), right.begin() + MiB));
    auto clean = must(m.volume->verify(false, "", std::make_shared<Job>("verify")));
    co_await std::move(clean);
    // Wrong bytes on the authority: the other one is named.
    m.world.poke("p1.img", 300 * KiB + 17, filled(1, 0xEE), SimStamp::keep);
    auto naming = must(m.volume->verify(true, "m2", std::make_shared<Job>("verify")));
    co_await std::move(naming);
    CHECK(m.world.peek("p1.img", area) == std::vector<std::byte>(right.begin(), right.begin() + MiB));
    auto finishing = finish(m);
    co_await std::move(finishing);
}

Task<void> failed_flush(Machine& m) {
    auto making = make_mirror(m);
    co_await std::move(making);
    const std::size_t bad = m.seed % 2;
    const std::string path = bad == 0 ? "p1.img" : "m2.img";
    auto writing = clients(m, 3);
    co_await std::move(writing);
    m.world.inject(path, fault(SimFault::Kind::flush_error, {0, sim_unlimited}, 1));
    const auto mark = m.ledger.flush_starts();
    auto flushing = must(m.volume->flush());  // the client does not notice
    co_await std::move(flushing);
    m.ledger.flush_ends(mark);
    CHECK(m.volume->plexes()[bad]->state == PlexState::failed);
    const std::uint64_t flushes = m.world.file(path).counters.flushes;
    auto more = clients(m, 3);
    co_await std::move(more);
    auto again = must(m.volume->flush());
    co_await std::move(again);
    CHECK(m.world.file(path).counters.flushes == flushes);  // never retried and trusted
    auto finishing = finish(m);
    co_await std::move(finishing);
}

Task<void> failed_flush_of_the_last(Machine& m) {
    m.world.create("p1.img", small_size);
    auto creating = must_create(*m.loop, small_volume("v", "p1.img"));
    m.volume = co_await std::move(creating);
    auto writing = must_write(*m.volume, 0, 4096, 1);
    co_await std::move(writing);
    m.world.inject("p1.img", fault(SimFault::Kind::flush_error, {0, sim_unlimited}, 1));
    for (int i = 0; i < 2; ++i) {
        auto flushing = m.volume->flush();
        const Status flushed = co_await std::move(flushing);
        CHECK_FALSE(flushed.ok());
        auto refused = m.volume->write(0, payload(4096, 2));
        const Status written = co_await std::move(refused);
        CHECK_FALSE(written.ok());
    }
    auto reading = must_read(*m.volume, 0, 512);
    static_cast<void>(co_await std::move(reading));
    auto closing = m.volume->close();
    const Status closed = co_await std::move(closing);
    CHECK_FALSE(closed.ok());
    m.volume.reset();
    auto opening = must_open_volume(m);  // until reopened
    co_await std::move(opening);
    auto again = must_write(*m.volume, 0, 4096, 3);
    co_await std::move(again);
    auto finishing = must(m.volume->close());
    co_await std::move(finishing);
    m.volume.reset();
}

// The authority keeps a read or a flush; with no other member there is nobody to go to.
Task<void> slow_reads(Machine& m) {
    m.options.latency_limit = 2 * second_ns;
    auto making = make_mirror(m);
    co_await std::move(making);
    const bool flushes = m.seed % 2 == 0;
    m.loop->hold("p1.img", flushes ? FileOperation::Kind::flush : FileOperation::Kind::read);
    const Nanoseconds started = m.loop->now();
    if (flushes) {
        auto flushing = must(m.volume->flush());
        co_await std::move(flushing);
    } else {
        auto checking = check_volume(m);
        co_await std::move(checking);
    }
    CHECK(m.loop->now() - started < 3 * second_ns);
    CHECK(m.volume->plexes()[0]->state == PlexState::failed);
    auto again = check_volume(m);  // the old read is still under way
    co_await std::move(again);
    m.loop->release("p1.img");
    m.loop->hold("m2.img", FileOperation::Kind::read);
    TaskGroup group(*m.loop);
    group.spawn(check_volume(m));
    co_await m.loop->sleep(10 * second_ns);
    CHECK(m.volume->plexes()[1]->is_member());  // the last one is waited for
    m.loop->release("m2.img");
    auto waiting = group.wait();
    co_await std::move(waiting);
    auto finishing = finish(m);
    co_await std::move(finishing);
}

Task<void> slow_plex(Machine& m) {
    m.options.latency_limit = 2 * second_ns;
    auto making = make_mirror(m);
    co_await std::move(making);
    const std::size_t bad = m.seed % 2;
    const std::string path = bad == 0 ? "p1.img" : "m2.img";
    if (m.seed % 4 < 2) {
        m.loop->hold(path);
    } else {
        SimFault slow = fault(SimFault::Kind::slow);
        slow.delay = 3600 * second_ns;
        m.world.inject(path, slow);
    }
    const Nanoseconds before = m.loop->now();
    const std::uint64_t value = m.ledger.issue({0, 8192});
    auto writing = must(m.volume->write(0, Ledger::bytes(8192, value)));
    co_await std::move(writing);
    m.ledger.answer({0, 8192});
    CHECK(m.loop->now() - before < 4 * second_ns);
    CHECK(m.volume->plexes()[bad]->state == PlexState::failed);
    auto more = clients(m, 4);  // tracked, and nobody waits for it any more
    co_await std::move(more);
    CHECK(m.loop->now() - before < 6 * second_ns);
    auto reading = must_read(*m.volume, 0, 8192);
    static_cast<void>(co_await std::move(reading));
    m.world.heal(path);
    m.loop->release(path);
    auto healing = heal(m);
    co_await std::move(healing);
    CHECK(m.volume->plexes()[bad]->is_member());
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

TEST_CASE("F15: a plex that cannot read one block is served by the other and rewritten") {
    with_seeds(15, unreadable_block);
}

TEST_CASE("F15: a plex that cannot write leaves the mirror and the client sees success") {
    with_seeds(15, unwritable_block);
}

TEST_CASE("F15: a block that can neither be read nor rewritten makes the plex fail") {
    with_seeds(10, unreadable_and_unwritable);
}

TEST_CASE("F16: wrong bytes are found by verify and repaired from the plex named, else the authority") {
    with_seeds(10, rotten_bits);
}

TEST_CASE("F17: a plex whose flush fails is dropped, never retried and trusted") {
    with_seeds(20, failed_flush);
}

TEST_CASE("F17: after a failed flush of the last plex writes and flushes fail until it is opened again") {
    with_seeds(5, failed_flush_of_the_last);
}

TEST_CASE("F19: a read from a plex that hangs is answered by another within the limit") {
    with_seeds(8, slow_reads);
}

TEST_CASE("F19: a plex that hangs is let go after the limit, tracked, and brought back") {
    with_seeds(20, slow_plex);
}

}  // namespace exshadow::test
