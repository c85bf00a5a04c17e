// F11 and E15, E17: crashes while intervals are opened, merged and dropped; no resync is ever too short.
#include "crash_fixture.h"

namespace exshadow::test {

namespace {

Task<void> make_rotation(Machine& m) {
    auto making = make_mirror(m);
    co_await std::move(making);
    m.world.create("m3.img", small_size);
    auto mirroring = must_mirror(*m.volume, "m3.img", "m3");
    co_await std::move(mirroring);
    auto splitting = must_split(*m.loop, {m.volume.get()}, "first");
    co_await std::move(splitting);
    auto writing = clients(m, 2);
    co_await std::move(writing);
    auto flushing = must(m.volume->flush());
    co_await std::move(flushing);
    m.ledger.flush_ends(m.ledger.flush_starts());
    auto closing = must(m.volume->close());
    co_await std::move(closing);
    m.volume.reset();
}

// Split the second mirror, write, give the first snapshot back, delete or resync the second.
Task<void> rotate(Machine& m) {
    auto opening = open_volume(m);
    co_await std::move(opening);
    if (!m.volume) co_return;
    TaskGroup group(*m.loop);
    group.spawn(clients(m, 4));
    SplitRequest request;
    request.volumes = {m.volume.get()};
    request.label = "second";
    auto splitting = split(*m.loop, request);
    static_cast<void>(co_await std::move(splitting));
    auto resyncing = m.volume->resync("first", 0, std::make_shared<Job>("resync"));
    static_cast<void>(co_await std::move(resyncing));
    auto again = m.volume->resync("second", 0, std::make_shared<Job>("resync"));
    static_cast<void>(co_await std::move(again));
    auto waiting = group.wait();
    co_await std::move(waiting);
    auto closing = close_volume(m);
    co_await std::move(closing);
}

// Every byte that differs from production lies in what changed() names.
Task<void> check_superset(Machine& m, std::string label) {
    const auto* const snapshot = m.volume->state().find_snapshot(label);
    if (snapshot == nullptr) co_return;
    const std::string path = m.volume->state().find_plex(snapshot->plex)->path;
    auto asking = m.volume->changed(label, {});
    const auto changed = co_await std::move(asking);
    REQUIRE(changed.ok());
    const auto production = m.world.peek("p1.img", {0, small_size});
    auto copy = m.world.peek(path, {0, small_size});
    for (const Range& range : *changed) {
        std::copy_n(production.begin() + static_cast<std::ptrdiff_t>(range.offset), range.length,
                    copy.begin() + static_cast<std::ptrdiff_t>(range.offset));
    }
    CHECK(same_bytes(copy, production));
}

Task<void> check_rotation(Machine& m) {
    auto opening = must_open_volume(m);
    co_await std::move(opening);
    auto checking = check_volume(m);
    co_await std::move(checking);
    for (const char* const label : {"first", "second"}) {
        auto superset = check_superset(m, label);
        co_await std::move(superset);
    }
    auto writing = clients(m, 1);
    co_await std::move(writing);
    for (const char* const label : {"first", "second"}) {
        if (m.volume->state().find_snapshot(label) == nullptr) continue;
        auto resyncing = must(m.volume->resync(label, 0, std::make_shared<Job>("resync")));
        co_await std::move(resyncing);
    }
    auto healing = heal(m);
    co_await std::move(healing);
    CHECK(m.volume->state().intervals.size() == 1);
    CHECK(m.volume->state().snapshots.empty());
    auto closing = must(m.volume->close());
    co_await std::move(closing);
    m.volume.reset();
}

const std::vector<std::string> copies = {"s1", "s2", "s3", "s4"};

Task<void> delete_in_some_order(Machine& m) {
    m.world.create("p1.img", small_size);
    auto creating = must_create(*m.loop, small_volume("v", "p1.img"));
    m.volume = co_await std::move(creating);
    for (const auto& label : copies) {
        m.world.create(label + ".img", small_size);
        auto mirroring = must_mirror(*m.volume, label + ".img", label);
        co_await std::move(mirroring);
    }
    for (const auto& label : copies) {
        SplitRequest request;
        request.volumes = {m.volume.get()};
        request.label = label;
        request.plexes["v"] = label;
        auto splitting = split(*m.loop, request);
        const auto result = co_await std::move(splitting);
        REQUIRE(result.ok());
        auto writing = clients(m, 1);
        co_await std::move(writing);
    }
    std::vector<std::string> order = copies;
    std::sort(order.begin(), order.end());
    for (std::uint64_t i = 0; i < m.number; ++i) std::next_permutation(order.begin(), order.end());
    for (const auto& label : order) {
        TaskGroup group(*m.loop);
        group.spawn(clients(m, 1));
        auto deleting = must(m.volume->delete_snapshot(label));
        co_await std::move(deleting);
        auto waiting = group.wait();
        co_await std::move(waiting);
        for (const auto& other : copies) {
            auto checking = check_superset(m, other);
            co_await std::move(checking);
        }
        CHECK(m.volume->state().intervals.size() <= m.volume->state().snapshots.size() + 1);
    }
    CHECK(m.volume->state().intervals.size() == 1);
    auto closing = must(m.volume->close());
    co_await std::move(closing);
    m.volume.reset();
}

}  // namespace

TEST_CASE("F11: crash while intervals are swapped at split and rejoin: never a short resync") {
    sweep(3, 24, make_rotation, rotate, check_rotation);
}

TEST_CASE("E15: snapshots deleted in every order leave supersets of the differences") {
    for (std::uint64_t order = 0; order < 24; ++order) {
        CAPTURE(order);
        Machine m(order + 1);
        m.number = order;
        run_step(m, delete_in_some_order, order);
    }
}

}  // namespace exshadow::test
