#include "vss/snapshot_need.h"

#include <algorithm>

namespace exshadow::vss {

namespace {

std::string full_path(std::string_view logical_path, std::string_view name) {
    std::string path(logical_path);
    if (!path.empty() && path.back() != '\\') path += '\\';
    path += name;
    return path;
}

bool is_or_is_below(const ComponentMetadata& component, const ComponentKey& key) {
    if (component.logical_path == key.logical_path && component.name == key.name) return true;
    const auto root = full_path(key.logical_path, key.name);
    return component.logical_path == root || component.logical_path.starts_with(root + '\\');
}

bool any_from_snapshot(const ComponentMetadata& component, FileSpecBackupType bit) {
    const auto wants = [&](const FileSet& files) { return has(files.backup_type, bit); };
    return std::ranges::any_of(component.files, wants) ||
           std::ranges::any_of(component.database_files, wants) ||
           std::ranges::any_of(component.database_logs, wants);
}

}  // namespace

FileSpecBackupType snapshot_bit(BackupType type) {
    switch (type) {
        case BackupType::incremental: return FileSpecBackupType::incremental_snapshot_required;
        case BackupType::differential: return FileSpecBackupType::differential_snapshot_required;
        case BackupType::log: return FileSpecBackupType::log_snapshot_required;
        default: return FileSpecBackupType::full_snapshot_required;
    }
}

bool snapshot_needed(std::span<const WriterMetadata> writers, std::span<const ComponentKey> chosen,
                     BackupType type) {
    if (chosen.empty()) return true;
    for (const auto& key : chosen) {
        const auto writer = std::ranges::find_if(writers, [&](const WriterMetadata& one) {
            return one.writer_id == key.writer_id &&
                   (key.instance_id.is_nil() || one.instance_id == key.instance_id);
        });
        if (writer == writers.end() || writer->find(key.logical_path, key.name) == nullptr) return true;
        for (const auto& component : writer->components) {
            if (is_or_is_below(component, key) && any_from_snapshot(component, snapshot_bit(type)))
                return true;
        }
    }
    return false;
}

}  // namespace exshadow::vss
