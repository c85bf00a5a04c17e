// How a component is put back: what its restore method demands, and where its files go. The choices of writer
// and requestor for this restore come first, then the method of the writer's metadata (fact sheet, 2.4).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "vss/metadata.h"

namespace exshadow::vss {

// When files are there already, or cannot be replaced because they are in use.
enum class IfThere : std::uint8_t { replace, leave_all };
enum class IfInUse : std::uint8_t { fail, mapped_place, at_reboot };

struct MethodRule {
    RestoreMethod method = RestoreMethod::undefined;
    bool stop_before = false;    // the service, before files are put back
    bool restart_after = false;  // start, or stop and start, when they are
    bool mapped_place = false;   // never in place
    bool at_reboot = false;      // always by replacement at the next start of the system
    bool custom = false;         // the writer's own interface restores
    IfThere if_there = IfThere::replace;
    IfInUse if_in_use = IfInUse::fail;
};
// A row for every method; `undefined` is to replace in place.
[[nodiscard]] const MethodRule& method_rule(RestoreMethod method);

enum class Placement : std::uint8_t { in_place, new_target, mapped, directed, by_writer };
struct Destination {
    Placement placement = Placement::in_place;
    std::string path;                     // empty for `directed` and `by_writer`
    std::string reason;                   // what decided, for people
    std::vector<DirectedTarget> targets;  // for `directed`: those of this file set's path
};
// Where the files of one file set go. First the writer's target for this restore: directed; alternate (its
// mapping must be there); original_location (in place even when the requestor chose a new target: the SDK's
// words, unconfirmed). Then the requestor's new target, then the method. An error when a mapping is needed
// and no mapping names exactly this path, specification and recursion.
[[nodiscard]] Result<Destination> destination(const FileSet& files, const RestoreChoice& choice,
                                              const RestoreMethodMetadata& method);

// The mapping for exactly this path, specification and recursion; null when there is none.
[[nodiscard]] const LocationMapping* find_mapping(const FileSet& files,
                                                  const std::vector<LocationMapping>& mappings);

}  // namespace exshadow::vss
