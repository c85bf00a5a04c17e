// Snapshots through VSS of the engine's volumes.
#include "provider/native_provider.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "cpp/runtime/run_on.h"
#include "cpp/volume/volume_fixture.h"
#include "runtime/sim_loop.h"
#include "vss/coordinator/coordinator.h"
#include "vss/coordinator/session.h"

using namespace exshadow;
using namespace exshadow::test;
using vss::HResult;

namespace {

// A volume that is open as long as the test has it.
class HeldVolume final : public VolumeSource {
public:
    explicit HeldVolume(std::unique_ptr<Volume> volume) : volume_(std::move(volume)) {}
    [[nodiscard]] Volume* enter() override { return volume_.get(); }
    void leave() override {}
    [[nodiscard]] Volume& operator*() const { return *volume_; }

private:
    std::unique_ptr<Volume> volume_;
};

// A writer that notes when it was frozen, thawed and aborted.
class WatchingWriter final : public vss::Writer {
public:
    explicit WatchingWriter(Loop& loop) : loop_(loop) {
        options_.writer_id = Uuid::from_words(1, 1);
        options_.name = "Watching";
    }
    [[nodiscard]] const vss::WriterOptions& options() const override { return options_; }
    Task<Result<vss::WriterMetadata>> identify(vss::WriterCallPtr) override {
        co_return vss::WriterMetadata{};
    }
    Task<vss::WriterAnswer> on_prepare_snapshot(vss::WriterCallPtr) override {
        co_return vss::WriterAnswer::ok();
    }
    Task<vss::WriterAnswer> on_freeze(vss::WriterCallPtr) override {
        frozen_at = loop_.now();
        co_return vss::WriterAnswer::ok();
    }
    Task<vss::WriterAnswer> on_thaw(vss::WriterCallPtr) override {
        thawed_at = loop_.now();
        co_return thaw_answer;
    }
    Task<vss::WriterAnswer> on_abort(vss::WriterCallPtr) override {
        aborted = true;
        co_return vss::WriterAnswer::ok();
    }

    Nanoseconds frozen_at = 0;
    Nanoseconds thawed_at = 0;
    bool aborted = false;
    vss::WriterAnswer thaw_answer;

private:
    Loop& loop_;
    vss::WriterOptions options_;
};

// Two volumes of two plexes each, a coordinator and the provider, on one loop.
struct Machine {
    explicit Machine(Loop& the_loop) : loop(the_loop), writer(std::make_shared<WatchingWriter>(the_loop)) {}

    Task<void> start(std::string folder) {
        for (const std::string name : {"one", "two"}) {
            auto creating = create(name, folder + name);
            auto volume = co_await std::move(creating);
            volumes.push_back({name, std::make_shared<HeldVolume>(std::move(volume))});
        }
        NativeProviderOptions options;
        options.volumes = [this] { return volumes; };
        options.disposal = disposal;
        provider = std::make_shared<NativeProvider>(loop, std::move(options));
        coordinator = std::make_unique<vss::Coordinator>(loop, vss::CoordinatorOptions{});
        REQUIRE(coordinator->register_provider(provider).ok());
        REQUIRE(coordinator->register_writer(writer).ok());
    }
    Task<std::unique_ptr<Volume>> create(std::string name, std::string path) {
        CreateOptions options = small_volume(name, path + ".a");
        options.region_size = 64 * KiB;
        auto creating = Volume::create(loop, path + ".exv", options, {});
        auto made = co_await std::move(creating);
        REQUIRE_MESSAGE(made.ok(), (made.ok() ? "" : made.error().message()));
        auto mirroring = must_mirror(**made, path + ".b", "m2");
        co_await std::move(mirroring);
        co_return std::move(*made);
    }
    Task<void> stop() {
        auto closing = coordinator->close();
        co_await std::move(closing);
        auto quiet = provider->close();
        co_await std::move(quiet);
        for (auto& one : volumes) {
            auto ending = must(volume(one.name).close());
            co_await std::move(ending);
        }
    }
    [[nodiscard]] Volume& volume(const std::string& name) {
        for (auto& one : volumes) {
            if (one.name == name) return **static_cast<HeldVolume*>(one.source.get());
        }
        FAIL("no volume " << name);
        std::abort();
    }

