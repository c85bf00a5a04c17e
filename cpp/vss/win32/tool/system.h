// The tool's part of Windows: volumes and paths, files, Ctrl-C, and the command that runs between create and
// complete.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"

namespace exshadow::vss::win32 {

// The volume's name as VSS takes it: "\\?\Volume{...}\" for a drive or a mounted folder, else what was given
// with a backslash at its end (a share, say).
[[nodiscard]] std::string volume_name(std::string_view volume);
// Is it a volume that is there, or a share?
[[nodiscard]] bool is_volume(std::string_view volume);
// The other way: its drive or folder, as people name it; what has none stays as it is.
[[nodiscard]] std::string shown_volume(const std::string& volume);
// The volume that a path lies on, environment variables expanded in this program's environment; nothing when
// unknown.
[[nodiscard]] std::optional<std::string> volume_of(const std::string& path);

// A file that somebody still writes to is waited for a moment, then it is an error.
[[nodiscard]] Result<std::string> read_file(std::string_view path);
// The text of a saved document in UTF-8: others save it in UTF-16 or with a byte order mark.
[[nodiscard]] Result<std::string> read_document(std::string_view path);
// Text that a command wrote: UTF-16 or UTF-8 by its mark, UTF-8, else the console's code page, which is what
// cmd.exe's echo writes.
[[nodiscard]] std::string command_text(std::string_view bytes);
// Written aside and put in place, so that a crash leaves the old file or the new one.
[[nodiscard]] Status write_file(std::string_view path, std::string_view bytes);
[[nodiscard]] Status make_folder(std::string_view path);  // with those above it; one that exists is fine
// An empty folder of our own for temporary files.
[[nodiscard]] Result<std::string> make_temporary_folder();
void remove_folder(std::string_view path);  // with its files

// From the first call on Ctrl-C, Ctrl-Break and the closing of the console are noted instead of ending the
// process.
void watch_interrupts();
[[nodiscard]] bool interrupted();

// Is there somebody to ask: is stdin a console? The question goes to stderr.
[[nodiscard]] bool has_console();
[[nodiscard]] bool answers_yes(std::string_view question);

// Runs a command line by cmd.exe with these variables added, and gives its exit status. It and what it starts
// end with this process, and soon after an interrupt. Its output goes to stderr when `stdout_is_ours`.
[[nodiscard]] Result<unsigned> run_command(std::string_view command,
                                           const std::vector<std::pair<std::string, std::string>>& variables,
                                           bool stdout_is_ours);

}  // namespace exshadow::vss::win32
