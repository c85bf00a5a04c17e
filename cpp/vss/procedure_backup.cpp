#include <algorithm>
#include <set>
#include <utility>

#include "vss/backup_kinds.h"
#include "vss/component_names.h"
#include "vss/documents.h"
#include "vss/procedure_steps.h"
#include "vss/writer_match.h"

namespace exshadow::vss {

namespace {

bool with_writers(SnapshotAttributes context) {
    return !has(context, SnapshotAttributes::no_writers);
}

// One try: one Requestor from its making to its end.
class BackupTry {
public:
    BackupTry(const Host& host, const BackupRequest& request, const std::vector<Uuid>& disabled,
              BackupReport& report)
        : host_(host),
          request_(request),
          limits_(with_cancel(host, request.limits)),
          disabled_(disabled),
          report_(report),
          writers_(with_writers(request.context)) {}

    Status run_through(const Between& between);
    [[nodiscard]] bool files_were_touched() const { return files_were_touched_; }

private:
    Status begin();
    Status learn_writers();
    Status choose();
    Result<Selection> select_components();
    Status check_asked(const Selection& selection) const;
    void narrow_volumes(const Selection& selection);
    [[nodiscard]] VolumeOf volume_function() const;
    [[nodiscard]] std::vector<std::string> volumes_of(const WriterMetadata& writer,
                                                      const ComponentMetadata& component) const;
    Status set_component_facts();
    Status set_stamps(const BackupDocument& base);
    Status open_set();
    Status add_volumes();
    Status prepare();
    Status snap();
    Status read_snapshots();
    Status tell_outcome(const Copied& copied);
    Status complete();
    Status check_writers(std::string_view after);
    Status step_failed(const Error& error, std::string_view after);
    std::optional<Error> judge(const std::vector<WriterStatus>& statuses, std::string_view after, bool note);
    std::vector<ComponentReport> failed_components(const WriterStatus& status);
    [[nodiscard]] std::string missing_volumes(const WriterStatus& status) const;
    [[nodiscard]] std::string shown(const std::string& volume) const;
    [[nodiscard]] Error about_volume(const Error& error, const std::string& volume) const;
    void discard();
    void sweep();
    [[nodiscard]] bool is_wanted(const WriterStatus& status) const;
    [[nodiscard]] std::vector<ComponentKey> explicit_keys() const;

