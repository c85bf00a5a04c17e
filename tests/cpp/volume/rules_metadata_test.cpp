// E14, E15, E18, E19, E24 and the metadata copy: what the volume file must still say after anything.
#include "crash_fixture.h"
#include "volume/format.h"

namespace exshadow::test {

namespace {

Task<void> split_off(Machine& m, std::string label, std::string plex) {
    SplitRequest request;
    request.volumes = {m.volume.get()};
    request.label = label;
    request.plexes["v"] = plex;
    auto splitting = split(*m.loop, request);
    const auto result = co_await std::move(splitting);
    REQUIRE(result.ok());
}

Task<void> must_close(Machine& m) {
    auto closing = must(m.volume->close());
    co_await std::move(closing);
    m.volume.reset();
}

Task<void> make_with_copy(Machine& m) {
    m.world.create("p1.img", small_size);
    m.world.create("m2.img", small_size);
    CreateOptions create = small_volume("v", "p1.img");
    create.metadata_copy = "copy.exv";
    auto creating = must_create(*m.loop, create);
    m.volume = co_await std::move(creating);
    auto mirroring = must_mirror(*m.volume, "m2.img", "m2");
    co_await std::move(mirroring);
    auto splitting = split_off(m, "noon", "m2");
    co_await std::move(splitting);
    auto writing = must_write(*m.volume, 64 * KiB, 512, 1);
    co_await std::move(writing);
    auto closing = must_close(m);
    co_await std::move(closing);
}

Task<void> write_more(Machine& m) {
    auto opening = must_open_volume(m);
    co_await std::move(opening);
    auto writing = must_write(*m.volume, MiB, 512, 2);
    co_await std::move(writing);
    auto closing = must_close(m);
    co_await std::move(closing);
}

Task<void> expect_both_changes(Machine& m) {
    auto opening = must_open_volume(m);
    co_await std::move(opening);
    CHECK(m.volume->plexes()[0]->is_member());
    auto asking = m.volume->changed("noon", {});
    const auto changed = co_await std::move(asking);
    REQUIRE(changed.ok());
    CHECK(*changed == Ranges{{64 * KiB, 16 * KiB}, {MiB, 16 * KiB}});
    auto resyncing = must(m.volume->resync("noon", 0, std::make_shared<Job>("resync")));
    co_await std::move(resyncing);
    CHECK(m.world.same_content("p1.img", "m2.img"));
    auto closing = must_close(m);
    co_await std::move(closing);
}

Task<void> open_from_copy(Machine& m) {
    auto opening = Volume::open(*m.loop, "copy.exv", {}, m.options);
    auto opened = co_await std::move(opening);
    REQUIRE(opened.ok());
    m.volume = std::move(opened).value();
    auto asking = m.volume->changed("noon", {});
    const auto changed = co_await std::move(asking);
    REQUIRE(changed.ok());
    CHECK(*changed == Ranges{{64 * KiB, 16 * KiB}, {MiB, 16 * KiB}});
    auto closing = must_close(m);
    co_await std::move(closing);
}

Task<void> open_and_close(Machine& m) {
    auto opening = open_volume(m);
    co_await std::move(opening);
    auto closing = close_volume(m);
    co_await std::move(closing);
}

// The older of two volume files is brought up to date; a crash in between must not make it look new.
Task<void> make_stale_primary(Machine& m) {
    auto making = make_with_copy(m);
    co_await std::move(making);
    m.world.copy("v.exv", "backup.exv");
    auto writing = write_more(m);
    co_await std::move(writing);
    m.world.swap("v.exv", "backup.exv");
}

Task<void> damaged_maps(Machine& m) {
    auto making = make_mirror(m);
    co_await std::move(making);
    auto splitting = must_split(*m.loop, {m.volume.get()}, "noon");
    co_await std::move(splitting);
    auto writing = must_write(*m.volume, 64 * KiB, 512, 1);
    co_await std::move(writing);
    const MapRef map = m.volume->state().intervals.back().map;
    auto closing = must_close(m);
    co_await std::move(closing);
    const format::MapLayout layout(small_size, 16 * KiB);
    const std::uint64_t at =
        m.seed % 2 == 0 ? layout.summary_offset(map.slot, 0) : layout.block_offset(map.slot, 0, 0);
    const std::uint64_t bytes = m.seed % 2 == 0 ? 2 * layout.summary_bytes : 2 * format::block_bytes;
    m.world.poke_zeroes("v.exv", {at, bytes});
    auto opening = must_open_volume(m);
    co_await std::move(opening);
    CHECK_FALSE(m.volume->events().empty());  // said aloud
    auto asking = m.volume->changed("noon", {});
    const auto changed = co_await std::move(asking);
    REQUIRE(changed.ok());
    CHECK(*changed == Ranges{{0, small_size}});
    auto resyncing = must(m.volume->resync("noon", 0, std::make_shared<Job>("resync")));
    co_await std::move(resyncing);
    CHECK(m.world.same_content("p1.img", "m2.img"));
    auto again = must_close(m);
    co_await std::move(again);
}

// Bit rot in the newer of a block's two places: the older one is sound, and a lie after a clean close.
Task<void> rotten_newer_place(Machine& m) {
    auto making = make_mirror(m);
    co_await std::move(making);
    auto splitting = must_split(*m.loop, {m.volume.get()}, "noon");
    co_await std::move(splitting);
    const MapRef map = m.volume->state().intervals.back().map;
    const format::MapLayout layout(small_size, 16 * KiB);
    for (std::uint64_t write = 0; write < 2; ++write) {
        auto writing = must_write(*m.volume, (1 + write) * MiB / 2, 512, 1);
        co_await std::move(writing);
        auto closing = must_close(m);
        co_await std::move(closing);
        auto opening = must_open_volume(m);
        co_await std::move(opening);
    }
    auto closing = must_close(m);
    co_await std::move(closing);
    const unsigned place = static_cast<unsigned>(m.seed % 2);
    const std::uint64_t at =
        m.seed % 4 < 2 ? layout.summary_offset(map.slot, place) : layout.block_offset(map.slot, 0, place);
    m.world.poke("v.exv", at + 100, filled(1, 0x5a));
    auto opening = must_open_volume(m);
    co_await std::move(opening);
    auto asking = m.volume->changed("noon", {});
    const auto changed = co_await std::move(asking);
    REQUIRE(changed.ok());
    const bool all = *changed == Ranges{{0, small_size}};
    CHECK((all || *changed == Ranges{{MiB / 2, 16 * KiB}, {MiB, 16 * KiB}}));
    CHECK(all == !m.volume->events().empty());  // said aloud
    m.number += all ? 1 : 0;
    auto again = must_close(m);
    co_await std::move(again);
}

Task<void> make_open_crash(Machine& m) {
    auto making = make_mirror(m);
    co_await std::move(making);
    auto writing = clients(m, 2);
    co_await std::move(writing);
    m.loop->crash(CrashKind::process_kill);
    auto closing = close_volume(m);
    co_await std::move(closing);
}

Task<void> all_reconciled(Machine& m) {
    auto opening = must_open_volume(m);
    co_await std::move(opening);
    bool said = false;
    for (const auto& event : m.volume->events())
        said = said || event.text.find("damaged") != std::string::npos;
    CHECK(said);
    auto checking = check_volume(m);
    co_await std::move(checking);
    auto closing = must_close(m);
    co_await std::move(closing);
}

// A failed plex, a clean stop, and its map still says what it lacks (not everything).
Task<void> failed_plex_over_restart(Machine& m) {
    auto making = make_mirror(m);
    co_await std::move(making);
    SimFault broken;
    broken.kind = SimFault::Kind::write_error;
    broken.count = sim_unlimited;
    m.world.inject("m2.img", broken);
    auto writing = must_write(*m.volume, MiB, 4096, 1);
    co_await std::move(writing);
    m.world.heal("m2.img");
    auto closing = must_close(m);
    co_await std::move(closing);
    auto opening = must_open_volume(m);
    co_await std::move(opening);
    auto more = must_write(*m.volume, MiB + 256 * KiB, 4096, 1);
    co_await std::move(more);
    auto job = std::make_shared<Job>("sync");
    auto syncing = must(m.volume->sync_plex("m2", 0, job));
    co_await std::move(syncing);
    CHECK(job->bytes_total < small_size);
    CHECK(m.world.same_content("p1.img", "m2.img"));
    auto again = must_close(m);
    co_await std::move(again);
}

// A mirror that is absent at one opening and was changed meanwhile is not taken for what it was.
Task<void> absent_and_changed(Machine& m) {
    auto making = make_closed_mirror(m);
    co_await std::move(making);
    m.world.set_missing("m2.img", true);
    auto opening = must_open_volume(m);
    co_await std::move(opening);
    CHECK(m.volume->plexes()[1]->state == PlexState::detached);
    auto writing = clients(m, 2);
    co_await std::move(writing);
    m.world.set_missing("m2.img", false);
    if (m.seed % 2 == 0) m.world.poke("m2.img", MiB + 700 * KiB, filled(4096, 0x42));
    auto job = std::make_shared<Job>("sync");
    auto syncing = must(m.volume->sync_plex("m2", 0, job));
    co_await std::move(syncing);
    CHECK((job->bytes_total < small_size) == (m.seed % 2 != 0));
    auto checking = check_volume(m);
    co_await std::move(checking);
    auto closing = must_close(m);
    co_await std::move(closing);
}

void with_seeds(std::uint64_t seeds, Step step) {
    for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
        CAPTURE(seed);
        Machine m(seed);
        run_step(m, step, seed);
    }
}

}  // namespace

