#include <algorithm>
#include <nlohmann/json.hpp>

#include "vss/component_names.h"
#include "vss/win32/com_requestor.h"
#include "vss/win32/tool/commands.h"
#include "vss/win32/tool/system.h"

namespace exshadow::vss::win32 {

Host Tool::host() const {
    Host host;
    host.make = make_com_requestor;
    host.cancelled = interrupted;
    host.progress = [output = output()](std::string_view line) { output.progress(line); };
    host.volume_of = volume_of;
    host.shown = shown_volume;
    return host;
}

WaitLimits Tool::limits() const {
    WaitLimits limits;
    limits.limit = static_cast<Milliseconds>(step_seconds * 1000);
    limits.slice = 100;
    limits.grace = static_cast<Milliseconds>(grace_seconds * 1000);
    return limits;
}

CLI::Option* add_list(CLI::App& command, const char* name, std::vector<std::string>& values,
                      const char* meaning) {
    return command.add_option(name, values, meaning)->allow_extra_args(false);
}

CLI::Validator seconds_from(double least) {
    constexpr double most = 1e13;  // in milliseconds still far from the end of 64 bits
    return CLI::Validator(
        [least](const std::string& text) -> std::string {
            double seconds = 0;
            const bool number = CLI::detail::lexical_cast(text, seconds);
            if (number && seconds >= least && seconds <= most) return "";  // which no NaN is
            return "'" + text + "' is no number of seconds" + (least > 0 ? " above 0" : "");
        },
        "SECONDS");
}

CLI::Validator not_blank() {
    return CLI::Validator(
        [](const std::string& text) -> std::string {
            if (text.find_first_not_of(" \t") != std::string::npos) return "";
            return "is empty: leave the option out, or name something; is a variable of the shell empty?";
        },
        "TEXT", "not blank");
}

ComponentWish wish(std::string_view text) {
    const auto cut = text.find(':');
    ComponentWish out;
    out.writer = std::string(text.substr(0, cut));
    if (out.writer.size() > 2 && out.writer.front() == '{' && out.writer.back() == '}')
        out.writer = out.writer.substr(1, out.writer.size() - 2);
    if (cut != std::string_view::npos) out.component = std::string(text.substr(cut + 1));
    return out;
}

Result<Uuid> id(std::string_view text) {
    auto bare = text;
    if (bare.size() > 2 && bare.front() == '{' && bare.back() == '}') bare = bare.substr(1, bare.size() - 2);
    const auto parsed = Uuid::parse(bare);
    if (!parsed)
        return Error(Code::invalid, "'" + std::string(text) + "' is no id",
                     "ids look like b5946137-7b9f-4925-af80-51abd60b20d5");
    return *parsed;
}

Result<std::string> save_documents(const std::string& folder, const BackupReport& report) {
    EXSHADOW_TRY(make_folder(folder));
    for (const auto& one : report.writer_documents)
        EXSHADOW_TRY(write_file(folder + "\\writer-" + one.instance_id.text() + ".xml", one.xml));
    auto main = folder + "\\backup-components.xml";
    EXSHADOW_TRY(write_file(main, report.document));
    return main;
}

void add_variables(std::vector<std::pair<std::string, std::string>>& variables,
                   const std::vector<SnapshotProperties>& snapshots) {
    variables.emplace_back("EXSHADOW_SNAPSHOTS", std::to_string(snapshots.size()));
    for (std::size_t i = 0; i < snapshots.size(); ++i) {
        const auto number = std::to_string(i + 1);
        variables.emplace_back("EXSHADOW_SNAPSHOT_" + number, snapshots[i].snapshot_id.text());
        variables.emplace_back("EXSHADOW_DEVICE_" + number, snapshots[i].device);
        variables.emplace_back("EXSHADOW_VOLUME_" + number, snapshots[i].original_volume);
    }
}

namespace {

// A temporary folder that goes with us.
class Folder {
public:
    explicit Folder(std::string path) : path_(std::move(path)) {}
    Folder(const Folder&) = delete;
    Folder& operator=(const Folder&) = delete;
    ~Folder() { remove_folder(path_); }

private:
    std::string path_;
};

Result<std::vector<ComponentKey>> read_failed(const std::string& path,
                                              const std::vector<ComponentReport>& components) {
    std::vector<ComponentKey> failed;
    const auto bytes = read_file(path);
    // A file that is gone or cannot be read may have named a component, whose writer must not be told of a
    // success.
    if (!bytes.ok()) return bytes.error();
    const auto text = command_text(*bytes);
    std::string_view rest = text;
    while (!rest.empty()) {
        auto line = rest.substr(0, rest.find('\n'));
        rest.remove_prefix(std::min(rest.size(), line.size() + 1));
        if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
        if (line.empty()) continue;
        const auto cut = line.find('\t');
        const auto found = std::ranges::find_if(components, [&](const ComponentReport& one) {
            return cut != std::string_view::npos &&
                   same_name(one.key.writer_id.text(), line.substr(0, cut)) &&
                   same_name(full_name(one.key.logical_path, one.key.name), line.substr(cut + 1));
        });
        if (found == components.end())
            return Error(Code::invalid,
                         "the command names a component that is not in the backup: " + std::string(line),
                         "write the writer's id, a tab, and path\\name into %EXSHADOW_FAILED%");
        failed.push_back(found->key);
    }
    return failed;
}

}  // namespace

Result<Copied> run_between(const std::string& command, const Json& report,
                           const std::vector<ComponentReport>& components,
                           std::vector<std::pair<std::string, std::string>> variables, const Output& output) {
    if (interrupted()) return Error(Code::cancelled, "stopped on request");
    if (command.empty()) return Copied{};
    const auto path = make_temporary_folder();
    if (!path.ok()) return path.error();
    const Folder folder(*path);
    EXSHADOW_TRY(write_file(*path + "\\report.json", dump(report)));
    EXSHADOW_TRY(write_file(*path + "\\failed.txt", ""));
    variables.emplace_back("EXSHADOW_REPORT", *path + "\\report.json");
    variables.emplace_back("EXSHADOW_FAILED", *path + "\\failed.txt");
    output.progress("running: " + command);
    const auto status = run_command(command, variables, output.json());
    if (!status.ok()) return status.error();
    Copied copied;
    copied.all_succeeded = *status == 0;
    auto failed = read_failed(*path + "\\failed.txt", components);
    if (!failed.ok()) return failed.error();
    copied.failed = std::move(failed).value();
    return copied;
}

}  // namespace exshadow::vss::win32
