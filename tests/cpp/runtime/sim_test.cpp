// The simulator itself: same seed, same history; crashes lose what they may lose and nothing else.
// tests/sim relies on all of it.
#include <doctest/doctest.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <memory>
#include <set>
#include <vector>

#include "cpp/runtime/sim_helpers.h"
#include "runtime/sim_loop.h"
#include "runtime/sim_world.h"
#include "runtime/sync.h"

namespace exshadow {
namespace {

using namespace sim_helpers;

// A client that writes, reads, sleeps, yields and offloads for `steps` steps or until the crash.
Task<void> client(SimLoop* loop, File* file, std::uint64_t seed, int steps) {
    SimRandom random(seed);
    Bytes buffer(64 * KiB);
    for (int i = 0; i < steps; ++i) {
        const std::uint64_t offset = random.below(256) * 4 * KiB;
        const std::uint64_t length = (1 + random.below(16)) * 4 * KiB;
        const std::uint64_t what = random.below(10);
        std::fill_n(buffer.begin(), 16, static_cast<std::byte>(i));
        std::int64_t result = 0;
        if (what < 5) result = co_await file->write(offset, std::span(buffer).first(length));
        if (what == 5) result = co_await file->flush();
        if (what == 6) result = co_await file->read(offset, std::span(buffer).first(length));
        if (what == 7) co_await loop->sleep(random.between(0, millisecond_ns));
        if (what == 8) co_await loop->yield();
        if (what == 9) {
            auto work = loop->offload([&buffer] { buffer[0] = std::byte{1}; });
            co_await work;
        }
        if (result == -ECANCELED) co_return;
    }
}

Task<void> clients(SimLoop* loop, File* file, std::uint64_t seed, int steps) {
    TaskGroup group(*loop);
    for (std::uint64_t i = 0; i < 8; ++i) group.spawn(client(loop, file, seed * 8 + i, steps));
    co_await group.wait();
}

// One history: world, crash at some operation, second life. Returns its trace.
std::uint64_t history(std::uint64_t seed, std::uint64_t crash_at, CrashKind kind) {
    SimWorld world(seed);
    world.create("disk", MiB);
    std::uint64_t trace = 0;
    for (std::uint64_t life = 0; life < 2; ++life) {
        SimLoop loop(world, seed + life);
        const auto file = open_file(loop, "disk", FileLock::exclusive);
        if (life == 0) loop.crash_at(crash_at, kind);
        CHECK(loop.run_task(clients(&loop, file.get(), seed, 60)));
        CHECK(loop.crashed() == (life == 0 && crash_at != 0));
        CHECK(loop.in_flight() == 0);
        trace = trace * 31 + loop.trace_hash();
    }
    return trace;
}

TEST_CASE("E35_the_same_seed_replays_the_same_history") {
    std::set<std::uint64_t> seen;
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
        const CrashKind kind = seed % 2 == 0 ? CrashKind::power_cut : CrashKind::process_kill;
        const std::uint64_t crash_at = seed % 5 == 0 ? 0 : seed * 7;
        const std::uint64_t trace = history(seed, crash_at, kind);
        CHECK(trace == history(seed, crash_at, kind));
        seen.insert(trace);
    }
    CHECK(seen.size() == 20);
}

TEST_CASE("E32_a_crash_at_every_operation_unwinds_everything") {
    for (std::uint64_t at = 1; at <= 120; ++at) (void)history(99, at, CrashKind::power_cut);
}

TEST_CASE("flushed_bytes_survive_a_power_cut_and_unflushed_ones_may_not") {
    std::set<int> outcomes;  // of one unflushed write: 0 lost, 1 survived, 2 torn
    for (std::uint64_t seed = 0; seed < 200; ++seed) {
        SimWorld world(seed, calm());
        world.create("disk", MiB);
        {
            SimLoop loop(world, seed);
            const auto file = open_file(loop, "disk");
            CHECK(do_write(loop, *file, 0, filled(8192, 1)) == 8192);
            CHECK(do_flush(loop, *file) == 0);
            CHECK(do_write(loop, *file, 4096, filled(4096, 2)) == 4096);
            CHECK(do_write(loop, *file, 16384, filled(512, 3)) == 512);
            CHECK(world.peek_durable("disk", {4096, 4096}) == filled(4096, 1));
        }
        world.process_kill();  // the page cache stays, and stays unflushed
        CHECK(world.peek("disk", {4096, 4096}) == filled(4096, 2));
        world.power_cut();
        CHECK(world.peek("disk", {0, 4096}) == filled(4096, 1));
        const Bytes second = world.peek("disk", {4096, 4096});
        for (std::size_t sector = 0; sector < 8; ++sector) {  // no sector is ever mixed
            const auto first = second.begin() + static_cast<std::ptrdiff_t>(sector * 512);
            CHECK(std::all_of(first, first + 512, [first](std::byte b) { return b == *first; }));
        }
        outcomes.insert(second == filled(4096, 1) ? 0 : second == filled(4096, 2) ? 1 : 2);
        const Bytes small = world.peek("disk", {16384, 512});
        CHECK((small == filled(512, 0) || small == filled(512, 3)));
        CHECK(world.peek("disk", {0, MiB}) == world.peek_durable("disk", {0, MiB}));
    }
    CHECK(outcomes == std::set<int>{0, 1, 2});
}

Task<void> flush_beside_write(SimLoop* loop, File* file) {
    TaskGroup group(*loop);
    std::int64_t flushed = -1;
    std::int64_t written = -1;
    group.spawn(flush_once(file, &flushed));
    group.spawn(write_once(file, 0, filled(512, 7), &written));
    co_await group.wait();
    CHECK(flushed == 0);
    CHECK(written == 512);
}

TEST_CASE("E12_a_flush_covers_only_writes_answered_before_it_started") {
    for (std::uint64_t seed = 0; seed < 30; ++seed) {
        SimWorld world(seed, calm());
        world.create("disk", MiB);
        SimLoop loop(world, seed);
        const auto file = open_file(loop, "disk");
        CHECK(loop.run_task(flush_beside_write(&loop, file.get())));
        CHECK(world.peek("disk", {0, 512}) == filled(512, 7));
        CHECK(world.peek_durable("disk", {0, 512}) == filled(512, 0));
    }
}

TEST_CASE("a_held_file_answers_after_release_or_a_crash") {
    for (const bool crash : {false, true}) {
        SimWorld world(4, calm());
        world.create("disk", MiB);
        SimLoop loop(world, 1);
        const auto file = open_file(loop, "disk");
        loop.hold("disk", Kind::write);
        std::int64_t result = 0;
        TaskGroup group(loop);
        group.spawn(write_once(file.get(), 0, filled(512, 1), &result));
        CHECK(do_flush(loop, *file) == 0);
        loop.run();
        CHECK(loop.in_flight() == 1);
        CHECK(world.peek("disk", {0, 512}) == filled(512, 0));
        crash ? loop.crash() : loop.release("disk");
        loop.run();
        CHECK(group.running() == 0);
        CHECK(result == (crash ? -ECANCELED : 512));
    }
}

TEST_CASE("post_stop_and_a_task_that_hangs") {
    SimWorld world(6);
    SimLoop loop(world, 1);
    CHECK(Loop::current() == nullptr);
    int calls = 0;
    loop.post([&] {
        ++calls;
        CHECK(Loop::current() == &loop);
        loop.post([&] { ++calls; });
        loop.stop();
    });
    loop.run();
    CHECK(calls == 2);
    CHECK(loop.new_uuid() != loop.new_uuid());
    static auto* const never = new Signal(loop);
    CHECK_FALSE(loop.run_task([](Signal* signal) -> Task<void> { co_await signal->wait(); }(never)));
    CHECK(loop.hung());
}

}  // namespace
}  // namespace exshadow
