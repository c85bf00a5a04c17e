#include "vss/component_names.h"
#include "vss/report_json.h"

namespace exshadow::vss {

namespace {

std::string line(std::string_view text) {
    return std::string(text) + "\n";
}

std::string field(std::string_view name, const std::string& value) {
    return value.empty() ? std::string() : "  " + std::string(name) + ": " + value + "\n";
}

std::string status_text(const WriterStatus& status) {
    std::string text = word(status.state);
    if (failed(status.failure)) text += ", " + hresult_text(status.failure);
    if (!status.application_message.empty()) text += " (" + status.application_message + ")";
    return text;
}

std::string component_line(const ComponentReport& one) {
    const std::string mark = one.explicitly ? "  + " : one.included ? "  . " : "  - ";
    std::string text =
        mark + one.writer_name + ": " + full_name(one.key.logical_path, one.key.name) + ": " + one.reason;
    if (one.succeeded) text += *one.succeeded ? "; succeeded" : "; failed";
    if (one.failure) text += "; " + hresult_text(one.failure->failure);
    return line(text);
}

std::string common_text(const std::vector<WriterReport>& writers,
                        const std::vector<ComponentReport>& components,
                        const std::vector<std::string>& notes) {
    std::string out;
    if (!writers.empty()) out += line("Writers, after " + writers.front().seen_after + ":");
    for (const auto& one : writers)
        out += line("  " + one.status.name + ": " + status_text(one.status) +
                    (one.wanted ? "" : " (not wanted)"));
    if (!components.empty()) out += line("Components (+ chosen, . with the one above, - left out):");
    for (const auto& one : components) out += component_line(one);
    for (const auto& note : notes) out += line("Note: " + note);
    return out;
}

}  // namespace

std::string to_text(const SnapshotProperties& one) {
    return line("Snapshot " + one.snapshot_id.text()) +
           field("set", one.set_id.text() + " (" + std::to_string(one.set_size) + " in it)") +
           field("volume", one.original_volume) + field("device", one.device) +
           field("created", filetime_text(one.created)) + field("machine", one.originating_machine) +
           field("provider", one.provider_id.is_nil() ? std::string() : one.provider_id.text()) +
           field("attributes", word(one.attributes)) + field("exposed as", one.exposed_name) +
           field("exposed path", one.exposed_path);
}

std::string to_text(const ProviderProperties& one) {
    return line("Provider '" + one.name + "'") + field("id", one.provider_id.text()) +
           field("type", word(one.type)) + field("version", one.version);
}

std::string to_text(const WriterEntry& entry) {
    const auto& one = entry.metadata;
    std::string out =
        line("Writer '" + one.name + "'" + (one.instance_name.empty() ? "" : " (" + one.instance_name + ")"));
    out += field("id", one.writer_id.text()) + field("instance", one.instance_id.text()) +
           field("usage", word(one.usage)) + field("kinds of backup", word(one.schema));
    if (entry.status) out += field("state", status_text(*entry.status));
    for (const auto& component : one.components) {
        out += line("  component " + full_path(component) +
                    (component.caption.empty() ? "" : " (" + component.caption + ")") +
                    (component.selectable ? ", selectable" : ""));
        for (const auto* sets : {&component.files, &component.database_files, &component.database_logs}) {
            for (const auto& files : *sets)
                out += line("    " + full_name(files.path, files.spec) +
                            (files.recursive ? ", with folders" : ""));
        }
    }
    return out;
}

std::string to_text(const BackupReport& one) {
    std::string out;
    if (!one.snapshot_set_id.is_nil()) out += line("Snapshot set " + one.snapshot_set_id.text());
    for (const auto& snapshot : one.snapshots) out += to_text(snapshot);
    out += common_text(one.writers, one.components, one.notes);
    out += line(one.completed ? "Backup complete." : "Backup not complete.");
    return out;
}

std::string to_text(const RestoreReport& one) {
    std::string out = common_text(one.writers, one.components, one.notes);
    out += line(one.completed ? "Restore complete." : "Restore not complete.");
    return out;
}

}  // namespace exshadow::vss
