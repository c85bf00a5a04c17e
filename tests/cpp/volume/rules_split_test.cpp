// E20 to E24 beyond crashes: plexes that fail while they are split off, refusals, roll back, many snapshots.
#include "crash_fixture.h"

namespace exshadow::test {

namespace {

SimFault broken_writes() {
    SimFault fault;
    fault.kind = SimFault::Kind::write_error;
    fault.count = sim_unlimited;
    return fault;
}

// Somebody fails at a random moment of a split under writes. Whatever comes of the split, no client
// notices, one member stays, and what the maps say is enough to bring everything together again.
Task<void> plex_fails_during_split(Machine& m) {
    auto making = make_mirror(m);
    co_await std::move(making);
    TaskGroup group(*m.loop);
    group.spawn(clients(m, 16));
    const std::string bad = m.seed % 2 == 0 ? "p1.img" : "m2.img";
    SimFault fault = broken_writes();
    fault.skip = m.random.below(12);
    if (m.seed % 3 == 0) fault.kind = SimFault::Kind::flush_error;
    if (m.seed % 3 == 0) fault.skip = m.random.below(3);
    co_await m.loop->sleep(m.random.between(0, 2 * millisecond_ns));
    m.world.inject(bad, fault);
    SplitRequest request;
    request.volumes = {m.volume.get()};
    request.label = "noon";
    if (m.seed % 5 < 2) request.plexes["v"] = "p1";  // the authority
    auto splitting = split(*m.loop, request);
    const auto result = co_await std::move(splitting);
    auto waiting = group.wait();
    co_await std::move(waiting);
    CHECK_FALSE(m.volume->is_read_only());
    m.world.heal(bad);
    const auto* const snapshot = m.volume->state().find_snapshot("noon");
    CHECK(result.ok() == (snapshot != nullptr));
    CHECK(m.volume->state().intervals.size() == 1);
    if (m.volume->state().find_plex(m.volume->state().authority)->state != PlexState::in_sync) {
        FAIL_CHECK("no authority");
    }
    auto probing = m.volume->flush();
    const Status probe = co_await std::move(probing);  // a failed flush of the last plex is final (E4)
    if (probe.ok() && snapshot != nullptr && m.seed % 2 == 0) {
        auto resyncing = must(m.volume->resync("noon", 0, std::make_shared<Job>("resync")));
        co_await std::move(resyncing);
    }
    auto closing = m.volume->close();
    const Status closed = co_await std::move(closing);
    CHECK(closed.ok() == probe.ok());
    m.volume.reset();
}

Task<void> compare_after_reopen(Machine& m) {
    auto opening = must_open_volume(m);
    co_await std::move(opening);
    if (m.volume->state().find_snapshot("noon") != nullptr) {
        auto resyncing = must(m.volume->resync("noon", 0, std::make_shared<Job>("resync")));
        co_await std::move(resyncing);
    }
    std::vector<std::string> stale;
    for (const auto& plex : m.volume->plexes()) {
        if (!plex->is_member()) stale.push_back(plex->label);
    }
    for (const auto& label : stale) {
        auto syncing = must(m.volume->sync_plex(label, 0, std::make_shared<Job>("sync")));
        co_await std::move(syncing);
    }
    CHECK(m.world.same_content("p1.img", "m2.img"));
    auto closing = must(m.volume->close());
    co_await std::move(closing);
    m.volume.reset();
}

// A member of the mirror fails after the prepare and before the turn.
Task<void> lost_between_prepare_and_turn(Machine& m) {
    auto making = make_mirror(m);
    co_await std::move(making);
    auto warm = must_write(*m.volume, 0, 4096, 1);
    co_await std::move(warm);
    m.loop->hold("v.exv", FileOperation::Kind::flush);  // the prepare is not durable yet
    TaskGroup group(*m.loop);
    SplitRequest request;
    request.volumes = {m.volume.get()};
    request.label = "noon";
    if (m.seed % 4 == 3) request.plexes["v"] = "p1";
    std::optional<bool> done;
    struct Run {
        static Task<void> split_it(Loop& loop, SplitRequest asked, std::optional<bool>& done) {
            auto splitting = split(loop, asked);
            const auto result = co_await std::move(splitting);
            done = result.ok();
        }
    };
    group.spawn(Run::split_it(*m.loop, request, done));
    co_await m.loop->sleep(200 * millisecond_ns);
    m.loop->release("v.exv");
    m.world.inject(m.seed % 2 == 0 ? "p1.img" : "m2.img", broken_writes());
    const std::size_t bad = m.seed % 2;
    for (int i = 0; i < 6 && !done; ++i) {
        auto writing = m.volume->write(0, payload(4096, 2));
        const Status status = co_await std::move(writing);
        // After the turn it may be the only one that stays: then the client hears of it.
        CHECK((status.ok() || !m.volume->plexes()[1 - bad]->is_member()));
    }
    auto waiting = group.wait();
    co_await std::move(waiting);
    m.world.heal("p1.img");
    m.world.heal("m2.img");
    auto writing = must_write(*m.volume, 0, 4096, 3);
    co_await std::move(writing);
    auto reading = must_read(*m.volume, 0, 4096);
    const auto bytes = co_await std::move(reading);
    CHECK(bytes == filled(4096, 3));
    CHECK_FALSE(m.volume->is_read_only());
    if (m.volume->state().find_snapshot("noon") != nullptr) {
        auto resyncing = must(m.volume->resync("noon", 0, std::make_shared<Job>("resync")));
        co_await std::move(resyncing);
    }
    auto closing = must(m.volume->close());
    co_await std::move(closing);
    m.volume.reset();
}

Task<void> refusals(Machine& m) {
    m.world.create("p1.img", small_size);
    auto creating = must_create(*m.loop, small_volume("v", "p1.img"));
    m.volume = co_await std::move(creating);
    struct Case {
        const char* label;
        const char* plex;
        Code code;
    };
    for (const Case& wanted : {Case{"noon", "", Code::refused}, Case{"noon", "p1", Code::refused},
                               Case{"noon", "nobody", Code::not_found}, Case{"../x", "", Code::invalid}}) {
        SplitRequest request;
        request.volumes = {m.volume.get()};
        request.label = wanted.label;
        if (*wanted.plex != '\0') request.plexes["v"] = wanted.plex;
        auto splitting = split(*m.loop, request);
        const auto refused = co_await std::move(splitting);
        REQUIRE_FALSE(refused.ok());
        CHECK(refused.error().code() == wanted.code);
    }
    auto closing = must(m.volume->close());
    co_await std::move(closing);
    m.volume.reset();
}

Task<void> many_snapshots(Machine& m) {
    m.world.create("p1.img", small_size);
    auto creating = must_create(*m.loop, small_volume("v", "p1.img"));
    m.volume = co_await std::move(creating);
    for (std::uint64_t i = 0; i <= max_snapshots; ++i) {
        const std::string label = "s" + std::to_string(i);
        m.world.create(label + ".img", small_size);
        auto mirroring = must_mirror(*m.volume, label + ".img", label);
        co_await std::move(mirroring);
        SplitRequest request;
        request.volumes = {m.volume.get()};
        request.label = label;
        auto splitting = split(*m.loop, request);
        const auto result = co_await std::move(splitting);
        CHECK(result.ok() == (i < max_snapshots));
        auto writing = must_write(*m.volume, i * 32 * KiB, 512, 1);
        co_await std::move(writing);
    }
    CHECK(m.volume->state().snapshots.size() == max_snapshots);
    // One mark stands for all of them: what differs is the OR of the intervals since.
    auto asking = m.volume->changed("s20", {});
    const auto changed = co_await std::move(asking);
    REQUIRE(changed.ok());
    CHECK(changed->size() == 13);
    auto between = m.volume->changed("s10", "s20");
    const auto part = co_await std::move(between);
    REQUIRE(part.ok());
    CHECK(part->size() == 10);
    auto restoring = must(m.volume->restore("s5", 0, std::make_shared<Job>("restore")));  // one interval more
    co_await std::move(restoring);
    CHECK(m.world.same_content("p1.img", "s5.img"));
    auto closing = must(m.volume->close());
    co_await std::move(closing);
    m.volume.reset();
    auto opening = must_open_volume(m);
    co_await std::move(opening);
    for (const char* const label : {"s0", "s31", "s16"}) {
        auto resyncing = must(m.volume->resync(label, 0, std::make_shared<Job>("resync")));
        co_await std::move(resyncing);
        CHECK(m.world.same_content("p1.img", std::string(label) + ".img"));
    }
    auto finish = must(m.volume->close());
    co_await std::move(finish);
    m.volume.reset();
}

void with_seeds(std::uint64_t seeds, Step step, Step after) {
    for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
        CAPTURE(seed);
        Machine m(seed);
        run_step(m, step, seed);
        if (after != nullptr) run_step(m, after, seed + 1);
    }
}

}  // namespace

TEST_CASE("E23: a plex that fails during a split fails no client and loses nothing") {
    with_seeds(60, plex_fails_during_split, compare_after_reopen);
}

TEST_CASE("E21: a plex lost between prepare and turn undoes the split, and one member stays") {
    with_seeds(40, lost_between_prepare_and_turn, compare_after_reopen);
}

TEST_CASE("a split that cannot be is refused with its reason") {
    with_seeds(1, refusals, nullptr);
}

TEST_CASE("32 snapshots at once, and not one more") {
    with_seeds(2, many_snapshots, nullptr);
}

}  // namespace exshadow::test
