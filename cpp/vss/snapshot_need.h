// Whether a backup needs a snapshot at all: when no chosen file set is to be read from one, DoSnapshotSet may
// be left out (fact sheet, 2.1).
#pragma once

#include <span>

#include "vss/metadata.h"
#include "vss/types.h"

namespace exshadow::vss {

// `chosen`: the components added to the document; those below them are meant as well. Nothing chosen, or a
// component that the metadata lacks: yes, since it is then volumes that are backed up.
[[nodiscard]] bool snapshot_needed(std::span<const WriterMetadata> writers,
                                   std::span<const ComponentKey> chosen, BackupType type);

// The bit of a file set's mask that says "from the snapshot" in this kind of backup.
[[nodiscard]] FileSpecBackupType snapshot_bit(BackupType type);

}  // namespace exshadow::vss
