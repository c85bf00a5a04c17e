#include "runner.h"

#include <thread>

#include "vss/component_names.h"
#include "vss/report_json.h"

namespace exshadow::scenario {

namespace {

vss::WaitLimits limits() {
    vss::WaitLimits limits;
    limits.limit = 20'000;
    limits.slice = 5;
    limits.grace = 5'000;
    return limits;
}

std::vector<vss::ComponentWish> wishes(const Json& step, const char* key) {
    std::vector<vss::ComponentWish> result;
    for (const auto& name : step.value(key, Json::array())) result.push_back({name.get<std::string>(), ""});
    return result;
}

// "WRITER:PATH\\NAME"
vss::ComponentWish meant(const Json& entry) {
    const auto text = text_of(entry, "of");
    const auto cut = text.find(':');
    return {text.substr(0, cut), cut == text.npos ? std::string() : text.substr(cut + 1)};
}

std::vector<std::pair<vss::ComponentWish, vss::LocationMapping>> mappings(const Json& step, const char* key) {
    std::vector<std::pair<vss::ComponentWish, vss::LocationMapping>> result;
    for (const auto& entry : step.value(key, Json::array())) {
        check_keys(entry, {"of", "path", "spec", "destination"}, key);
        vss::LocationMapping one;
        one.files.path = text_of(entry, "path");
        one.files.spec = text_of(entry, "spec");
        one.destination = text_of(entry, "destination");
        result.emplace_back(meant(entry), std::move(one));
    }
    return result;
}

void add_places(vss::RestoreRequest& request, const Json& step) {
    request.new_targets = mappings(step, "new_targets");
    request.alternate_mappings = mappings(step, "alternate_locations");
    for (const auto& entry : step.value("subcomponents", Json::array())) {
        check_keys(entry, {"of", "path", "name"}, "subcomponents");
        request.subcomponents.emplace_back(
            meant(entry), vss::RestoreSubcomponent{text_of(entry, "path"), text_of(entry, "name")});
    }
    for (const auto& entry : step.value("ranges_files", Json::array())) {
        check_keys(entry, {"of", "number", "path"}, "ranges_files");
        request.ranges_files.emplace_back(
            meant(entry), vss::RangesFile{entry.at("number").get<std::uint32_t>(), text_of(entry, "path")});
    }
}

Json by_full_name(const vss::RestoreReport& report) {
    Json all = Json::object();
    for (const auto& writer : report.chosen) {
        const auto json = vss::to_json(writer);
        for (const auto& one : json["components"]) {
            const auto name = vss::full_name(text_of(one, "logical_path"), text_of(one, "name"));
            all[name] = one;
        }
    }
    return all;
}

template <class T>
T take(Result<T> result) {
    if (!result.ok()) throw BadScenario("the scenario's machine: " + result.error().message());
    return std::move(result).value();
}

vss::SnapshotAttributes context_of(const Json& step) {
    const std::map<std::string, vss::SnapshotAttributes> names{
        {"backup", vss::context::backup},
        {"file_share_backup", vss::context::file_share_backup},
        {"nas_rollback", vss::context::nas_rollback},
        {"app_rollback", vss::context::app_rollback},
        {"client_accessible", vss::context::client_accessible},
        {"client_accessible_writers", vss::context::client_accessible_writers},
        {"all", vss::context::all}};
    const auto found = names.find(text_of(step, "context", "backup"));
    if (found == names.end()) throw BadScenario("no such context");
    return found->second | enum_of(step, "attributes", vss::SnapshotAttributes::no_flags);
}

}  // namespace

Runner::Runner(const Scenario& scenario) : world_(take(make_world(scenario.world, ""))) {
    auto options = world_.options();
    options.observe = [this](const vss::Callback& callback) {
        const std::lock_guard lock(mutex_);
        callbacks_.push_back(callback);
    };
    coordinator_ = std::make_unique<vss::CoordinatorHost>(std::move(options));
    for (const auto& writer : world_.writers) {
        take(coordinator_->register_writer(std::shared_ptr<vss::Writer>(writer)));
    }
    for (const auto& provider : world_.providers) {
        const auto status = coordinator_->register_provider(std::shared_ptr<vss::Provider>(provider));
        if (!status.ok()) throw BadScenario(status.error().message());
    }
}

vss::Host Runner::host() {
    vss::Host host;
    host.make = [this]() -> Result<std::unique_ptr<vss::Requestor>> {
        return scripted(coordinator_->new_requestor(), world_.scripts);
    };
    host.volume_of = [list = world_.volumes](std::string_view path) { return list->of_path(path); };
    return host;
}

std::vector<vss::Callback> Runner::callbacks() {
    const std::lock_guard lock(mutex_);
    return callbacks_;
}

bool Runner::set_open() {
    const auto probe = coordinator_->new_requestor();
    const bool begun = probe->initialize_for_backup("").ok();
    return begun && !probe->start_snapshot_set().ok();
}

void Runner::note(const std::vector<vss::WriterReport>& writers) {
    for (const auto& writer : writers) statuses_[writer.status.name] = writer.status;
}

const Runner::Made& Runner::made(const Json& step, const char* key) const {
    auto name = text_of(step, key);
    if (name.empty() || name[0] != '@') throw BadScenario(std::string(key) + ": '@NAME' is expected");
    name = name.substr(1, name.find(':') == std::string::npos ? name.npos : name.find(':') - 1);
    const auto found = made_.find(name);
    if (found == made_.end()) throw BadScenario("no step was named '" + name + "'");
    return found->second;
}

// "@NAME:VOLUME", or an id.
Uuid Runner::snapshot(const Json& step) const {
    const auto text = text_of(step, "snapshot");
    if (text.empty() || text[0] != '@') return id_of(step, "snapshot");
    const auto volume = text.substr(text.find(':') + 1);
    for (const auto& one : made(step, "snapshot").snapshots) {
        if (one.original_volume == volume) return one.snapshot_id;
    }
    throw BadScenario(text + ": no such snapshot");
}

Uuid Runner::set(const Json& step) const {
    const auto text = text_of(step, "set");
    return !text.empty() && text[0] == '@' ? made(step, "set").set : id_of(step, "set");
}

Outcome Runner::step(const Json& step) {
    const auto verb = text_of(step, "do");
    if (verb == "backup") return text_of(step, "work") == "lost" ? lose(step) : back_up(step);
    if (verb == "restore") return restore(step);
    if (verb == "import") return import_set(step);
    if (verb == "query" || verb == "writers") return look(step);
    return manage(step);
}

Outcome Runner::back_up(const Json& step) {
    check_keys(step,
               {"do", "as", "expect", "volumes", "type", "context", "attributes", "provider", "components",
                "only", "exclude", "bootable", "partial_files", "previous", "work", "retries"},
               "backup");
    vss::BackupRequest request;
    request.volumes = step.value("volumes", std::vector<std::string>{});
    request.provider = text_of(step, "provider");
    request.context = context_of(step);
    request.state.select_components = step.value("components", true);
    request.state.bootable_system_state = step.value("bootable", false);
    request.state.partial_files = step.value("partial_files", false);
    request.state.type = enum_of(step, "type", vss::BackupType::full);
    request.included = wishes(step, "only");
    request.excluded = wishes(step, "exclude");
    if (step.contains("previous")) request.base_document = made(step, "previous").document;
    request.limits = limits();
    request.retry.tries = step.value("retries", 1);
    request.retry.wait = 1;
    request.retry.busy_wait = 1;
    request.retry.busy_limit = 200;

    const auto work = text_of(step, "work", "ok");
    const auto result = vss::backup(host(), request, [&](const vss::BackupReport&) -> Result<vss::Copied> {
        if (work == "error") return Error(Code::io, "the copy failed");
        vss::Copied copied;
        copied.all_succeeded = work == "ok";
        return copied;
    });
    note(result.report.writers);
    if (step.contains("as")) {
        made_[text_of(step, "as")] = {result.report.document, result.report.snapshots,
                                      result.report.snapshot_set_id};
    }
    return {result.status, static_cast<int>(result.report.snapshots.size())};
}

// The requestor dies with its set made and not completed: its object is dropped.
Outcome Runner::lose(const Json& step) {
    check_keys(step, {"do", "expect", "volumes", "context", "attributes", "work"}, "lost backup");
    const auto wait = [](Result<vss::Step> step_begun) {
        if (!step_begun.ok()) return Status(step_begun.error());
        const auto ended = vss::finish(**step_begun, "step", limits());
        return ended.ok() ? Status() : Status(ended.error());
    };
    const auto run = [&]() -> Status {
        const auto requestor = take(host().make());
        EXSHADOW_TRY(requestor->initialize_for_backup(""));
        EXSHADOW_TRY(requestor->set_context(context_of(step)));
        vss::BackupState state;
        state.select_components = false;
        EXSHADOW_TRY(requestor->set_backup_state(state));
        EXSHADOW_TRY(wait(requestor->gather_writer_metadata()));
        EXSHADOW_TRY(requestor->start_snapshot_set());
        for (const auto& volume : step.at("volumes")) {
            EXSHADOW_TRY(requestor->add_to_snapshot_set(volume.get<std::string>(), Uuid{}));
        }
        EXSHADOW_TRY(wait(requestor->prepare_for_backup()));
        return wait(requestor->do_snapshot_set());
    };
    return {run(), -1};
}

Outcome Runner::restore(const Json& step) {
    check_keys(step,
               {"do", "expect", "from", "only", "status", "subcomponents", "new_targets",
                "alternate_locations", "ranges_files", "roll_forward", "point", "new_name"},
               "restore");
    vss::RestoreRequest request;
    request.document = made(step, "from").document;
    request.included = wishes(step, "only");
    if (step.contains("roll_forward"))
        request.roll_forward = enum_of(step, "roll_forward", vss::RollForward::undefined);
    request.roll_forward_point = text_of(step, "point");
    request.new_name = text_of(step, "new_name");
    add_places(request, step);
    request.limits = limits();
    const bool all = text_of(step, "status", "all") == "all";
    const auto result = vss::restore(host(), request, [&](const vss::RestoreReport&) -> Result<vss::Copied> {
        vss::Copied copied;
        copied.all_succeeded = all;
        return copied;
    });
    note(result.report.writers);
    const bool looked_at = step.value("expect", Json::object()).contains("chosen");
    return {result.status, static_cast<int>(result.report.chosen.size()),
            looked_at ? by_full_name(result.report) : Json::object()};
}

Outcome Runner::import_set(const Json& step) {
    check_keys(step, {"do", "as", "expect", "from"}, "import");
    Made imported{made(step, "from").document, {}, made(step, "from").set};
    const auto result =
        vss::import_set(host(), imported.document, limits(), [&](const vss::ImportReport& report) {
            imported.snapshots = report.snapshots;
            return Status();
        });
    if (!result.ok()) return {result.error(), 0};
    if (step.contains("as")) made_[text_of(step, "as")] = imported;
    return {Status(), static_cast<int>(result->snapshots.size())};
}

Outcome Runner::look(const Json& step) {
    check_keys(step, {"do", "expect", "what", "context"}, "query");
    const auto counted = [](const auto& result) -> Outcome {
        if (!result.ok()) return {result.error(), -1};
        return {Status(), static_cast<int>(result->size())};
    };
    if (text_of(step, "do") == "writers") return counted(vss::list_writers(host(), limits()));
    if (text_of(step, "what", "snapshots") == "providers") return counted(vss::list_providers(host()));
    const bool narrower = step.contains("context");
    return counted(vss::list_snapshots(host(), narrower ? context_of(step) : vss::context::all));
}

Outcome Runner::manage(const Json& step) {
    check_keys(step,
               {"do", "expect", "set", "snapshot", "flags", "path", "name", "remote", "force", "from",
                "snapshots", "destination"},
               "step");
    const auto verb = text_of(step, "do");
    const bool force = step.value("force", false);
    if (verb == "delete") {
        const bool whole = step.contains("set");
        const auto outcome =
            vss::delete_snapshots(host(), whole ? set(step) : snapshot(step),
                                  whole ? vss::ObjectType::snapshot_set : vss::ObjectType::snapshot, force);
        if (!outcome.ok()) return {outcome.error(), 0};
        if (vss::failed(outcome->failure))
            return {vss::vss_error(outcome->failure, "delete"), outcome->deleted};
        return {Status(), outcome->deleted};
    }
    if (verb == "break") {
        std::optional<vss::BreakFlags> flags;
        if (step.contains("flags")) flags = enum_of(step, "flags", vss::BreakFlags::no_flags);
        return {vss::break_set(host(), set(step), flags, limits()), -1};
    }
    if (verb == "expose") {
        const auto how = step.value("remote", false) ? vss::Exposure::remotely : vss::Exposure::locally;
        const auto name =
            vss::expose(host(), snapshot(step), how, text_of(step, "name"), text_of(step, "path"));
        return {name.ok() ? Status() : Status(name.error()), -1};
    }
    if (verb == "unexpose") return {vss::unexpose(host(), snapshot(step)), -1};
    if (verb == "revert") return {vss::revert(host(), snapshot(step), force, {}, limits()), -1};
    if (verb == "resync") {
        std::vector<vss::RecoveryPair> pairs;
        for (const auto& one : step.at("snapshots")) {
            auto single = step;
            single["snapshot"] = one;
            pairs.push_back({snapshot(single), text_of(step, "destination")});
        }
        const auto flags = enum_of(step, "flags", vss::RecoveryFlags::no_flags);
        return {vss::resync(host(), made(step, "from").document, pairs, flags, limits()), -1};
    }
    throw BadScenario("'" + verb + "' is no verb");
}

}  // namespace exshadow::scenario
