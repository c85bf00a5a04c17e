#include <algorithm>
#include <iterator>
#include <memory>
#include <nlohmann/json.hpp>

#include "vss/win32/com_requestor.h"
#include "vss/win32/tool/commands.h"
#include "vss/win32/tool/system.h"

namespace exshadow::vss::win32 {

namespace {

struct ManageOptions {
    std::string target;  // the id, or the document
    std::vector<std::string> flags;
    std::vector<std::string> pairs;
    std::string name;
    std::string path;
    std::string command;
    bool share = false;
    bool force = false;
    bool writers = false;
    Consent consent;
};

template <class Flags>
Result<Flags> flags_of(const std::vector<std::string>& words) {
    Flags all = Flags::no_flags;
    for (const auto& text : words) {
        const auto flag = from_word<Flags>(text);
        if (!flag.ok()) return flag.error().within("--flag");
        all = all | *flag;
    }
    return all;
}

int done(const Tool& tool, const Status& status, const char* verb, const std::string& target,
         std::string_view text) {
    if (!status.ok()) return tool.output().failure(status.error());
    return tool.output().result({{verb, target}}, text);
}

int break_command(const Tool& tool, const ManageOptions& options) {
    const auto set = id(options.target);
    if (!set.ok()) return tool.output().failure(set.error());
    const auto flags = flags_of<BreakFlags>(options.flags);
    if (!flags.ok()) return tool.output().failure(flags.error());
    if (const auto over = over_before(tool.output(), options.consent, [&] {
            return plan_of(tool, "break", "make an ordinary volume of", *set, ObjectType::snapshot_set);
        }))
        return *over;
    const auto wanted = options.flags.empty() ? std::nullopt : std::optional(*flags);
    return done(tool, break_set(tool.host(), *set, wanted, tool.limits()), "broken", set->text(),
                "The set is broken: its volumes are ordinary ones now.\n");
}

int expose_command(const Tool& tool, const ManageOptions& options) {
    const auto snapshot = id(options.target);
    if (!snapshot.ok()) return tool.output().failure(snapshot.error());
    const auto how = options.share ? Exposure::remotely : Exposure::locally;
    const auto name = expose(tool.host(), *snapshot, how, options.name, options.path);
    if (!name.ok()) return tool.output().failure(name.error());
    return tool.output().result({{"exposed", {{"snapshot_id", snapshot->text()}, {"name", *name}}}},
                                "Exposed as " + *name + "\n");
}

int unexpose_command(const Tool& tool, const ManageOptions& options) {
    const auto snapshot = id(options.target);
    if (!snapshot.ok()) return tool.output().failure(snapshot.error());
    return done(tool, unexpose(tool.host(), *snapshot), "unexposed", snapshot->text(),
                "No longer exposed.\n");
}

int revert_command(const Tool& tool, const ManageOptions& options) {
    const auto snapshot = id(options.target);
    if (!snapshot.ok()) return tool.output().failure(snapshot.error());
    if (const auto over = over_before(tool.output(), options.consent, [&] {
            return plan_of(tool, "revert", "roll its volume back to", *snapshot, ObjectType::snapshot);
        }))
        return *over;
    return done(tool, revert(tool.host(), *snapshot, options.force, should_block_revert, tool.limits()),
                "reverted", snapshot->text(), "The volume is reverted.\n");
}

// Snapshots of auto-release contexts end with the session that imported them.
std::string what_stays(const ImportReport& report) {
    const auto stays = std::ranges::count_if(report.snapshots, [](const SnapshotProperties& one) {
        return has(one.attributes, SnapshotAttributes::no_auto_release);
    });
    if (stays == 0) return "the snapshots are released: their context keeps none";
    if (stays == std::ssize(report.snapshots)) return "the snapshots stay imported";
    return std::to_string(stays) + " of the snapshots stay imported, the others are released";
}

int import_command(const Tool& tool, const ManageOptions& options) {
    const auto document = read_document(options.target);
    if (!document.ok()) return tool.output().failure(document.error());
    const auto output = tool.output();
    const auto as_json = [](const ImportReport& report) {
        Json json = {{"partly", report.partly}, {"snapshots", Json::array()}};
        for (const auto& one : report.snapshots) json["snapshots"].push_back(to_json(one));
        return json;
    };
    std::optional<ImportReport> imported;  // for the report of a failure after the import
    const auto use = [&](const ImportReport& report) -> Status {
        imported = report;
        std::vector<std::pair<std::string, std::string>> variables;
        add_variables(variables, report.snapshots);
        const auto ran = run_between(options.command, as_json(report), {}, std::move(variables), output);
        if (!ran.ok()) return ran.error();
        if (!ran->all_succeeded) return Error(Code::internal, "the command failed; " + what_stays(report));
        return {};
    };
    const auto report = import_set(tool.host(), *document, tool.limits(), use);
    if (!report.ok())
        return imported ? output.failure(report.error(), "imported", as_json(*imported))
                        : output.failure(report.error());
    std::string text;
    for (const auto& one : report->snapshots) text += to_text(one);
    if (report->partly) text += "Note: some snapshots of the set did not appear.\n";
    return output.result({{"imported", as_json(*report)}}, text);
}

Result<Plan> plan_resync(const std::vector<RecoveryPair>& pairs) {
    Plan plan{"resync", {}};
    for (const auto& one : pairs) {
        const auto volume = one.destination.empty() ? std::string("the volume it was made of")
                                                    : shown_volume(one.destination);
        plan.steps.emplace_back("overwrite " + volume + " with", one.snapshot.text());
    }
    return plan;
}

int resync_command(const Tool& tool, const ManageOptions& options) {
    const auto document = read_document(options.target);
    if (!document.ok()) return tool.output().failure(document.error());
    const auto flags = flags_of<RecoveryFlags>(options.flags);
    if (!flags.ok()) return tool.output().failure(flags.error());
    std::vector<RecoveryPair> pairs;
    for (const auto& text : options.pairs) {
        const auto cut = text.find('=');
        const auto snapshot = id(std::string_view(text).substr(0, cut));
        if (!snapshot.ok()) return tool.output().failure(snapshot.error());
        pairs.push_back({*snapshot, cut == std::string::npos ? "" : volume_name(text.substr(cut + 1))});
    }
    if (const auto over = over_before(tool.output(), options.consent, [&] { return plan_resync(pairs); }))
        return *over;
    return done(tool, resync(tool.host(), *document, pairs, *flags, tool.limits(), options.writers),
                "resynchronised", options.target, "The disks are resynchronised.\n");
}

using Run = int (*)(const Tool&, const ManageOptions&);

CLI::App* add(CLI::App& app, Tool& tool, const char* name, const char* what, const char* target,
              const char* meaning, const std::shared_ptr<ManageOptions>& options, Run run) {
    auto* command = app.add_subcommand(name, what);
    command->add_option(target, options->target, meaning)->required();
    command->callback(
        [&tool, options, run] { tool.action = [&tool, options, run] { return run(tool, *options); }; });
    return command;
}

void add_exposing(CLI::App& app, Tool& tool) {
    auto options = std::make_shared<ManageOptions>();
    auto* command = add(app, tool, "expose", "Show a snapshot as a drive, in a folder or as a share",
                        "SNAPSHOT", "Id of the snapshot", options, expose_command);
    command->footer("Example: exshadow-vss expose 1f0c2c8e-51a4-4d7d-9a3b-0a4d1c0f9d11 --as X:");
    command->add_option("--as", options->name, "Drive letter, empty folder, or name of the share");
    command->add_flag("--share", options->share, "As a share on the network");
    command->add_option("--path", options->path, "Only this folder of the snapshot (with --share)");

    auto plain = std::make_shared<ManageOptions>();
    command =
        add(app, tool, "unexpose", "Undo expose", "SNAPSHOT", "Id of the snapshot", plain, unexpose_command);
    command->footer("Example: exshadow-vss unexpose 1f0c2c8e-51a4-4d7d-9a3b-0a4d1c0f9d11");
}

}  // namespace

void add_managing(CLI::App& app, Tool& tool) {
    auto options = std::make_shared<ManageOptions>();
    auto* command = add(app, tool, "break", "Make ordinary volumes of a set's snapshots", "SET",
                        "Id of the snapshot set", options, break_command);
    command->footer(
        "Example: exshadow-vss break 7d1e9a52-0a7f-4b8d-8a16-3a52c7b0a001 --flag make_read_write");
    add_list(*command, "--flag", options->flags,
             "mask_luns, make_read_write, revert_identity_all, revert_identity_none; may be repeated");
    add_consent(*command, options->consent);
    add_exposing(app, tool);

    options = std::make_shared<ManageOptions>();
    command = add(app, tool, "revert", "Roll a volume back to a snapshot; cannot be undone", "SNAPSHOT",
                  "Id of the snapshot", options, revert_command);
    command->footer("Example: exshadow-vss revert 1f0c2c8e-51a4-4d7d-9a3b-0a4d1c0f9d11");
    command->add_flag("--force-dismount", options->force, "Even if files of the volume are open");
    add_consent(*command, options->consent);

    options = std::make_shared<ManageOptions>();
    command = add(app, tool, "import", "Bring a transportable set in, from the document saved at the backup",
                  "DOCUMENT", "Backup Components Document", options, import_command);
    command->footer("Example: exshadow-vss import saved\\backup-components.xml --exec copy.cmd");
    command
        ->add_option("--exec", options->command,
                     "Command to run while the set is imported (EXSHADOW_DEVICE_1, EXSHADOW_VOLUME_1, ...)")
        ->check(not_blank());

    options = std::make_shared<ManageOptions>();
    command = add(app, tool, "resync", "Overwrite volumes with snapshots by the hardware provider",
                  "DOCUMENT", "Backup Components Document", options, resync_command);
    command->footer(
        "Example: exshadow-vss resync saved\\backup-components.xml 1f0c2c8e-51a4-4d7d-9a3b-0a4d1c0f9d11=D:");
    command
        ->add_option("SNAPSHOT[=VOLUME]", options->pairs, "Snapshots, and the volumes they are to overwrite")
        ->required();
    add_list(*command, "--flag", options->flags, "revert_identity_all, no_volume_check; may be repeated");
    command->add_flag("--writers", options->writers, "Tell the document's writers before and after");
    add_consent(*command, options->consent);
}

}  // namespace exshadow::vss::win32
