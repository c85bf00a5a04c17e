// E25-E28, F14: instant restore, rule by rule. What the simulation finds at random is here by name.
#include "crash_fixture.h"
#include "volume/format.h"
#include "volume/instant.h"

namespace exshadow::test {

namespace {

constexpr std::uint64_t region = 16 * KiB;

Task<void> must_restore(Machine& m, std::string label) {
    std::vector<RestoreWish> wishes;
    wishes.push_back({m.volume.get(), std::move(label)});
    auto restoring = must(restore_instant(*m.loop, std::move(wishes)));
    co_await std::move(restoring);
}

Task<void> must_move(Machine& m) {
    auto moving = must(m.volume->continue_restore(0, std::make_shared<Job>("restore")));
    co_await std::move(moving);
}

Task<void> must_hold(Machine& m, std::uint64_t offset, std::uint64_t length, std::uint8_t value) {
    auto reading = must_read(*m.volume, offset, length);
    const auto bytes = co_await std::move(reading);
    CHECK(bytes == filled(length, value));
}

// p1 and m2 in sync, snapshot "noon" on m3 holds 1 everywhere; production holds 2 in its first half.
Task<void> make_noon(Machine& m) {
    for (const char* const path : {"p1.img", "m2.img", "m3.img", "m4.img"}) m.world.create(path, small_size);
    auto creating = must_create(*m.loop, small_volume("v", "p1.img"), m.options);
    m.volume = co_await std::move(creating);
    auto first = must_write(*m.volume, 0, small_size, 1);
    co_await std::move(first);
    auto second = must_mirror(*m.volume, "m2.img", "m2");
    co_await std::move(second);
    auto third = must_mirror(*m.volume, "m3.img", "m3");
    co_await std::move(third);
    auto splitting = must_split(*m.loop, {m.volume.get()}, "noon");
    co_await std::move(splitting);
    auto writing = must_write(*m.volume, 0, small_size / 2, 2);
    co_await std::move(writing);
    auto flushing = must(m.volume->flush());
    co_await std::move(flushing);
    m.remembered = m.world.peek("m3.img", {0, small_size});
}

Task<void> close_now(Machine& m) {
    auto closing = must(m.volume->close());
    co_await std::move(closing);
    m.volume.reset();
}

// Runs both on one loop.
template <Step step>
Task<void> after_noon(Machine& m) {
    auto making = make_noon(m);
    co_await std::move(making);
    auto running = step(m);
    co_await std::move(running);
    CHECK(same_bytes(m.world.peek("m3.img", {0, small_size}), m.remembered));  // the copy never changes
    if (!m.volume) co_return;
    auto closing = close_now(m);
    co_await std::move(closing);
}

template <Step step>
void run() {
    Machine m(7);
    run_step(m, after_noon<step>, 3);
}

Task<void> read_at_once(Machine& m) {
    auto restoring = must_restore(m, "noon");
    co_await std::move(restoring);
    CHECK(m.volume->is_moving());
    CHECK(m.volume->unmoved_bytes() == small_size / 2);
    auto all = must_hold(m, 0, small_size, 1);
    co_await std::move(all);
    CHECK(same_bytes(m.world.peek("p1.img", {0, 512}), filled(512, 2)));  // nothing was moved for it
    auto asking = m.volume->changed("noon", {});
    const auto changed = co_await std::move(asking);
    REQUIRE(changed.ok());
    CHECK(changed->empty());  // what clients write from here on is the only difference (E16)
    auto moving = must_move(m);
    co_await std::move(moving);
    CHECK_FALSE(m.volume->is_moving());
    for (const char* const path : {"p1.img", "m2.img"}) {
        CHECK(same_bytes(m.world.peek(path, {0, small_size}), m.remembered));
    }
}

Task<void> write_on_top(Machine& m) {
    auto restoring = must_restore(m, "noon");
    co_await std::move(restoring);
    const std::uint64_t before = m.volume->unmoved_bytes();
    auto part = must_write(*m.volume, region + 512, 512, 9);  // a part of a region
    co_await std::move(part);
    CHECK(m.volume->unmoved_bytes() == before - region);
    CHECK(same_bytes(m.world.peek("m2.img", {region, 512}), filled(512, 1)));  // the copy lies below it
    auto moving = must_move(m);
    co_await std::move(moving);
    auto mine = must_hold(m, region + 512, 512, 9);
    co_await std::move(mine);
    auto below = must_hold(m, region, 512, 1);
    co_await std::move(below);
    auto after = must_hold(m, region + 1024, region, 1);
    co_await std::move(after);
}

// A region that the client covers is not read from the snapshot.
Task<void> write_without_source(Machine& m) {
    auto restoring = must_restore(m, "noon");
    co_await std::move(restoring);
    SimFault fault;
    fault.kind = SimFault::Kind::read_error;
    fault.count = sim_unlimited;
    fault.range = {0, small_size};
    m.world.inject("m3.img", fault);
    auto covering = must_write(*m.volume, 0, 2 * region, 9);
    co_await std::move(covering);
    auto mine = must_hold(m, 0, 2 * region, 9);
    co_await std::move(mine);
    std::vector<std::byte> byte(512);
    auto reading = m.volume->read(3 * region, byte);
    const Status read = co_await std::move(reading);
    REQUIRE_FALSE(read.ok());
    CHECK(read.error().code() == Code::io);
    CHECK(read.error().message().find("not moved yet") != std::string::npos);
    auto writing = m.volume->write(3 * region, payload(512, 9));
    const Status written = co_await std::move(writing);
    CHECK_FALSE(written.ok());
    auto moving = m.volume->continue_restore(0, std::make_shared<Job>("restore"));
    const Status moved = co_await std::move(moving);
    CHECK_FALSE(moved.ok());
    CHECK(m.volume->is_moving());  // it only pauses
    m.world.heal("m3.img");
    auto again = must_move(m);
    co_await std::move(again);
    auto rest = must_hold(m, 2 * region, small_size - 2 * region, 1);
    co_await std::move(rest);
}

Task<void> check_refusals(Machine& m) {
    auto restoring = must_restore(m, "noon");
    co_await std::move(restoring);
    const auto refused = [](const Status& status) {
        REQUIRE_FALSE(status.ok());
        CHECK(status.error().code() == Code::refused);
        CHECK(status.error().message().find("noon") != std::string::npos);
        CHECK(status.error().hint().find("mirror sync") != std::string::npos);
    };
    SplitRequest request;
    request.volumes = {m.volume.get()};
    request.label = "never";
    auto splitting = split(*m.loop, request);
    const auto split_off = co_await std::move(splitting);
    refused(split_off.ok() ? Status{} : Status(split_off.error()));
    auto promoting = m.volume->promote("noon");
    const Status promoted = co_await std::move(promoting);
    refused(promoted);
    auto deleting = m.volume->delete_snapshot("noon");
    const Status deleted = co_await std::move(deleting);
    refused(deleted);
    auto resyncing = m.volume->resync("noon", 0, std::make_shared<Job>("resync"));
    const Status resynced = co_await std::move(resyncing);
    refused(resynced);
}

Task<void> sync_through_redirect(Machine& m) {
    auto restoring = must_restore(m, "noon");
    co_await std::move(restoring);
    auto mirroring = must_mirror(*m.volume, "m4.img", "m4");  // joins before anything is moved
    co_await std::move(mirroring);
    CHECK(m.volume->unmoved_bytes() == small_size / 2);
    CHECK(same_bytes(m.world.peek("m4.img", {0, small_size}), m.remembered));
    auto job = std::make_shared<Job>("verify");
    auto verifying = must(m.volume->verify(false, {}, job));
    co_await std::move(verifying);
    auto checking = must(m.volume->verify_snapshot("noon", std::make_shared<Job>("verify")));
    co_await std::move(checking);
    auto moving = must_move(m);
    co_await std::move(moving);
    CHECK(m.world.same_content("p1.img", "m4.img"));
}

// It begins while the mover waits for a disk, and ends long after it: nobody takes the copy away meanwhile.
Task<void> verify_while_it_moves(Machine& m) {
    auto restoring = must_restore(m, "noon");
    co_await std::move(restoring);
    m.loop->hold("p1.img", FileOperation::Kind::write);
    TaskGroup group(*m.loop);
    group.spawn(must_move(m));
    co_await m.loop->sleep(100 * millisecond_ns);
    const auto job = std::make_shared<Job>("verify");
    group.spawn(must(m.volume->verify_snapshot("noon", job)));
    co_await m.loop->sleep(millisecond_ns);
    CHECK(job->bytes_total == small_size);
    CHECK(m.volume->is_moving());
    m.loop->hold("m3.img", FileOperation::Kind::read);
    m.loop->release("p1.img");
    co_await m.loop->sleep(second_ns);
    CHECK_FALSE(m.volume->is_moving());
    CHECK(job->bytes_done == 0);
    auto deleting = m.volume->delete_snapshot("noon");
    const Status deleted = co_await std::move(deleting);
    REQUIRE_FALSE(deleted.ok());
    CHECK(deleted.error().code() == Code::busy);
    m.loop->release("m3.img");
    auto waiting = group.wait();
    co_await std::move(waiting);
    CHECK(job->bytes_done == small_size);
    CHECK(job->differences().empty());
}

// What is moved is compared as well: a copy that rotted meanwhile is told.
Task<void> verify_what_was_moved(Machine& m) {
    auto restoring = must_restore(m, "noon");
    co_await std::move(restoring);
    auto mine = must_write(*m.volume, 0, 512, 9);  // changed since: no difference
    co_await std::move(mine);
    m.world.poke_zeroes("m3.img", {0, 4096});
    m.world.poke_zeroes("m3.img", {small_size - 4096, 4096});
    const auto job = std::make_shared<Job>("verify");
    auto verifying = m.volume->verify_snapshot("noon", job);
    const Status status = co_await std::move(verifying);
    REQUIRE_FALSE(status.ok());
    CHECK(status.error().code() == Code::mismatch);
    CHECK(job->differences() == Ranges{{small_size - 4096, 4096}});
    m.remembered = m.world.peek("m3.img", {0, small_size});
}

Task<void> restore_another(Machine& m) {
    auto splitting = must_split(*m.loop, {m.volume.get()}, "late");  // m2: 2 in the first half
    co_await std::move(splitting);
    auto writing = must_write(*m.volume, small_size - region, region, 3);
    co_await std::move(writing);
    auto first = must_restore(m, "noon");
    co_await std::move(first);
    auto mine = must_write(*m.volume, 0, 512, 9);
    co_await std::move(mine);
    auto second = must_restore(m, "late");
    co_await std::move(second);
    auto changed = must_hold(m, 0, small_size / 2, 2);
    co_await std::move(changed);
    auto rest = must_hold(m, small_size / 2, small_size / 2, 1);
    co_await std::move(rest);
    auto third = must_restore(m, "noon");
    co_await std::move(third);
    auto moving = must_move(m);
    co_await std::move(moving);
    CHECK(same_bytes(m.world.peek("p1.img", {0, small_size}), m.remembered));
    auto by_copy = must(m.volume->restore("late", 0, std::make_shared<Job>("restore")));
    co_await std::move(by_copy);
    CHECK(m.world.same_content("p1.img", "m2.img"));
}

// A write from before the turn is answered and loses; one that comes after it waits and wins.
Task<void> overtake(Machine& m) {
    m.loop->hold("p1.img", FileOperation::Kind::write);
    TaskGroup group(*m.loop);
    group.spawn(must(m.volume->write(0, payload(512, 5))));
    co_await m.loop->sleep(millisecond_ns);
    auto restoring = must_restore(m, "noon");
    co_await std::move(restoring);
    auto before = must_hold(m, 0, 512, 1);
    co_await std::move(before);
    group.spawn(must(m.volume->write(512, payload(512, 6))));
    co_await m.loop->sleep(millisecond_ns);
    m.loop->release("p1.img");
    auto waiting = group.wait();
    co_await std::move(waiting);
    auto lost = must_hold(m, 0, 512, 1);
    co_await std::move(lost);
    auto won = must_hold(m, 512, 512, 6);
    co_await std::move(won);
}

Task<void> lose_member(Machine& m) {
    auto restoring = must_restore(m, "noon");
    co_await std::move(restoring);
    auto some = must_write(*m.volume, 0, region, 9);
    co_await std::move(some);
    SimFault fault;
    fault.kind = SimFault::Kind::write_error;
    fault.count = 1;
    m.world.inject("m2.img", fault);
    auto other = must_write(*m.volume, 4 * region, 512, 8);
    co_await std::move(other);
    auto moving = must_move(m);
    co_await std::move(moving);
    m.world.heal("m2.img");
    for (const auto& plex : m.volume->plexes()) {
        if (plex->label == "m2") CHECK(plex->state == PlexState::failed);
    }
    co_await m.loop->sleep(second_ns);
    auto syncing = must(m.volume->sync_plex("m2", 0, std::make_shared<Job>("sync")));
    co_await std::move(syncing);
    CHECK(m.world.same_content("p1.img", "m2.img"));
}

Task<void> start_and_write(Machine& m) {
    auto making = make_noon(m);
    co_await std::move(making);
    auto restoring = must_restore(m, "noon");
    co_await std::move(restoring);
    auto mine = must_write(*m.volume, 512, 512, 9);
    co_await std::move(mine);
    auto flushing = must(m.volume->flush());
    co_await std::move(flushing);
    auto unflushed = must_write(*m.volume, 2 * region, 512, 8);
    co_await std::move(unflushed);
    m.loop->crash(CrashKind::power_cut);
    auto closing = close_volume(m);
    co_await std::move(closing);
}

Task<void> reopen_moving(Machine& m) {
    auto opening = must_open_volume(m);
    co_await std::move(opening);
    CHECK(m.volume->is_moving());
    auto flushed = must_hold(m, 512, 512, 9);
    co_await std::move(flushed);
    auto snapshot = must_hold(m, 1024, region, 1);
    co_await std::move(snapshot);
    auto reading = must_read(*m.volume, 2 * region, 512);
    const auto bytes = co_await std::move(reading);
    CHECK((bytes == filled(512, 8) || bytes == filled(512, 1)));  // never the bytes from before the restore
    auto moving = must_move(m);
    co_await std::move(moving);
    auto closing = close_now(m);
    co_await std::move(closing);
}

Task<void> start_and_close(Machine& m) {
    auto making = make_noon(m);
    co_await std::move(making);
    auto restoring = must_restore(m, "noon");
    co_await std::move(restoring);
    m.number = m.volume->restore_map()->ref.slot;
    auto closing = close_now(m);
    co_await std::move(closing);
}

Task<void> open_broken(Machine& m) {
    auto opening = must_open_volume(m);
    co_await std::move(opening);
    std::vector<std::byte> byte(512);
    auto reading = m.volume->read(small_size - 512, byte);
    const Status read = co_await std::move(reading);
    REQUIRE_FALSE(read.ok());
    CHECK(read.error().code() == Code::corrupt);
    auto writing = m.volume->write(0, payload(512, 1));
    const Status written = co_await std::move(writing);
    CHECK_FALSE(written.ok());
    bool said = false;
    for (const auto& event : m.volume->events())
        said = said || event.text.find("restore map cannot be read") != std::string::npos;
    CHECK(said);
    auto asking = m.volume->production_extents({0, small_size});
    const auto extents = co_await std::move(asking);
    CHECK_FALSE(extents.ok());  // no promises
    auto verifying = must(m.volume->verify_snapshot("noon", std::make_shared<Job>("verify")));
    co_await std::move(verifying);             // the copy by itself: there is nothing to compare it with
    auto restoring = must_restore(m, "noon");  // the way out: all of it
    co_await std::move(restoring);
    CHECK(m.volume->unmoved_bytes() == small_size);
    auto all = must_hold(m, 0, small_size, 1);
    co_await std::move(all);
    auto moving = must_move(m);
    co_await std::move(moving);
    auto closing = close_now(m);
    co_await std::move(closing);
}

}  // namespace

TEST_CASE("E26: production is the snapshot at once, before anything is moved") {
    run<read_at_once>();
}

TEST_CASE("F14: writes during an instant restore land on top and stay") {
    run<write_on_top>();
}

TEST_CASE("E27: a region that is covered needs no snapshot; the others say why they cannot be read") {
    run<write_without_source>();
}

TEST_CASE("E28: split, promote, and resync or delete of the source are refused while it moves") {
    run<check_refusals>();
}

TEST_CASE("E28: a new mirror and verify read through the redirect") {
    run<sync_through_redirect>();
}

TEST_CASE("E28: the snapshot is verified while it moves, and stays until it is") {
    run<verify_while_it_moves>();
    run<verify_what_was_moved>();
}

TEST_CASE("E28: a restore to another set covers what is not moved yet") {
    run<restore_another>();
}

TEST_CASE("E26: a write from before the turn loses, one from after it waits for it and wins") {
    run<overtake>();
}

TEST_CASE("E2, E27: a member that fails while it moves comes back by its map") {
    run<lose_member>();
}

TEST_CASE("E27: a flushed write survives a power cut while it moves") {
    Machine m(11);
    SimLoop loop(m.world, 1);
    m.loop = &loop;
    REQUIRE(loop.run_task(start_and_write(m)));
    run_step(m, reopen_moving, 2);
}

TEST_CASE("E25: a restore map that cannot be read stops all I/O until another restore") {
    Machine m(12);
    run_step(m, start_and_close, 1);
    const format::MapLayout layout(small_size, region);
    const auto slot = static_cast<std::uint32_t>(m.number);
    m.world.poke_zeroes("v.exv", {layout.block_offset(slot, 0, 0), 2 * format::block_bytes});
    run_step(m, open_broken, 2);
}

}  // namespace exshadow::test
