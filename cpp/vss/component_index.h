// Finds components by name, and those above and below one another, without going through all of them for
// each: a writer may have tens of thousands.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "vss/metadata.h"

namespace exshadow::vss {

// The places of components in their list by logical path and name, both as they are written. The list may
// grow at its end between two questions; after any other change of its names it needs a new index.
class ComponentIndex {
public:
    using Places = std::vector<std::size_t>;

    // In the list's order: several of one name have several types. Valid until the next question.
    template <class Component>
    const Places& find(const std::vector<Component>& list, std::string_view logical_path,
                       std::string_view name) {
        for (; known_ < list.size(); ++known_)
            places_[key(list[known_].logical_path, list[known_].name)].push_back(known_);
        const auto found = places_.find(key(logical_path, name));
        return found == places_.end() ? none_ : found->second;
    }
    // The first, as WriterMetadata::find() and BackupWriter::find() have it; null when there is none.
    const ComponentMetadata* first(const WriterMetadata& writer, std::string_view logical_path,
                                   std::string_view name);
    const BackupComponent* first(const BackupWriter& writer, const ComponentKey& wanted);

private:
    [[nodiscard]] static std::string key(std::string_view logical_path, std::string_view name);

    std::unordered_map<std::string, Places> places_;
    std::size_t known_ = 0;
    Places none_;  // of what is not there
};

// Which components of one writer stand above which: those whose full path ("path\name", or the name alone) is
// the other's logical path, or all of it before one of its backslashes. Places in its metadata, in order.
class ComponentTree {
public:
    using Places = ComponentIndex::Places;

    explicit ComponentTree(const WriterMetadata& writer);

    [[nodiscard]] const Places& above(std::size_t component) const { return above_[component]; }
    [[nodiscard]] const Places& below(std::size_t component) const { return below_[component]; }
    [[nodiscard]] const Places& at(const std::string& full_path) const;

private:
    std::unordered_map<std::string, Places> at_;  // by full path
    std::vector<Places> above_, below_;
    Places none_;  // of what is not there
};

// Every root that a logical path is below of: all of it, and what stands before each of its backslashes.
[[nodiscard]] std::vector<std::string_view> roots_of(std::string_view logical_path);

}  // namespace exshadow::vss
