// F8, F9, F11 and E21 to E24: splitting several volumes at one instant, whatever happens.
#include "crash_fixture.h"

namespace exshadow::test {

namespace {

const std::vector<std::string> names = {"a", "b", "c"};

struct Trio {
    std::vector<std::unique_ptr<Volume>> volumes;
    [[nodiscard]] std::vector<Volume*> pointers() const {
        std::vector<Volume*> list;
        for (const auto& volume : volumes) list.push_back(volume.get());
        return list;
    }
};

Task<void> close_trio(Trio& trio) {
    for (auto& volume : trio.volumes) {
        auto closing = volume->close();
        static_cast<void>(co_await std::move(closing));
    }
    trio.volumes.clear();
}

Task<void> make_trio(Machine& m) {
    for (const auto& name : names) {
        m.world.create(name + "1.img", 512 * KiB);
        m.world.create(name + "2.img", 512 * KiB);
        auto creating = must_create(*m.loop, small_volume(name, name + "1.img"));
        auto volume = co_await std::move(creating);
        auto writing = must_write(*volume, 0, 64 * KiB, 7);
        co_await std::move(writing);
        auto mirroring = must_mirror(*volume, name + "2.img", "m2");
        co_await std::move(mirroring);
        auto closing = must(volume->close());
        co_await std::move(closing);
    }
}

// Opens in random order; whoever cannot be opened (a crash) is left out.
Task<void> open_trio(Machine& m, Trio& trio) {
    std::vector<std::string> order = names;
    for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[m.random.below(i)]);
    for (const auto& name : order) {
        auto opening = Volume::open(*m.loop, name + ".exv", {}, m.options);
        auto volume = co_await std::move(opening);
        if (volume.ok()) trio.volumes.push_back(std::move(volume).value());
    }
}

// The same number everywhere, one volume after the other, so that any instant shows a prefix.
Task<void> count_up(Trio& trio, std::uint64_t from, std::uint64_t to) {
    for (std::uint64_t n = from; n < to; ++n) {
        for (const auto& volume : trio.volumes) {
            auto writing = volume->write(128 * KiB + (n % 16) * 512, Ledger::bytes(512, n));
            const Status status = co_await std::move(writing);
            if (!status.ok()) co_return;
        }
    }
}

Task<void> split_trio(Machine& m) {
    Trio trio;
    auto opening = open_trio(m, trio);
    co_await std::move(opening);
    if (trio.volumes.size() == names.size()) {
        TaskGroup group(*m.loop);
        group.spawn(count_up(trio, 1, 30));
        SplitRequest request;
        request.volumes = trio.pointers();
        request.label = "noon";
        auto splitting = split(*m.loop, request);
        const auto result = co_await std::move(splitting);
        m.number = result.ok() ? 1 : 0;
        auto waiting = group.wait();
        co_await std::move(waiting);
    }
    auto closing = close_trio(trio);
    co_await std::move(closing);
}

// The numbers a plex shows: everything up to the highest one, wherever it was written last.
void check_prefix(Machine& m, const std::vector<std::string>& paths) {
    std::uint64_t highest = 0;
    std::vector<std::vector<std::uint64_t>> found(paths.size(), std::vector<std::uint64_t>(16));
    for (std::size_t v = 0; v < paths.size(); ++v) {
        for (std::uint64_t slot = 0; slot < 16; ++slot) {
            const auto bytes = m.world.peek(paths[v], {128 * KiB + slot * 512, 8});
            std::memcpy(&found[v][slot], bytes.data(), 8);
            highest = std::max(highest, found[v][slot]);
        }
    }
    for (std::size_t v = 0; v < paths.size(); ++v) {
        const std::uint64_t last = *std::max_element(found[v].begin(), found[v].end());
        CHECK(last + 1 >= highest);
        for (std::uint64_t n = last > 15 ? last - 15 : 1; n <= last; ++n) CHECK(found[v][n % 16] == n);
    }
}

Task<void> check_all_or_none(Machine& m) {
    Trio trio;
    auto opening = open_trio(m, trio);
    co_await std::move(opening);
    REQUIRE(trio.volumes.size() == names.size());
    auto resolving = must(resolve_sets(trio.pointers()));
    co_await std::move(resolving);
    std::size_t split_members = 0;
    for (const auto& volume : trio.volumes) {
        const auto* const snapshot = volume->state().find_snapshot("noon");
        const auto* const plex = volume->state().find_plex(volume->plexes()[1]->uuid);
        if (snapshot != nullptr) {
            ++split_members;
            CHECK(snapshot->state == SetState::committed);
            CHECK(snapshot->members.size() == names.size());
            CHECK(plex->state == PlexState::split);
        } else {
            CHECK((plex->state == PlexState::stale || plex->state == PlexState::in_sync));
        }
    }
    const bool all_or_none = split_members == 0 || split_members == names.size();
    CHECK(all_or_none);
    if (m.number == 1) CHECK(split_members == names.size());  // what was announced stands
    for (const auto& volume : trio.volumes) {
        auto bringing = split_members != 0 ? volume->resync("noon", 0, std::make_shared<Job>("resync"))
                                           : volume->sync_plex("m2", 0, std::make_shared<Job>("sync"));
        const Status status = co_await std::move(bringing);
        CHECK(status.ok());
        CHECK(volume->plexes()[1]->is_member());
        const std::string name = volume->state().name;
        CHECK(m.world.same_content(name + "1.img", name + "2.img"));
    }
    auto closing = close_trio(trio);
    co_await std::move(closing);
}

Task<void> one_member_missing(Machine& m) {
    m.world.set_missing("c.exv", true);
    Trio trio;
    auto opening = open_trio(m, trio);
    co_await std::move(opening);
    REQUIRE(trio.volumes.size() == 2);
    auto resolving = must(resolve_sets(trio.pointers()));
    co_await std::move(resolving);
    for (const auto& volume : trio.volumes) {
        auto writing = must_write(*volume, 256 * KiB, 4096, 9);  // production is served
        co_await std::move(writing);
        const auto* const snapshot = volume->state().find_snapshot("noon");
        if (snapshot == nullptr || snapshot->state != SetState::ready) continue;
        auto resyncing = volume->resync("noon", 0, std::make_shared<Job>("resync"));
        const Status refused = co_await std::move(resyncing);
        REQUIRE_FALSE(refused.ok());
        CHECK(refused.error().code() == Code::refused);
        CHECK(refused.error().message().find("in doubt") != std::string::npos);
        auto asking = volume->changed("noon", {});
        const auto changed = co_await std::move(asking);
        CHECK_FALSE(changed.ok());
    }
    auto closing = close_trio(trio);
    co_await std::move(closing);
    m.world.set_missing("c.exv", false);
    auto checking = check_all_or_none(m);
    co_await std::move(checking);
}

Task<void> storm(Machine& m) {
    auto making = make_trio(m);
    co_await std::move(making);
    Trio trio;
    auto opening = open_trio(m, trio);
    co_await std::move(opening);
    auto before = count_up(trio, 1, 4);  // answered before the split: in every snapshot
    co_await std::move(before);
    TaskGroup group(*m.loop);
    group.spawn(count_up(trio, 4, 40));
    co_await m.loop->sleep(m.random.between(0, 8 * millisecond_ns));
    auto splitting = must_split(*m.loop, trio.pointers(), "noon");
    co_await std::move(splitting);
    auto waiting = group.wait();
    co_await std::move(waiting);
    std::vector<std::string> snapshots;
    for (const auto& volume : trio.volumes) snapshots.push_back(volume->state().name + "2.img");
    check_prefix(m, snapshots);
    for (const auto& path : snapshots) {
        std::uint64_t third = 0;
        const auto bytes = m.world.peek(path, {128 * KiB + 3 * 512, 8});
        std::memcpy(&third, bytes.data(), 8);
        CHECK(third >= 3);
    }
    for (const auto& volume : trio.volumes) {
        const std::string name = volume->state().name;
        auto asking = volume->changed("noon", {});
        const auto changed = co_await std::move(asking);
        REQUIRE(changed.ok());
        const bool same = m.world.same_content(name + "1.img", name + "2.img");
        CHECK((same || *changed == Ranges{{128 * KiB, 16 * KiB}}));
    }
    auto closing = close_trio(trio);
    co_await std::move(closing);
}

}  // namespace

TEST_CASE("F8: crash during the atomic split of three volumes: all or none") {
    sweep(3, 40, make_trio, split_trio, check_all_or_none);
}

TEST_CASE("E24: with one member missing the set is in doubt and production is served") {
    sweep(2, 30, make_trio, split_trio, one_member_missing);
}

TEST_CASE("F9: client write storm during the split: the cut is one instant") {
    for (std::uint64_t seed = 1; seed <= 25; ++seed) {
        CAPTURE(seed);
        Machine m(seed);
        run_step(m, storm, seed);
    }
}

}  // namespace exshadow::test
