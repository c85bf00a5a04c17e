#include "vss/component_index.h"

#include <algorithm>

#include "vss/selection.h"

namespace exshadow::vss {

std::string ComponentIndex::key(std::string_view logical_path, std::string_view name) {
    std::string made;
    made.reserve(logical_path.size() + 1 + name.size());
    made.append(logical_path).push_back('\0');  // which no document can hold
    return made.append(name);
}

const ComponentMetadata* ComponentIndex::first(const WriterMetadata& writer, std::string_view logical_path,
                                               std::string_view name) {
    const auto& places = find(writer.components, logical_path, name);
    return places.empty() ? nullptr : &writer.components[places.front()];
}

const BackupComponent* ComponentIndex::first(const BackupWriter& writer, const ComponentKey& wanted) {
    for (const auto place : find(writer.components, wanted.logical_path, wanted.name)) {
        if (writer.components[place].type == wanted.type) return &writer.components[place];
    }
    return nullptr;
}

std::vector<std::string_view> roots_of(std::string_view logical_path) {
    std::vector<std::string_view> roots;
    for (auto cut = logical_path.find('\\'); cut != logical_path.npos; cut = logical_path.find('\\', cut + 1))
        roots.push_back(logical_path.substr(0, cut));
    roots.push_back(logical_path);
    return roots;
}

ComponentTree::ComponentTree(const WriterMetadata& writer)
    : above_(writer.components.size()), below_(writer.components.size()) {
    for (std::size_t i = 0; i < writer.components.size(); ++i)
        at_[full_path(writer.components[i])].push_back(i);
    for (std::size_t i = 0; i < writer.components.size(); ++i) {
        for (const auto root : roots_of(writer.components[i].logical_path)) {
            for (const auto upper : at(std::string(root))) above_[i].push_back(upper);
        }
        std::ranges::sort(above_[i]);
        for (const auto upper : above_[i]) below_[upper].push_back(i);
    }
}

const ComponentTree::Places& ComponentTree::at(const std::string& full_path) const {
    const auto found = at_.find(full_path);
    return found == at_.end() ? none_ : found->second;
}

}  // namespace exshadow::vss
