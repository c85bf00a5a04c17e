// F13, F14, E16: restoring by copy, interrupted anywhere; the snapshot is never modified.
#include "crash_fixture.h"

namespace exshadow::test {

namespace {

// Snapshot "noon", production changed a lot since; the snapshot's bytes are remembered.
Task<void> make_ruined(Machine& m) {
    m.options.copy_chunk = 16 * KiB;
    m.options.copy_depth = 2;
    auto making = make_mirror(m);
    co_await std::move(making);
    auto mirroring = must_mirror(*m.volume, "m3.img", "m3");
    co_await std::move(mirroring);
    auto splitting = must_split(*m.loop, {m.volume.get()}, "noon");
    co_await std::move(splitting);
    auto writing = clients(m, 8);
    co_await std::move(writing);
    m.remembered = m.world.peek("m3.img", {0, small_size});
    auto closing = must(m.volume->close());
    co_await std::move(closing);
    m.volume.reset();
}

// While a volume is being restored nobody reads half of one state and half of the other.
Task<void> check_refused(Volume& volume) {
    std::vector<std::byte> byte(512);
    auto reading = volume.read(0, byte);
    const Status read = co_await std::move(reading);
    REQUIRE_FALSE(read.ok());
    CHECK(read.error().code() == Code::refused);
    CHECK(read.error().hint().find("mirror sync") != std::string::npos);
    auto writing = volume.write(0, payload(512, 1));
    const Status written = co_await std::move(writing);
    REQUIRE_FALSE(written.ok());
    CHECK(written.error().code() == Code::refused);
    SplitRequest request;
    request.volumes = {&volume};
    request.label = "never";
    auto splitting = split(volume.loop(), request);
    const auto refused = co_await std::move(splitting);
    REQUIRE_FALSE(refused.ok());
    CHECK(refused.error().code() == Code::refused);
    auto deleting = volume.delete_snapshot("noon");
    const Status deleted = co_await std::move(deleting);
    REQUIRE_FALSE(deleted.ok());
    CHECK((deleted.error().code() == Code::refused || deleted.error().code() == Code::busy));
}

Task<void> restore(Machine& m) {
    auto opening = open_volume(m);
    co_await std::move(opening);
    if (!m.volume) co_return;
    auto restoring = m.volume->restore("noon", 0, std::make_shared<Job>("restore"));
    static_cast<void>(co_await std::move(restoring));
    auto closing = close_volume(m);
    co_await std::move(closing);
}

Task<void> finish_restore(Machine& m) {
    auto opening = must_open_volume(m);
    co_await std::move(opening);
    CHECK(same_bytes(m.world.peek("m3.img", {0, small_size}), m.remembered));
    auto job = std::make_shared<Job>("restore");
    if (m.volume->is_restoring()) {
        auto refusing = check_refused(*m.volume);
        co_await std::move(refusing);
        auto continuing = must(m.volume->continue_restore(0, job));
        co_await std::move(continuing);
    } else {
        auto restoring = must(m.volume->restore("noon", 0, job));
        co_await std::move(restoring);
    }
    CHECK(job->bytes_done >= job->bytes_total);
    for (const char* const path : {"p1.img", "m2.img", "m3.img"}) {
        CHECK(same_bytes(m.world.peek(path, {0, small_size}), m.remembered));
    }
    for (const auto& plex : m.volume->plexes()) CHECK((plex->is_member() || plex->label == "m3"));
    // What is written from here on is the only difference left (E16).
    auto writing = must_write(*m.volume, 64 * KiB, 512, 3);
    co_await std::move(writing);
    auto reading = must_read(*m.volume, 64 * KiB, 512);
    const auto bytes = co_await std::move(reading);
    CHECK(bytes == filled(512, 3));
    auto asking = m.volume->changed("noon", {});
    const auto changed = co_await std::move(asking);
    REQUIRE(changed.ok());
    CHECK(std::any_of(changed->begin(), changed->end(), [](Range range) {
        return range.contains({64 * KiB, 512});
    }));
    auto closing = must(m.volume->close());
    co_await std::move(closing);
    m.volume.reset();
}

Task<void> hold_restore(Machine& m) {
    auto opening = must_open_volume(m);
    co_await std::move(opening);
    auto before = must_read(*m.volume, 0, small_size);
    const auto content = co_await std::move(before);
    m.loop->hold("p1.img", FileOperation::Kind::write);
    TaskGroup group(*m.loop);
    auto job = std::make_shared<Job>("restore");
    group.spawn(must(m.volume->restore("noon", 0, job)));
    while (!m.volume->is_restoring()) co_await m.loop->sleep(millisecond_ns);
    auto refusing = check_refused(*m.volume);
    co_await std::move(refusing);
    m.loop->release("p1.img");
    auto waiting = group.wait();
    co_await std::move(waiting);
    for (const char* const path : {"p1.img", "m2.img", "m3.img"}) {
        CHECK(same_bytes(m.world.peek(path, {0, small_size}), m.remembered));
    }
    auto writing = must_write(*m.volume, 0, 4096, 9);
    co_await std::move(writing);
    auto closing = must(m.volume->close());
    co_await std::move(closing);
    m.volume.reset();
}

// Writes under way when the restore is asked for are answered; what clients wrote before it began is gone
// by intent, what they write after it stays.
Task<void> restore_under_writes(Machine& m) {
    auto opening = must_open_volume(m);
    co_await std::move(opening);
    auto checking = check_volume(m);
    co_await std::move(checking);
    TaskGroup group(*m.loop);
    group.spawn(clients(m, 6));
    co_await m.loop->sleep(m.random.between(0, 4 * millisecond_ns));
    auto restoring = must(m.volume->restore("noon", 0, std::make_shared<Job>("restore")));
    co_await std::move(restoring);
    auto waiting = group.wait();
    co_await std::move(waiting);
    CHECK(same_bytes(m.world.peek("m3.img", {0, small_size}), m.remembered));
    CHECK(m.world.same_content("p1.img", "m2.img"));
    auto asking = m.volume->changed("noon", {});
    const auto changed = co_await std::move(asking);
    REQUIRE(changed.ok());
    auto production = m.world.peek("p1.img", {0, small_size});
    for (const Range& range : *changed) {
        std::copy_n(m.remembered.begin() + static_cast<std::ptrdiff_t>(range.offset), range.length,
                    production.begin() + static_cast<std::ptrdiff_t>(range.offset));
    }
    CHECK(same_bytes(production, m.remembered));
    auto closing = must(m.volume->close());
    co_await std::move(closing);
    m.volume.reset();
}

void after_ruin(std::uint64_t seeds, Step step) {
    for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
        CAPTURE(seed);
        Machine m(seed);
        run_step(m, make_ruined, seed);
        run_step(m, step, seed + 1);
    }
}

}  // namespace

TEST_CASE("F13: crash during a copy restore, at every operation") {
    sweep(4, 30, make_ruined, restore, finish_restore);
}

// Instant restore does not exist yet. With a copy restore the same row of the list means: client requests
// are refused while it runs, so that none can be lost under the copy.
TEST_CASE("F14: writes during a restore are refused and nothing is lost") {
    after_ruin(10, hold_restore);
}

TEST_CASE("F14: a restore begun under writes leaves only what was written after it as a difference") {
    after_ruin(20, restore_under_writes);
}

}  // namespace exshadow::test
