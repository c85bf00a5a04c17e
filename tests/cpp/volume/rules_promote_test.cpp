// Promotion, restores over each other, undoing a set after later splits, and jobs that exclude each other.
#include "crash_fixture.h"

namespace exshadow::test {

namespace {

Task<void> must_close(Machine& m) {
    auto closing = must(m.volume->close());
    co_await std::move(closing);
    m.volume.reset();
}

Task<void> split_off(Machine& m, std::string label, std::string plex) {
    SplitRequest request;
    request.volumes = {m.volume.get()};
    request.label = label;
    request.plexes["v"] = plex;
    auto splitting = split(*m.loop, request);
    const auto result = co_await std::move(splitting);
    REQUIRE(result.ok());
}

Task<void> make_two_snapshots(Machine& m) {
    auto making = make_mirror(m);
    co_await std::move(making);
    auto mirroring = must_mirror(*m.volume, "m3.img", "m3");
    co_await std::move(mirroring);
    auto first = split_off(m, "first", "m2");
    co_await std::move(first);
    auto writing = clients(m, 3);
    co_await std::move(writing);
    auto second = split_off(m, "second", "m3");
    co_await std::move(second);
    m.remembered = m.world.peek("m3.img", {0, small_size});
    auto more = clients(m, 3);
    co_await std::move(more);
    auto closing = must_close(m);
    co_await std::move(closing);
}

Task<void> source_disk_gone(Machine& m) {
    m.world.set_missing("p1.img", true);
    auto opening = Volume::open(*m.loop, "v.exv", {}, m.options);
    auto opened = co_await std::move(opening);
    REQUIRE_FALSE(opened.ok());
    CHECK(opened.error().code() == Code::not_found);
    CHECK(opened.error().hint().find("snapshot promote") != std::string::npos);
    m.options.force = true;
    auto forcing = must_open_volume(m);
    co_await std::move(forcing);
    CHECK(m.volume->lacks_production());
    auto writing = m.volume->write(0, payload(512, 1));
    const Status refused = co_await std::move(writing);
    CHECK_FALSE(refused.ok());
    auto promoting = must(m.volume->promote("second"));
    co_await std::move(promoting);
    auto reading = must_read(*m.volume, 0, small_size);
    const auto content = co_await std::move(reading);
    CHECK(same_bytes(content, m.remembered));
    auto again = must_write(*m.volume, 0, 512, 9);
    co_await std::move(again);
    auto closing = must_close(m);
    co_await std::move(closing);
    m.options.force = false;
    m.world.set_missing("p1.img", false);
    auto reopening = must_open_volume(m);
    co_await std::move(reopening);
    auto syncing = must(m.volume->sync_plex("p1", 0, std::make_shared<Job>("sync")));
    co_await std::move(syncing);
    auto resyncing = must(m.volume->resync("first", 0, std::make_shared<Job>("resync")));
    co_await std::move(resyncing);
    CHECK(m.world.same_content("p1.img", "m3.img"));
    CHECK(m.world.same_content("m2.img", "m3.img"));
    auto finish = must_close(m);
    co_await std::move(finish);
}

Task<void> promote(Machine& m) {
    auto opening = open_volume(m);
    co_await std::move(opening);
    if (!m.volume) co_return;
    auto promoting = m.volume->promote("second");
    static_cast<void>(co_await std::move(promoting));
    auto closing = close_volume(m);
    co_await std::move(closing);
}

// Production is the old one or the copy, whole; everything else can be brought to it by its map.
Task<void> old_or_promoted(Machine& m) {
    auto opening = must_open_volume(m);
    co_await std::move(opening);
    const bool promoted = m.volume->state().find_snapshot("second") == nullptr;
    const std::string production = promoted ? "m3.img" : "p1.img";
    auto reading = must_read(*m.volume, 0, small_size);
    const auto content = co_await std::move(reading);
    CHECK(content == m.world.peek(production, {0, small_size}));
    if (promoted) CHECK(same_bytes(content, m.remembered));
    for (const char* const label : {"first", "second"}) {
        if (m.volume->state().find_snapshot(label) == nullptr) continue;
        auto resyncing = must(m.volume->resync(label, 0, std::make_shared<Job>("resync")));
        co_await std::move(resyncing);
    }
    if (promoted) {
        auto syncing = must(m.volume->sync_plex("p1", 0, std::make_shared<Job>("sync")));
        co_await std::move(syncing);
    }
    CHECK(m.world.same_content("p1.img", "m2.img"));
    CHECK(m.world.same_content("p1.img", "m3.img"));
    auto closing = must_close(m);
    co_await std::move(closing);
}

Task<void> restore_other_halfway(Machine& m) {
    m.options.copy_chunk = 16 * KiB;
    m.options.copy_depth = 1;
    auto opening = must_open_volume(m);
    co_await std::move(opening);
    auto job = std::make_shared<Job>("restore");
    job->cancel();
    auto first = m.volume->restore("first", 0, job);
    const Status cancelled = co_await std::move(first);
    CHECK_FALSE(cancelled.ok());
    CHECK(m.volume->is_restoring());
    auto second = must(m.volume->restore("second", 0, std::make_shared<Job>("restore")));
    co_await std::move(second);
    CHECK(same_bytes(m.world.peek("p1.img", {0, small_size}), m.remembered));
    auto resyncing = must(m.volume->resync("first", 0, std::make_shared<Job>("resync")));
    co_await std::move(resyncing);
    CHECK(m.world.same_content("p1.img", "m2.img"));
    auto closing = must_close(m);
    co_await std::move(closing);
}

Task<void> hold_step(Task<Status> task, std::optional<Status>& result) {
    result = co_await std::move(task);
}

// A restore and whatever else is asked for in the same moment: one of them goes first, the data are right.
Task<void> restore_beside_others(Machine& m) {
    auto opening = must_open_volume(m);
    co_await std::move(opening);
    auto mirroring = must_mirror(*m.volume, "m4.img", "m4");
    co_await std::move(mirroring);
    auto removing = m.volume->attach_plex([] {
        AddPlexOptions options;
        options.path = "m5.img";
        options.label = "m5";
        return options;
    }());
    static_cast<void>(co_await std::move(removing));
    std::optional<Status> restored;
    std::optional<Status> other;
    TaskGroup group(*m.loop);
    group.spawn(hold_step(m.volume->restore("second", 0, std::make_shared<Job>("restore")), restored));
    if (m.seed % 2 == 0) co_await m.loop->sleep(m.random.between(0, 3 * millisecond_ns));
    switch (m.seed % 4) {
        case 0:
            group.spawn(hold_step(m.volume->sync_plex("m5", 0, std::make_shared<Job>("sync")), other));
            break;
        case 1:
            group.spawn(hold_step(m.volume->resync("first", 0, std::make_shared<Job>("resync")), other));
            break;
        case 2: group.spawn(hold_step(m.volume->promote("first"), other)); break;
        default: group.spawn(hold_step(m.volume->remove_plex("m4"), other)); break;
    }
    auto waiting = group.wait();
    co_await std::move(waiting);
    if (m.volume->is_restoring()) {
        auto continuing = must(m.volume->continue_restore(0, std::make_shared<Job>("restore")));
        co_await std::move(continuing);
    }
    if (restored && restored->ok() && !(m.seed % 4 == 2 && other->ok())) {
        CHECK(same_bytes(m.world.peek("p1.img", {0, small_size}), m.remembered));
    }
    for (const char* const label : {"first", "second"}) {
        if (m.volume->state().find_snapshot(label) == nullptr) continue;
        auto resyncing = must(m.volume->resync(label, 0, std::make_shared<Job>("resync")));
        co_await std::move(resyncing);
    }
    std::vector<std::string> labels;
    for (const auto& plex : m.volume->plexes()) labels.push_back(plex->label);
    for (const auto& label : labels) {
        auto syncing = must(m.volume->sync_plex(label, 0, std::make_shared<Job>("sync")));
        co_await std::move(syncing);
    }
    for (const auto& record : m.volume->state().plexes) CHECK(m.world.same_content("p1.img", record.path));
    auto closing = must_close(m);
    co_await std::move(closing);
}

// Set "first" over two volumes stays in doubt on v; v is split again; then the other volume turns out to
// have rolled back: what v's plex lacks is everything since its own turn, over both intervals.
Task<void> make_pair_in_doubt(Machine& m) {
    auto making = make_mirror(m);
    co_await std::move(making);
    auto mirroring = must_mirror(*m.volume, "m3.img", "m3");
    co_await std::move(mirroring);
    m.world.create("w1.img", small_size);
    auto creating = must_create(*m.loop, small_volume("w", "w1.img"));
    auto other = co_await std::move(creating);
    auto other_mirror = must_mirror(*other, "w2.img", "m2");
    co_await std::move(other_mirror);
    auto warm = must_write(*other, 0, 512, 1);
    co_await std::move(warm);
    SplitRequest request;
    request.volumes = {m.volume.get(), other.get()};
    request.label = "first";
    request.plexes["v"] = "m2";
    // w's old write hangs, so v is ready long before w: there the machine stops.
    m.loop->hold("w2.img");
    TaskGroup group(*m.loop);
    struct Run {
        static Task<void> split_it(Loop& loop, SplitRequest asked) {
            auto splitting = split(loop, asked);
            static_cast<void>(co_await std::move(splitting));
        }
        static Task<void> write_it(Volume& volume) {
            auto writing = volume.write(0, payload(512, 1));
            static_cast<void>(co_await std::move(writing));
        }
    };
    group.spawn(Run::write_it(*other));
    group.spawn(Run::split_it(*m.loop, request));
    co_await m.loop->sleep(second_ns);
    const auto* const snapshot = m.volume->state().find_snapshot("first");
    CHECK((snapshot != nullptr && snapshot->state == SetState::ready));
    m.loop->crash(CrashKind::power_cut);
    auto waiting = group.wait();
    co_await std::move(waiting);
    auto closing = other->close();
    static_cast<void>(co_await std::move(closing));
    auto closing_this = close_volume(m);
    co_await std::move(closing_this);
}

Task<void> decide_after_another_split(Machine& m) {
    auto opening = must_open_volume(m);
    co_await std::move(opening);
    REQUIRE(m.volume->state().find_snapshot("first") != nullptr);
    auto checking = check_volume(m);
    co_await std::move(checking);
    auto writing = clients(m, 3);
    co_await std::move(writing);
    auto splitting = split_off(m, "later", "m3");
    co_await std::move(splitting);
    auto more = clients(m, 1);
    co_await std::move(more);
    auto opening_other = must_open(*m.loop, "w");
    auto other = co_await std::move(opening_other);
    auto resolving = must(resolve_sets({m.volume.get(), other.get()}));
    co_await std::move(resolving);
    CHECK(m.volume->state().find_snapshot("first") == nullptr);
    CHECK(other->state().find_snapshot("first") == nullptr);
    auto syncing = must(m.volume->sync_plex("m2", 0, std::make_shared<Job>("sync")));
    co_await std::move(syncing);
    CHECK(m.world.same_content("p1.img", "m2.img"));
    auto resyncing = must(m.volume->resync("later", 0, std::make_shared<Job>("resync")));
    co_await std::move(resyncing);
    CHECK(m.world.same_content("p1.img", "m3.img"));
    auto closing = must(other->close());
    co_await std::move(closing);
    auto closing_this = must_close(m);
    co_await std::move(closing_this);
}

void with_seeds(std::uint64_t seeds, Step setup, Step step) {
    for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
        CAPTURE(seed);
        Machine m(seed);
        run_step(m, setup, seed);
        run_step(m, step, seed + 1);
    }
}

}  // namespace

TEST_CASE("a snapshot is promoted when the source disk is gone") {
    with_seeds(8, make_two_snapshots, source_disk_gone);
}

TEST_CASE("a crash during a promotion leaves the old production or the copy, whole") {
    sweep(2, 25, make_two_snapshots, promote, old_or_promoted);
}

TEST_CASE("E16: another set is restored over one that was half restored") {
    with_seeds(10, make_two_snapshots, restore_other_halfway);
}

TEST_CASE("a restore and a sync, resync, promotion or removal asked for at once do not mix") {
    with_seeds(24, make_two_snapshots, restore_beside_others);
}

TEST_CASE("E24: a set undone after a later split leaves a map over all intervals since its turn") {
    with_seeds(15, make_pair_in_doubt, decide_after_another_split);
}

}  // namespace exshadow::test
