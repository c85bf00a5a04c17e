// A coordinator on virtual time with the scripted writers and providers of tests/scenarios, and one requestor
// that does whole sessions. What it must keep whatever happens is checked by check_promises().
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "runtime/sim_loop.h"
#include "runtime/sim_world.h"
#include "scenario/json.h"
#include "scenario/world.h"
#include "vss/coordinator/coordinator.h"
#include "vss/coordinator/session.h"

namespace exshadow::vss::test {

using scenario::Json;

// Three writers of three levels and a software provider over two volumes. Times are short: milliseconds.
inline Json usual_world() {
    return Json::parse(R"({
        "volumes": [{"name": "C:\\"}, {"name": "D:\\"}],
        "limits": {"freeze": 600, "hold": 100, "identify": 900, "prepare_backup": 900, "prepare_snapshot": 900,
                   "post_snapshot": 900, "backup_complete": 900, "restore": 900, "abort": 50, "provider": 900},
        "writers": [
            {"id": "aaaaaaaa-0000-0000-0000-000000000001", "instance": "aaaaaaaa-1111-0000-0000-000000000001",
             "name": "Front", "level": "front_end", "freeze_limit": 200, "schema": ["writer_supports_new_target"],
             "components": [{"type": "file_group", "name": "files", "selectable_for_restore": true,
                             "files": [{"path": "C:\\front", "spec": "*"}]}],
             "document": {"stamp": "stamp-1", "backup_metadata": "metadata-1"}},
            {"id": "aaaaaaaa-0000-0000-0000-000000000002", "instance": "aaaaaaaa-1111-0000-0000-000000000002",
             "name": "Back", "level": "back_end", "freeze_limit": 600,
             "components": [{"type": "database", "path": "store", "name": "main",
                             "database_files": [{"path": "D:\\back", "spec": "*.db"}]}]},
            {"id": "aaaaaaaa-0000-0000-0000-000000000003", "instance": "aaaaaaaa-1111-0000-0000-000000000003",
             "name": "System", "level": "system", "freeze_limit": 600,
             "components": [{"type": "file_group", "name": "state", "files": [{"path": "C:\\sys", "spec": "*"}]}]}
        ],
        "providers": [
            {"id": "bbbbbbbb-0000-0000-0000-000000000001", "name": "Maker", "type": "software",
             "can": ["revert", "expose"]}
        ]
    })");
}

// What a session does, and where it is left.
struct Plan {
    SnapshotAttributes context = context::backup;
    BackupState state;
    std::vector<std::string> volumes{"C:\\", "D:\\"};
    std::vector<std::string> components{"Front", "Back", "System"};  // writers whose components are added
    int steps = 100;                        // the requestor vanishes after so many steps
    std::optional<Nanoseconds> lost_after;  // or after so long, whatever it is doing
    std::optional<Nanoseconds> cancel_after;
    bool succeeded = true;
};

struct Course {
    std::map<std::string, StepStatus> steps;  // by SDK name
    std::vector<std::string> errors;          // of calls that are not steps
    std::map<std::string, WriterStatus> writers;
    std::vector<SnapshotProperties> snapshots;
    std::string document;
    bool made = false;
};

class Bed {
public:
    explicit Bed(const Json& description = usual_world(), std::uint64_t seed = 1,
                 std::shared_ptr<CreationSlot> slot = local_slot(),
                 const std::function<void(CoordinatorOptions&)>& adjust = {})
        : world_(seed), loop_(world_, seed), slot_(std::move(slot)) {
        auto made = scenario::make_world(description, "");
        REQUIRE_MESSAGE(made.ok(), (made.ok() ? "" : made.error().message()));
        machine_ = std::move(*made);
        auto options = machine_.options();
        options.slot = slot_;
        options.observe = [this](const Callback& one) { trace_.push_back(one); };
        if (adjust) adjust(options);
        coordinator_.emplace(loop_, std::move(options));
        for (const auto& writer : machine_.writers) REQUIRE(coordinator_->register_writer(writer).ok());
        for (const auto& one : machine_.providers) REQUIRE(coordinator_->register_provider(one).ok());
    }
    Bed(const Bed&) = delete;
    Bed& operator=(const Bed&) = delete;
    ~Bed() { close(); }

    void run(Task<void> task) { REQUIRE(loop_.run_task(std::move(task))); }
    void close() {
        if (closed_) return;
        closed_ = true;
        run(coordinator_->close());
    }

    [[nodiscard]] Course backup(const Plan& plan) {
        Course course;
        run(back_up(this, plan, &course));
        return course;
    }

    [[nodiscard]] SimLoop& loop() { return loop_; }
    [[nodiscard]] Coordinator& coordinator() { return *coordinator_; }
    [[nodiscard]] scenario::World& machine() { return machine_; }
    [[nodiscard]] const std::vector<Callback>& trace() const { return trace_; }
    [[nodiscard]] std::shared_ptr<Session> open() {
        auto session = coordinator_->open();
        REQUIRE(session.ok());
        return *session;
    }

