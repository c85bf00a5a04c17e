// What the procedures found and did, as JSON and as text for people. JSON keys are the names of the records'
// fields, enumerators our words, flags words joined by "+", ids the usual GUID text, HRESULTs numbers; beside
// a FILETIME or an HRESULT stands a readable twin ("created_at", "failure_name").
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "vss/procedures.h"

namespace exshadow::vss {

using Json = nlohmann::ordered_json;

[[nodiscard]] Json to_json(const SnapshotProperties& snapshot);
[[nodiscard]] Json to_json(const ProviderProperties& provider);
[[nodiscard]] Json to_json(const WriterStatus& status);
[[nodiscard]] Json to_json(const WriterEntry& writer, bool with_document);
[[nodiscard]] Json to_json(const BackupWriter& writer);
[[nodiscard]] Json to_json(const DeleteOutcome& outcome);
// The documents' text is left out: it belongs into files.
[[nodiscard]] Json to_json(const BackupReport& report);
[[nodiscard]] Json to_json(const RestoreReport& report);
// {"error": {"code", "message", "hint", "hresult", "name"}}; the last two null when the error is none of VSS.
[[nodiscard]] Json error_json(const Error& error);
// One line; what is no UTF-8 is replaced.
[[nodiscard]] std::string dump(const Json& json);

// Several lines, each ended.
[[nodiscard]] std::string to_text(const SnapshotProperties& snapshot);
[[nodiscard]] std::string to_text(const ProviderProperties& provider);
[[nodiscard]] std::string to_text(const WriterEntry& writer);
[[nodiscard]] std::string to_text(const BackupReport& report);
[[nodiscard]] std::string to_text(const RestoreReport& report);

// RFC 3339 in UTC, to the second; empty for zero.
[[nodiscard]] std::string filetime_text(std::int64_t filetime);

}  // namespace exshadow::vss
