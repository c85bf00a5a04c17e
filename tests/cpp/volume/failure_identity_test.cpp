// F20, F24, F25, E7: plexes and volume files that are not what they were, and who may open them.
#include "crash_fixture.h"
#include "volume/format.h"

namespace exshadow::test {

namespace {

Task<void> must_heal_with_full_compare(Machine& m) {
    const std::string label = m.number == 0 ? "p1" : "m2";
    auto opening = must_open_volume(m);
    co_await std::move(opening);
    const auto& plex = m.volume->plexes()[m.number];
    CHECK(plex->state == PlexState::stale);
    CHECK(m.volume->state().find_plex(plex->uuid)->needs_compare);
    CHECK_FALSE(m.volume->events().empty());  // said aloud
    auto job = std::make_shared<Job>("sync");
    auto syncing = must(m.volume->sync_plex(label, 0, job));
    co_await std::move(syncing);
    CHECK(job->bytes_total == small_size);
    auto checking = check_volume(m);
    co_await std::move(checking);
    auto closing = must(m.volume->close());
    co_await std::move(closing);
    m.volume.reset();
}

Task<void> refuse_then_force(Machine& m) {
    auto opening = Volume::open(*m.loop, "v.exv", {}, m.options);
    auto opened = co_await std::move(opening);
    REQUIRE_FALSE(opened.ok());
    CHECK(opened.error().code() == Code::refused);
    CHECK(opened.error().hint().find("--force") != std::string::npos);
    m.options.force = true;
    auto forcing = must_open_volume(m);
    co_await std::move(forcing);
    CHECK_FALSE(m.volume->events().empty());
    for (const auto& snapshot : m.volume->state().snapshots) {
        auto asking = m.volume->changed(snapshot.label, {});
        const auto changed = co_await std::move(asking);
        REQUIRE(changed.ok());
        CHECK(*changed == Ranges{{0, small_size}});
    }
    auto closing = must(m.volume->close());
    co_await std::move(closing);
    m.volume.reset();
    m.options.force = false;
    auto again = must_open_volume(m);  // accepted once and for all
    co_await std::move(again);
    for (const auto& snapshot : m.volume->state().snapshots) {
        auto asking = m.volume->changed(snapshot.label, {});
        const auto changed = co_await std::move(asking);
        REQUIRE(changed.ok());
        CHECK(*changed == Ranges{{0, small_size}});
    }
    auto finish = must(m.volume->close());
    co_await std::move(finish);
    m.volume.reset();
}

Task<void> make_snapshot(Machine& m) {
    auto making = make_mirror(m);
    co_await std::move(making);
    auto splitting = must_split(*m.loop, {m.volume.get()}, "noon");
    co_await std::move(splitting);
    auto writing = clients(m, 2);
    co_await std::move(writing);
    auto closing = must(m.volume->close());
    co_await std::move(closing);
    m.volume.reset();
}

Task<void> force_and_crash(Machine& m) {
    m.options.force = true;
    auto opening = open_volume(m);
    co_await std::move(opening);
    auto closing = close_volume(m);
    co_await std::move(closing);
    m.options.force = false;
}

// Either it is still refused, or everything counts as changed.
Task<void> accepted_or_not(Machine& m) {
    m.options.force = false;
    auto opening = open_volume(m);
    co_await std::move(opening);
    if (!m.volume) co_return;
    auto asking = m.volume->changed("noon", {});
    const auto changed = co_await std::move(asking);
    REQUIRE(changed.ok());
    CHECK(*changed == Ranges{{0, small_size}});
    auto closing = must(m.volume->close());
    co_await std::move(closing);
    m.volume.reset();
}

Task<void> make_poked_snapshot(Machine& m) {
    auto making = make_snapshot(m);
    co_await std::move(making);
    m.world.poke("p1.img", MiB, filled(4096, 0x77));
}

Task<void> refuse_restore(Machine& m) {
    auto opening = must_open_volume(m);
    co_await std::move(opening);
    auto writing = clients(m, 2);
    co_await std::move(writing);
    m.world.poke("m2.img", MiB, filled(4096, 0x55));
    auto verifying = m.volume->verify_snapshot("noon", std::make_shared<Job>("verify"));
    const Status verified = co_await std::move(verifying);
    REQUIRE_FALSE(verified.ok());
    CHECK(verified.error().code() == Code::mismatch);
    auto restoring = m.volume->restore("noon", 0, std::make_shared<Job>("restore"));
    const Status refused = co_await std::move(restoring);
    REQUIRE_FALSE(refused.ok());
    CHECK(refused.error().code() == Code::mismatch);
    CHECK(refused.error().hint().find("--force") != std::string::npos);
    CHECK_FALSE(m.volume->is_restoring());
    // Bringing it back needs no trust: everything is compared.
    auto resyncing = must(m.volume->resync("noon", 0, std::make_shared<Job>("resync")));
    co_await std::move(resyncing);
    auto checking = check_volume(m);
    co_await std::move(checking);
    CHECK(m.world.same_content("p1.img", "m2.img"));
    auto closing = must(m.volume->close());
    co_await std::move(closing);
    m.volume.reset();
}

Task<void> expect_code(Machine& m) {
    auto opening = Volume::open(*m.loop, "v.exv", {}, m.options);
    auto opened = co_await std::move(opening);
    REQUIRE_FALSE(opened.ok());
    CHECK(static_cast<std::uint64_t>(opened.error().code()) == m.number);
}

Task<void> two_owners(Machine& m) {
    auto opening = must_open_volume(m);
    co_await std::move(opening);
    m.options.lock_wait = 0;
    auto second = Volume::open(*m.loop, "v.exv", {}, m.options);
    auto refused = co_await std::move(second);
    REQUIRE_FALSE(refused.ok());
    CHECK(refused.error().code() == Code::busy);
    // The same plex under another volume: guarded by the lock on the plex itself (E8).
    auto stealing = Volume::create(*m.loop, "w.exv", small_volume("w", "p1.img"), m.options);
    auto stolen = co_await std::move(stealing);
    REQUIRE_FALSE(stolen.ok());
    CHECK(stolen.error().code() == Code::busy);
    CHECK_FALSE(m.world.exists("w.exv"));
    auto closing = must(m.volume->close());
    co_await std::move(closing);
    m.volume.reset();
}

Task<void> facts_for_the_catalog(Machine& m) {
    auto making = make_snapshot(m);
    co_await std::move(making);
    auto opening = must_open_volume(m);
    co_await std::move(opening);
    const VolumeState& state = m.volume->state();
    CHECK(state.name == "v");
    CHECK(state.group == "v");
    CHECK(state.size == small_size);
    REQUIRE(state.snapshots.size() == 1);
    const SnapshotRecord& snapshot = state.snapshots[0];
    CHECK(snapshot.label == "noon");
    CHECK_FALSE(snapshot.set_id.is_nil());
    CHECK(snapshot.consistency == "crash");
    CHECK(snapshot.created_ns > 0);
    CHECK(snapshot.members == std::vector<SetMember>{{state.uuid, "v"}});
    const PlexRecord* const plex = state.find_plex(snapshot.plex);
    REQUIRE(plex != nullptr);
    CHECK(plex->label == "m2");
    CHECK(plex->path == "m2.img");
    auto closing = must(m.volume->close());
    co_await std::move(closing);
    m.volume.reset();
}

// A machine with a closed mirror, spoiled by `spoil`, then `step`.
void spoiled(std::uint64_t which, Step setup, void (*spoil)(Machine&), Step step) {
    for (std::uint64_t seed = 1; seed <= 5; ++seed) {
        CAPTURE(seed);
        Machine m(seed);
        run_step(m, setup, seed);
        m.number = which;
        spoil(m);
        run_step(m, step, seed + 1);
    }
}

void poke_mirror(Machine& m) {
    m.world.poke("m2.img", 4096, filled(4096, 0x99));
}
void poke_production(Machine& m) {
    m.world.poke("p1.img", 4096, filled(4096, 0));
}
void touch_mirror(Machine& m) {
    m.world.copy("m2.img", "old.img");
    m.world.swap("m2.img", "old.img");
}
void strip_mirror(Machine& m) {
    m.world.copy("m2.img", "old.img", false);
    m.world.swap("m2.img", "old.img");
}
void swap_plexes(Machine& m) {
    m.world.swap("p1.img", "m2.img");
}
void nothing(Machine&) {}

void newer_version(Machine& m) {
    const std::uint32_t version = format::redirect_version + 1;
    for (const auto place : format::superblock_places) {
        m.world.poke("v.exv", place + 8, std::as_bytes(std::span(&version, 1)));
    }
}
void grow_plexes(Machine& m) {
    m.world.poke("p1.img", small_size, filled(512, 0));
    m.world.poke("m2.img", small_size, filled(512, 0));
}
void truncate_volume_file(Machine& m) {
    m.world.create("v.exv", MiB);
}
void wreck_superblocks(Machine& m) {
    m.world.poke_zeroes("v.exv", {0, 2 * MiB});
}

}  // namespace

TEST_CASE("F20: a mirror written to from outside is stale and compared whole") {
    spoiled(1, make_closed_mirror, poke_mirror, must_heal_with_full_compare);
}

TEST_CASE("F20: a copy in the place of the mirror is not the mirror") {
    spoiled(1, make_closed_mirror, touch_mirror, must_heal_with_full_compare);
    spoiled(1, make_closed_mirror, strip_mirror, must_heal_with_full_compare);
}

TEST_CASE("F20: two plexes that changed places are refused") {
    spoiled(0, make_closed_mirror, swap_plexes, refuse_then_force);
}

TEST_CASE("E7: the only plex changed from outside is refused, and with force all counts as changed") {
    spoiled(0, make_snapshot, poke_production, refuse_then_force);
}

TEST_CASE("E7: a crash while changed production is accepted never forgets that everything changed") {
    sweep(3, 60, make_poked_snapshot, force_and_crash, accepted_or_not);
}

TEST_CASE("E7: a snapshot changed from outside is not restored without force, and resynced by comparing") {
    spoiled(0, make_snapshot, nothing, refuse_restore);
}

TEST_CASE("F24: the volume file says all that a catalog needs") {
    Machine m(1);
    run_step(m, facts_for_the_catalog, 1);
}

TEST_CASE("F25: a newer version, another size, a damaged file and a second owner are refused") {
    spoiled(static_cast<std::uint64_t>(Code::newer_version), make_closed_mirror, newer_version, expect_code);
    spoiled(static_cast<std::uint64_t>(Code::not_found), make_closed_mirror, grow_plexes, expect_code);
    spoiled(static_cast<std::uint64_t>(Code::corrupt), make_closed_mirror, truncate_volume_file, expect_code);
    spoiled(static_cast<std::uint64_t>(Code::corrupt), make_closed_mirror, wreck_superblocks, expect_code);
    spoiled(0, make_closed_mirror, nothing, two_owners);
}

}  // namespace exshadow::test
