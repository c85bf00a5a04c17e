// Which components a backup takes, and which not and why. Pure functions over the writers' metadata (fact
// sheet, section 2.2): nothing that is left out is left out silently.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "vss/component_index.h"
#include "vss/metadata.h"

namespace exshadow::vss {

// Whether a component may be named in AddComponent, by its own flag and those of its ancestors.
enum class Selectability : std::uint8_t {
    mandatory,          // not selectable, no selectable ancestor: added when anything of its writer is
    optional,           // selectable, no selectable ancestor
    implicit,           // not selectable, with a selectable ancestor: comes with it, is never added
    optional_or_below,  // selectable, with a selectable ancestor: added alone, or comes with the ancestor
};

// "path\name", or the name alone. Paths are compared as they are written, letter case included.
[[nodiscard]] std::string full_path(const ComponentMetadata& component);
[[nodiscard]] Selectability selectability(const WriterMetadata& writer, const ComponentTree& tree,
                                          std::size_t component);

// The volume that a path of the writer's machine lies on, environment variables expanded; nothing when it
// cannot be told. Volumes are compared as this function names them. A folder with another volume mounted
// below it needs that one as well; only the caller can know.
using VolumeOf = std::function<std::optional<std::string>(const std::string& path)>;

// The volumes whose snapshot this component needs in a backup of that actual kind, each once, and the paths
// whose volume is not known.
struct VolumesNeeded {
    std::vector<std::string> volumes;
    std::vector<std::string> unknown_paths;
};
[[nodiscard]] VolumesNeeded volumes_needed(const ComponentMetadata& component, BackupType actual,
                                           const VolumeOf& volume_of);

// One component for the user, or all of a writer. A nil instance: of every instance of the class.
struct ComponentName {
    Uuid writer_id;
    Uuid instance_id;
    std::string full_path;  // empty: the whole writer
    friend bool operator==(const ComponentName&, const ComponentName&) = default;
};

struct SelectionRequest {
    BackupType type = BackupType::full;
    std::vector<std::string> volumes;  // of the snapshot set
    VolumeOf volume_of;
    std::vector<ComponentName> only;  // empty: everything. Mandatory ones and dependencies come along
    std::vector<ComponentName> excluded;
};

enum class LeftOutReason : std::uint8_t {
    excluded,            // by the user
    not_asked_for,       // `only` does not name it
    volume_not_in_set,   // detail: the volume
    volume_unknown,      // detail: the path
    part_left_out,       // a component below it was left out; detail: that one
    ancestor_left_out,   // comes only with a selectable ancestor, and none is taken; detail: the nearest one
    mandatory_left_out,  // a component without which the writer cannot be taken; detail: that one
    nothing_left,        // the writer, when none of its components is
};

struct LeftOut {
    Uuid writer_id;
    Uuid instance_id;
    std::string writer_name;
    std::string full_path;  // of the component; empty: the whole writer
    LeftOutReason reason = LeftOutReason::not_asked_for;
    std::string detail;
};
// One sentence: "SqlServerWriter: component 'host\db': volume D:\ is not in the snapshot set".
[[nodiscard]] std::string text(const LeftOut& left_out);

// What is taken of one writer; numbers are indices into WriterMetadata::components.
struct WriterSelection {
    std::size_t writer = 0;                // index into the documents given
    BackupType actual = BackupType::full;  // what the writer really does
    std::string warning;                   // when that is not what was wanted
    std::vector<std::size_t> added;        // to be named in AddComponent
    std::vector<std::size_t> implicit;     // come with an added one; not in the backup's document
};

// A component that is taken needs another writer's, which is not.
struct UnmetDependency {
    std::size_t writer = 0;
    std::size_t component = 0;
    Dependency dependency;
};

struct Selection {
    std::vector<WriterSelection> writers;
    std::vector<LeftOut> left_out;
    std::vector<UnmetDependency> unmet;
    std::vector<ComponentName> unmatched;  // exclusions that no writer here has
    bool snapshot_needed = false;          // for Order::set_snapshot_needed
};

// The ancestors of what is left out are left out too, as in vshadow: they would bring it along. A writer that
// loses a mandatory component is left out. What can stand alone and has no selectable ancestor that is taken
// is added. An error only when `only` names what no writer has, or what can only come with an ancestor.
[[nodiscard]] Result<Selection> select(const std::vector<WriterMetadata>& writers,
                                       const SelectionRequest& request);

}  // namespace exshadow::vss
