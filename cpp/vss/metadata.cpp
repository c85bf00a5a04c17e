#include "vss/metadata.h"

#include <algorithm>

namespace exshadow::vss {

const ComponentMetadata* WriterMetadata::find(std::string_view logical_path,
                                              std::string_view component) const {
    const auto found = std::ranges::find_if(components, [&](const ComponentMetadata& one) {
        return one.logical_path == logical_path && one.name == component;
    });
    return found == components.end() ? nullptr : &*found;
}

const BackupComponent* BackupWriter::find(const ComponentKey& key) const {
    const auto found = std::ranges::find_if(components, [&](const BackupComponent& one) {
        return one.type == key.type && one.logical_path == key.logical_path && one.name == key.name;
    });
    return found == components.end() ? nullptr : &*found;
}

const BackupComponent* BackupDocument::find(const ComponentKey& key) const {
    for (const auto& writer : writers) {
        if (writer.writer_id != key.writer_id) continue;
        if (!key.instance_id.is_nil() && writer.instance_id != key.instance_id) continue;
        if (const auto* const found = writer.find(key)) return found;
    }
    return nullptr;
}

BackupComponent* BackupDocument::find(const ComponentKey& key) {
    return const_cast<BackupComponent*>(std::as_const(*this).find(key));
}

}  // namespace exshadow::vss
