// The main job on a simulated machine: adopt, mirror, split, diff, resync, restore, promote, reopen.
#include "volume_fixture.h"

namespace exshadow::test {

namespace {

Task<void> adopt_and_write(Loop& loop) {
    auto creating = must_create(loop, small_volume("v", "p1.img"));
    auto volume = co_await std::move(creating);
    auto writing = must_write(*volume, 1000, 5000, 7);
    co_await std::move(writing);
    auto reading = must_read(*volume, 1000, 5000);
    const auto bytes = co_await std::move(reading);
    CHECK(bytes == filled(5000, 7));
    auto flushing = must(volume->flush());
    co_await std::move(flushing);
    auto closing = must(volume->close());
    co_await std::move(closing);
}

Task<void> mirror_split_restore(Loop& loop, SimWorld& world) {
    auto creating = must_create(loop, small_volume("v", "p1.img"));
    auto volume = co_await std::move(creating);
    auto first = must_write(*volume, 0, 200 * KiB, 1);
    co_await std::move(first);
    auto mirroring = must_mirror(*volume, "m2.img", "m2");
    co_await std::move(mirroring);
    CHECK(world.same_content("p1.img", "m2.img"));

    auto splitting = must_split(loop, {volume.get()}, "noon");
    co_await std::move(splitting);
    const auto before = world.peek("m2.img", {0, small_size});
    auto second = must_write(*volume, 100 * KiB, 20 * KiB, 2);
    co_await std::move(second);
    CHECK(world.peek("m2.img", {0, small_size}) == before);
    auto asking = volume->changed("noon", {});
    const auto changed = co_await std::move(asking);
    REQUIRE(changed.ok());
    CHECK(*changed == Ranges{{96 * KiB, 32 * KiB}});

    auto restoring = must(volume->restore("noon", 0, std::make_shared<Job>("restore")));
    co_await std::move(restoring);
    CHECK(world.same_content("p1.img", "m2.img"));
    CHECK(world.peek("m2.img", {0, small_size}) == before);
    auto third = must_write(*volume, 0, 512, 3);
    co_await std::move(third);
    auto job = std::make_shared<Job>("resync");
    auto resyncing = must(volume->resync("noon", 0, job));
    co_await std::move(resyncing);
    CHECK(job->bytes_copied == 16 * KiB);
    CHECK(world.same_content("p1.img", "m2.img"));
    CHECK(volume->state().snapshots.empty());
    CHECK(volume->state().intervals.size() == 1);
    auto closing = must(volume->close());
    co_await std::move(closing);
}

Task<void> reopen_and_promote(Loop& loop, SimWorld& world) {
    auto opening = must_open(loop, "v");
    auto volume = co_await std::move(opening);
    for (const auto& event : volume->events()) MESSAGE(event.text);
    CHECK(volume->plexes().size() == 2);
    CHECK(volume->plexes()[1]->is_member());
    auto splitting = must_split(loop, {volume.get()}, "late");
    co_await std::move(splitting);
    auto writing = must_write(*volume, MiB, 4096, 9);
    co_await std::move(writing);
    auto promoting = must(volume->promote("late"));
    co_await std::move(promoting);
    auto reading = must_read(*volume, MiB, 4096);
    const auto bytes = co_await std::move(reading);
    CHECK(bytes == filled(4096, 0));
    auto syncing = must(volume->sync_plex("p1", 0, std::make_shared<Job>("sync")));
    co_await std::move(syncing);
    CHECK(world.same_content("p1.img", "m2.img"));
    auto closing = must(volume->close());
    co_await std::move(closing);
}

}  // namespace

TEST_CASE("a volume is adopted, written and read back") {
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
        CAPTURE(seed);
        SimWorld world(seed);
        world.create("p1.img", small_size);
        SimLoop loop(world, seed);
        CHECK(loop.run_task(adopt_and_write(loop)));
    }
}

TEST_CASE("mirror, split, diff, restore, resync, promote") {
    for (std::uint64_t seed = 1; seed <= 50; ++seed) {
        CAPTURE(seed);
        SimWorld world(seed);
        world.create("p1.img", small_size);
        world.create("m2.img", small_size);
        {
            SimLoop loop(world, seed);
            REQUIRE(loop.run_task(mirror_split_restore(loop, world)));
        }
        SimLoop loop(world, seed + 1000);
        REQUIRE(loop.run_task(reopen_and_promote(loop, world)));
    }
}

}  // namespace exshadow::test
