// The backup's side of a session: writers' metadata and status, components, and opening a set.
#include <algorithm>

#include "vss/coordinator/session.h"
#include "vss/documents.h"
#include "vss/snapshot_need.h"

namespace exshadow::vss {

namespace {

constexpr std::size_t most_volumes = 64;

bool contains(const std::vector<Uuid>& list, const Uuid& id) {
    return std::ranges::find(list, id) != list.end();
}

std::string shown(const ComponentKey& key) {
    const std::string path = key.logical_path.empty() ? "" : key.logical_path + "\\";
    return "component '" + path + key.name + "' of writer " + key.writer_id.text();
}

}  // namespace

// --- Writers.

std::vector<Participant> Session::chosen_writers() const {
    std::vector<Participant> chosen;
    for (const auto& [writer, options] : coordinator_.writers()) {
        if (only_enabled_ && !contains(enabled_classes_, options.writer_id)) continue;
        if (contains(disabled_classes_, options.writer_id)) continue;
        if (contains(disabled_instances_, options.instance_id)) continue;
        Participant one;
        one.writer = writer;
        one.options = options;
        chosen.push_back(std::move(one));
    }
    return chosen;
}

Result<StepPtr> Session::gather_writer_metadata() {
    return begin_step(Call::gather_writer_metadata, gather_metadata());
}

Task<Session::StepOutcome> Session::gather_metadata() {
    metadata_index_.clear();
    auto asking = writers_.identify(chosen_writers());
    const bool ended = co_await std::move(asking);
    if (!ended) co_return StepOutcome{HResult::vss_s_async_cancelled, {}};
    for (const auto& one : writers_.participants()) metadata_.push_back(one.metadata);
    co_return StepOutcome{};
}

Result<std::vector<WriterMetadata>> Session::writer_metadata() {
    EXSHADOW_TRY(permit(Call::read_writer_metadata));
    return metadata_;
}

Result<std::vector<std::string>> Session::writer_metadata_documents() {
    EXSHADOW_TRY(permit(Call::read_writer_metadata));
    std::vector<std::string> documents;
    for (const auto& one : metadata_) {
        auto text = serialise(one);
        if (!text.ok()) return text.error().within("writer '" + one.name + "'");
        documents.push_back(std::move(*text));
    }
    return documents;
}

Status Session::free_writer_metadata() {
    EXSHADOW_TRY(permit(Call::free_writer_metadata));
    metadata_.clear();
    order_.ended(Call::free_writer_metadata, true);
    return {};
}

Result<StepPtr> Session::gather_writer_status() {
    return begin_step(Call::gather_writer_status, gather_status());
}

Task<Session::StepOutcome> Session::gather_status() {
    statuses_.clear();
    for (const auto& one : writers_.participants()) statuses_.push_back(one.status);
    co_return StepOutcome{};
}

Result<std::vector<WriterStatus>> Session::writer_status() {
    EXSHADOW_TRY(permit(Call::read_writer_status));
    order_.ended(Call::read_writer_status, true);
    return std::exchange(statuses_, {});
}

// --- Components.

Result<std::vector<BackupWriter>> Session::writer_components() {
    EXSHADOW_TRY(permit(Call::read_components));
    auto writers = document_.writers;
    std::erase_if(writers, [](const BackupWriter& one) { return one.components.empty(); });
    return writers;
}

Status Session::add_component(ComponentKey key) {
    EXSHADOW_TRY(permit(Call::add_component));
    if (key.instance_id.is_nil())
        return vss_error(HResult::e_invalidarg, "AddComponent without the writer's instance");
    const auto* const metadata = live_metadata(key);
    const auto* const known = metadata == nullptr ? nullptr
                                                  : metadata_index_[metadata->instance_id].first(
                                                        *metadata, key.logical_path, key.name);
    if (known == nullptr || known->type != key.type)
        return vss_error(HResult::vss_e_object_not_found, "AddComponent: " + shown(key));
    auto part = std::ranges::find(document_.writers, key.instance_id, &BackupWriter::instance_id);
    if (part == document_.writers.end()) {
        BackupWriter added;
        added.writer_id = metadata->writer_id;
        added.instance_id = metadata->instance_id;
        added.instance_name = metadata->instance_name;
        added.schema = metadata->schema;
        part = document_.writers.insert(part, std::move(added));
    }
    if (!index_of(*part).find(part->components, key.logical_path, key.name).empty())
        return vss_error(HResult::vss_e_object_already_exists, "AddComponent: " + shown(key));
    BackupComponent added;
    added.type = key.type;
    added.logical_path = std::move(key.logical_path);
    added.name = std::move(key.name);
    part->components.push_back(std::move(added));
    return {};
}

ComponentIndex& Session::index_of(const BackupWriter& part) {
    document_index_.resize(document_.writers.size());
    return document_index_[static_cast<std::size_t>(&part - document_.writers.data())];
}

// As BackupDocument::find().
BackupComponent* Session::find_component(const ComponentKey& key) {
    for (auto& part : document_.writers) {
        if (part.writer_id != key.writer_id) continue;
        if (!key.instance_id.is_nil() && part.instance_id != key.instance_id) continue;
        if (const auto* const found = index_of(part).first(part, key))
            return &part.components[static_cast<std::size_t>(found - part.components.data())];
    }
    return nullptr;
}

Result<BackupComponent*> Session::component(Call call, const ComponentKey& key) {
    EXSHADOW_TRY(permit(call));
    if (auto* const found = find_component(key)) return found;
    // A restore may name the instance that runs now; the document has the one of the backup.
    if (const auto* const part = key.instance_id.is_nil() ? nullptr : writers_.part_of(key.instance_id)) {
        auto of_document = key;
        of_document.instance_id = part->instance_id;
        if (auto* const found = find_component(of_document)) return found;
    }
    return vss_error(HResult::vss_e_object_not_found, std::string(name(call)) + ": " + shown(key));
}

Status Session::set_previous_backup_stamp(ComponentKey key, std::string stamp) {
    const auto found = component(Call::set_previous_stamp, key);
    if (!found.ok()) return found.error();
    EXSHADOW_TRY(fit_for_xml(name(Call::set_previous_stamp), {stamp}));
    (*found)->previous_backup_stamp = std::move(stamp);
    return {};
}

Status Session::set_backup_options(ComponentKey key, std::string options) {
    const auto found = component(Call::set_backup_options, key);
    if (!found.ok()) return found.error();
    EXSHADOW_TRY(fit_for_xml(name(Call::set_backup_options), {options}));
    (*found)->backup_options = std::move(options);
    return {};
}

Status Session::set_backup_succeeded(ComponentKey key, bool succeeded) {
    const auto found = component(Call::set_backup_succeeded, key);
    if (!found.ok()) return found.error();
    if (key.instance_id.is_nil())
        return vss_error(HResult::e_invalidarg, "SetBackupSucceeded without the writer's instance");
    (*found)->succeeded = succeeded;
    return {};
}

Result<std::string> Session::save_as_xml() {
    EXSHADOW_TRY(permit(Call::save_as_xml));
    return serialise(document_);
}

// --- The set.

// Both may be names of one volume: a drive letter and a GUID.
bool Session::is_same_volume(const std::string& one, const std::string& other) const {
    const auto& volume_of = coordinator_.options().volume_of_path;
    if (one == other || !volume_of) return one == other;
    const auto known = volume_of(one);
    return !known.empty() && known == volume_of(other);
}

Task<Result<bool>> Session::is_volume_supported(Uuid provider, std::string volume) {
    const auto turn = take_turn(Call::is_volume_supported);
    if (!turn.ok()) co_return turn.error();
    auto choosing = providers_.choose(coordinator_.providers(), provider, volume, context_);
    const auto chosen = co_await std::move(choosing);
    if (chosen.ok()) co_return true;
    const auto code = hresult_of(chosen.error());
    const bool refused = code == HResult::vss_e_volume_not_supported ||
                         code == HResult::vss_e_volume_not_supported_by_provider;
    if (refused) co_return false;
    co_return chosen.error();
}

Result<Uuid> Session::start_snapshot_set() {
    EXSHADOW_TRY(permit(Call::start_snapshot_set));
    if (context_ == context::all)
        return vss_error(HResult::vss_e_unsupported_context,
                         "StartSnapshotSet in the context of all snapshots");
    const auto taken = coordinator_.slot().try_take();
    if (!taken.ok()) {
        const auto& why = taken.error();
        if (why.code() == Code::permission)
            return vss_error(HResult::e_accessdenied, "StartSnapshotSet: " + why.message());
        return Error(why.code(), "StartSnapshotSet: the lock of those who make sets: " + why.message(),
                     "see that its folder is there and that the name is no folder's", why.os_error());
    }
    if (!*taken) return vss_error(HResult::vss_e_snapshot_set_in_progress, "StartSnapshotSet");
    slot_taken_ = true;
    set_id_ = coordinator_.loop().new_uuid();
    tell_writers();
    order_.ended(Call::start_snapshot_set, true);
    return set_id_;
}

Task<Result<Uuid>> Session::add_to_snapshot_set(std::string volume, Uuid provider) {
    const auto turn = take_turn(Call::add_to_snapshot_set);
    if (!turn.ok()) co_return turn.error();
    const std::string what = "AddToSnapshotSet of volume '" + volume + "'";
    if (volumes_.size() >= most_volumes)
        co_return vss_error(HResult::vss_e_maximum_number_of_volumes_reached, what);
    // Only one requestor in use handles this code, no page names it: unsure that Windows gives it.
    if (std::ranges::any_of(volumes_, [&](const std::string& one) { return is_same_volume(one, volume); }))
        co_return vss_error(HResult::vss_e_object_already_exists, what);
    auto choosing = providers_.choose(coordinator_.providers(), provider, volume, context_);
    auto chosen = co_await std::move(choosing);
    if (!chosen.ok()) co_return chosen.error().within("AddToSnapshotSet");
    auto naming = providers_.ask(*chosen, ProviderCall::snapshot_id,
                                 (*chosen)->snapshot_id(set_id_, volume, coordinator_.loop().new_uuid()),
                                 Stoppable::yes);
    const auto snapshot = co_await std::move(naming);
    if (!snapshot.ok()) co_return snapshot.error().within("AddToSnapshotSet");
    auto beginning = providers_.begin(*chosen, {set_id_, *snapshot, volume, context_});
    const auto begun = co_await std::move(beginning);
    if (!begun.ok()) co_return begun.error().within("AddToSnapshotSet");
    volumes_.push_back(std::move(volume));
    tell_writers();
    co_return *snapshot;
}

Result<StepPtr> Session::prepare_for_backup() {
    return begin_step(Call::prepare_for_backup, prepare());
}

// Refusals of writers are in their status, not in the step's result.
Task<Session::StepOutcome> Session::prepare() {
    order_.set_snapshot_needed(snapshot_needed());
    auto sending = writers_.send(WriterEvent::prepare_backup);
    const auto outcome = co_await std::move(sending);
    if (outcome.stopped) co_return StepOutcome{HResult::vss_s_async_cancelled, {}};
    if (state_.select_components) writers_.leave_out_unchosen();
    co_return StepOutcome{};
}

bool Session::snapshot_needed() const {
    std::vector<WriterMetadata> writers;
    for (const auto& one : writers_.participants()) writers.push_back(one.metadata);
    std::vector<ComponentKey> chosen;
    for (const auto& part : document_.writers) {
        for (const auto& one : part.components)
            chosen.push_back({part.writer_id, part.instance_id, one.type, one.logical_path, one.name});
    }
    return vss::snapshot_needed(writers, chosen, state_.type);
}

const WriterMetadata* Session::live_metadata(const ComponentKey& key) const {
    for (const auto& one : writers_.participants()) {
        if (one.options.writer_id != key.writer_id) continue;
        if (key.instance_id.is_nil() || one.options.instance_id == key.instance_id) return &one.metadata;
    }
    return nullptr;
}

Result<StepPtr> Session::backup_complete() {
    return begin_step(Call::backup_complete, send_event(WriterEvent::backup_complete));
}

Task<Session::StepOutcome> Session::send_event(WriterEvent event) {
    auto sending = writers_.send(event);
    const auto outcome = co_await std::move(sending);
    co_return StepOutcome{outcome.stopped ? HResult::vss_s_async_cancelled : HResult::vss_s_async_finished,
                          {}};
}

Task<Status> Session::abort_backup() {
    if (step_ && !closing_) {
        const auto step = step_;
        step->ask_to_stop();
        auto waiting = step->wait();
        co_await std::move(waiting);
        while (busy_) co_await idle_.wait();
    }
    const auto turn = take_turn(Call::abort_backup);
    if (!turn.ok()) co_return turn.error();
    auto undoing = undo_set();
    co_await std::move(undoing);
    order_.ended(Call::abort_backup, true);
    co_return Status{};
}

}  // namespace exshadow::vss
