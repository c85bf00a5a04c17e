#include "vss/snapshot_need.h"

#include <algorithm>

#include "vss/backup_kinds.h"
#include "vss/selection.h"

namespace exshadow::vss {

bool snapshot_needed(std::span<const WriterMetadata> writers, std::span<const ComponentKey> chosen,
                     BackupType type) {
    if (chosen.empty()) return true;
    for (const auto& key : chosen) {
        const auto writer = std::ranges::find_if(writers, [&](const WriterMetadata& one) {
            return one.writer_id == key.writer_id &&
                   (key.instance_id.is_nil() || one.instance_id == key.instance_id);
        });
        if (writer == writers.end()) return true;
        const auto* root = writer->find(key.logical_path, key.name);
        if (root == nullptr) return true;
        const auto actual = actual_backup(type, writer->schema).type;
        for (const auto& component : writer->components) {
            if ((&component == root || is_ancestor(*root, component)) && snapshot_needed(component, actual))
                return true;
        }
    }
    return false;
}

}  // namespace exshadow::vss
