// The contents of the two VSS documents as plain values: what a writer says of itself (Writer Metadata
// Document) and what a backup chose and what became of it (Backup Components Document). documents.h reads and
// writes their XML.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "vss/types.h"

namespace exshadow::vss {

// What we do not know of one element, kept so that a document survives being read and written. Each of
// `elements` is a whole element, in the namespace of the document unless it says otherwise, or a run of text.
struct UnknownXml {
    std::vector<std::string> elements;
    std::vector<std::pair<std::string, std::string>> attributes;  // name, value

    [[nodiscard]] bool empty() const { return elements.empty() && attributes.empty(); }
    friend bool operator==(const UnknownXml&, const UnknownXml&) = default;
};

// Files by folder and pattern (FILE_LIST, EXCLUDE_FILES).
struct FileSet {
    std::string path;  // may hold environment variables of the writer's machine
    std::string spec;  // file name pattern
    bool recursive = false;
    FileSpecBackupType backup_type = standard_backup_type;
    std::string alternate_path;  // where the files lie, when not at `path`; never in a LocationMapping
    UnknownXml unknown;
    friend bool operator==(const FileSet&, const FileSet&) = default;
};

// A component of another writer that this one needs to be restored with it (IVssWMDependency).
struct Dependency {
    Uuid writer_id;
    std::string logical_path;
    std::string name;
    UnknownXml unknown{};
    friend bool operator==(const Dependency&, const Dependency&) = default;
};

// VSS_COMPONENTINFO and its lists (FILE_GROUP or DATABASE).
struct ComponentMetadata {
    ComponentType type = ComponentType::file_group;
    std::string logical_path;
    std::string name;
    std::string caption;
    std::string icon;  // base64, as in the document
    bool restore_metadata = false;
    bool notify_on_backup_complete = false;
    bool selectable = true;
    bool selectable_for_restore = false;
    ComponentFlags flags = ComponentFlags::no_flags;
    std::vector<FileSet> files;           // of a file group
    std::vector<FileSet> database_files;  // of a database
    std::vector<FileSet> database_logs;
    std::vector<Dependency> dependencies;
    UnknownXml unknown;
    friend bool operator==(const ComponentMetadata&, const ComponentMetadata&) = default;
};

// Where files go when they cannot go back to `files` (ALTERNATE_LOCATION_MAPPING).
struct LocationMapping {
    FileSet files;
    std::string destination;
    friend bool operator==(const LocationMapping&, const LocationMapping&) = default;
};

struct RestoreMethodMetadata {
    RestoreMethod method = RestoreMethod::undefined;
    std::string service;         // to be stopped, for stop_restore_start and restore_stop_start
    std::string user_procedure;  // a URL or text for `custom`
    WriterRestore writer_restore = WriterRestore::undefined;
    bool reboot_required = false;
    std::vector<LocationMapping> mappings;
    UnknownXml unknown;
    friend bool operator==(const RestoreMethodMetadata&, const RestoreMethodMetadata&) = default;
};

// One Writer Metadata Document.
struct WriterMetadata {
    Uuid writer_id;
    Uuid instance_id;
    std::string name;           // friendlyName
    std::string instance_name;  // tells several writers of one class apart; often empty
    std::uint32_t major_version = 0;
    std::uint32_t minor_version = 0;
    UsageType usage = UsageType::user_data;
    SourceType source = SourceType::other;
    BackupSchema schema = BackupSchema::no_flags;
    std::vector<ComponentMetadata> components;
    std::vector<FileSet> excluded;                // left out of the backup
    std::vector<FileSet> excluded_from_snapshot;  // deleted from the snapshot
    std::optional<RestoreMethodMetadata> restore_method;
    std::string version = "1.2";
    UnknownXml unknown;            // of the root
    UnknownXml unknown_identity;   // of IDENTIFICATION
    UnknownXml unknown_locations;  // of BACKUP_LOCATIONS
    friend bool operator==(const WriterMetadata&, const WriterMetadata&) = default;

