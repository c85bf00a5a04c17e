// What a wanted kind of backup becomes with a writer that may not know it, which files it then needs, and on
// what backup it builds (fact sheet, sections 2.1 and 3.4). Pure functions.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "vss/metadata.h"

namespace exshadow::vss {

// What the writer really does. A writer without the schema bit of a kind makes a full backup of it.
struct ActualBackup {
    BackupType type = BackupType::full;
    std::string warning;  // empty when it is what was wanted; else one sentence
};
[[nodiscard]] ActualBackup actual_backup(BackupType wanted, BackupSchema schema);

// The bits of a file set's mask that speak of one kind of backup. Copy and other kinds are as full ones.
struct KindBits {
    FileSpecBackupType backup, snapshot;
};
[[nodiscard]] KindBits kind_bits(BackupType actual);

enum class FileRole : std::uint8_t { file, database_file, database_log };
struct NeededFiles {
    const FileSet* files = nullptr;  // of the component that was asked about
    FileRole role = FileRole::file;
    bool from_snapshot = true;           // else from the live volume
    bool created_during_backup = false;  // is not there before the writer made it
};
// The file sets that a backup of this actual kind copies, in the order of the document.
[[nodiscard]] std::vector<NeededFiles> files_needed(const ComponentMetadata& component, BackupType actual);

// True when any file set is to be read from a snapshot in this kind; without one DoSnapshotSet may be left
// out.
[[nodiscard]] bool snapshot_needed(const ComponentMetadata& component, BackupType actual);

// Does this kind build on an earlier backup?
[[nodiscard]] bool needs_base(BackupType actual);

// A finished backup of one component, as the catalog of backups knows it.
struct PastBackup {
    BackupType type = BackupType::full;  // what it actually was
    bool succeeded = false;
    std::string stamp;  // BackupComponent::backup_stamp of its document
};

struct BackupBase {
    std::optional<std::size_t> index;  // into the history; none: the backup stands on its own
    std::string stamp;                 // for set_previous_backup_stamp; empty: there is none to be set
};
// `history` from the oldest to the newest. Refused when there is no base, when the writer works by stamps and
// the base has none, or when incremental and differential would be mixed and the writer excludes that. A copy
// is never a base.
// A log backup builds on the last full, incremental or log one: unconfirmed, the documentation is silent.
[[nodiscard]] Result<BackupBase> backup_base(BackupType actual, BackupSchema schema,
                                             std::span<const PastBackup> history);

}  // namespace exshadow::vss
