// Backups through the coordinator on virtual time: what each failure comes to (fact sheet, 4.1, 4.4, 5, 10).
#include <doctest/doctest.h>

#include "sim_bed.h"

using namespace exshadow;
using namespace exshadow::vss;
using namespace exshadow::vss::test;

namespace {

constexpr auto whole_backup =
    "prepare_backup prepare_snapshot freeze thaw post_snapshot backup_complete backup_shutdown";
constexpr auto whole_set =
    "begin_prepare begin_prepare end_prepare pre_commit commit post_commit pre_final_commit "
    "post_final_commit "
    "delete delete";
constexpr auto undone_set = "prepare_backup prepare_snapshot freeze abort backup_shutdown";

Json with(std::initializer_list<std::pair<const char*, Json>> changes) {
    auto world = usual_world();
    for (const auto& [where, value] : changes) world[Json::json_pointer(where)] = value;
    return world;
}

Json failing(const char* code) {
    return {{"fail", code}};
}

std::size_t place(const Bed& bed, std::string_view actor, std::string_view event) {
    for (std::size_t i = 0; i < bed.trace().size(); ++i) {
        if (bed.trace()[i].actor == actor && bed.trace()[i].event == event) return i;
    }
    FAIL("no " << event << " of " << actor);
    return 0;
}

// Leaves a session in the middle of DoSnapshotSet.
Task<void> leave_frozen(Bed* bed) {
    const auto session = bed->open();
    CHECK(session->initialize_for_backup({}).ok());
    CHECK(session->set_backup_state({false, false, BackupType::full, false}).ok());
    const auto gathered = session->gather_writer_metadata();
    REQUIRE(gathered.ok());
    auto gathering = (*gathered)->wait();
    co_await std::move(gathering);
    CHECK(session->start_snapshot_set().ok());
    const auto prepared = session->prepare_for_backup();
    REQUIRE(prepared.ok());
    auto preparing = (*prepared)->wait();
    co_await std::move(preparing);
    CHECK(session->do_snapshot_set().ok());
    co_await bed->loop().sleep(50 * millisecond_ns);
    const auto while_running = session->save_as_xml();
    CHECK(!while_running.ok());
}

const char* const writer_codes[] = {"VSS_E_WRITERERROR_INCONSISTENTSNAPSHOT",
                                    "VSS_E_WRITERERROR_OUTOFRESOURCES",
                                    "VSS_E_WRITERERROR_TIMEOUT",
                                    "VSS_E_WRITERERROR_RETRYABLE",
                                    "VSS_E_WRITERERROR_NONRETRYABLE",
                                    "VSS_E_WRITERERROR_PARTIAL_FAILURE"};

}  // namespace

TEST_CASE("a full, copy or incremental backup makes all calls in order and leaves nothing behind") {
    for (const auto type : {BackupType::full, BackupType::copy, BackupType::incremental}) {
        const auto world = usual_world();
        Bed bed(world);
        Plan plan;
        plan.state.type = type;
        const auto course = bed.backup(plan);
        CHECK(course.errors.empty());
        CHECK(course.snapshots.size() == 2);
        for (const auto* name : {"Front", "Back", "System"}) {
            CHECK(bed.of(name) == whole_backup);
            CHECK(course.writers.at(name).state == WriterState::stable);
            CHECK(course.writers.at(name).failure == HResult::s_ok);
        }
        CHECK(bed.of("Maker") == whole_set);
        CHECK(bed.snapshots() == 0);
        CHECK(course.document.find("stamp-1") != std::string::npos);
        CHECK(course.document.find("metadata-1") != std::string::npos);
        check_promises(bed, world);
    }
}

TEST_CASE("front ends freeze first and thaw last, around the commit") {
    Bed bed;
    static_cast<void>(bed.backup({}));
    CHECK(place(bed, "Front", "freeze") < place(bed, "Back", "freeze"));
    CHECK(place(bed, "Back", "freeze") < place(bed, "System", "freeze"));
    CHECK(place(bed, "System", "freeze") < place(bed, "Maker", "pre_commit"));
    CHECK(place(bed, "Maker", "post_commit") < place(bed, "System", "thaw"));
    CHECK(place(bed, "System", "thaw") < place(bed, "Back", "thaw"));
    CHECK(place(bed, "Back", "thaw") < place(bed, "Front", "thaw"));
    CHECK(place(bed, "Front", "prepare_snapshot") < place(bed, "Maker", "end_prepare"));
    CHECK(place(bed, "Maker", "pre_final_commit") < place(bed, "Front", "post_snapshot"));
    CHECK(place(bed, "Front", "post_snapshot") < place(bed, "Maker", "post_final_commit"));
}

