// The restore's side of a session. The document that was given holds the components; the live writers say
// what may be done with them.
#include <algorithm>

#include "vss/coordinator/session.h"
#include "vss/documents.h"

namespace exshadow::vss {

namespace {

std::string shown(Call call, const ComponentKey& key) {
    return std::string(name(call)) + ": component '" + key.logical_path + "\\" + key.name + "' of writer " +
           key.writer_id.text();
}

bool same_files(const FileSet& a, const FileSet& b) {
    return a.path == b.path && a.spec == b.spec && a.recursive == b.recursive;
}

// Whether `part` lies below `key` in the tree of logical paths.
bool below(const RestoreSubcomponent& part, const ComponentKey& key) {
    const std::string root = key.logical_path.empty() ? key.name : key.logical_path + "\\" + key.name;
    return part.logical_path == root || part.logical_path.starts_with(root + "\\");
}

}  // namespace

// The running writer that a component of the document goes back to. The key's instance may be the document's
// or the running one; nil: the first of the class that has such a component.
const WriterMetadata* Session::restored_by(const ComponentKey& key) {
    for (const auto& part : document_.writers) {
        auto of_document = key;
        of_document.instance_id = part.instance_id;
        if (find_component(of_document) == nullptr) continue;
        for (const auto& one : writers_.participants()) {
            const Uuid& running = one.options.instance_id;
            if (writers_.part_of(running) != &part) continue;
            const bool meant =
                key.instance_id.is_nil() || key.instance_id == part.instance_id || key.instance_id == running;
            if (meant) return &one.metadata;
        }
    }
    return nullptr;
}

// VSS_E_OBJECT_NOT_FOUND when it is not in the document, or its writer does not run here.
Status Session::set_selected_for_restore(ComponentKey key, bool selected) {
    const auto found = component(Call::select_for_restore, key);
    if (!found.ok()) return found.error();
    const auto of_class = [&](const auto& one) { return one.options.writer_id == key.writer_id; };
    const bool running = key.instance_id.is_nil() ? std::ranges::any_of(coordinator_.writers(), of_class)
                                                  : restored_by(key) != nullptr;
    if (!running) {
        return vss_error(HResult::vss_e_object_not_found,
                         shown(Call::select_for_restore, key) + ", which does not run");
    }
    (*found)->restore.selected = selected;
    return {};
}

Status Session::set_restore_options(ComponentKey key, std::string options) {
    const auto found = component(Call::select_for_restore, key);
    if (!found.ok()) return found.error();
    EXSHADOW_TRY(fit_for_xml("SetRestoreOptions", {options}));
    (*found)->restore.options = std::move(options);
    return {};
}
Status Session::set_additional_restores(ComponentKey key, bool more) {
    const auto found = component(Call::select_for_restore, key);
    if (!found.ok()) return found.error();
    (*found)->restore.additional_restores = more;
    return {};
}
Status Session::set_authoritative_restore(ComponentKey key, bool authoritative) {
    const auto found = component(Call::select_for_restore, key);
    if (!found.ok()) return found.error();
    (*found)->restore.authoritative = authoritative;
    return {};
}
Status Session::set_roll_forward(ComponentKey key, RollForward kind, std::string point) {
    const auto found = component(Call::select_for_restore, key);
    if (!found.ok()) return found.error();
    EXSHADOW_TRY(known_value("SetRollForward", kind));
    if (kind == RollForward::partial && point.empty())
        return vss_error(HResult::e_invalidarg, "SetRollForward to a point without one");
    EXSHADOW_TRY(fit_for_xml("SetRollForward", {point}));
    (*found)->restore.roll_forward = kind;
    (*found)->restore.roll_forward_point = std::move(point);
    return {};
}
Status Session::set_restore_name(ComponentKey key, std::string name) {
    const auto found = component(Call::select_for_restore, key);
    if (!found.ok()) return found.error();
    EXSHADOW_TRY(fit_for_xml("SetRestoreName", {name}));
    (*found)->restore.new_name = std::move(name);
    return {};
}

// A part of what was selected; the writer must permit it to be restored alone.
Status Session::add_restore_subcomponent(ComponentKey key, RestoreSubcomponent part) {
    const auto found = component(Call::select_for_restore, key);
    if (!found.ok()) return found.error();
    const std::string what = shown(Call::select_for_restore, key);
    if (!(*found)->restore.selected)
        return vss_error(HResult::vss_e_bad_state, what + " is not selected for restore");
    const auto* const metadata = restored_by(key);
    const auto* const known = metadata == nullptr ? nullptr : metadata->find(part.logical_path, part.name);
    if (known == nullptr || !below(part, key)) {
        return vss_error(HResult::vss_e_object_not_found,
                         what + ": subcomponent '" + part.logical_path + "\\" + part.name + "'");
    }
    if (!known->selectable_for_restore)
        return vss_error(HResult::e_invalidarg, what + ": '" + part.name + "' cannot be restored alone");
    (*found)->restore.subcomponents.push_back(std::move(part));
    return {};
}

// Path, pattern and recursion must be those of a file set of the component or of one below it.
Status Session::check_file_set(const ComponentKey& key, const FileSet& files) {
    const auto* const metadata = restored_by(key);
    const auto holds = [&](const std::vector<FileSet>& sets) {
        return std::ranges::any_of(sets, [&](const FileSet& one) { return same_files(one, files); });
    };
    if (metadata != nullptr) {
        for (const auto& one : metadata->components) {
            const bool same = one.logical_path == key.logical_path && one.name == key.name;
            if (!same && !below({one.logical_path, one.name}, key)) continue;
            if (holds(one.files) || holds(one.database_files) || holds(one.database_logs)) return {};
        }
    }
    return vss_error(HResult::vss_e_object_not_found,
                     "file set '" + files.path + "', '" + files.spec + "' of writer " + key.writer_id.text());
}

Status Session::add_new_target(ComponentKey key, LocationMapping target) {
    const auto found = component(Call::select_for_restore, key);
    if (!found.ok()) return found.error();
    const auto* const metadata = restored_by(key);
    if (metadata != nullptr && !has(metadata->schema, BackupSchema::writer_supports_new_target)) {
        return vss_error(HResult::e_invalidarg,
                         shown(Call::select_for_restore, key) + ": its writer permits no new targets");
    }
    EXSHADOW_TRY(check_file_set(key, target.files));
    EXSHADOW_TRY(fit_for_xml("AddNewTarget", {target.destination}));
    (*found)->restore.new_targets.push_back(std::move(target));
    return {};
}

Status Session::set_ranges_file_path(ComponentKey key, std::uint32_t partial_file, std::string path) {
    const auto found = component(Call::select_for_restore, key);
    if (!found.ok()) return found.error();
    auto& files = (*found)->partial_files;
    if (partial_file >= files.size()) {
        return vss_error(
            HResult::vss_e_object_not_found,
            shown(Call::select_for_restore, key) + ": partial file " + std::to_string(partial_file));
    }
    EXSHADOW_TRY(fit_for_xml("SetRangesFilePath", {path}));
    files[partial_file].ranges = std::move(path);
    return {};
}

Status Session::add_alternative_location_mapping(ComponentKey key, LocationMapping mapping) {
    const auto found = component(Call::add_alternative_location_mapping, key);
    if (!found.ok()) return found.error();
    EXSHADOW_TRY(check_file_set(key, mapping.files));
    EXSHADOW_TRY(fit_for_xml("AddAlternativeLocationMapping", {mapping.destination}));
    (*found)->restore.alternate_mappings.push_back(std::move(mapping));
    return {};
}

Status Session::set_file_restore_status(ComponentKey key, FileRestoreStatus status) {
    const auto found = component(Call::set_file_restore_status, key);
    if (!found.ok()) return found.error();
    EXSHADOW_TRY(known_value("SetFileRestoreStatus", status));
    (*found)->restore.status = status;
    return {};
}

// --- The two events.

Result<StepPtr> Session::pre_restore() {
    return begin_step(Call::pre_restore, before_restore());
}

Task<Session::StepOutcome> Session::before_restore() {
    auto sending = send_event(WriterEvent::pre_restore);
    auto outcome = co_await std::move(sending);
    // As PrepareForBackup does: who has nothing in the document hears no more.
    if (outcome.result == HResult::vss_s_async_finished) writers_.leave_out_unchosen();
    co_return outcome;
}

Result<StepPtr> Session::post_restore() {
    return begin_step(Call::post_restore, send_event(WriterEvent::post_restore));
}

// --- Resynchronisation of whole disks.

Task<Status> Session::add_snapshot_to_recovery_set(Uuid snapshot, std::string destination) {
    const auto turn = take_turn(Call::add_snapshot_to_recovery_set);
    if (!turn.ok()) co_return turn.error();
    const std::string what = "AddSnapshotToRecoverySet of " + snapshot.text();
    const auto recorded = std::ranges::any_of(document_.snapshots, [&](const RecordedSnapshot& one) {
        return one.properties.snapshot_id == snapshot;
    });
    if (!recorded) co_return vss_error(HResult::vss_e_snapshot_not_in_set, what);
    auto finding = find_snapshot(snapshot);
    const auto found = co_await std::move(finding);
    if (!found.ok()) co_return found.error();
    const auto& maker = found->provider;
    if (!maker->facts().resyncs) co_return vss_error(HResult::vss_e_legacy_provider, what);
    const std::string volume = destination.empty() ? found->properties.original_volume : destination;
    auto asking = ask(maker, ProviderCall::is_supported,
                      maker->is_volume_supported(volume, found->properties.attributes));
    const auto supported = co_await std::move(asking);
    if (!supported.ok()) co_return supported.error();
    if (!*supported)
        co_return vss_error(HResult::vss_e_volume_not_supported, what + " to volume '" + volume + "'");
    recovery_.push_back({snapshot, std::move(destination)});
    order_.ended(Call::add_snapshot_to_recovery_set, true);
    co_return Status{};
}

Result<StepPtr> Session::recover_set(RecoveryFlags flags) {
    return begin_step(Call::recover_set, recover(flags));
}

Task<Session::StepOutcome> Session::recover(RecoveryFlags flags) {
    std::vector<std::pair<ProviderPtr, std::vector<ResyncPair>>> work;
    for (const auto& pair : recovery_) {
        auto finding = find_snapshot(pair.snapshot_id);
        const auto found = co_await std::move(finding);
        if (!found.ok()) co_return outcome_of(found.error());
        auto place = std::ranges::find(work, found->provider, [](const auto& one) { return one.first; });
        if (place == work.end()) place = work.insert(place, {found->provider, {}});
        place->second.push_back(pair);
    }
    for (auto& [maker, pairs] : work) {
        // As long as the data takes: the requestor has its own limit.
        auto asking =
            ask(maker, ProviderCall::resync, maker->resync(std::move(pairs), flags), Patience::endless);
        const auto done = co_await std::move(asking);
        if (!done.ok()) co_return outcome_of(done.error());
    }
    co_return StepOutcome{};
}

}  // namespace exshadow::vss
