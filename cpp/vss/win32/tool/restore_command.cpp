#include <memory>
#include <nlohmann/json.hpp>
#include <tuple>

#include "vss/win32/tool/commands.h"
#include "vss/win32/tool/system.h"

namespace exshadow::vss::win32 {

namespace {

struct RestoreOptions {
    std::string document, type, command, writer_options, new_name, roll_forward, point;
    std::vector<std::string> components, excluded;
    std::vector<std::string> more_of, authoritative_of, options_of, roll_forward_of, new_name_of;
    using Mapping = std::tuple<std::string, std::string, std::string, std::string>;
    std::vector<Mapping> new_targets, alternate_locations;
    std::vector<std::pair<std::string, std::string>> parts;
    std::vector<std::tuple<std::string, std::uint32_t, std::string>> ranges_files;
    bool more = false, authoritative = false;
    Consent consent;
};

// "WRITER:PATH\\NAME=TEXT"
Result<std::pair<ComponentWish, std::string>> assignment(const std::string& text, const char* option) {
    const auto cut = text.find('=');
    if (cut == std::string::npos || cut == 0)
        return Error(Code::invalid, std::string(option) + ": '" + text + "' lacks an equals sign",
                     "write WRITER:PATH\\NAME=VALUE");
    return std::pair(wish(std::string_view(text).substr(0, cut)), text.substr(cut + 1));
}

Result<RollForward> roll_forward(const std::string& text, const std::string& point, const char* option) {
    const auto kind = from_word<RollForward>(text);
    if (!kind.ok()) return kind.error().within(option);
    if ((*kind == RollForward::partial) == point.empty())
        return Error(Code::invalid, std::string(option) + ": a point goes with partial, and with it alone",
                     "name the point of a partial roll-forward");
    return *kind;
}

RestoreChoices choices_of(ComponentWish component) {
    RestoreChoices choices;
    choices.component = std::move(component);
    return choices;
}

// What is said of single components.
Status add_choices(RestoreRequest& request, const RestoreOptions& options) {
    for (const auto& text : options.more_of) {
        auto choices = choices_of(wish(text));
        choices.additional_restores = true;
        request.choices.push_back(std::move(choices));
    }
    for (const auto& text : options.authoritative_of) {
        auto choices = choices_of(wish(text));
        choices.authoritative = true;
        request.choices.push_back(std::move(choices));
    }
    for (const auto& text : options.options_of) {
        auto one = assignment(text, "--options-of");
        if (!one.ok()) return one.error();
        auto choices = choices_of(std::move(one->first));
        choices.options = std::move(one->second);
        request.choices.push_back(std::move(choices));
    }
    for (const auto& text : options.new_name_of) {
        auto one = assignment(text, "--new-name-of");
        if (!one.ok()) return one.error();
        auto choices = choices_of(std::move(one->first));
        choices.new_name = std::move(one->second);
        request.choices.push_back(std::move(choices));
    }
    for (const auto& text : options.roll_forward_of) {
        auto one = assignment(text, "--roll-forward-of");
        if (!one.ok()) return one.error();
        const auto cut = one->second.find('@');
        auto choices = choices_of(std::move(one->first));
        if (cut != std::string::npos) choices.roll_forward_point = one->second.substr(cut + 1);
        const auto kind =
            roll_forward(one->second.substr(0, cut), choices.roll_forward_point, "--roll-forward-of");
        if (!kind.ok()) return kind.error();
        choices.roll_forward = *kind;
        request.choices.push_back(std::move(choices));
    }
    return {};
}

std::pair<ComponentWish, LocationMapping> mapping(const RestoreOptions::Mapping& given) {
    const auto& [component, folder, pattern, destination] = given;
    LocationMapping made;
    made.files.path = folder;
    made.files.spec = pattern;
    made.destination = destination;
    return {wish(component), std::move(made)};
}

// What goes elsewhere, and what is only a part.
void add_places(RestoreRequest& request, const RestoreOptions& options) {
    for (const auto& one : options.new_targets) request.new_targets.push_back(mapping(one));
    for (const auto& one : options.alternate_locations) request.alternate_mappings.push_back(mapping(one));
    for (const auto& [component, part] : options.parts) {
        const auto cut = part.rfind('\\');
        RestoreSubcomponent wanted;
        if (cut != std::string::npos) wanted.logical_path = part.substr(0, cut);
        wanted.name = part.substr(cut == std::string::npos ? 0 : cut + 1);
        request.subcomponents.emplace_back(wish(component), std::move(wanted));
    }
    for (const auto& [component, number, path] : options.ranges_files)
        request.ranges_files.emplace_back(wish(component), RangesFile{number, path});
}

Result<RestoreRequest> request_of(const Tool& tool, const RestoreOptions& options) {
    RestoreRequest request;
    auto document = read_document(options.document);
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
        const auto kind = roll_forward(options.roll_forward, options.point, "--roll-forward");
        if (!kind.ok()) return kind.error();
        request.roll_forward = *kind;
    }
    request.roll_forward_point = options.point;
    EXSHADOW_TRY(add_choices(request, options));
    add_places(request, options);
    if (!options.new_name.empty() && options.components.size() != 1)
        return Error(Code::invalid, "--new-name is for one component", "name it with --component");
    request.limits = tool.limits();
    return request;
}

int restore_command(const Tool& tool, const RestoreOptions& options) {
    const auto output = tool.output();
    const auto request = request_of(tool, options);
    if (!request.ok()) return output.failure(request.error());
    const auto plan = [&]() -> Result<Plan> {
        const auto what = options.command.empty() ? std::string("nothing") : options.command;
        return Plan{"restore", {{"tell the writers of a restore, and run", what}}};
    };
    if (const auto over = over_before(output, options.consent, plan)) return *over;
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

void add_component_choices(CLI::App& command, RestoreOptions& options) {
    add_list(command, "--additional-restores-of", options.more_of, "As above, of one WRITER:PATH\\NAME");
    add_list(command, "--authoritative-of", options.authoritative_of, "As above, of one WRITER:PATH\\NAME");
    add_list(command, "--options-of", options.options_of, "WRITER:PATH\\NAME=TEXT");
    add_list(command, "--roll-forward-of", options.roll_forward_of,
             "WRITER:PATH\\NAME=none, =all or =partial@POINT");
    add_list(command, "--new-name-of", options.new_name_of, "WRITER:PATH\\NAME=NEW NAME");
}

template <class Values>
void add_places(CLI::App& command, const char* option, Values& values, const char* what) {
    command.add_option(option, values, what)
        ->expected(1)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
}

void add_places(CLI::App& command, RestoreOptions& options) {
    add_places(command, "--new-target", options.new_targets,
               "WRITER:PATH\\NAME FOLDER PATTERN DESTINATION: where the writer's files of FOLDER and "
               "PATTERN go instead; may be repeated");
    add_places(command, "--alternate-location", options.alternate_locations,
               "The same, for files that the command puts where the writer's own mapping says");
    add_places(command, "--subcomponent", options.parts,
               "WRITER:PATH\\NAME PART: only this part of the component, by its whole PATH\\NAME; may be "
               "repeated");
    add_places(command, "--ranges-file", options.ranges_files,
               "WRITER:PATH\\NAME NUMBER FILE: where the ranges file of the component's partial file "
               "NUMBER, from 0, lies now; may be repeated");
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
    command->add_option("--exec", options->command, "Command that puts the files back")->check(not_blank());
    command->add_option("--options", options->writer_options, "Private text for the writers");
    command->add_flag("--additional-restores", options->more,
                      "Increments still follow: keep databases offline");
    command->add_flag("--authoritative", options->authoritative, "This copy wins over replicas");
    command->add_option("--roll-forward", options->roll_forward, "none, all or partial");
    command->add_option("--point", options->point, "Up to which point, with --roll-forward partial");
    command->add_option("--new-name", options->new_name, "Restore the component under another name");
    add_component_choices(*command, *options);
    add_places(*command, *options);
    add_consent(*command, options->consent);
    command->callback(
        [&tool, options] { tool.action = [&tool, options] { return restore_command(tool, *options); }; });
}

}  // namespace exshadow::vss::win32
