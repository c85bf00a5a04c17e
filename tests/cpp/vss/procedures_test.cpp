// The procedures where the table of scenarios does not reach: several instances of one writer class, bases
// and documents of other backups.
#include "vss/procedures.h"

#include <doctest/doctest.h>

#include <functional>
#include <map>

#include "scenario/world.h"
#include "vss/coordinator/host.h"
#include "vss/documents.h"

using namespace exshadow;
using namespace exshadow::vss;
using scenario::Json;

namespace {

Json writer(int number, const char* name, const char* instance_name, int instance) {
    const auto tail = std::to_string(number);
    return {{"id", "aaaaaaaa-0000-0000-0000-00000000000" + tail},
            {"instance", "aaaaaaaa-1111-0000-0000-0000000000" + std::to_string(instance)},
            {"name", name},
            {"instance_name", instance_name},
            {"schema", {"incremental", "differential", "copy", "timestamped", "writer_supports_new_target"}},
            {"components",
             {{{"type", "database"},
               {"name", "main"},
               {"database_files", {{{"path", "C:\\" + std::string(instance_name)}, {"spec", "*.db"}}}}}}},
            {"document", {{"stamp", std::string("stamp-") + instance_name}}}};
}

Json world_of(std::vector<Json> writers) {
    return {{"volumes", {{{"name", "C:\\"}}}}, {"writers", std::move(writers)}};
}

// Two instances of one class, as they run first and after a restart of both, in the other order.
Json shops(bool restarted = false) {
    if (restarted) return world_of({writer(1, "Shop", "south", 24), writer(1, "Shop", "north", 23)});
    return world_of({writer(1, "Shop", "north", 13), writer(1, "Shop", "south", 14)});
}

// A machine, and the procedures on it.
class Machine {
public:
    explicit Machine(const Json& description) {
        auto made = scenario::make_world(description, "");
        REQUIRE_MESSAGE(made.ok(), (made.ok() ? "" : made.error().message()));
        world_ = std::move(*made);
        coordinator_ = std::make_unique<CoordinatorHost>(world_.options());
        for (const auto& one : world_.writers)
            REQUIRE(coordinator_->register_writer(std::shared_ptr<Writer>(one)).ok());
        for (const auto& one : world_.providers)
            REQUIRE(coordinator_->register_provider(std::shared_ptr<Provider>(one)).ok());
    }

    [[nodiscard]] Host host() {
        Host host;
        host.make = [this]() -> Result<std::unique_ptr<Requestor>> {
            return scenario::scripted(coordinator_->new_requestor(), world_.scripts);
        };
        host.volume_of = [list = world_.volumes](const std::string& path) { return list->of_path(path); };
        return host;
    }
    [[nodiscard]] BackupResult back_up(BackupType type, std::string base = {}, const Copied& copied = {}) {
        BackupRequest request;
        request.volumes = {"C:\\"};
        request.state = {true, false, type, false};
        request.base_document = std::move(base);
        request.retry.tries = 1;
        return vss::backup(host(), request, [&](const BackupReport&) -> Result<Copied> { return copied; });
    }
    // A document of a backup that must go well.
    [[nodiscard]] std::string document_of(BackupType type, const Copied& copied = {}) {
        auto result = back_up(type, {}, copied);
        REQUIRE_MESSAGE(result.status.ok(), (result.status.ok() ? "" : result.status.error().message()));
        return result.report.document;
    }
    [[nodiscard]] scenario::World& world() { return world_; }

private:
    scenario::World world_;
    std::unique_ptr<CoordinatorHost> coordinator_;
};

BackupDocument parsed(const std::string& document) {
    auto result = parse_backup_document(document);
    REQUIRE(result.ok());
    return *result;
}

const BackupWriter& instance(const std::vector<BackupWriter>& writers, std::string_view name) {
    for (const auto& one : writers) {
        if (one.instance_name == name) return one;
    }
    FAIL("no such instance");
    return writers.front();
}

bool holds(const Error& error, std::string_view words) {
    return (error.message() + "\n" + error.hint()).find(words) != std::string::npos;
}

Copied failed(const Uuid& writer, std::string name) {
    Copied copied;
    copied.failed = {{writer, {}, ComponentType::database, "", std::move(name)}};
    return copied;
}

const Uuid shop_id = *Uuid::parse("aaaaaaaa-0000-0000-0000-000000000001");

// A restore whose files are put back well.
RestoreResult restored(Machine& machine, RestoreRequest request) {
    return vss::restore(machine.host(), request,
                        [](const RestoreReport&) -> Result<Copied> { return Copied{}; });
}

}  // namespace