    // The callbacks of one actor, in order; looks into what exists are left out.
    [[nodiscard]] std::string of(std::string_view actor) const {
        std::string events;
        for (const auto& one : trace_) {
            const bool looks = one.event == "identify" || one.event == "query" || one.event == "is_supported";
            if (one.actor == actor && !looks) events += (events.empty() ? "" : " ") + std::string(one.event);
        }
        return events;
    }
    [[nodiscard]] bool slot_is_free() const {
        const auto taken = slot_->try_take();
        if (taken.ok() && *taken) slot_->give_back();
        return taken.ok() && *taken;
    }
    [[nodiscard]] std::size_t snapshots() const { return machine_.disks->snapshots.size(); }

private:
    static Task<void> back_up(Bed* bed, Plan plan, Course* course);
    static Task<void> go_through(Bed* bed, std::shared_ptr<Session> session, Plan plan, Course* course);
    static Task<void> lose(Bed* bed, std::shared_ptr<Session> session, Nanoseconds after);

    SimWorld world_;
    SimLoop loop_;
    std::shared_ptr<CreationSlot> slot_;
    scenario::World machine_;
    std::vector<Callback> trace_;
    std::optional<Coordinator> coordinator_;
    bool closed_ = false;
};

inline Task<void> cancel_later(Loop* loop, StepPtr step, Nanoseconds after) {
    co_await loop->sleep(after);
    static_cast<void>(step->ask_to_stop());
}

// The end of a step that has begun, or why it has not.
inline Task<bool> finish_step(Loop* loop, std::string what, Result<StepPtr> begun, Course* course,
                              std::optional<Nanoseconds> cancel_after) {
    if (!begun.ok()) {
        course->errors.push_back(what + ": " + begun.error().message());
        co_return false;
    }
    if (cancel_after) spawn(cancel_later(loop, *begun, *cancel_after));
    auto waiting = (*begun)->wait();
    co_await std::move(waiting);
    course->steps[what] = (*begun)->status();
    co_return course->steps[what].state == StepState::finished;
}

inline bool noted(Course* course, const char* what, const Status& status) {
    if (!status.ok()) course->errors.push_back(std::string(what) + ": " + status.error().message());
    return status.ok();
}

// Reads the status after a step.
inline Task<void> look_at_writers(Loop* loop, std::shared_ptr<Session> session, Course* course) {
    auto looking = finish_step(loop, "GatherWriterStatus", session->gather_writer_status(), course, {});
    const bool looked = co_await std::move(looking);
    if (!looked) co_return;
    const auto statuses = session->writer_status();
    if (!statuses.ok()) co_return;
    for (const auto& one : *statuses) course->writers[one.name] = one;
}

inline Task<void> Bed::go_through(Bed* bed, std::shared_ptr<Session> session, Plan plan, Course* course) {
    Loop* const loop = &bed->loop_;
    const bool writers = !has(plan.context, SnapshotAttributes::no_writers);
    int left = plan.steps;
    const auto lost = [&left] { return left-- <= 0; };
    if (lost() || !noted(course, "init", session->initialize_for_backup({}))) co_return;
    if (lost() || !noted(course, "context", session->set_context(plan.context))) co_return;
    if (!noted(course, "state", session->set_backup_state(plan.state)) || lost()) co_return;
    if (writers) {
        auto step = finish_step(loop, "GatherWriterMetadata", session->gather_writer_metadata(), course, {});
        const bool well = co_await std::move(step);
        if (!well || lost()) co_return;
        if (plan.state.select_components) {
            for (const auto& one : session->writers().participants()) {
                if (std::ranges::find(plan.components, one.options.name) == plan.components.end()) continue;
                for (const auto& part : one.metadata.components) {
                    const ComponentKey key{one.options.writer_id, one.options.instance_id, part.type,
                                           part.logical_path, part.name};
                    if (!noted(course, "AddComponent", session->add_component(key))) co_return;
                }
            }
        }
        if (lost()) co_return;
    }
    const auto set = session->start_snapshot_set();
    if (!set.ok()) {
        static_cast<void>(noted(course, "StartSnapshotSet", set.error()));
        co_return;
    }
    if (lost()) co_return;
    for (const auto& volume : plan.volumes) {
        auto adding = session->add_to_snapshot_set(volume, Uuid{});
        const auto added = co_await std::move(adding);
        if (!added.ok() && !noted(course, "AddToSnapshotSet", added.error())) co_return;
        if (lost()) co_return;
    }
    if (writers) {
        auto step =
            finish_step(loop, "PrepareForBackup", session->prepare_for_backup(), course, plan.cancel_after);
        const bool well = co_await std::move(step);
        auto looking = look_at_writers(loop, session, course);
        co_await std::move(looking);
        if (!well || lost()) co_return;
    }
    auto making = finish_step(loop, "DoSnapshotSet", session->do_snapshot_set(), course, plan.cancel_after);
    const bool made = co_await std::move(making);
    if (writers) {
        auto looking = look_at_writers(loop, session, course);
        co_await std::move(looking);
    }
    if (!made || lost()) co_return;
    course->made = true;
    auto querying = session->query_snapshots();
    auto there = co_await std::move(querying);
    if (there.ok()) course->snapshots = std::move(*there);
    if (lost()) co_return;
    if (writers) {
        const auto parts = session->writer_components();
        if (parts.ok()) {
            for (const auto& part : *parts) {
                for (const auto& one : part.components) {
                    const ComponentKey key{part.writer_id, part.instance_id, one.type, one.logical_path,
                                           one.name};
                    if (!noted(course, "succeeded", session->set_backup_succeeded(key, plan.succeeded)))
                        co_return;
                }
            }
        }
        auto step =
            finish_step(loop, "BackupComplete", session->backup_complete(), course, plan.cancel_after);
        const bool well = co_await std::move(step);
        auto looking = look_at_writers(loop, session, course);
        co_await std::move(looking);
        if (!well || lost()) co_return;
    }
    const auto document = session->save_as_xml();
    if (document.ok()) course->document = *document;
}

