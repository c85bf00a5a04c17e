#include <memory>
#include <nlohmann/json.hpp>

#include "vss/win32/tool/commands.h"
#include "vss/win32/tool/system.h"

namespace exshadow::vss::win32 {

namespace {

template <class Range>
std::string text_of(const Range& range, std::string_view none) {
    std::string text;
    for (const auto& one : range) text += to_text(one);
    return text.empty() ? std::string(none) + "\n" : text;
}

int list_writers_command(const Tool& tool, bool documents) {
    const auto writers = list_writers(tool.host(), tool.limits());
    if (!writers.ok()) return tool.output().failure(writers.error());
    Json json = {{"writers", Json::array()}};
    for (const auto& one : *writers) json["writers"].push_back(to_json(one, documents));
    return tool.output().result(json, text_of(*writers, "No writer answered."));
}

int list_providers_command(const Tool& tool) {
    const auto providers = list_providers(tool.host());
    if (!providers.ok()) return tool.output().failure(providers.error());
    Json json = {{"providers", Json::array()}};
    for (const auto& one : *providers) json["providers"].push_back(to_json(one));
    return tool.output().result(json, text_of(*providers, "No provider is registered."));
}

Result<std::vector<SnapshotProperties>> find_snapshots(const Tool& tool, const std::string& volume) {
    auto all = list_snapshots(tool.host());
    if (!all.ok() || volume.empty()) return all;
    const auto wanted = volume_name(volume);
    std::erase_if(*all,
                  [&](const SnapshotProperties& one) { return volume_name(one.original_volume) != wanted; });
    // A volume that is gone may have snapshots; one that is neither there nor has any is a mistake.
    if (all->empty() && !is_volume(volume))
        return Error(Code::not_found, "there is no volume " + volume,
                     "exshadow-vss snapshots list names them");
    return all;
}

int list_snapshots_command(const Tool& tool, const std::string& volume) {
    const auto snapshots = find_snapshots(tool, volume);
    if (!snapshots.ok()) return tool.output().failure(snapshots.error());
    Json json = {{"snapshots", Json::array()}};
    for (const auto& one : *snapshots) json["snapshots"].push_back(to_json(one));
    return tool.output().result(json, text_of(*snapshots, "There are no snapshots."));
}

struct DeleteOptions {
    std::vector<std::string> ids;
    std::string volume;
    bool sets = false;
    bool force = false;
    Consent consent;
};

Result<std::vector<Uuid>> chosen(const Tool& tool, const DeleteOptions& options) {
    std::vector<Uuid> ids;
    for (const auto& text : options.ids) {
        const auto parsed = id(text);
        if (!parsed.ok()) return parsed.error();
        ids.push_back(*parsed);
    }
    if (!options.volume.empty()) {
        const auto found = find_snapshots(tool, options.volume);
        if (!found.ok()) return found.error();
        for (const auto& one : *found) ids.push_back(one.snapshot_id);
    }
    return ids;
}

Result<Plan> plan_deletion(const Tool& tool, const std::vector<Uuid>& ids, ObjectType type) {
    Plan all{"snapshots delete", {}};
    for (const auto& one : ids) {
        auto plan = plan_of(tool, "snapshots delete", "delete", one, type);
        if (!plan.ok()) return plan.error();
        for (auto& step : plan->steps) all.steps.push_back(std::move(step));
    }
    return all;
}

// The sum so far, and why it went no further.
std::pair<DeleteOutcome, Status> delete_all(const Tool& tool, const std::vector<Uuid>& ids, ObjectType type,
                                            bool force) {
    DeleteOutcome sum;
    for (const auto& one : ids) {
        if (interrupted()) return {sum, Error(Code::cancelled, "stopped on request")};
        const auto outcome = delete_snapshots(tool.host(), one, type, force);
        if (!outcome.ok()) return {sum, outcome.error()};
        sum.deleted += outcome->deleted;
        sum.failed_snapshot = outcome->failed_snapshot;
        sum.failure = outcome->failure;
        if (sum.failed_snapshot)
            return {sum, vss_error(sum.failure, "deleting snapshot " + sum.failed_snapshot->text())};
    }
    return {sum, {}};
}

int delete_command(const Tool& tool, const DeleteOptions& options) {
    if (options.ids.empty() == options.volume.empty())
        return tool.output().failure(Error(Code::invalid, "name ids, or a volume with --volume",
                                           "exshadow-vss snapshots list shows what there is"));
    if (options.sets && !options.volume.empty())
        return tool.output().failure(Error(Code::invalid, "--set goes with ids, not with --volume"));
    const auto ids = chosen(tool, options);
    if (!ids.ok()) return tool.output().failure(ids.error());
    const auto type = options.sets ? ObjectType::snapshot_set : ObjectType::snapshot;
    if (const auto over =
            over_before(tool.output(), options.consent, [&] { return plan_deletion(tool, *ids, type); }))
        return *over;
    const auto [sum, status] = delete_all(tool, *ids, type, options.force);
    const auto text = "Deleted " + std::to_string(sum.deleted) + " snapshots.\n";
    if (status.ok()) return tool.output().result({{"deleted", to_json(sum)}}, text);
    if (!tool.json) write_error(text);
    return tool.output().failure(status.error(), "deleted", to_json(sum));
}

}  // namespace

void add_looking(CLI::App& app, Tool& tool) {
    auto* writers = app.add_subcommand("writers", "List the writers, their components and their state");
    writers->footer("Example: exshadow-vss writers --json");
    auto documents = std::make_shared<bool>(false);
    writers->add_flag("--documents", *documents, "Add each writer's metadata document to the JSON");
    writers->callback([&tool, documents] {
        tool.action = [&tool, documents] { return list_writers_command(tool, *documents); };
    });

    auto* providers = app.add_subcommand("providers", "List the registered providers");
    providers->footer("Example: exshadow-vss providers");
    providers->callback([&tool] { tool.action = [&tool] { return list_providers_command(tool); }; });

    auto* snapshots = app.add_subcommand("snapshots", "List or delete snapshots");
    snapshots->footer("Example: exshadow-vss snapshots list --volume C:");
    snapshots->require_subcommand(1);
    auto* list = snapshots->add_subcommand("list", "List the snapshots of all contexts");
    list->footer("Example: exshadow-vss snapshots list --volume C:");
    auto volume = std::make_shared<std::string>();
    list->add_option("--volume", *volume, "Only those of this volume");
    list->callback(
        [&tool, volume] { tool.action = [&tool, volume] { return list_snapshots_command(tool, *volume); }; });

    auto* remove =
        snapshots->add_subcommand("delete", "Delete snapshots one by one; stops at the first that fails");
    remove->footer("Example: exshadow-vss snapshots delete --set 1f0c2c8e-51a4-4d7d-9a3b-0a4d1c0f9d11");
    auto options = std::make_shared<DeleteOptions>();
    remove->add_option("ID", options->ids, "Ids of snapshots");
    remove->add_flag("--set", options->sets, "The ids are those of snapshot sets");
    remove->add_option("--volume", options->volume, "All snapshots of this volume");
    remove->add_flag("--force", options->force, "Even if a provider says they are in use");
    add_consent(*remove, options->consent);
    remove->callback(
        [&tool, options] { tool.action = [&tool, options] { return delete_command(tool, *options); }; });
}

}  // namespace exshadow::vss::win32