    const Host& host_;
    const BackupRequest& request_;
    WaitLimits limits_;
    const std::vector<Uuid>& disabled_;
    BackupReport& report_;
    bool writers_;
    bool files_were_touched_ = false;
    bool snapping_ = false;  // DoSnapshotSet was begun
    bool snapped_ = false;   // and ended well
    bool snapshot_needed_ = true;
    std::unique_ptr<Requestor> requestor_;
    Uuid set_;
    std::vector<WriterMetadata> metadata_;
    std::vector<std::string> volumes_;
    std::vector<std::pair<Uuid, std::string>> added_;  // snapshot, volume
};

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
    const auto gathered = run(requestor_->gather_writer_metadata(), "GatherWriterMetadata", limits_);
    if (!gathered.ok()) return gathered.error();
    auto metadata = requestor_->writer_metadata();
    if (!metadata.ok()) return metadata.error();
    metadata_ = std::move(metadata).value();
    const auto documents = requestor_->writer_metadata_documents();
    if (!documents.ok()) return documents.error();
    for (std::size_t i = 0; i < metadata_.size() && i < documents->size(); ++i)
        report_.writer_documents.push_back(
            {metadata_[i].writer_id, metadata_[i].instance_id, metadata_[i].name, (*documents)[i]});
    return {};
}

Status BackupTry::choose() {
    volumes_ = request_.volumes;
    if (!writers_ || !request_.state.select_components) {
        if (!volumes_.empty()) return {};
        return Error(Code::invalid, "no volume is named to take a snapshot of", "name at least one volume");
    }
    const auto selection = select_components();
    if (!selection.ok()) return selection.error();
    report_.components = reports_of(*selection, metadata_);
    for (auto& note : notes_of(*selection, metadata_)) report_.notes.push_back(std::move(note));
    snapshot_needed_ = selection->snapshot_needed;
    if (request_.volumes.empty()) narrow_volumes(*selection);
    EXSHADOW_TRY(check_asked(*selection));
    for (const auto& key : explicit_keys()) EXSHADOW_TRY(requestor_->add_component(key));
    return set_component_facts();
}

// Without named volumes all that any component needs come into question, and those that are needed stay.
Result<Selection> BackupTry::select_components() {
    auto only = resolve(request_.included, metadata_);
    if (!only.ok()) return only.error();
    std::vector<ComponentWish> parts;  // whole writers were left out before they were asked
    for (const auto& wish : request_.excluded) {
        if (!wish.component.empty()) parts.push_back(wish);
    }
    auto excluded = resolve(parts, metadata_);
    if (!excluded.ok()) return excluded.error();
    SelectionRequest wanted;
    wanted.type = request_.state.type;
    wanted.only = std::move(only).value();
    wanted.excluded = std::move(excluded).value();
    wanted.volume_of = volume_function();
    if (volumes_.empty()) {
        std::set<std::string> all;
        for (const auto& writer : metadata_) {
            for (const auto& component : writer.components) {
                for (auto& volume : volumes_of(writer, component)) all.insert(std::move(volume));
            }
        }
        volumes_.assign(all.begin(), all.end());
    }
    wanted.volumes = volumes_;
    return select(metadata_, wanted);
}

// A host that knows nothing of paths has every file in the set.
VolumeOf BackupTry::volume_function() const {
    if (host_.volume_of) return host_.volume_of;
    return [volume = volumes_.empty() ? std::string() : volumes_.front()](const std::string&) {
        return std::optional(volume);
    };
}

std::vector<std::string> BackupTry::volumes_of(const WriterMetadata& writer,
                                               const ComponentMetadata& component) const {
    const auto actual = actual_backup(request_.state.type, writer.schema).type;
    return volumes_needed(component, actual, volume_function()).volumes;
}

void BackupTry::narrow_volumes(const Selection& selection) {
    std::set<std::string> needed;
    for (const auto& one : selection.writers) {
        for (const auto* components : {&one.added, &one.implicit}) {
            for (const auto i : *components) {
                const auto& writer = metadata_[one.writer];
                for (auto& volume : volumes_of(writer, writer.components[i]))
                    needed.insert(std::move(volume));
            }
        }
    }
    needed.erase("");
    volumes_.assign(needed.begin(), needed.end());
}

// What was asked for by name must not be left out.
Status BackupTry::check_asked(const Selection& selection) const {
    for (const auto& one : selection.left_out) {
        for (const auto& wish : request_.included) {
            if (!names_writer(wish, one.writer_id, one.writer_name)) continue;
            const bool named =
                wish.component.empty() ? one.full_path.empty() : same_name(wish.component, one.full_path);
            if (named && one.reason != LeftOutReason::not_asked_for)
                return Error(Code::refused, "cannot back up what was asked for: " + text(one),
                             "add the volume, or ask for another component");
        }
    }
    return {};
}

std::vector<ComponentKey> BackupTry::explicit_keys() const {
    std::vector<ComponentKey> keys;
    for (const auto& one : report_.components) {
        if (one.explicitly) keys.push_back(one.key);
    }
    return keys;
}

// What the base's document says of a component, as backup_base() wants it. The writer's own schema decides
// what the base really was. A base that was saved before its outcome was told is not known to have failed.
PastBackup past_backup(const BackupDocument& base, const BackupWriter& writer, const BackupComponent& part) {
    return {actual_backup(base.type, writer.schema).type, part.succeeded.value_or(true), part.backup_stamp};
}

// The stamps of the base, of the same instance. Refused where the base is none for this kind of backup.
Status BackupTry::set_stamps(const BackupDocument& base) {
    const auto running = running_writers(metadata_);
    const auto parts = match_writers(base.writers, running);
    for (const auto& one : report_.components) {
        if (!one.explicitly) continue;
        const auto at = std::ranges::find(metadata_, one.key.instance_id, &WriterMetadata::instance_id);
        const auto part = parts[static_cast<std::size_t>(at - metadata_.begin())];
        const auto actual = actual_backup(request_.state.type, at->schema).type;
        const std::string what =
            "component '" + full_name(one.key.logical_path, one.key.name) + "' of writer '" + at->name + "'";
        const auto* before = part ? base.writers[*part].find(one.key) : nullptr;
        if (before == nullptr) {
            if (needs_base(actual))
                report_.notes.push_back("the base does not hold " + what + ": it gets no stamp");
            continue;
        }
        const auto past = past_backup(base, base.writers[*part], *before);
        const auto found = backup_base(actual, at->schema, std::span(&past, 1));
        if (!found.ok()) return found.error().within(what);
        if (!found->stamp.empty()) EXSHADOW_TRY(requestor_->set_previous_backup_stamp(one.key, found->stamp));
    }
    return {};
}

// The base's stamps and the private options.
Status BackupTry::set_component_facts() {
    if (!request_.base_document.empty()) {
        const auto base = parse_backup_document(request_.base_document);
        if (!base.ok()) return base.error().within("the base's document");
        EXSHADOW_TRY(set_stamps(*base));
    } else if (needs_base(request_.state.type)) {
        report_.notes.push_back(
            "no document of a base backup was given: writers get no stamp to compare with");
    }
    for (const auto& one : report_.components) {
        if (!one.explicitly) continue;
        const auto name = full_name(one.key.logical_path, one.key.name);
        for (const auto& [wish, text] : request_.options) {
            if (names_writer(wish, one.key.writer_id, one.writer_name) &&
                (wish.component.empty() || same_name(wish.component, name)))
                EXSHADOW_TRY(requestor_->set_backup_options(one.key, text));
        }
    }
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

bool BackupTry::is_wanted(const WriterStatus& status) const {
    for (const auto& wish : request_.excluded) {
        if (wish.component.empty() && names_writer(wish, status.writer_id, status.name)) return false;
    }
    if (!request_.state.select_components) return true;
    return std::ranges::any_of(report_.components, [&](const ComponentReport& one) {
        return one.included && one.key.instance_id == status.instance_id;
    });
}

std::vector<ComponentReport> BackupTry::failed_components(const WriterStatus& status) {
    std::vector<ComponentReport> out;
    const auto held = requestor_->writer_components();
    if (!held.ok()) return out;  // only an explanation: the writer's failure stands without it
    for (const auto& writer : *held) {
        if (writer.instance_id != status.instance_id) continue;
        for (const auto& one : writer.components) {
            if (!one.failure) continue;
            for (auto& report : report_.components) {
                if (report.key.instance_id != status.instance_id || report.key.name != one.name ||
                    report.key.logical_path != one.logical_path)
                    continue;
                report.failure = one.failure;
                out.push_back(report);
            }
        }
    }
    return out;
}

// What a writer needs and the set lacks, when that is what it complains of.
std::string BackupTry::missing_volumes(const WriterStatus& status) const {
    if (status.failure != HResult::vss_e_writererror_inconsistentsnapshot || !host_.volume_of) return {};
    std::set<std::string> missing;
    for (const auto& writer : metadata_) {
        if (writer.instance_id != status.instance_id) continue;
        for (const auto& component : writer.components) {
            for (const auto& volume : volumes_of(writer, component)) {
                const bool there = std::ranges::any_of(
                    volumes_, [&](const std::string& one) { return same_name(one, volume); });
                if (!there && !volume.empty()) missing.insert(shown(volume));
            }
        }
    }
    std::string text;
    for (const auto& one : missing) text += (text.empty() ? "" : ", ") + one;
    return text;
}

// Records what the writers say; the error is of the first wanted one that failed.
std::optional<Error> BackupTry::judge(const std::vector<WriterStatus>& statuses, std::string_view after,
                                      bool note) {
    std::optional<Error> first;
    report_.writers.clear();
    for (const auto& status : statuses) {
        const bool wanted = is_wanted(status);
        report_.writers.push_back({status, wanted, std::string(after)});
        if (!has_failed(status)) continue;
        auto error = writer_error(status, after, failed_components(status));
        const auto missing = missing_volumes(status);
        if (!missing.empty())
            error = Error(error.code(), error.message() + "; its components need also " + missing,
                          "add " + missing + " to the volumes, or exclude the writer", error.os_error());
        if (wanted) {
            if (!first) first = error;
        } else if (note) {
            report_.notes.push_back("not counted, since its data is not wanted: " + error.message());
        }
    }
    return first;
}

Status BackupTry::check_writers(std::string_view after) {
    if (!writers_) return {};
    const auto statuses = look_at_writers(*requestor_, limits_);
    if (!statuses.ok()) return statuses.error();
    const auto error = judge(*statuses, after, true);
    return error ? Status(*error) : Status();
}

// A step failed: the writers' state may say why.
Status BackupTry::step_failed(const Error& error, std::string_view after) {
    if (!writers_ || error.code() == Code::cancelled || error.code() == Code::timed_out) return error;
    const auto statuses = look_at_writers(*requestor_, limits_);
    if (!statuses.ok()) return error;
    const auto writer = judge(*statuses, after, false);
    if (!writer) return error;
    const auto said = hresult_of(error);
    if (said == HResult::vss_e_unexpected_writer_error || said == hresult_of(*writer)) return *writer;
    return Error(error.code(), error.message() + "; " + writer->message(), error.hint(), error.os_error());
}

Status BackupTry::tell_outcome(const Copied& copied) {
    for (auto& one : report_.components) {
        if (!one.included) continue;
        one.succeeded = copied.all_succeeded &&
                        std::ranges::none_of(copied.failed,
                                             [&](const ComponentKey& key) { return is_meant(key, one.key); });
    }
    for (auto& one : report_.components) {
        if (!one.explicitly) continue;
        // A component set succeeded when every part of it did.
        const auto root = full_name(one.key.logical_path, one.key.name);
        for (const auto& part : report_.components) {
            if (part.included && part.key.instance_id == one.key.instance_id && part.succeeded == false &&
                is_below(part.key.logical_path, root))
                one.succeeded = false;
        }
        EXSHADOW_TRY(requestor_->set_backup_succeeded(one.key, *one.succeeded));
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

// Writers are left out by class before they are asked, so names must be known from an earlier session.
Result<std::vector<Uuid>> find_disabled(const Host& host, const BackupRequest& request) {
    std::vector<Uuid> ids;
    std::vector<ComponentWish> named;
    for (const auto& wish : request.excluded) {
        if (!wish.component.empty()) continue;
        if (const auto id = Uuid::parse(wish.writer)) {
            ids.push_back(*id);
        } else {
            named.push_back(wish);
        }
    }
    if (named.empty() || !with_writers(request.context)) return ids;
    const auto writers = list_writers(host, with_cancel(host, request.limits));
    if (!writers.ok()) return writers.error();
    for (const auto& wish : named) {
        const auto found = std::ranges::find_if(
            *writers, [&](const WriterEntry& one) { return same_name(one.metadata.name, wish.writer); });
        if (found == writers->end())
            return Error(Code::not_found, "there is no writer '" + wish.writer + "' to exclude",
                         "exshadow vss writers lists them");
        ids.push_back(found->metadata.writer_id);
    }
    return ids;
}

}  // namespace

BackupResult backup(const Host& host, const BackupRequest& request, const Between& between) {
    BackupResult result;
    const auto disabled = find_disabled(host, request);
    if (!disabled.ok()) {
        result.status = disabled.error();
        return result;
    }
    const int tries = std::max(1, request.retry.tries);
    for (int number = 1;; ++number) {
        auto notes = std::move(result.report.notes);
        result.report = {};
        result.report.notes = std::move(notes);
        result.report.tries = number;
        bool final_try = number == tries;
        {
            BackupTry one(host, request, *disabled, result.report);
            result.status = one.run_through(between);
            final_try = final_try || one.files_were_touched();
        }
        if (result.status.ok() || final_try || !is_transient(result.status.error())) break;
        result.report.notes.push_back("try " + std::to_string(number) +
                                      " failed: " + result.status.error().message());
        say(host, result.status.error().message() + " (try " + std::to_string(number) + " of " +
                      std::to_string(tries) + "; the next in " + std::to_string(request.retry.wait / 1000) +
                      " s)");
        const auto waited = pause(host, request.retry.wait);
        if (!waited.ok()) {
            result.status = waited;
            break;
        }
    }
    return result;
}

}  // namespace exshadow::vss
