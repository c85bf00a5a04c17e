#include "vss/backup_kinds.h"

#include <algorithm>

namespace exshadow::vss {

namespace {

BackupSchema schema_bit(BackupType type) {
    switch (type) {
        case BackupType::incremental: return BackupSchema::incremental;
        case BackupType::differential: return BackupSchema::differential;
        case BackupType::log: return BackupSchema::log;
        case BackupType::copy: return BackupSchema::copy;
        default: return BackupSchema::no_flags;
    }
}

bool is_base_for(BackupType type, BackupType earlier) {
    switch (type) {
        case BackupType::incremental:
            return earlier == BackupType::full || earlier == BackupType::incremental;
        case BackupType::differential: return earlier == BackupType::full;
        case BackupType::log:
            return earlier == BackupType::full || earlier == BackupType::incremental ||
                   earlier == BackupType::log;
        default: return false;
    }
}

Error no_base(BackupType type, std::string_view why) {
    return {Code::refused, "there is no base for " + word(type) + " backup: " + std::string(why),
            "make a full backup first"};
}

// Why none of the history is a base: of its newest, which people will have thought of.
std::string why_none(BackupType type, std::span<const PastBackup> history) {
    if (history.empty()) return "none is known";
    const auto& last = history.back();
    if (!last.succeeded) return "the last one failed";
    if (!is_base_for(type, last.type)) return "the last one was " + word(last.type);
    return "none that succeeded is known";
}

// Incremental and differential backups that were made since the last full one.
bool mixes(BackupType type, std::span<const PastBackup> history) {
    const auto other = type == BackupType::incremental    ? BackupType::differential
                       : type == BackupType::differential ? BackupType::incremental
                                                          : BackupType::undefined;
    for (std::size_t i = history.size(); i-- > 0;) {
        if (!history[i].succeeded) continue;
        if (history[i].type == BackupType::full) return false;
        if (history[i].type == other) return true;
    }
    return false;
}

}  // namespace

ActualBackup actual_backup(BackupType wanted, BackupSchema schema) {
    const auto bit = schema_bit(wanted);
    if (wanted == BackupType::undefined) return {};
    if (bit == BackupSchema::no_flags || has(schema, bit)) return {wanted, {}};
    std::string warning = "the writer does not know " + word(wanted) + " backups and makes a full one";
    if (wanted == BackupType::copy) warning += "; it may truncate its logs and change its backup history";
    return {BackupType::full, std::move(warning)};
}

KindBits kind_bits(BackupType actual) {
    using Bits = FileSpecBackupType;
    switch (actual) {
        case BackupType::differential:
            return {Bits::differential_backup_required, Bits::differential_snapshot_required};
        case BackupType::incremental:
            return {Bits::incremental_backup_required, Bits::incremental_snapshot_required};
        case BackupType::log: return {Bits::log_backup_required, Bits::log_snapshot_required};
        default: return {Bits::full_backup_required, Bits::full_snapshot_required};
    }
}

std::vector<NeededFiles> files_needed(const ComponentMetadata& component, BackupType actual) {
    const auto bits = kind_bits(actual);
    std::vector<NeededFiles> needed;
    const auto add = [&](const std::vector<FileSet>& sets, FileRole role) {
        for (const auto& set : sets) {
            if (!has(set.backup_type, bits.backup)) continue;
            needed.push_back({&set, role, has(set.backup_type, bits.snapshot),
                              has(set.backup_type, FileSpecBackupType::created_during_backup)});
        }
    };
    add(component.files, FileRole::file);
    add(component.database_files, FileRole::database_file);
    add(component.database_logs, FileRole::database_log);
    return needed;
}

bool snapshot_needed(const ComponentMetadata& component, BackupType actual) {
    const auto bit = kind_bits(actual).snapshot;
    const auto wants = [bit](const FileSet& set) { return has(set.backup_type, bit); };
    return std::ranges::any_of(component.files, wants) ||
           std::ranges::any_of(component.database_files, wants) ||
           std::ranges::any_of(component.database_logs, wants);
}

bool needs_base(BackupType actual) {
    return actual == BackupType::incremental || actual == BackupType::differential ||
           actual == BackupType::log;
}

Result<BackupBase> backup_base(BackupType actual, BackupSchema schema, std::span<const PastBackup> history) {
    if (!needs_base(actual)) return BackupBase{};
    for (std::size_t i = history.size(); i-- > 0;) {
        if (!history[i].succeeded || !is_base_for(actual, history[i].type)) continue;
        if (has(schema, BackupSchema::exclusive_incremental_differential) && mixes(actual, history))
            return no_base(actual, "the writer excludes mixing incremental and differential backups");
        if (has(schema, BackupSchema::timestamped) && history[i].stamp.empty())
            return no_base(actual, "the writer works by stamps and the last one has none");
        return BackupBase{i, history[i].stamp};
    }
    return no_base(actual, why_none(actual, history));
}

}  // namespace exshadow::vss
