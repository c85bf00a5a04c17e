// Whether a backup needs a snapshot at all, from what was added to its document: when no chosen file set is
// to be read from one, DoSnapshotSet may be left out (fact sheet, 2.1).
#pragma once

#include <span>

#include "vss/metadata.h"
#include "vss/types.h"

namespace exshadow::vss {

// `chosen`: the components added; those below them are meant as well. Nothing chosen, or a component that the
// metadata lacks: yes, since it is then volumes that are backed up.
[[nodiscard]] bool snapshot_needed(std::span<const WriterMetadata> writers,
                                   std::span<const ComponentKey> chosen, BackupType type);

}  // namespace exshadow::vss