TEST_CASE("a persistent set stays, an auto-release one goes with its object") {
    Bed bed;
    Plan plan;
    plan.context = context::app_rollback;
    CHECK(bed.backup(plan).made);
    CHECK(bed.snapshots() == 2);
    CHECK(bed.of("Maker").find("delete") == std::string::npos);
}

TEST_CASE("a context without writers asks none") {
    Bed bed;
    Plan plan;
    plan.context = context::file_share_backup;
    const auto course = bed.backup(plan);
    CHECK(course.made);
    CHECK(course.errors.empty());
    CHECK(bed.of("Front").empty());
    CHECK(bed.of("Maker") == whole_set);
}

TEST_CASE("a set without volumes is accepted") {
    Bed bed;
    Plan plan;
    plan.volumes = {};
    CHECK(bed.backup(plan).made);
    CHECK(bed.of("Front") == whole_backup);
    CHECK(bed.of("Maker").empty());
}

TEST_CASE("writers of whom nothing was chosen hear no more after PrepareForBackup") {
    Bed bed;
    Plan plan;
    plan.components = {"Back"};
    CHECK(bed.backup(plan).made);
    CHECK(bed.of("Back") == whole_backup);
    CHECK(bed.of("Front") == "prepare_backup backup_shutdown");
    plan.state.select_components = false;
    Bed whole;
    CHECK(whole.backup(plan).made);
    CHECK(whole.of("Front") == whole_backup);
}

TEST_CASE("PostSnapshot goes to subscribers only, and the others move on") {
    const auto world =
        with({{"/writers/0/subscribe", {"backup_events"}}, {"/writers/1/subscribe", {"restore_events"}}});
    Bed bed(world);
    const auto course = bed.backup({});
    CHECK(course.made);
    CHECK(bed.of("Front") == "prepare_backup prepare_snapshot freeze thaw backup_complete backup_shutdown");
    CHECK(bed.of("Back") == "backup_shutdown");
    CHECK(course.writers.at("Front").state == WriterState::stable);
}

TEST_CASE("each code of a writer at each event spoils what the sheet says") {
    struct Row {
        const char* event;
        WriterState state;
        bool made;
        const char* heard;  // by the writer itself
    };
    const Row rows[] = {
        {"prepare_backup", WriterState::failed_at_prepare_backup, true, "prepare_backup backup_shutdown"},
        {"prepare_snapshot", WriterState::failed_at_prepare_snapshot, false,
         "prepare_backup prepare_snapshot abort backup_shutdown"},
        {"freeze", WriterState::failed_at_freeze, false, undone_set},
        {"thaw", WriterState::failed_at_thaw, false,
         "prepare_backup prepare_snapshot freeze thaw abort backup_shutdown"},
        {"post_snapshot", WriterState::failed_at_post_snapshot, true,
         "prepare_backup prepare_snapshot freeze thaw post_snapshot backup_shutdown"},
        {"backup_complete", WriterState::failed_at_backup_complete, true, whole_backup},
    };
    for (const auto& row : rows) {
        for (const auto* code : writer_codes) {
            CAPTURE(row.event);
            CAPTURE(code);
            const std::string where = std::string("/writers/1/events/") + row.event;
            const auto world = with({{where.c_str(), failing(code)}});
            Bed bed(world);
            const auto course = bed.backup({});
            const auto& status = course.writers.at("Back");
            CHECK(course.made == row.made);
            CHECK(status.state == row.state);
            CHECK(hresult_text(status.failure).starts_with(code));
            CHECK(bed.of("Back") == row.heard);
            if (!row.made) {
                const auto& step = course.steps.at("DoSnapshotSet");
                CHECK(step.result == status.failure);
                CHECK(step.detail.find("'Back' refused") != std::string::npos);
                CHECK(bed.of("Front").find("abort") != std::string::npos);
                CHECK(bed.snapshots() == 0);
            }
            check_promises(bed, world);
        }
    }
}

