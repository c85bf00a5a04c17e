#include "vss/backup_kinds.h"

#include <doctest/doctest.h>

using namespace exshadow;
using namespace exshadow::vss;

namespace {

using Bits = FileSpecBackupType;
constexpr auto no_schema = BackupSchema::no_flags;

PastBackup past(BackupType type, std::string stamp = "", bool succeeded = true) {
    return {type, succeeded, std::move(stamp)};
}

}  // namespace

TEST_CASE("a writer without the schema bit makes a full backup") {
    struct Row {
        BackupType wanted;
        BackupSchema bit;
    };
    for (const auto& [wanted, bit] :
         {Row{BackupType::incremental, BackupSchema::incremental},
          Row{BackupType::differential, BackupSchema::differential}, Row{BackupType::log, BackupSchema::log},
          Row{BackupType::copy, BackupSchema::copy}}) {
        CHECK(actual_backup(wanted, bit).type == wanted);
        CHECK(actual_backup(wanted, bit).warning.empty());
        CHECK(actual_backup(wanted, no_schema).type == BackupType::full);
        CHECK_FALSE(actual_backup(wanted, no_schema).warning.empty());
        const auto others = static_cast<BackupSchema>(~static_cast<std::uint32_t>(bit));
        CHECK(actual_backup(wanted, others).type == BackupType::full);
    }
    CHECK(actual_backup(BackupType::copy, no_schema).warning.find("truncate its logs") != std::string::npos);
    CHECK(actual_backup(BackupType::full, no_schema).warning.empty());
    CHECK(actual_backup(BackupType::undefined, no_schema).type == BackupType::full);
}

TEST_CASE("the mask decides which files a kind of backup copies, and from where") {
    ComponentMetadata component;
    const auto add = [](std::vector<FileSet>& sets, Bits mask) {
        sets.emplace_back();
        sets.back().backup_type = mask;
    };
    add(component.files, standard_backup_type);
    add(component.files, Bits::full_backup_required | Bits::incremental_snapshot_required);
    add(component.database_files, Bits::full_backup_required | Bits::full_snapshot_required);
    add(component.database_logs, Bits::log_backup_required | Bits::created_during_backup);
    const auto full = files_needed(component, BackupType::full);
    REQUIRE(full.size() == 3);
    CHECK(full[0].from_snapshot);
    CHECK_FALSE(full[1].from_snapshot);
    CHECK(full[2].role == FileRole::database_file);
    CHECK(files_needed(component, BackupType::copy).size() == 3);
    const auto log = files_needed(component, BackupType::log);
    REQUIRE(log.size() == 2);
    CHECK(log[1].role == FileRole::database_log);
    CHECK(log[1].created_during_backup);
    CHECK_FALSE(log[1].from_snapshot);
    CHECK(files_needed(component, BackupType::incremental).size() == 1);
    CHECK(files_needed(component, BackupType::differential).size() == 1);
}

TEST_CASE("a snapshot is needed when any file set wants one in that kind") {
    ComponentMetadata component;
    CHECK_FALSE(snapshot_needed(component, BackupType::full));
    component.database_logs.resize(1);
    component.database_logs[0].backup_type = Bits::log_backup_required | Bits::log_snapshot_required;
    CHECK(snapshot_needed(component, BackupType::log));
    CHECK_FALSE(snapshot_needed(component, BackupType::full));
}

TEST_CASE("the base is the newest backup of the right kind that succeeded") {
    const std::vector<PastBackup> history{
        past(BackupType::full, "f1"),         past(BackupType::incremental, "i1"),
        past(BackupType::differential, "d1"), past(BackupType::log, "l1"),
        past(BackupType::copy, "c1"),         past(BackupType::full, "f2", false)};
    const auto base = [&](BackupType type) { return backup_base(type, no_schema, history); };
    CHECK(base(BackupType::incremental)->index == 1);
    CHECK(base(BackupType::incremental)->stamp == "i1");
    CHECK(base(BackupType::differential)->index == 0);
    CHECK(base(BackupType::log)->index == 3);
    CHECK_FALSE(base(BackupType::full)->index.has_value());
    CHECK_FALSE(base(BackupType::copy)->index.has_value());
    const std::vector<PastBackup> copies{past(BackupType::copy, "c")};
    CHECK(backup_base(BackupType::incremental, no_schema, copies).error().code() == Code::refused);
}

TEST_CASE("a writer that works by stamps needs one in the base") {
    const std::vector<PastBackup> history{past(BackupType::full)};
    CHECK(backup_base(BackupType::incremental, no_schema, history).ok());
    CHECK_FALSE(backup_base(BackupType::incremental, BackupSchema::timestamped, history).ok());
}

TEST_CASE("incremental and differential are not mixed when the writer excludes it") {
    const auto exclusive = BackupSchema::exclusive_incremental_differential;
    std::vector<PastBackup> history{past(BackupType::full), past(BackupType::differential)};
    CHECK(backup_base(BackupType::incremental, no_schema, history).ok());
    CHECK_FALSE(backup_base(BackupType::incremental, exclusive, history).ok());
    CHECK(backup_base(BackupType::differential, exclusive, history).ok());
    history.push_back(past(BackupType::full));
    CHECK(backup_base(BackupType::incremental, exclusive, history).ok());
    history.push_back(past(BackupType::incremental));
    CHECK_FALSE(backup_base(BackupType::differential, exclusive, history).ok());
    history.back().succeeded = false;
    CHECK(backup_base(BackupType::differential, exclusive, history).ok());
}
