// exshadow-vss.exe: the requestor by hand, and for programs with --json.
#include <windows.h>

#include <shellapi.h>

#include <algorithm>
#include <exception>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "vss/win32/session.h"
#include "vss/win32/text.h"
#include "vss/win32/tool/commands.h"
#include "vss/win32/tool/system.h"

namespace {

using namespace exshadow::vss::win32;
using exshadow::Code;
using exshadow::Error;

// The arguments in UTF-8, without the program's name: those of main() are in the system's code page.
std::vector<std::string> arguments() {
    int count = 0;
    wchar_t** const list = CommandLineToArgvW(GetCommandLineW(), &count);
    std::vector<std::string> out;
    for (int i = 1; i < count; ++i) out.push_back(utf8(list[i]));
    LocalFree(list);
    return out;
}

int run_action(const Tool& tool) {
    watch_interrupts();
    const auto session = ComSession::open();
    if (!session.ok()) return tool.output().failure(session.error());
    enable_privileges();
    return tool.action();
}

// Wrong usage and what nobody expects are told in the way that was asked for, wherever the option stands.
bool asks_for_json(const std::vector<std::string>& given) {
    return std::ranges::find(given, "--json") != given.end();
}

// A word that is no command is told before what lacks without one.
std::string lacking(const CLI::App& app, const std::vector<std::string>& given, const char* what) {
    const auto word = std::ranges::find_if(given, [](const std::string& one) { return one != "--json"; });
    if (word == given.end() || !app.get_subcommands().empty()) return what;
    return "there is no command or option '" + *word + "'";
}

int run(const std::vector<std::string>& given) {
    Tool tool;
    tool.json = asks_for_json(given);
    CLI::App app("Snapshots with the Volume Shadow Copy Service of Windows.", "exshadow-vss");
    app.require_subcommand(1);
    app.fallthrough();
    app.add_flag("--json", tool.json,
                 "Exactly one JSON document on stdout; progress as JSON lines on stderr");
    app.add_option("--timeout", tool.step_seconds, "Seconds that any one step of the service may take")
        ->check(seconds_from(0.001))
        ->capture_default_str();
    app.add_option("--grace", tool.grace_seconds, "Seconds for a step that was cut off to end")
        ->check(seconds_from(0))
        ->capture_default_str();
    app.set_version_flag("--version", EXSHADOW_VERSION);
    app.footer(
        "Example: exshadow-vss writers\nExit status: 0 done, 1 unexpected, 2 usage, 3 not found, 4 refused, "
        "5 damaged,\n"
        "6 writer or provider failed, 7 I/O, 8 busy or timed out, 130 interrupted.");
    add_looking(app, tool);
    add_backup(app, tool);
    add_restore(app, tool);
    add_managing(app, tool);
    try {
        app.parse(std::vector<std::string>(given.rbegin(), given.rend()));
    } catch (const CLI::CallForVersion&) {
        return tool.output().result(exshadow::vss::Json{{"version", EXSHADOW_VERSION}},
                                    "exshadow-vss " EXSHADOW_VERSION "\n");
    } catch (const CLI::CallForAllHelp&) {
        write_out(app.help("", CLI::AppFormatMode::All));
        return 0;
    } catch (const CLI::CallForHelp&) {
        const CLI::App* chosen = &app;
        std::string above;
        while (!chosen->get_subcommands().empty()) {
            above += (above.empty() ? "" : " ") + chosen->get_name();
            chosen = chosen->get_subcommands().front();
        }
        write_out(chosen->help(above));
        return 0;
    } catch (const CLI::RequiredError& error) {
        return tool.output().failure(Error(Code::invalid, lacking(app, given, error.what()),
                                           "exshadow-vss --help lists the commands"));
    } catch (const CLI::ParseError& error) {
        return tool.output().failure(
            Error(Code::invalid, error.what(), "exshadow-vss COMMAND --help shows how"));
    }
    return run_action(tool);
}

}  // namespace

int main() {
    const auto given = arguments();
    try {
        return run(given);
    } catch (
        const std::exception& error) {  // the option parser and the JSON library throw; the engine does not
        return Output(asks_for_json(given)).failure(Error(Code::internal, error.what()));
    }
}