TEST_CASE("a noted failure is in the status and spoils nothing") {
    const auto world =
        with({{"/writers/1/events/freeze",
               {{"fail", "VSS_E_WRITERERROR_RETRYABLE"}, {"noted", true}, {"message", "nearly"}}}});
    Bed bed(world);
    const auto course = bed.backup({});
    CHECK(course.made);
    CHECK(bed.of("Back") == whole_backup);
    CHECK(course.writers.at("Back").failure == HResult::vss_e_writererror_retryable);
    CHECK(course.writers.at("Back").application_message == "nearly");
}

TEST_CASE("a writer that refuses Identify is not in the list") {
    const auto world = with({{"/writers/1/events/identify", failing("VSS_E_WRITERERROR_RETRYABLE")}});
    Bed bed(world);
    const auto course = bed.backup({});
    CHECK(course.made);
    CHECK_FALSE(course.writers.contains("Back"));
    CHECK(bed.of("Back").empty());
}

TEST_CASE("a writer that hangs is cut off, named, and the set is gone") {
    struct Row {
        const char* event;
        const char* step;
        bool made;
        HResult code;
        WriterState state;
    };
    const auto silent = HResult::vss_e_writer_not_responding;
    const auto late = HResult::vss_e_writererror_timeout;
    const Row rows[] = {
        {"prepare_backup", "PrepareForBackup", true, silent, WriterState::unknown},
        {"prepare_snapshot", "DoSnapshotSet", false, silent, WriterState::unknown},
        {"freeze", "DoSnapshotSet", false, late, WriterState::failed_at_freeze},
        {"thaw", "DoSnapshotSet", false, late, WriterState::failed_at_thaw},
        {"post_snapshot", "DoSnapshotSet", true, silent, WriterState::unknown},
        {"backup_complete", "BackupComplete", true, silent, WriterState::unknown},
    };
    for (const auto& row : rows) {
        CAPTURE(row.event);
        const std::string where = std::string("/writers/0/events/") + row.event;
        const auto world = with({{where.c_str(), {{"hang", true}}}});
        Bed bed(world);
        const auto course = bed.backup({});
        CHECK(course.made == row.made);
        CHECK(course.writers.at("Front").state == row.state);
        CHECK(course.writers.at("Front").failure == row.code);
        if (!row.made) {
            CHECK(course.steps.at(row.step).result == row.code);
            CHECK(course.steps.at(row.step).detail.find("'Front'") != std::string::npos);
            CHECK(bed.snapshots() == 0);
        }
        check_promises(bed, world);
    }
}

TEST_CASE("a slow writer makes those late who are frozen, and is named with them") {
    const auto world = with({{"/writers/2/events/freeze", {{"hang", true}}}});
    Bed bed(world);
    const auto course = bed.backup({});
    CHECK_FALSE(course.made);
    CHECK(course.writers.at("Front").failure == HResult::vss_e_writererror_timeout);
    CHECK(course.writers.at("Back").failure == HResult::s_ok);
    const auto& detail = course.steps.at("DoSnapshotSet").detail;
    CHECK(detail.find("'Front'") != std::string::npos);
    CHECK(detail.find("'System'") != std::string::npos);
    check_promises(bed, world);
}

// All at one level, so that they thaw side by side; Front permits 200 ms, the others 600 ms.
Json with_one_level(std::initializer_list<std::pair<const char*, Json>> changes) {
    auto world = with(changes);
    for (auto& writer : world["writers"]) writer["level"] = "front_end";
    return world;
}

TEST_CASE("at Thaw every writer has its own window") {
    for (const char* const slow : {"/writers/1/events/thaw", "/writers/2/events/thaw"}) {
        const auto world = with_one_level({{slow, {{"delay", 350}}}});
        Bed bed(world);
        CHECK(bed.backup({}).made);
        CHECK(bed.of("Front") == whole_backup);
        check_promises(bed, world);
    }
}

