#include <algorithm>
#include <utility>

#include "vss/backup_try.h"

namespace exshadow::vss {

Status BackupTry::begin() {
    auto made = host_.make();
    if (!made.ok()) return made.error();
    requestor_ = std::move(made).value();
    EXSHADOW_TRY(requestor_->initialize_for_backup(""));
    if (request_.context != context::backup) EXSHADOW_TRY(requestor_->set_context(request_.context));
    EXSHADOW_TRY(requestor_->set_backup_state(request_.state));
    if (!disabled_.empty() && writers_) EXSHADOW_TRY(requestor_->disable_writer_classes(disabled_));
    return {};
}

Status BackupTry::learn_writers() {
    say(host_, "asking the writers");
    auto metadata = ask_writers(*requestor_, limits_);
    if (!metadata.ok()) return metadata.error();
    metadata_ = std::move(metadata).value();
    const auto documents = requestor_->writer_metadata_documents();
    if (!documents.ok()) return documents.error();
    for (std::size_t i = 0; i < metadata_.size() && i < documents->size(); ++i)
        report_.writer_documents.push_back(
            {metadata_[i].writer_id, metadata_[i].instance_id, metadata_[i].name, (*documents)[i]});
    return {};
}

// Another creation on this machine is waited for; everything else is answered at once.
Status BackupTry::open_set() {
    for (Milliseconds waited = 0;;) {
        const auto set = requestor_->start_snapshot_set();
        if (set.ok()) {
            set_ = *set;
            return add_volumes();
        }
        if (hresult_of(set.error()) != HResult::vss_e_snapshot_set_in_progress ||
            waited >= request_.retry.busy_limit)
            return set.error();
        if (waited == 0) say(host_, "another snapshot set is being made on this machine: waiting for it");
        const auto turn = std::max<Milliseconds>(1, request_.retry.busy_wait);
        EXSHADOW_TRY(pause(host_, turn));
        waited += turn;
    }
}

Status BackupTry::add_volumes() {
    const auto provider = find_provider(*requestor_, request_.provider);
    if (!provider.ok()) return provider.error();
    for (const auto& volume : volumes_) {
        const auto supported = requestor_->is_volume_supported(*provider, volume);
        if (!supported.ok()) return about_volume(supported.error(), volume);
        if (!*supported)
            return vss_error(provider->is_nil() ? HResult::vss_e_volume_not_supported
                                                : HResult::vss_e_volume_not_supported_by_provider,
                             "volume " + shown(volume));
        const auto snapshot = requestor_->add_to_snapshot_set(volume, *provider);
        if (!snapshot.ok()) return about_volume(snapshot.error(), volume);
        added_.emplace_back(*snapshot, volume);
    }
    return {};
}

std::string BackupTry::shown(const std::string& volume) const {
    return host_.shown ? host_.shown(volume) : volume;
}

Error BackupTry::about_volume(const Error& error, const std::string& volume) const {
    const auto name = shown(volume);
    return error.message().find(name) == std::string::npos ? error.within("volume " + name) : error;
}

Status BackupTry::prepare() {
    say(host_, "preparing the writers");
    const auto prepared = run(requestor_->prepare_for_backup(), "PrepareForBackup", limits_);
    if (!prepared.ok()) return step_failed(prepared.error(), "PrepareForBackup");
    return check_writers("PrepareForBackup");
}

Status BackupTry::snap() {
    if (volumes_.empty()) {
        if (snapshot_needed_)
            return Error(Code::invalid, "no volume is named to take a snapshot of",
                         "name at least one volume");
        report_.notes.push_back("no snapshot was made: none of the chosen files is to be read from one");
        return {};
    }
    say(host_, "making the snapshots");
    auto begun = requestor_->do_snapshot_set();
    snapping_ = begun.ok();
    const auto made = run(std::move(begun), "DoSnapshotSet", limits_);
    if (!made.ok()) return step_failed(made.error(), "DoSnapshotSet");
    snapped_ = true;
    report_.snapshot_set_id = set_;
    EXSHADOW_TRY(check_writers("DoSnapshotSet"));
    return read_snapshots();
}

Status BackupTry::read_snapshots() {
    // A transportable snapshot belongs to the machine that imports it and is not to be queried here.
    const bool elsewhere = has(request_.context, SnapshotAttributes::transportable);
    for (const auto& [id, volume] : added_) {
        SnapshotProperties properties;
        properties.snapshot_id = id;
        properties.set_id = set_;
        properties.set_size = static_cast<std::int32_t>(added_.size());
        properties.original_volume = volume;
        properties.attributes = request_.context;
        properties.state = SnapshotState::created;
        if (!elsewhere) {
            auto read = requestor_->snapshot_properties(id);
            if (!read.ok()) return read.error();
            properties = std::move(read).value();
        }
        report_.snapshots.push_back(std::move(properties));
    }
    return {};
}

Status BackupTry::complete() {
    say(host_, "completing the backup");
    const auto ended = run(requestor_->backup_complete(), "BackupComplete", limits_);
    if (!ended.ok()) return step_failed(ended.error(), "BackupComplete");
    report_.completed = true;
    const auto status = check_writers("BackupComplete");
    auto document = requestor_->save_as_xml();
    if (document.ok()) {
        report_.document = std::move(document).value();
        return status;
    }
    // What was saved before the outcome was told is no document of this backup.
    report_.document.clear();
    const auto error = document.error().within("the backup is complete, but its document cannot be saved");
    if (status.ok()) return error;
    report_.notes.push_back(error.message());
    return status;
}

// Nothing may be left of a try that failed: persistent snapshots outlive even an abort.
void BackupTry::discard() {
    if (!requestor_) return;
    bool left = false;
    if (snapped_ && has(request_.context, SnapshotAttributes::no_auto_release)) {
        const auto gone = requestor_->delete_snapshots(set_, ObjectType::snapshot_set, true);
        left = !gone.ok() || gone->failed_snapshot;
        if (left)
            report_.notes.push_back("the snapshots of set " + set_.text() +
                                    " could not be deleted: delete them by hand");
    }
    if (!left) {
        report_.snapshot_set_id = {};
        report_.snapshots.clear();
    }
    static_cast<void>(requestor_->abort_backup());  // refused where there is nothing to abort
    requestor_.reset();
    if (snapping_ && !snapped_ && has(request_.context, SnapshotAttributes::no_auto_release)) sweep();
}

// A service may finish a set after it was given up, or after it called it failed: its snapshots would stay.
void BackupTry::sweep() {
    const auto gone = vss::delete_snapshots(host_, set_, ObjectType::snapshot_set, true);
    const bool none = !gone.ok() && hresult_of(gone.error()) == HResult::vss_e_object_not_found;
    if (none || (gone.ok() && !gone->failed_snapshot)) return;
    report_.notes.push_back("whether snapshots of set " + set_.text() +
                            " were left is not known: look for them, and delete them by hand");
}

Status BackupTry::run_through(const Between& between) {
    const auto all = [&]() -> Status {
        EXSHADOW_TRY(begin());
        if (writers_) EXSHADOW_TRY(learn_writers());
        EXSHADOW_TRY(choose());
        EXSHADOW_TRY(open_set());
        if (writers_) EXSHADOW_TRY(prepare());
        EXSHADOW_TRY(snap());
        auto document = requestor_->save_as_xml();
        if (!document.ok()) return document.error();
        report_.document = std::move(document).value();
        files_were_touched_ = true;
        const auto copied = between ? between(report_) : Result<Copied>(Copied{});
        if (!copied.ok()) return copied.error();
        if (!writers_) {
            report_.completed = true;
            return {};
        }
        EXSHADOW_TRY(tell_outcome(*copied));
        return complete();
    };
    auto status = all();
    if (!status.ok() && !report_.completed) discard();
    return status;
}

}  // namespace exshadow::vss
