#include <memory>
#include <nlohmann/json.hpp>

#include "vss/win32/tool/commands.h"
#include "vss/win32/tool/system.h"

namespace exshadow::vss::win32 {

namespace {

struct BackupOptions {
    std::vector<std::string> volumes;
    std::vector<std::string> writers, components, excluded, component_options;
    std::string type = "full";
    std::string provider, context = "backup", command, save, base;
    std::vector<std::string> attributes;
    bool persistent = false, no_writers = false, whole_volumes = false, bootable = false, partial = false;
    int tries = 3;
    double retry_seconds = 600, busy_seconds = 120, busy_wait = 5;
};

Result<SnapshotAttributes> named_context(const std::string& name) {
    static const std::vector<std::pair<std::string, SnapshotAttributes>> names = {
        {"backup", context::backup},
        {"file_share_backup", context::file_share_backup},
        {"nas_rollback", context::nas_rollback},
        {"app_rollback", context::app_rollback},
        {"client_accessible", context::client_accessible},
        {"client_accessible_writers", context::client_accessible_writers}};
    std::string known;
    for (const auto& [word, value] : names) {
        if (word == name) return value;
        known += (known.empty() ? "" : ", ") + word;
    }
    return Error(Code::invalid, "'" + name + "' is no context", "use one of: " + known);
}

Result<SnapshotAttributes> context_of(const BackupOptions& options) {
    auto chosen = named_context(options.context);
    if (!chosen.ok()) return chosen.error();
    if (options.context != "backup" && (options.persistent || options.no_writers))
        return Error(Code::invalid, "--context says already what --persistent and --no-writers would",
                     "use one or the other");
    if (options.persistent)
        *chosen = options.no_writers ? context::nas_rollback : context::app_rollback;
    else if (options.no_writers)
        *chosen = context::file_share_backup;
    for (const auto& text : options.attributes) {
        const auto one = from_word<SnapshotAttributes>(text);
        if (!one.ok()) return one.error().within("--attribute");
        *chosen = *chosen | *one;
    }
    if (has(*chosen, SnapshotAttributes::differential | SnapshotAttributes::plex))
        return Error(Code::invalid, "a snapshot is differential or a plex, not both", "choose one of them");
    return chosen;
}

Result<BackupRequest> request_of(const Tool& tool, const BackupOptions& options) {
    BackupRequest request;
    for (const auto& one : options.volumes) request.volumes.push_back(volume_name(one));
    request.provider = options.provider;
    const auto chosen = context_of(options);
    if (!chosen.ok()) return chosen.error();
    request.context = *chosen;
    const bool names_writers = !options.writers.empty() || !options.components.empty() ||
                               !options.excluded.empty() || !options.component_options.empty();
    if (has(*chosen, SnapshotAttributes::no_writers) && names_writers)
        return Error(Code::invalid, "no writer is asked in this context, and some are named",
                     "leave out --no-writers, or the writers and components");
    const auto type = from_word<BackupType>(options.type);
    if (!type.ok()) return type.error().within("--type");
    request.state = {!options.whole_volumes, options.bootable, *type, options.partial};
    for (const auto& one : options.writers) request.included.push_back(wish(one));
    for (const auto& one : options.components) request.included.push_back(wish(one));
    for (const auto& one : options.excluded) request.excluded.push_back(wish(one));
    for (const auto& one : options.component_options) {
        const auto cut = one.find('=');
        if (cut == std::string::npos)
            return Error(Code::invalid, "'" + one + "' lacks an equals sign", "write WRITER:COMPONENT=TEXT");
        request.options.emplace_back(wish(std::string_view(one).substr(0, cut)), one.substr(cut + 1));
    }
    if (!options.base.empty()) {
        auto base = read_document(options.base);
        if (!base.ok()) return base.error();
        request.base_document = std::move(base).value();
    }
    request.limits = tool.limits();
    request.retry.tries = options.tries;
    request.retry.wait = static_cast<Milliseconds>(options.retry_seconds * 1000);
    request.retry.busy_wait = static_cast<Milliseconds>(options.busy_wait * 1000);
    request.retry.busy_limit = static_cast<Milliseconds>(options.busy_seconds * 1000);
    return request;
}

// Documents are there before the command runs, and again at the end with the outcome in them.
Result<Copied> between(const Tool& tool, const BackupOptions& options, const BackupReport& so_far) {
    std::vector<std::pair<std::string, std::string>> variables;
    add_variables(variables, so_far.snapshots);
    variables.emplace_back("EXSHADOW_SET", so_far.snapshot_set_id.text());
    if (!options.save.empty()) {
        const auto main = save_documents(options.save, so_far);
        if (!main.ok()) return main.error();
        variables.emplace_back("EXSHADOW_DOCUMENTS", options.save);
        variables.emplace_back("EXSHADOW_DOCUMENT", *main);
    }
    return run_between(options.command, to_json(so_far), so_far.components, std::move(variables),
                       tool.output());
}

void note_what_stays(BackupReport& report) {
    for (const auto& one : report.snapshots) {
        if (has(one.attributes, SnapshotAttributes::no_auto_release))
            report.notes.push_back("snapshot " + one.snapshot_id.text() +
                                   " stays: the backup is complete, though its documents were not saved");
    }
}

int backup_command(const Tool& tool, const BackupOptions& options) {
    const auto output = tool.output();
    const auto request = request_of(tool, options);
    if (!request.ok()) return output.failure(request.error());
    bool command_failed = false;
    auto result = backup(tool.host(), *request, [&](const BackupReport& so_far) {
        auto copied = between(tool, options, so_far);
        command_failed = copied.ok() && (!copied->all_succeeded || !copied->failed.empty());
        return copied;
    });
    Status kept;  // the documents, with the outcome in them
    Json saved = nullptr;
    if (result.report.completed && !options.save.empty()) {
        const auto main = save_documents(options.save, result.report);
        if (main.ok()) {
            saved = *main;
        } else {
            kept = main.error();
            note_what_stays(result.report);
        }
    }
    auto json = to_json(result.report);
    json["document"] = saved;
    if (!kept.ok()) {
        if (!output.json()) write_error(to_text(result.report));
        return output.failure(kept.error(), "backup", json);
    }
    if (!result.status.ok()) {
        if (!output.json()) write_error(to_text(result.report));
        return output.failure(result.status.error(), "backup", json);
    }
    if (command_failed)
        return output.failure(
            Error(Code::internal, "the command failed, and the writers were told which components",
                  "see what the command wrote, then repeat the backup"),
            "backup", json);
    return output.result({{"backup", json}}, to_text(result.report));
}

void add_choices(CLI::App& command, BackupOptions& options) {
    command.add_option("VOLUME", options.volumes,
                       "Volumes or mounted folders; none: those the components lie on");
    add_list(command, "--writer", options.writers, "Only this writer, by name or id; may be repeated");
    add_list(command, "--component", options.components,
             "Only WRITER:PATH\\NAME and what is below it; may be repeated");
    add_list(command, "--exclude", options.excluded,
             "Leave out WRITER or WRITER:PATH\\NAME; may be repeated");
    command.add_option("--type", options.type, "full, copy, incremental, differential or log")
        ->capture_default_str();
    command.add_option("--base", options.base, "Document of the backup this one builds on")
        ->check(not_blank());
    add_list(command, "--component-options", options.component_options,
             "WRITER:PATH\\NAME=TEXT for the writer");
    command.add_option("--provider", options.provider, "Provider by name or id; else the service chooses")
        ->check(not_blank());
}

void add_context(CLI::App& command, BackupOptions& options) {
    command
        .add_option("--context", options.context,
                    "backup, file_share_backup, nas_rollback, app_rollback, client_accessible, "
                    "client_accessible_writers")
        ->capture_default_str();
    add_list(command, "--attribute", options.attributes,
             "Added to the context: transportable, differential, plex, no_autorecovery, ...");
    command.add_flag("--persistent,--keep", options.persistent, "The snapshots stay when this program ends");
    command.add_flag("--no-writers", options.no_writers, "Without asking applications: crash-consistent");
    command.add_flag("--whole-volumes", options.whole_volumes, "By volumes, not by components");
    command.add_flag("--bootable", options.bootable, "The system state is to be bootable from this backup");
    command.add_flag("--partial-files", options.partial, "Writers may name parts of files");
    command.add_option("--exec", options.command, "Command to run while the snapshots exist")
        ->check(not_blank());
    command.add_option("--save-documents", options.save, "Folder for the XML documents that a restore needs")
        ->check(not_blank());
    command.add_option("--tries", options.tries, "Tries in all after transient failures")
        ->check(CLI::Range(1, 3))
        ->capture_default_str();
    command.add_option("--retry-wait", options.retry_seconds, "Seconds between them")
        ->check(seconds_from(0))
        ->capture_default_str();
    command
        .add_option("--busy-limit", options.busy_seconds,
                    "Seconds to wait for another snapshot set being made")
        ->check(seconds_from(0))
        ->capture_default_str();
    command.add_option("--busy-wait", options.busy_wait, "Seconds between two looks whether it is done")
        ->check(seconds_from(0.001))
        ->capture_default_str();
}

}  // namespace

void add_backup(CLI::App& app, Tool& tool) {
    auto* command =
        app.add_subcommand("backup", "Make snapshots with the writers' help, run a command, complete");
    command->footer(
        "The command sees EXSHADOW_SET, EXSHADOW_SNAPSHOTS (how many), EXSHADOW_DEVICE_1, "
        "EXSHADOW_VOLUME_1,\n"
        "EXSHADOW_SNAPSHOT_1 and so on, EXSHADOW_REPORT (a JSON file), EXSHADOW_DOCUMENTS and "
        "EXSHADOW_DOCUMENT. A status\n"
        "other than 0 says that nothing was backed up; for single components it writes the writer's id, a "
        "tab and\n"
        "path\\name into the file EXSHADOW_FAILED, a line each.\n\n"
        "Example: exshadow-vss backup C: D: --exclude \"BITS Writer\" --exec copy.cmd --save-documents "
        "saved");
    auto options = std::make_shared<BackupOptions>();
    add_choices(*command, *options);
    add_context(*command, *options);
    command->callback(
        [&tool, options] { tool.action = [&tool, options] { return backup_command(tool, *options); }; });
}

}  // namespace exshadow::vss::win32