TEST_CASE("the metadata copy takes over when the volume file is lost or stale") {
    for (std::uint64_t seed = 1; seed <= 5; ++seed) {
        CAPTURE(seed);
        Machine m(seed);
        run_step(m, make_with_copy, seed);
        m.world.copy("v.exv", "stale.exv");
        run_step(m, write_more, seed + 1);
        m.world.swap(seed % 2 == 0 ? "v.exv" : "copy.exv", "stale.exv");
        if (seed == 4) {
            m.world.remove("v.exv");
            run_step(m, open_from_copy, seed + 2);
            m.world.copy("copy.exv", "v.exv");
        }
        run_step(m, expect_both_changes, seed + 3);
    }
}

TEST_CASE("a stale volume file never looks new before its log and maps are") {
    sweep(1, 60, make_stale_primary, open_and_close, expect_both_changes);
}

TEST_CASE("E18: a map block or summary that is gone counts as all changed") {
    with_seeds(6, damaged_maps);
}

TEST_CASE("E18: an older map block is not believed where a clean close left a newer one") {
    std::uint64_t doubted = 0;
    for (std::uint64_t seed = 1; seed <= 8; ++seed) {
        CAPTURE(seed);
        Machine m(seed);
        run_step(m, rotten_newer_place, seed);
        doubted += m.number;
    }
    CHECK(doubted >= 2);  // each place is the newer one now and then
}

TEST_CASE("E19: with the activity log unreadable after a crash everything is reconciled") {
    for (std::uint64_t seed = 1; seed <= 6; ++seed) {
        CAPTURE(seed);
        Machine m(seed);
        run_step(m, make_open_crash, seed);
        SimFault unreadable;
        unreadable.range = {format::log_places[seed % 2], format::log_bytes};
        unreadable.count = sim_unlimited;
        if (seed < 4) {
            m.world.inject("v.exv", unreadable);
        } else {
            m.world.poke_zeroes("v.exv", {format::log_places[0], 2 * format::log_bytes});
        }
        run_step(m, all_reconciled, seed + 1);
    }
}

TEST_CASE("E2: a failed plex comes back by its map, after a clean stop as well") {
    with_seeds(10, failed_plex_over_restart);
}

TEST_CASE("E7: a plex that was away is compared whole when it was changed, else brought up by its map") {
    with_seeds(10, absent_and_changed);
}

}  // namespace exshadow::test
