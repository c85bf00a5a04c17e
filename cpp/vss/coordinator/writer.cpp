#include "vss/coordinator/writer.h"

#include <algorithm>
#include <array>

#include "vss/documents.h"

namespace exshadow::vss {

namespace {

struct EventNames {
    std::string_view word;
    std::string_view sdk_name;
};
constexpr auto event_names = std::to_array<EventNames>({
    {"identify", "Identify"},
    {"prepare_backup", "PrepareForBackup"},
    {"prepare_snapshot", "PrepareForSnapshot"},
    {"freeze", "Freeze"},
    {"thaw", "Thaw"},
    {"abort", "Abort"},
    {"post_snapshot", "PostSnapshot"},
    {"backup_complete", "BackupComplete"},
    {"backup_shutdown", "BackupShutdown"},
    {"pre_restore", "PreRestore"},
    {"post_restore", "PostRestore"},
});
static_assert(event_names.size() == writer_event_count);

char folded(char c) {
    if (c == '/') return '\\';
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

bool same_name(std::string_view a, std::string_view b) {
    return std::ranges::equal(a, b, {}, folded, folded);
}

// Windows' names compare without case, and their separators are equal; others byte by byte.
bool lies_on(std::string_view path, std::string_view volume) {
    const bool of_windows = volume.find('\\') != std::string_view::npos || volume.find(':') != volume.npos;
    while (!volume.empty() && (volume.back() == '\\' || volume.back() == '/')) volume.remove_suffix(1);
    if (path.size() < volume.size()) return false;
    const auto start = path.substr(0, volume.size());
    if (of_windows ? !same_name(start, volume) : start != volume) return false;
    return path.size() == volume.size() || path[volume.size()] == '/' || path[volume.size()] == '\\';
}

Task<WriterAnswer> nothing_to_do() {
    co_return WriterAnswer::ok();
}

}  // namespace

std::string_view word(WriterEvent event) {
    return event_names[static_cast<std::size_t>(event)].word;
}
std::string_view sdk_name(WriterEvent event) {
    return event_names[static_cast<std::size_t>(event)].sdk_name;
}

bool WriterCall::is_path_affected(std::string_view path) const {
    const auto& volumes = facts_->volumes;
    if (facts_->volume_of_path) {
        // The set's volumes may be named by any of their paths.
        const auto& volume_of = facts_->volume_of_path;
        const auto volume = volume_of(path);
        return !volume.empty() && std::ranges::any_of(volumes, [&](const std::string& one) {
            return same_name(one, volume) || same_name(volume_of(one), volume);
        });
    }
    return std::ranges::any_of(volumes, [&](const std::string& one) { return lies_on(path, one); });
}

Result<BackupComponent*> WriterCall::editable(std::string_view what, bool permitted, std::string_view path,
                                              std::string_view name) {
    if (!permitted) {
        return vss_error(HResult::vss_e_bad_state,
                         std::string(what) + " in the event " + std::string(sdk_name(event_)));
    }
    const auto& found = index_.find(own_.components, path, name);
    if (found.empty()) {
        return vss_error(HResult::vss_e_object_not_found,
                         std::string(what) + " of '" + std::string(path) + "\\" + std::string(name) + "'");
    }
    edited_ = true;
    return &own_.components[found.front()];
}

bool WriterCall::backup_part_open() const {
    return event_ == WriterEvent::prepare_backup || event_ == WriterEvent::post_snapshot;
}

// One edit: find the component, or say why not; then change it. The texts are those of the change.
#define EXSHADOW_EDIT(what, permitted, change, ...)                       \
    do {                                                                  \
        EXSHADOW_TRY(fit_for_xml((what), {__VA_ARGS__}));                 \
        const auto component = editable((what), (permitted), path, name); \
        if (!component.ok()) return component.error();                    \
        (*component)->change;                                             \
        return {};                                                        \
    } while (false)

Status WriterCall::set_backup_metadata(std::string_view path, std::string_view name, std::string text) {
    EXSHADOW_EDIT("SetBackupMetadata", backup_part_open(), backup_metadata = std::move(text), text);
}
Status WriterCall::set_restore_metadata(std::string_view path, std::string_view name, std::string text) {
    EXSHADOW_EDIT("SetRestoreMetadata", backup_part_open(), restore_metadata = std::move(text), text);
}
Status WriterCall::set_backup_stamp(std::string_view path, std::string_view name, std::string text) {
    EXSHADOW_EDIT("SetBackupStamp", backup_part_open(), backup_stamp = std::move(text), text);
}
Status WriterCall::add_partial_file(std::string_view path, std::string_view name, PartialFile file) {
    EXSHADOW_EDIT("AddPartialFile", backup_part_open(), partial_files.push_back(std::move(file)), file.path,
                  file.file_name, file.ranges, file.metadata);
}
Status WriterCall::add_differenced_file(std::string_view path, std::string_view name, DifferencedFile file) {
    EXSHADOW_EDIT("AddDifferencedFiles", backup_part_open(), differenced_files.push_back(std::move(file)),
                  file.files.path, file.files.spec, file.files.alternate_path);
}
Status WriterCall::set_restore_target(std::string_view path, std::string_view name, RestoreTarget target) {
    EXSHADOW_EDIT("SetRestoreTarget", event_ == WriterEvent::pre_restore, restore.target = target);
}
Status WriterCall::add_directed_target(std::string_view path, std::string_view name, DirectedTarget target) {
    EXSHADOW_EDIT("AddDirectedTarget", event_ == WriterEvent::pre_restore,
                  restore.directed_targets.push_back(std::move(target)), target.source_path,
                  target.source_name, target.source_ranges, target.target_path, target.target_name,
                  target.target_ranges);
}
Status WriterCall::set_pre_restore_failure(std::string_view path, std::string_view name, std::string text) {
    EXSHADOW_EDIT("SetPreRestoreFailureMsg", event_ == WriterEvent::pre_restore,
                  restore.pre_restore_failure = std::move(text), text);
}
Status WriterCall::set_post_restore_failure(std::string_view path, std::string_view name, std::string text) {
    EXSHADOW_EDIT("SetPostRestoreFailureMsg", event_ == WriterEvent::post_restore,
                  restore.post_restore_failure = std::move(text), text);
}
Status WriterCall::set_component_failure(std::string_view path, std::string_view name,
                                         ComponentFailure component_failure) {
    const bool restoring = event_ == WriterEvent::pre_restore || event_ == WriterEvent::post_restore;
    EXSHADOW_EDIT("SetFailure", backup_part_open() || restoring, failure = std::move(component_failure),
                  component_failure.application_message);
}
#undef EXSHADOW_EDIT

Task<WriterAnswer> Writer::on_prepare_backup(WriterCallPtr /*call*/) {
    return nothing_to_do();
}
Task<WriterAnswer> Writer::on_post_snapshot(WriterCallPtr /*call*/) {
    return nothing_to_do();
}
Task<WriterAnswer> Writer::on_backup_complete(WriterCallPtr /*call*/) {
    return nothing_to_do();
}
Task<WriterAnswer> Writer::on_backup_shutdown(WriterCallPtr /*call*/) {
    return nothing_to_do();
}
Task<WriterAnswer> Writer::on_pre_restore(WriterCallPtr /*call*/) {
    return nothing_to_do();
}
Task<WriterAnswer> Writer::on_post_restore(WriterCallPtr /*call*/) {
    return nothing_to_do();
}

WriterAnswer BlockingWriter::on_prepare_backup(WriterCall& /*call*/) {
    return WriterAnswer::ok();
}
WriterAnswer BlockingWriter::on_post_snapshot(WriterCall& /*call*/) {
    return WriterAnswer::ok();
}
WriterAnswer BlockingWriter::on_backup_complete(WriterCall& /*call*/) {
    return WriterAnswer::ok();
}
WriterAnswer BlockingWriter::on_backup_shutdown(WriterCall& /*call*/) {
    return WriterAnswer::ok();
}
WriterAnswer BlockingWriter::on_pre_restore(WriterCall& /*call*/) {
    return WriterAnswer::ok();
}
WriterAnswer BlockingWriter::on_post_restore(WriterCall& /*call*/) {
    return WriterAnswer::ok();
}

}  // namespace exshadow::vss
