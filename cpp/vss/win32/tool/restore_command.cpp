#include <memory>
#include <nlohmann/json.hpp>

#include "vss/win32/tool/commands.h"
#include "vss/win32/tool/system.h"

namespace exshadow::vss::win32 {

namespace {

struct RestoreOptions {
    std::string document, type, command, writer_options, new_name, roll_forward, point;
    std::vector<std::string> components, excluded;
    bool more = false, authoritative = false;
};

Result<RestoreRequest> request_of(const Tool& tool, const RestoreOptions& options) {
    RestoreRequest request;
    auto document = read_file(options.document);
    if (!document.ok()) return document.error();
    request.document = std::move(document).value();
    if (!options.type.empty()) {
        const auto type = from_word<RestoreType>(options.type);
        if (!type.ok()) return type.error().within("--type");
        request.type = *type;
    }
    for (const auto& one : options.components) request.included.push_back(wish(one));
    for (const auto& one : options.excluded) request.excluded.push_back(wish(one));
    request.additional_restores = options.more;
    request.authoritative = options.authoritative;
    request.options = options.writer_options;
    request.new_name = options.new_name;
    if (!options.roll_forward.empty()) {
        const auto kind = from_word<RollForward>(options.roll_forward);
        if (!kind.ok()) return kind.error().within("--roll-forward");
        request.roll_forward = *kind;
        request.roll_forward_point = options.point;
    }
    if (!options.new_name.empty() && options.components.size() != 1)
        return Error(Code::invalid, "--new-name is for one component", "name it with --component");
    request.limits = tool.limits();
    return request;
}

int restore_command(const Tool& tool, const RestoreOptions& options) {
    const auto output = tool.output();
    const auto request = request_of(tool, options);
    if (!request.ok()) return output.failure(request.error());
    bool command_failed = false;
    const auto result = restore(tool.host(), *request, [&](const RestoreReport& so_far) {
        auto copied = run_between(options.command, to_json(so_far), so_far.components, {}, output);
        command_failed = copied.ok() && (!copied->all_succeeded || !copied->failed.empty());
        return copied;
    });
    const auto json = to_json(result.report);
    if (!result.status.ok()) {
        if (!output.json()) write_error(to_text(result.report));
        return output.failure(result.status.error(), "restore", json);
    }
    if (command_failed)
        return output.failure(
            Error(Code::internal, "the command failed, and the writers were told which components",
                  "see what the command wrote, then repeat the restore"),
            "restore", json);
    return output.result({{"restore", json}}, to_text(result.report));
}

}  // namespace

void add_restore(CLI::App& app, Tool& tool) {
    auto* command =
        app.add_subcommand("restore", "Let a command put files back, with the writers told before and after");
    command->footer(
        "The command finds the chosen components, with where their writers want them, in the JSON file "
        "EXSHADOW_REPORT;\n"
        "EXSHADOW_FAILED is as for backup. Without --exec nothing is put back and the writers are told it "
        "was.\n\n"
        "Example: exshadow-vss restore saved\\backup-components.xml --component \"Demo:store\\one\" --exec "
        "put-back.cmd");
    auto options = std::make_shared<RestoreOptions>();
    command->add_option("DOCUMENT", options->document, "Backup Components Document saved at the backup")
        ->required();
    add_list(*command, "--component", options->components,
             "Only WRITER or WRITER:PATH\\NAME; may be repeated");
    add_list(*command, "--exclude", options->excluded,
             "Leave out WRITER or WRITER:PATH\\NAME; may be repeated");
    command->add_option("--type", options->type, "by_copy, import or other");
    command->add_option("--exec", options->command, "Command that puts the files back");
    command->add_option("--options", options->writer_options, "Private text for the writers");
    command->add_flag("--additional-restores", options->more,
                      "Increments still follow: keep databases offline");
    command->add_flag("--authoritative", options->authoritative, "This copy wins over replicas");
    command->add_option("--roll-forward", options->roll_forward, "none, all or partial");
    command->add_option("--point", options->point, "Up to which point, with --roll-forward partial");
    command->add_option("--new-name", options->new_name, "Restore the component under another name");
    command->callback(
        [&tool, options] { tool.action = [&tool, options] { return restore_command(tool, *options); }; });
}

}  // namespace exshadow::vss::win32