TEST_CASE("each of two instances of a class gets the stamp of its own base, also after a restart") {
    Machine first(shops());
    const auto base = first.document_of(BackupType::full);
    for (const bool restarted : {false, true}) {
        CAPTURE(restarted);
        Machine second(shops(restarted));
        const auto result = second.back_up(BackupType::incremental, base);
        REQUIRE(result.status.ok());
        const auto writers = parsed(result.report.document).writers;
        REQUIRE(writers.size() == 2);
        for (const auto* name : {"north", "south"}) {
            CHECK(instance(writers, name).components.at(0).previous_backup_stamp ==
                  std::string("stamp-") + name);
        }
        for (const auto& one : second.world().writers)
            CHECK(one->stamps_seen() == std::vector{"stamp-" + one->options().instance_name});
    }
}

TEST_CASE("an instance that the base does not hold gets no stamp, and that is said") {
    Machine first(world_of({writer(1, "Shop", "north", 13), writer(1, "Shop", "south", 14)}));
    const auto base = first.document_of(BackupType::full);
    Machine second(world_of({writer(1, "Shop", "north", 13), writer(1, "Shop", "west", 15)}));
    const auto result = second.back_up(BackupType::incremental, base);
    REQUIRE(result.status.ok());
    const auto writers = parsed(result.report.document).writers;
    CHECK(instance(writers, "north").components.at(0).previous_backup_stamp == "stamp-north");
    CHECK(instance(writers, "west").components.at(0).previous_backup_stamp.empty());
    REQUIRE(result.report.notes.size() == 1);
    CHECK(result.report.notes[0].find("does not hold component 'main'") != std::string::npos);
}

TEST_CASE("a restore tells each of two instances of a class of its own components") {
    Machine first(shops());
    const auto document = first.document_of(BackupType::full);
    for (const bool restarted : {false, true}) {
        CAPTURE(restarted);
        Machine second(shops(restarted));
        RestoreRequest request;
        request.document = document;
        const auto result = restored(second, request);
        REQUIRE_MESSAGE(result.status.ok(), (result.status.ok() ? "" : result.status.error().message()));
        REQUIRE(result.report.chosen.size() == 2);
        for (const auto* name : {"north", "south"}) {
            const auto& choice = instance(result.report.chosen, name).components.at(0).restore;
            CHECK(choice.selected);
            CHECK(choice.status == FileRestoreStatus::all);
        }
    }
}

TEST_CASE("of two instances only the one that runs is restored") {
    Machine first(shops());
    const auto document = first.document_of(BackupType::full);
    Machine second(world_of({writer(1, "Shop", "south", 24)}));
    RestoreRequest request;
    request.document = document;
    const auto result = restored(second, request);
    REQUIRE(result.status.ok());
    REQUIRE(result.report.chosen.size() == 1);
    CHECK(result.report.chosen[0].instance_name == "south");
    REQUIRE(result.report.notes.size() == 1);
    CHECK(result.report.notes[0].find("is known to be its own") != std::string::npos);
}

TEST_CASE("a failure is told of the instance that it befell") {
    Machine machine(shops());
    Copied copied = failed(shop_id, "main");
    copied.failed[0].instance_id = *Uuid::parse("aaaaaaaa-1111-0000-0000-000000000014");
    const auto writers = parsed(machine.document_of(BackupType::full, copied)).writers;
    CHECK(instance(writers, "north").components.at(0).succeeded == true);
    CHECK(instance(writers, "south").components.at(0).succeeded == false);
}

TEST_CASE("only what the sheet calls a base is one") {
    struct Row {
        BackupType base, wanted;
        bool permitted;
    };
    using enum BackupType;
    for (const auto& row :
         {Row{full, incremental, true}, Row{incremental, incremental, true}, Row{copy, incremental, false},
          Row{differential, incremental, false}, Row{full, differential, true},
          Row{copy, differential, false}, Row{incremental, differential, false}, Row{copy, full, true}}) {
        CAPTURE(word(row.base));
        CAPTURE(word(row.wanted));
        Machine machine(world_of({writer(1, "Shop", "north", 13)}));
        const auto base = machine.document_of(row.base);
        const auto result = machine.back_up(row.wanted, base);
        CHECK(result.status.ok() == row.permitted);
        if (row.permitted) continue;
        CHECK(result.status.error().code() == Code::refused);
        CHECK(holds(result.status.error(), "component 'main' of writer 'Shop'"));
        CHECK(holds(result.status.error(), "the last one was " + word(row.base)));
        CHECK(holds(result.status.error(), "full backup first"));
        CHECK(machine.world().disks->snapshots.empty());
    }
}

TEST_CASE("a copy that the writer does not know was a full backup, and is a base") {
    auto description = writer(1, "Shop", "north", 13);
    description["schema"] = {"incremental", "timestamped"};
    Machine machine(world_of({description}));
    const auto base = machine.document_of(BackupType::copy);
    CHECK(machine.back_up(BackupType::incremental, base).status.ok());
}