TEST_CASE("who hangs at Thaw is to blame, and nobody who has answered") {
    for (const int guilty : {0, 1, 2}) {
        CAPTURE(guilty);
        const char* const names[] = {"Front", "Back", "System"};
        const auto where = "/writers/" + std::to_string(guilty) + "/events/thaw";
        const auto world = with_one_level({{where.c_str(), {{"hang", true}}}});
        Bed bed(world);
        const auto course = bed.backup({});
        CHECK_FALSE(course.made);
        for (int i = 0; i < 3; ++i) {
            const auto code = course.writers.at(names[i]).failure;
            CHECK(code == (i == guilty ? HResult::vss_e_writererror_timeout : HResult::s_ok));
        }
        const auto& detail = course.steps.at("DoSnapshotSet").detail;
        CHECK(detail.find(std::string("writer '") + names[guilty] + "' did not answer Thaw") !=
              std::string::npos);
        CHECK(detail.find("was frozen for longer") == std::string::npos);
        check_promises(bed, world);
    }
}

TEST_CASE("who hangs at Thaw gets Abort at its own limit, though another may take longer") {
    const auto world = with_one_level(
        {{"/writers/0/events/thaw", {{"hang", true}}}, {"/writers/1/events/thaw", {{"delay", 500}}}});
    Bed bed(world);
    const auto course = bed.backup({});
    CHECK(course.writers.at("Front").failure == HResult::vss_e_writererror_timeout);
    CHECK(course.writers.at("Back").failure == HResult::s_ok);
    CHECK(bed.of("Back").ends_with("thaw abort backup_shutdown"));
    check_promises(bed, world);
}

TEST_CASE("a writer that thaws later is not kept frozen for longer than it permits by one that thaws now") {
    const auto world = with({{"/writers/2/events/thaw", {{"delay", 400}}}});
    Bed bed(world);
    const auto course = bed.backup({});
    CHECK_FALSE(course.made);
    CHECK(course.writers.at("Front").failure == HResult::vss_e_writererror_timeout);
    CHECK(course.writers.at("Back").failure == HResult::s_ok);
    check_promises(bed, world);
}

TEST_CASE("a refusal of Abort does not hide why there was one") {
    const auto world = with({{"/writers/0/events/freeze", {{"hang", true}}},
                             {"/writers/0/events/abort", failing("VSS_E_WRITERERROR_NONRETRYABLE")}});
    Bed bed(world);
    const auto course = bed.backup({});
    CHECK(course.writers.at("Front").failure == HResult::vss_e_writererror_timeout);
}

TEST_CASE("writers that hang at Abort and BackupShutdown hold up nobody for long") {
    const auto world = with({{"/writers/0/events/abort", {{"hang", true}}},
                             {"/writers/0/events/backup_shutdown", {{"hang", true}}},
                             {"/writers/1/events/freeze", failing("VSS_E_WRITERERROR_RETRYABLE")}});
    Bed bed(world);
    const auto begin = bed.loop().now();
    static_cast<void>(bed.backup({}));
    CHECK(bed.loop().now() - begin < 5 * second_ns);
    CHECK(bed.of("System").find("abort") != std::string::npos);
    check_promises(bed, world);
}

TEST_CASE("a provider's refusal at each step undoes the set, with the code of its contract") {
    const char* const steps[] = {"end_prepare", "pre_commit",       "commit",
                                 "post_commit", "pre_final_commit", "post_final_commit"};
    std::vector<std::pair<std::string, HResult>> codes{
        {"E_FAIL", HResult::vss_e_unexpected_provider_error},
        {"VSS_E_WRITERERROR_RETRYABLE", HResult::vss_e_unexpected_provider_error}};
    for (const auto code : contract_codes()) codes.emplace_back(std::string(find_hresult(code)->name), code);
    for (const auto* step : steps) {
        for (const auto& [name, expected] : codes) {
            CAPTURE(step);
            CAPTURE(name);
            const std::string where = std::string("/providers/0/events/") + step;
            const auto world = with({{where.c_str(), failing(name.c_str())}});
            Bed bed(world);
            const auto course = bed.backup({});
            CHECK_FALSE(course.made);
            CHECK(course.steps.at("DoSnapshotSet").result == expected);
            CHECK(course.steps.at("DoSnapshotSet").detail.find("'Maker' refused") != std::string::npos);
            CHECK(bed.of("Maker").ends_with(std::string(step) + " abort"));
            const bool after_post_snapshot = std::string_view(step) == "post_final_commit";
            CHECK((bed.of("Front").find("abort") == std::string::npos) == after_post_snapshot);
            CHECK(bed.snapshots() == 0);
            check_promises(bed, world);
        }
    }
}

