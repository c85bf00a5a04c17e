// The tool's commands. Each add_... hangs its options below `app` and sets `action` when its command is
// chosen.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "vss/procedures.h"
#include "vss/win32/tool/output.h"

namespace exshadow::vss::win32 {

struct Tool {
    bool json = false;
    double step_seconds = 600;
    double grace_seconds = 30;
    std::function<int()> action;

    [[nodiscard]] Output output() const { return Output(json); }
    [[nodiscard]] Host host() const;
    [[nodiscard]] WaitLimits limits() const;
};

void add_looking(CLI::App& app, Tool& tool);   // writers, providers, snapshots
void add_managing(CLI::App& app, Tool& tool);  // break, expose, unexpose, revert, import, resync
void add_backup(CLI::App& app, Tool& tool);
void add_restore(CLI::App& app, Tool& tool);

// --- Destructive commands say what they would do, and ask.
struct Consent {
    bool yes = false;
    bool dry_run = false;
};
struct Plan {
    std::string command;                                     // "snapshots delete"
    std::vector<std::pair<std::string, std::string>> steps;  // what is done, and to what
};
void add_consent(CLI::App& command, Consent& consent);
// The exit status of a command that is over before it began: with --dry-run after its plan, after a question
// on the console that was not answered with yes, or because no plan could be made. Nothing: go on. Where
// there is no console nobody is asked. `plan` is made only to be shown.
[[nodiscard]] std::optional<int> over_before(const Output& output, const Consent& consent,
                                             const std::function<Result<Plan>()>& plan);
// One step for each of these snapshots, or of this set's; not_found when there is none.
[[nodiscard]] Result<Plan> plan_of(const Tool& tool, const char* command, const char* action, const Uuid& id,
                                   ObjectType type);

// What commands share.
// An option that may be repeated and takes one value each time, so that it swallows no volume after it.
CLI::Option* add_list(CLI::App& command, const char* name, std::vector<std::string>& values,
                      const char* meaning);
// Checks of values. Seconds that can be waited for; a text that the shell did not leave empty by mistake.
[[nodiscard]] CLI::Validator seconds_from(double least);
[[nodiscard]] CLI::Validator not_blank();
[[nodiscard]] ComponentWish wish(std::string_view text);  // "WRITER" or "WRITER:PATH\NAME"
[[nodiscard]] Result<Uuid> id(std::string_view text);     // with or without braces
// Writes the documents of a backup into the folder and gives the name of the main one.
[[nodiscard]] Result<std::string> save_documents(const std::string& folder, const BackupReport& report);
// Runs `command` with the variables and with EXSHADOW_REPORT (a file with `report`) and EXSHADOW_FAILED (a
// file into which it may write the components that failed, a line each: writer's id, tab, path\name).
[[nodiscard]] Result<Copied> run_between(const std::string& command, const Json& report,
                                         const std::vector<ComponentReport>& components,
                                         std::vector<std::pair<std::string, std::string>> variables,
                                         const Output& output);
// Device, volume and id of each snapshot as EXSHADOW_DEVICE_1 and so on.
void add_variables(std::vector<std::pair<std::string, std::string>>& variables,
                   const std::vector<SnapshotProperties>& snapshots);

}  // namespace exshadow::vss::win32