inline Task<void> Bed::lose(Bed* bed, std::shared_ptr<Session> session, Nanoseconds after) {
    co_await bed->loop_.sleep(after);
    auto closing = session->close();
    co_await std::move(closing);
}

inline Task<void> Bed::back_up(Bed* bed, Plan plan, Course* course) {
    const auto session = bed->open();
    TaskGroup beside(bed->loop_);
    if (plan.lost_after) beside.spawn(lose(bed, session, *plan.lost_after));
    auto going = go_through(bed, session, plan, course);
    co_await std::move(going);
    auto closing = session->close();
    co_await std::move(closing);
    auto waiting = beside.wait();
    co_await std::move(waiting);
}

// Whatever happened: who was frozen was thawed or aborted within its window, nothing came after Abort but
// BackupShutdown, nobody who had PostSnapshot got Abort, BackupShutdown came last and once, providers had
// their calls in order, and the creation slot is free. Says what is not so.
inline std::vector<std::string> broken_promises(const Bed& bed, const Json& description) {
    std::vector<std::string> broken;
    std::map<std::string, Nanoseconds> window;
    std::map<std::string, bool> hangs_at_thaw;  // then only Abort frees it
    for (const auto& writer : description["writers"]) {
        const auto thaw = Json::json_pointer("/events/thaw/hang");
        hangs_at_thaw[writer["name"]] = writer.contains(thaw) && writer[thaw].get<bool>();
        window[writer["name"]] = std::min<Nanoseconds>(writer.value("freeze_limit", 60'000),
                                                       description["limits"].value("freeze", 60'000)) *
                                 millisecond_ns;
    }
    constexpr Nanoseconds steps_of_the_simulation = 5 * millisecond_ns;
    std::map<std::string, Nanoseconds> frozen;
    std::map<std::string, std::string> last;
    const std::vector<std::string> order{"begin_prepare", "end_prepare",      "pre_commit",       "commit",
                                         "post_commit",   "pre_final_commit", "post_final_commit"};
    for (const auto& one : bed.trace()) {
        const std::string event(one.event);
        if (event == "identify" || event == "query" || event == "is_supported") continue;
        auto& before = last[one.actor];
        const auto demand = [&](bool kept, const char* promise) {
            if (!kept) broken.push_back(one.actor + ", " + before + ", " + event + ": " + promise);
        };
        if (one.of_writer) {
            demand(before != "backup_shutdown", "nothing after BackupShutdown");
            if (before == "abort") demand(event == "backup_shutdown", "only BackupShutdown after Abort");
            if (event == "abort")
                demand(before != "post_snapshot" && before != "backup_complete",
                       "no Abort after PostSnapshot");
            if (event == "freeze") frozen[one.actor] = one.at;
            if ((event == "thaw" || event == "abort") && frozen.contains(one.actor)) {
                demand(one.at - frozen[one.actor] <= window[one.actor] + steps_of_the_simulation,
                       "frozen within its window");
                if (event == "abort" || !hangs_at_thaw[one.actor]) frozen.erase(one.actor);
            }
        } else if (event == "abort") {
            demand(before != "begin_prepare", "no AbortSnapshots before EndPrepareSnapshots");
        } else if (const auto place = std::ranges::find(order, event);
                   place != order.end() && event != "begin_prepare") {
            demand(before == *(place - 1), "steps in order");
        }
        before = event;
    }
    for (const auto& [actor, since] : frozen) broken.push_back(actor + ": left frozen");
    if (!bed.slot_is_free()) broken.emplace_back("the creation slot is taken");
    return broken;
}

inline void check_promises(const Bed& bed, const Json& description) {
    for (const auto& one : broken_promises(bed, description)) FAIL_CHECK(one);
}

}  // namespace exshadow::vss::test