TEST_CASE("a provider's refusal of a volume ends AddToSnapshotSet") {
    const auto world = with({{"/providers/0/events/begin_prepare", failing("VSS_E_INSUFFICIENT_STORAGE")}});
    Bed bed(world);
    const auto course = bed.backup({});
    REQUIRE(course.errors.size() == 1);
    CHECK(course.errors[0].find("VSS_E_INSUFFICIENT_STORAGE") != std::string::npos);
    CHECK(bed.of("Maker") == "begin_prepare");
    check_promises(bed, world);
}

TEST_CASE("a provider that hangs costs the writers their patience, or writes were held too long") {
    struct Row {
        const char* step;
        HResult code;
    };
    for (const auto& row : {Row{"end_prepare", HResult::vss_e_unexpected_provider_error},
                            Row{"pre_commit", HResult::vss_e_writererror_timeout},
                            Row{"commit", HResult::vss_e_hold_writes_timeout},
                            Row{"post_commit", HResult::vss_e_writererror_timeout},
                            Row{"pre_final_commit", HResult::vss_e_unexpected_provider_error}}) {
        CAPTURE(row.step);
        const std::string where = std::string("/providers/0/events/") + row.step;
        const auto world = with({{where.c_str(), {{"hang", true}}}});
        Bed bed(world);
        const auto course = bed.backup({});
        CHECK(course.steps.at("DoSnapshotSet").result == row.code);
        CHECK(course.steps.at("DoSnapshotSet").detail.find("'Maker'") != std::string::npos);
        if (row.code == HResult::vss_e_writererror_timeout)
            CHECK(course.writers.at("Front").state == WriterState::failed_at_freeze);
        check_promises(bed, world);
    }
}

TEST_CASE("a requestor lost after any step leaves nothing behind") {
    for (int steps = 0; steps < 16; ++steps) {
        CAPTURE(steps);
        const auto world = usual_world();
        Bed bed(world);
        Plan plan;
        plan.steps = steps;
        static_cast<void>(bed.backup(plan));
        CHECK(bed.snapshots() == 0);
        check_promises(bed, world);
    }
}

TEST_CASE("a step is cancelled at any moment, or it is too late") {
    int cancelled = 0;
    int finished = 0;
    for (Nanoseconds after = 0; after < 300; after += 7) {
        auto world = usual_world();
        for (const auto* event : {"prepare_snapshot", "freeze", "thaw", "post_snapshot"})
            world["writers"][1]["events"][event] = {{"delay", 30}};
        Bed bed(world);
        Plan plan;
        plan.cancel_after = after * millisecond_ns;
        const auto course = bed.backup(plan);
        const auto found = course.steps.find("DoSnapshotSet");
        if (found != course.steps.end()) {
            const auto state = found->second.state;
            CHECK((state == StepState::cancelled || state == StepState::finished));
            CHECK(course.made == (state == StepState::finished));
            cancelled += state == StepState::cancelled ? 1 : 0;
            finished += state == StepState::finished ? 1 : 0;
        }
        CHECK(bed.snapshots() == 0);
        check_promises(bed, world);
    }
    CHECK(cancelled > 5);
    CHECK(finished > 5);
}

TEST_CASE("the coordinator's own end aborts what is open") {
    const auto world = with({{"/writers/1/events/freeze", {{"hang", true}}}});
    Bed bed(world);
    bed.run(leave_frozen(&bed));
    CHECK(bed.of("Front") == "prepare_backup prepare_snapshot freeze");
    bed.close();
    CHECK(bed.of("Front") == undone_set);
    CHECK(bed.of("Back") == undone_set);
    check_promises(bed, world);
}
