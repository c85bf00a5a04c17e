#include <nlohmann/json.hpp>

#include "vss/win32/tool/commands.h"
#include "vss/win32/tool/system.h"

namespace exshadow::vss::win32 {

namespace {

std::string text_of(const Plan& plan) {
    std::string text = "exshadow-vss " + plan.command + ":\n";
    for (const auto& [action, target] : plan.steps) text += "  " + action + " " + target + "\n";
    return plan.steps.empty() ? text + "  nothing to do\n" : text;
}

Json json_of(const Plan& plan) {
    Json steps = Json::array();
    for (const auto& [action, target] : plan.steps) steps.push_back({{"action", action}, {"target", target}});
    return {{"plan", {{"command", plan.command}, {"steps", steps}}}};
}

}  // namespace

void add_consent(CLI::App& command, Consent& consent) {
    command.add_flag("--dry-run", consent.dry_run, "Only say what would be done");
    command.add_flag("--yes", consent.yes, "Do not ask");
}

std::optional<int> over_before(const Output& output, const Consent& consent,
                               const std::function<Result<Plan>()>& plan) {
    if (!consent.dry_run && (consent.yes || !has_console())) return std::nullopt;
    const auto made = plan();
    if (!made.ok()) return output.failure(made.error());
    if (consent.dry_run) return output.result(json_of(*made), text_of(*made));
    if (answers_yes(text_of(*made) + "Proceed? [y/N] ")) return std::nullopt;
    return output.failure(Error(Code::cancelled, "not confirmed; nothing was changed", "--yes does not ask"));
}

Result<Plan> plan_of(const Tool& tool, const char* command, const char* action, const Uuid& id,
                     ObjectType type) {
    const auto all = list_snapshots(tool.host());
    if (!all.ok()) return all.error();
    const bool set = type == ObjectType::snapshot_set;
    Plan plan{command, {}};
    for (const auto& one : *all) {
        if ((set ? one.set_id : one.snapshot_id) != id) continue;
        plan.steps.emplace_back(
            action, "snapshot " + one.snapshot_id.text() + " of " + shown_volume(one.original_volume));
    }
    if (plan.steps.empty())
        return vss_error(HResult::vss_e_object_not_found,
                         std::string(set ? "snapshot set " : "snapshot ") + id.text());
    return plan;
}

}  // namespace exshadow::vss::win32
