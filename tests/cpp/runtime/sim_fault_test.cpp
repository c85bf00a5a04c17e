// Simulated files: every kind of fault does what its name says; locks, identity, space, alignment.
#include <doctest/doctest.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <memory>
#include <set>
#include <vector>

#include "cpp/runtime/sim_helpers.h"
#include "runtime/sim_loop.h"
#include "runtime/sim_world.h"

namespace exshadow {
namespace {

using namespace sim_helpers;

TEST_CASE("a_failed_flush_drops_what_it_covered_and_the_next_one_succeeds") {
    std::set<bool> visible;
    for (std::uint64_t seed = 0; seed < 20; ++seed) {
        SimWorld world(seed, calm());
        world.create("disk", MiB);
        SimLoop loop(world, seed);
        const auto file = open_file(loop, "disk");
        CHECK(do_write(loop, *file, 0, filled(4096, 5)) == 4096);
        world.inject("disk", {.kind = SimFault::Kind::flush_error});
        CHECK(do_flush(loop, *file) == -EIO);
        CHECK(do_flush(loop, *file) == 0);
        visible.insert(world.peek("disk", {0, 4096}) == filled(4096, 5));
        world.power_cut();
        CHECK(world.peek("disk", {0, 4096}) == filled(4096, 0));
    }
    CHECK(visible.size() == 2);
}

TEST_CASE("errors_strike_where_and_when_they_were_told_to") {
    SimWorld world(1, calm());
    world.create("disk", MiB);
    SimLoop loop(world, 1);
    const auto file = open_file(loop, "disk");
    Bytes buffer(4096);
    world.inject("disk", {.kind = SimFault::Kind::read_error, .range = {4096, 512}, .count = sim_unlimited});
    CHECK(do_read(loop, *file, 0, buffer) == 4096);
    CHECK(do_read(loop, *file, 4096, buffer) == -EIO);
    CHECK(do_write(loop, *file, 4096, filled(512, 1)) == 512);  // a rewritten sector is good again
    CHECK(do_read(loop, *file, 4096, buffer) == 4096);
    world.inject("disk", {.kind = SimFault::Kind::write_error, .skip = 2});
    CHECK(do_write(loop, *file, 0, buffer) == 4096);
    CHECK(do_write(loop, *file, 0, buffer) == 4096);
    CHECK(do_write(loop, *file, 0, buffer) == -EIO);
    CHECK(do_write(loop, *file, 0, buffer) == 4096);
    world.inject("disk", {.kind = SimFault::Kind::slow, .delay = 30 * second_ns});
    const Nanoseconds before = loop.now();
    CHECK(do_read(loop, *file, 0, buffer) == 4096);
    CHECK(loop.now() - before >= 30 * second_ns);
    CHECK(do_read(loop, *file, MiB - 1024, buffer) == 1024);
    CHECK(do_read(loop, *file, MiB, buffer) == 0);
}

TEST_CASE("a_late_write_is_answered_with_an_error_and_lands_over_newer_bytes") {
    SimWorld world(1, calm());
    world.create("disk", MiB);
    SimLoop loop(world, 1);
    const auto file = open_file(loop, "disk");
    world.inject("disk", {.kind = SimFault::Kind::late_write, .delay = second_ns});
    CHECK(do_write(loop, *file, 0, filled(4096, 1)) == -EIO);
    CHECK(do_write(loop, *file, 0, filled(4096, 2)) == 4096);
    CHECK(world.peek("disk", {0, 4096}) == filled(4096, 2));
    world.land_late_writes();
    CHECK(world.peek("disk", {0, 4096}) == filled(4096, 1));
}

TEST_CASE("space_runs_out_for_new_blocks_only") {
    SimOptions options = calm();
    options.capacity = 64 * KiB;
    SimWorld world(1, options);
    world.create("disk", MiB);
    SimLoop loop(world, 1);
    const auto file = open_file(loop, "disk");
    CHECK(file->allocate({0, 60 * KiB}).ok());
    CHECK(file->allocate({0, 128 * KiB}).error().code() == Code::no_space);
    CHECK(do_write(loop, *file, 60 * KiB, filled(4096, 1)) == 4096);
    CHECK(do_write(loop, *file, 64 * KiB, filled(4096, 1)) == -ENOSPC);
    CHECK(do_write(loop, *file, 0, filled(4096, 1)) == 4096);
    CHECK(do_zero(loop, *file, {0, 8192}, true) == 0);
    CHECK(world.used() == 56 * KiB);
    CHECK(do_write(loop, *file, 64 * KiB, filled(4096, 1)) == 4096);
    const std::vector<Extent> expected{
        {{0, 60 * KiB}, true}, {{60 * KiB, 8 * KiB}, false}, {{68 * KiB, 4 * KiB}, true}};
    CHECK(*file->extents({0, 72 * KiB}) == expected);
    CHECK(do_zero(loop, *file, {62 * KiB, MiB}, false) == -ENOSPC);
    CHECK(file->resize(61 * KiB).ok());
    CHECK(world.peek("disk", {60 * KiB, 2 * KiB})[1024] == std::byte{0});
}

TEST_CASE("E8_a_lock_belongs_to_the_open_file_and_a_crash_drops_it") {
    SimWorld world(1, calm());
    world.create("disk", MiB);
    OpenOptions locked;
    locked.lock = FileLock::exclusive;
    SimLoop first(world, 1);
    SimLoop second(world, 2);
    auto file = open_file(first, "disk", FileLock::exclusive);
    CHECK(second.open("disk", locked).error().code() == Code::busy);
    file.reset();
    file = open_file(second, "disk", FileLock::exclusive);
    second.crash(CrashKind::process_kill);
    const auto next = open_file(first, "disk", FileLock::exclusive);
    file.reset();  // of the dead process: does not let go of the new owner's lock
    CHECK(first.open("disk", locked).error().code() == Code::busy);
    CHECK(second.open("disk", {}).error().code() == Code::cancelled);
}

TEST_CASE("E7_identity_and_attributes") {
    SimWorld world(3, calm());
    world.create("a", MiB);
    world.create("b", MiB);
    SimLoop loop(world, 1);
    auto file = open_file(loop, "a");
    const FileIdentity before = *file->identity();
    CHECK(*file->attribute("user.exshadow") == std::nullopt);
    CHECK(file->set_attribute("user.exshadow", "x").ok());
    CHECK(**file->attribute("user.exshadow") == "x");
    CHECK(file->identity()->modified_ns == before.modified_ns);
    CHECK(file->identity()->changed_ns != before.changed_ns);
    CHECK(do_flush(loop, *file) == 0);
    const FileIdentity closed = *file->identity();
    world.power_cut();
    CHECK(*file->identity() == closed);
    CHECK(**file->attribute("user.exshadow") == "x");
    world.poke_zeroes("a", {0, 512});  // bit rot: no time stamp moves
    CHECK(*file->identity() == closed);
    world.poke("a", 0, filled(512, 1));
    CHECK(file->identity()->modified_ns > closed.modified_ns);
    world.copy("a", "c");
    CHECK(world.same_content("a", "c"));
    CHECK_FALSE(world.same_content("a", "b"));
    world.swap("a", "b");
    CHECK(open_file(loop, "a")->identity()->inode != before.inode);
    CHECK(**open_file(loop, "c")->attribute("user.exshadow") == "x");
    world.set_missing("a", true);
    CHECK(loop.open("a", {}).error().code() == Code::not_found);
}

TEST_CASE("E33_direct_files_check_alignment_and_some_transfers_are_short_or_inline") {
    SimOptions options = calm();
    options.behaviour.short_transfer = 0.5;
    options.behaviour.interrupted = 0.1;
    options.behaviour.inline_answer = 0.5;
    SimWorld world(5, options);
    world.create("disk", MiB);
    SimLoop loop(world, 1);
    OpenOptions direct;
    direct.writable = direct.direct = true;
    const auto file = std::move(*loop.open("disk", direct));
    CHECK(file->info().alignment == 512);
    alignas(512) static std::array<std::byte, 4096> buffer;
    std::set<std::int64_t> results;
    int inline_answers = 0;
    for (int i = 0; i < 200; ++i) {
        FileOperation operation{Kind::write, buffer.data(),         0,      buffer.size(),
                                0,           std::noop_coroutine(), nullptr};
        inline_answers += file->start(operation) ? 1 : 0;
        loop.run();
        CHECK((operation.result > 0 ? operation.result % 512 == 0 : operation.result != 0));
        results.insert(operation.result);
    }
    CHECK(results.size() > 6);
    CHECK(inline_answers > 50);
    FileOperation odd{Kind::write, buffer.data() + 8, 0, 512, 0, {}, nullptr};
    CHECK(file->start(odd));
    CHECK(odd.result == -EINVAL);
}

}  // namespace
}  // namespace exshadow