    // Null when there is none; an empty logical path is the root.
    [[nodiscard]] const ComponentMetadata* find(std::string_view logical_path, std::string_view name) const;
};

// Ranges of one file that are to be backed up (partial file) or that changed since a time (differenced file).
struct PartialFile {
    std::string path;
    std::string file_name;
    std::string ranges;  // "offset:length,..." or the name of a ranges file, as the writer gave it
    std::string metadata;
    UnknownXml unknown{};
    friend bool operator==(const PartialFile&, const PartialFile&) = default;
};
struct DifferencedFile {
    FileSet files;
    std::int64_t last_modified = 0;  // FILETIME
    friend bool operator==(const DifferencedFile&, const DifferencedFile&) = default;
};
struct DirectedTarget {
    std::string source_path, source_name, source_ranges;
    std::string target_path, target_name, target_ranges;
    UnknownXml unknown{};
    friend bool operator==(const DirectedTarget&, const DirectedTarget&) = default;
};
struct RestoreSubcomponent {
    std::string logical_path;
    std::string name;
    UnknownXml unknown{};
    friend bool operator==(const RestoreSubcomponent&, const RestoreSubcomponent&) = default;
};
struct ComponentFailure {  // IVssComponentEx2::SetFailure
    HResult failure = HResult::s_ok;
    HResult application_failure = HResult::s_ok;
    std::string application_message;
    UnknownXml unknown{};
    friend bool operator==(const ComponentFailure&, const ComponentFailure&) = default;
};

// What a restore wants of one component and what came of it.
struct RestoreChoice {
    bool selected = false;
    bool additional_restores = false;  // incrementals still follow: keep the database offline
    bool authoritative = false;
    std::string options;
    std::string new_name;
    RollForward roll_forward = RollForward::undefined;
    std::string roll_forward_point;
    RestoreTarget target = RestoreTarget::undefined;
    FileRestoreStatus status = FileRestoreStatus::undefined;
    std::vector<RestoreSubcomponent> subcomponents;
    std::vector<LocationMapping> new_targets;
    std::vector<LocationMapping> alternate_mappings;
    std::vector<DirectedTarget> directed_targets;
    std::string pre_restore_failure;
    std::string post_restore_failure;
    friend bool operator==(const RestoreChoice&, const RestoreChoice&) = default;
};

// One component as the backup holds it (COMPONENT).
struct BackupComponent {
    ComponentType type = ComponentType::file_group;
    std::string logical_path;
    std::string name;
    std::optional<bool> succeeded;  // set by SetBackupSucceeded
    std::string backup_options;
    std::string backup_stamp;
    std::string previous_backup_stamp;
    std::string backup_metadata;
    std::string restore_metadata;
    std::vector<PartialFile> partial_files;
    std::vector<DifferencedFile> differenced_files;
    RestoreChoice restore;
    std::optional<ComponentFailure> failure;
    UnknownXml unknown;
    UnknownXml unknown_metadata;  // of BACKUP_METADATA
    friend bool operator==(const BackupComponent&, const BackupComponent&) = default;
};

// The components of one writer (WRITER_COMPONENTS).
struct BackupWriter {
    Uuid writer_id;
    Uuid instance_id;
    std::string instance_name;
    BackupSchema schema = BackupSchema::no_flags;
    std::vector<BackupComponent> components;
    UnknownXml unknown;
    friend bool operator==(const BackupWriter&, const BackupWriter&) = default;

    // By type, path and name; null when there is none.
    [[nodiscard]] const BackupComponent* find(const ComponentKey& key) const;
};

// One snapshot of a set as the document records it, for import on another machine.
struct RecordedSnapshot {
    SnapshotProperties properties;
    UnknownXml unknown{};
    friend bool operator==(const RecordedSnapshot&, const RecordedSnapshot&) = default;
};

// One Backup Components Document.
struct BackupDocument {
    bool bootable_system_state = false;
    bool select_components = false;
    BackupType type = BackupType::undefined;
    bool partial_files = false;
    Uuid snapshot_set_id;  // nil before DoSnapshotSet
    std::vector<BackupWriter> writers;
    std::vector<RecordedSnapshot> snapshots;
    std::string version = "1.2";
    UnknownXml unknown;
    friend bool operator==(const BackupDocument&, const BackupDocument&) = default;

    // Null when there is none. A nil instance in the key takes the first writer of the class.
    [[nodiscard]] BackupComponent* find(const ComponentKey& key);
    [[nodiscard]] const BackupComponent* find(const ComponentKey& key) const;
};

}  // namespace exshadow::vss