    Loop& loop;
    std::shared_ptr<WatchingWriter> writer;
    Disposal disposal = Disposal::resync;
    std::vector<NativeVolume> volumes;
    std::shared_ptr<NativeProvider> provider;
    std::unique_ptr<vss::Coordinator> coordinator;
};

Task<vss::StepStatus> to_its_end(Result<vss::StepPtr> begun) {
    REQUIRE_MESSAGE(begun.ok(), (begun.ok() ? "" : begun.error().message()));
    auto waiting = (*begun)->wait();
    co_await std::move(waiting);
    co_return (*begun)->status();
}

// A set of both volumes; the session stays open.
Task<vss::StepStatus> make_set(Machine* machine, std::shared_ptr<vss::Session> session,
                               vss::SnapshotAttributes context) {
    REQUIRE(session->initialize_for_backup({}).ok());
    REQUIRE(session->set_context(context).ok());
    REQUIRE(session->set_backup_state({false, false, vss::BackupType::full, false}).ok());
    auto gathering = to_its_end(session->gather_writer_metadata());
    static_cast<void>(co_await std::move(gathering));
    REQUIRE(session->start_snapshot_set().ok());
    for (const auto& one : machine->volumes) {
        auto adding = session->add_to_snapshot_set(one.name, {});
        const auto added = co_await std::move(adding);
        REQUIRE_MESSAGE(added.ok(), (added.ok() ? "" : added.error().message()));
    }
    auto preparing = to_its_end(session->prepare_for_backup());
    static_cast<void>(co_await std::move(preparing));
    auto making = to_its_end(session->do_snapshot_set());
    co_return co_await std::move(making);
}

Task<std::vector<vss::SnapshotProperties>> snapshots(Machine* machine) {
    auto asking = machine->provider->query();
    auto there = co_await std::move(asking);
    REQUIRE(there.ok());
    co_return std::move(*there);
}

std::size_t members(const Volume& volume) {
    return static_cast<std::size_t>(
        std::ranges::count_if(volume.plexes(), [](const auto& plex) { return plex->is_member(); }));
}

void simulate(Task<void> (*test)(Machine*), Disposal disposal = Disposal::resync) {
    SimWorld world(1);
    for (const char* const name : {"one.a", "one.b", "two.a", "two.b"}) world.create(name, small_size);
    SimLoop loop(world, 1);
    Machine machine(loop);
    machine.disposal = disposal;
    struct Body {
        static Task<void> run(Machine* machine, Task<void> (*test)(Machine*)) {
            auto starting = machine->start("");
            co_await std::move(starting);
            auto testing = test(machine);
            co_await std::move(testing);
            auto stopping = machine->stop();
            co_await std::move(stopping);
        }
    };
    REQUIRE(loop.run_task(Body::run(&machine, test)));
}

// --- The tests' bodies.

Task<void> persistent_set(Machine* machine) {
    auto writing = must_write(machine->volume("one"), 0, 4096, 7);
    co_await std::move(writing);
    const auto session = *machine->coordinator->open();
    auto making = make_set(machine, session, vss::context::app_rollback);
    const auto made = co_await std::move(making);
    CHECK(made.state == vss::StepState::finished);
    CHECK(machine->writer->thawed_at >= machine->writer->frozen_at);
    auto asking = snapshots(machine);
    auto there = co_await std::move(asking);
    REQUIRE(there.size() == 2);
    CHECK(there[0].set_id == there[1].set_id);
    CHECK(there[0].snapshot_id != there[1].snapshot_id);
    CHECK(there[0].set_size == 2);
    CHECK(has(there[0].attributes, vss::SnapshotAttributes::persistent));
    auto looking = session->snapshot_properties(there[0].snapshot_id);
    CHECK((co_await std::move(looking)).ok());
    auto closing = session->close();
    co_await std::move(closing);
    CHECK(members(machine->volume("one")) == 1);

    // Revert: what was written after the snapshot is gone.
    auto again = must_write(machine->volume("one"), 0, 4096, 9);
    co_await std::move(again);
    const auto manager = *machine->coordinator->open();
    REQUIRE(manager->initialize_for_backup({}).ok());
    REQUIRE(manager->set_context(vss::context::all).ok());
    auto reverting = manager->revert_to_snapshot(there[0].snapshot_id, true);
    const auto reverted = co_await std::move(reverting);
    REQUIRE_MESSAGE(reverted.ok(), (reverted.ok() ? "" : reverted.error().message()));
    auto waiting = to_its_end(manager->query_revert_status("one"));
    CHECK((co_await std::move(waiting)).state == vss::StepState::finished);
    auto reading = must_read(machine->volume("one"), 0, 4096);
    const auto bytes = co_await std::move(reading);
    CHECK(same_bytes(bytes, filled(4096, 7)));

    auto deleting = manager->delete_snapshots(there[0].set_id, vss::ObjectType::snapshot_set, false);
    const auto deleted = co_await std::move(deleting);
    REQUIRE(deleted.ok());
    CHECK(deleted->deleted == 2);
    auto ending = manager->close();
    co_await std::move(ending);
}

Task<void> auto_release_set(Machine* machine) {
    const auto session = *machine->coordinator->open();
    auto making = make_set(machine, session, vss::context::backup);
    CHECK((co_await std::move(making)).state == vss::StepState::finished);
    auto closing = session->close();
    co_await std::move(closing);
    auto asking = snapshots(machine);
    CHECK((co_await std::move(asking)).empty());
}

Task<void> refused_thaw(Machine* machine) {
    machine->writer->thaw_answer = vss::WriterAnswer::fail(HResult::vss_e_writererror_retryable);
    const auto session = *machine->coordinator->open();
    auto making = make_set(machine, session, vss::context::app_rollback);
    CHECK((co_await std::move(making)).result == HResult::vss_e_writererror_retryable);
    CHECK(machine->writer->aborted);
    auto asking = snapshots(machine);
    CHECK((co_await std::move(asking)).empty());
    auto closing = session->close();
    co_await std::move(closing);
}

Task<void> no_mirror(Machine* machine) {
    auto splitting = must_split(machine->loop, {&machine->volume("one")}, "by-hand");
    co_await std::move(splitting);
    const auto session = *machine->coordinator->open();
    REQUIRE(session->initialize_for_backup({}).ok());
    REQUIRE(session->start_snapshot_set().ok());
    auto adding = session->add_to_snapshot_set("one", {});
    const auto added = co_await std::move(adding);
    REQUIRE(!added.ok());
    CHECK(vss::hresult_of(added.error()) == HResult::vss_e_provider_veto);
    CHECK(added.error().message().find("exshadow mirror sync one") != std::string::npos);
    auto unknown = session->add_to_snapshot_set("three", {});
    CHECK(vss::hresult_of((co_await std::move(unknown)).error()) == HResult::vss_e_object_not_found);
    auto asking = snapshots(machine);
    CHECK((co_await std::move(asking)).empty());  // the one made by hand is not VSS's
    auto closing = session->close();
    co_await std::move(closing);
}

// A set as a session that died with its process leaves it.
Task<void> leave_orphan(Machine* machine, Uuid set) {
    SplitRequest request;
    for (const auto& one : machine->volumes) request.volumes.push_back(&machine->volume(one.name));
    request.set_id = set;
    request.label = "vss-00000000-" + set.text().substr(0, 8);
    auto splitting = split(machine->loop, request);
    REQUIRE((co_await std::move(splitting)).ok());
}

Task<void> orphans(Machine* machine) {
    auto leaving = leave_orphan(machine, Uuid::from_words(7, 8));
    co_await std::move(leaving);
    auto asking = snapshots(machine);
    CHECK((co_await std::move(asking)).size() == 2);
    auto deleting = must(machine->provider->delete_orphans());
    co_await std::move(deleting);
    auto again = snapshots(machine);
    CHECK((co_await std::move(again)).empty());
}

Task<void> users_label(Machine* machine, std::string label) {
    SplitRequest request;
    for (const auto& one : machine->volumes) request.volumes.push_back(&machine->volume(one.name));
    request.label = label;
    auto splitting = split(machine->loop, request);
    REQUIRE((co_await std::move(splitting)).ok());
    auto asking = snapshots(machine);
    CHECK((co_await std::move(asking)).empty());
    auto deleting = must(machine->provider->delete_orphans());
    co_await std::move(deleting);
    for (const auto& one : machine->volumes)
        CHECK(machine->volume(one.name).state().find_snapshot(label) != nullptr);
}

// Of two orphans the first cannot be deleted: its volume is being reverted to it.
Task<void> stuck_orphan(Machine* machine) {
    auto leaving = leave_orphan(machine, Uuid::from_words(7, 8));
    co_await std::move(leaving);
    auto asking = snapshots(machine);
    const auto orphans = co_await std::move(asking);
    REQUIRE(orphans.size() == 2);
    CHECK(orphans[0].original_volume == "one");
    auto reverting = must(machine->provider->revert_to_snapshot(orphans[0].snapshot_id, false));
    co_await std::move(reverting);
    auto deleting = machine->provider->delete_orphans();
    const auto deleted = co_await std::move(deleting);
    REQUIRE(!deleted.ok());
    CHECK(deleted.error().message().find("one@vss-00000000") != std::string::npos);
    auto again = snapshots(machine);
    const auto left = co_await std::move(again);
    REQUIRE(left.size() == 1);
    CHECK(left[0].original_volume == "one");
    auto ending = must(machine->provider->query_revert_status("one"));
    co_await std::move(ending);
}

// --- A busy group on a real loop.

struct Load {
    bool stop = false;
    std::uint64_t writes = 0;
};

Task<void> write_all_the_time(Loop* loop, Volume* volume, Load* load, std::uint64_t first) {
    const auto bytes = payload(64 * KiB, 3);
    const std::uint64_t blocks = volume->size() / (64 * KiB);
    for (std::uint64_t block = first; !load->stop; block = (block + 7) % blocks) {
        auto writing = volume->write(block * 64 * KiB, bytes);
        REQUIRE((co_await std::move(writing)).ok());
        if (++load->writes % 64 == 0) co_await loop->yield();
    }
}

Task<void> freeze_under_load(Machine* machine, std::string folder, Nanoseconds* longest) {
    auto starting = machine->start(folder);
    co_await std::move(starting);
    Load load;
    TaskGroup writers(machine->loop);
    for (const auto& one : machine->volumes) {
        for (std::uint64_t i = 0; i < 8; ++i) {
            writers.spawn(write_all_the_time(&machine->loop, &machine->volume(one.name), &load, i));
        }
    }
    for (int round = 0; round < 10; ++round) {
        co_await machine->loop.sleep(50 * millisecond_ns);
        const auto session = *machine->coordinator->open();
        auto making = make_set(machine, session, vss::context::backup);
        const auto made = co_await std::move(making);
        REQUIRE_MESSAGE(made.state == vss::StepState::finished, made.detail);
        const auto frozen = machine->writer->thawed_at - machine->writer->frozen_at;
        *longest = std::max(*longest, frozen);
        auto closing = session->close();
        co_await std::move(closing);
        for (const auto& one : machine->volumes) {  // resynchronised: the next set can be made
            while (members(machine->volume(one.name)) < 2) co_await machine->loop.sleep(millisecond_ns);
        }
    }
    load.stop = true;
    auto waiting = writers.wait();
    co_await std::move(waiting);
    CHECK(load.writes > 100);
    auto stopping = machine->stop();
    co_await std::move(stopping);
}

}  // namespace

