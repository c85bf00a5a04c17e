#include "vss/snapshot_need.h"

#include <algorithm>
#include <map>
#include <optional>

#include "vss/backup_kinds.h"
#include "vss/component_index.h"
#include "vss/selection.h"

namespace exshadow::vss {

bool snapshot_needed(std::span<const WriterMetadata> writers, std::span<const ComponentKey> chosen,
                     BackupType type) {
    if (chosen.empty()) return true;
    struct Known {
        ComponentIndex index;
        std::optional<ComponentTree> tree;
    };
    std::map<const WriterMetadata*, Known> seen;
    for (const auto& key : chosen) {
        const auto writer = std::ranges::find_if(writers, [&](const WriterMetadata& one) {
            return one.writer_id == key.writer_id &&
                   (key.instance_id.is_nil() || one.instance_id == key.instance_id);
        });
        if (writer == writers.end()) return true;
        auto& known = seen[&*writer];
        const auto* root = known.index.first(*writer, key.logical_path, key.name);
        if (root == nullptr) return true;
        const auto actual = actual_backup(type, writer->schema).type;
        if (snapshot_needed(*root, actual)) return true;
        if (!known.tree) known.tree.emplace(*writer);
        const auto place = static_cast<std::size_t>(root - writer->components.data());
        for (const auto below : known.tree->below(place)) {
            if (snapshot_needed(writer->components[below], actual)) return true;
        }
    }
    return false;
}

}  // namespace exshadow::vss