TEST_CASE("a component that failed is neither a base nor restored") {
    auto second = writer(2, "Mill", "east", 15);
    Machine machine(world_of({writer(1, "Shop", "north", 13), second}));
    const auto document = machine.document_of(BackupType::full, failed(shop_id, "main"));
    const auto next = machine.back_up(BackupType::incremental, document);
    REQUIRE(!next.status.ok());
    CHECK(holds(next.status.error(), "writer 'Shop'"));
    CHECK(holds(next.status.error(), "the last one failed"));

    RestoreRequest request;
    request.document = document;
    const auto rest = restored(machine, request);
    REQUIRE(rest.status.ok());
    REQUIRE(rest.report.chosen.size() == 1);
    CHECK(rest.report.chosen[0].instance_name == "east");
    REQUIRE(rest.report.notes.size() == 1);
    CHECK(rest.report.notes[0].find("its backup failed") != std::string::npos);

    request.included = {{"Shop", "main"}};
    const auto named = restored(machine, request);
    REQUIRE(!named.status.ok());
    CHECK(named.status.error().code() == Code::refused);
    CHECK(holds(named.status.error(), "its backup failed"));
    request.included = {{"Shop", ""}};  // all that there is of it
    CHECK(holds(restored(machine, request).status.error(), "nothing to restore"));
}

TEST_CASE("what was named by its writer's id is refused when the writer does not run") {
    Machine first(world_of({writer(1, "Shop", "north", 13), writer(2, "Mill", "east", 15)}));
    const auto document = first.document_of(BackupType::full);
    Machine second(world_of({writer(2, "Mill", "east", 15)}));
    RestoreRequest request;
    request.document = document;
    CHECK(restored(second, request).status.ok());
    for (const char* const component : {"", "main"}) {
        request.included = {{shop_id.text(), component}, {"Mill", ""}};
        const auto result = restored(second, request);
        REQUIRE(!result.status.ok());
        CHECK(result.status.error().code() == Code::refused);
        CHECK(holds(result.status.error(), "its writer is not running"));
    }
    request.included = {};
    RestoreChoices choice;
    choice.component = {shop_id.text(), "main"};
    choice.authoritative = true;
    request.choices = {choice};
    CHECK_FALSE(restored(second, request).status.ok());
}

TEST_CASE("a document that cannot be saved at the end is told, and the older one is not taken for it") {
    auto world = world_of({writer(1, "Shop", "north", 13)});
    std::string before;
    BackupRequest request;
    request.volumes = {"C:\\"};
    request.retry.tries = 1;
    request.state.select_components = true;
    // The second SaveAsXML is the one after BackupComplete.
    Machine machine(world);
    const auto result =
        vss::backup(machine.host(), request, [&](const BackupReport& report) -> Result<Copied> {
            before = report.document;
            machine.world().scripts->answer_from_now("SaveAsXML", HResult::vss_e_unexpected);
            return Copied{};
        });
    CHECK_FALSE(before.empty());
    REQUIRE(!result.status.ok());
    CHECK(holds(result.status.error(), "its document cannot be saved"));
    CHECK(result.report.completed);
    CHECK(result.report.document.empty());
}

TEST_CASE("a persistent set that comes to be though its step failed is deleted") {
    auto world = world_of({writer(1, "Shop", "north", 13)});
    world["steps"] = {{"DoSnapshotSet", {{"result", "VSS_E_HOLD_WRITES_TIMEOUT"}}}};
    Machine machine(world);
    BackupRequest request;
    request.volumes = {"C:\\"};
    request.context = context::app_rollback;
    request.retry.tries = 1;
    const auto result = vss::backup(machine.host(), request, {});
    REQUIRE(!result.status.ok());
    CHECK(machine.world().disks->snapshots.empty());
}

TEST_CASE("a component set has failed when a part anywhere below it has, and no other has") {
    auto description = shops();
    for (auto& one : description["writers"]) {
        const auto files = one["components"][0]["database_files"];
        const auto add = [&](const char* path, const char* name, bool selectable) {
            one["components"].push_back(
                {{"path", path}, {"name", name}, {"selectable", selectable}, {"files", files}});
        };
        add("", "mainly", true);
        add("", "MAIN", true);  // another component: names keep their letter case in documents
        add("Main\\deep", "part", true);
    }
    Machine machine(description);
    Copied copied;
    copied.failed = {{shop_id, *Uuid::parse("aaaaaaaa-1111-0000-0000-000000000014"),
                      ComponentType::file_group, "Main\\deep", "part"}};
    const auto writers = parsed(machine.document_of(BackupType::full, copied)).writers;
    const auto outcome = [&](const char* name) {
        std::map<std::string, bool> all;
        for (const auto& one : instance(writers, name).components)
            all[one.name] = one.succeeded.value_or(false);
        return all;
    };
    using Outcome = std::map<std::string, bool>;
    CHECK(outcome("north") == Outcome{{"main", true}, {"MAIN", true}, {"mainly", true}, {"part", true}});
    CHECK(outcome("south") == Outcome{{"main", false}, {"MAIN", false}, {"mainly", true}, {"part", false}});
}