TEST_CASE("a persistent set is split off, found, reverted to and deleted") {
    simulate(persistent_set);
}
TEST_CASE("deleting may also let the plex go") {
    simulate(auto_release_set, Disposal::dissolve);
}
TEST_CASE("an auto-release set goes back into the mirror with its session") {
    simulate(auto_release_set);
}
TEST_CASE("when a writer refuses after the split, the split is taken back") {
    simulate(refused_thaw);
}
TEST_CASE("a volume without a mirror in sync is refused with what to do") {
    simulate(no_mirror);
}
TEST_CASE("what a dead session left is deleted at the next start") {
    simulate(orphans);
}
TEST_CASE("a snapshot of a user's is never VSS's, whatever its label") {
    simulate([](Machine* machine) { return users_label(machine, "vss-20260101-midnight"); });
    simulate([](Machine* machine) { return users_label(machine, "vss-00000000-12345678"); });
    simulate([](Machine* machine) { return users_label(machine, "vss-00000000"); });
}
TEST_CASE("an orphan that cannot be deleted keeps none of the others") {
    simulate(stuck_orphan);
}

TEST_CASE("a busy group keeps writers frozen for less than 50 ms") {
    for (const auto kind : {LoopKind::uring, LoopKind::pool}) {
        const auto loop = loop_or_skip(kind);
        if (!loop) continue;
        const std::string folder =
            (std::filesystem::temp_directory_path() / ("exshadow-vss-" + Uuid::random().text())).string() +
            "/";
        std::filesystem::create_directory(folder);
        for (const char* const name : {"one.a", "one.b", "two.a", "two.b"}) {
            std::FILE* const file = std::fopen((folder + name).c_str(), "w");
            REQUIRE(file != nullptr);
            REQUIRE(::ftruncate(::fileno(file), static_cast<off_t>(64 * MiB)) == 0);
            std::fclose(file);
        }
        Nanoseconds longest = 0;
        {
            Machine machine(*loop);
            run_on(*loop, freeze_under_load(&machine, folder, &longest));
        }
        std::filesystem::remove_all(folder);
        MESSAGE(std::string(loop->name())
                << ": longest Freeze to Thaw " << longest / microsecond_ns << " us");
        CHECK(longest < 50 * millisecond_ns);
    }
}
