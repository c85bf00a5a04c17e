#include "scenario/scripted_provider.h"

#include <algorithm>
#include <cctype>

namespace exshadow::scenario {

using vss::HResult;
using vss::ProviderCall;
using vss::SnapshotAttributes;

namespace {

std::vector<std::string_view> event_names() {
    std::vector<std::string_view> names;
    for (std::size_t i = 0; i < vss::provider_call_count; ++i) {
        names.push_back(vss::word(static_cast<ProviderCall>(i)));
    }
    return names;
}

bool same_text(std::string_view a, std::string_view b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                      [](unsigned char x, unsigned char y) { return std::tolower(x) == std::tolower(y); });
}

SnapshotAttributes without(SnapshotAttributes set, SnapshotAttributes flags) {
    return static_cast<SnapshotAttributes>(static_cast<std::uint32_t>(set) &
                                           ~static_cast<std::uint32_t>(flags));
}

// FILETIME of a moment that every run has alike would hide what is new: the wall clock.
std::int64_t filetime_now() {
    constexpr std::int64_t unix_epoch = 116'444'736'000'000'000;
    return unix_epoch + Loop::current()->wall_clock_ns() / 100;
}

}  // namespace

const VolumeList::Volume* VolumeList::find(std::string_view name) const {
    for (const auto& volume : volumes) {
        if (same_text(volume.name, name)) return &volume;
        for (const auto& path : volume.paths) {
            if (same_text(path, name)) return &volume;
        }
    }
    return nullptr;
}

std::string VolumeList::of_path(std::string_view path) const {
    std::string_view longest;
    for (const auto& volume : volumes) {
        auto names = volume.paths;
        names.push_back(volume.name);
        for (const auto& name : names) {
            if (name.size() > longest.size() && same_text(path.substr(0, name.size()), name)) {
                longest = volume.name;
            }
        }
    }
    return std::string(longest);
}

ScriptedProvider::ScriptedProvider(const Json& description, std::string machine,
                                   std::shared_ptr<const VolumeList> volumes, std::shared_ptr<Disks> disks)
    : machine_(std::move(machine)), volumes_(std::move(volumes)), disks_(std::move(disks)) {
    check_keys(
        description,
        {"id", "name", "type", "version", "version_id", "class_id", "volumes", "kinds", "can", "events"},
        "provider");
    auto& properties = facts_.properties;
    properties.provider_id = id_of(description, "id");
    properties.name = text_of(description, "name");
    properties.type = enum_of(description, "type", vss::ProviderType::software);
    properties.version = text_of(description, "version", "1.0");
    properties.version_id = id_of(description, "version_id");
    properties.class_id = id_of(description, "class_id");
    const auto listed = [&](const char* key, const char* word) {
        const auto list = description.value(key, Json::array());
        return std::find(list.begin(), list.end(), word) != list.end();
    };
    if (description.contains("kinds")) {
        facts_.differential = listed("kinds", "differential");
        facts_.plex = listed("kinds", "plex");
    }
    facts_.transportable = listed("can", "transport");
    facts_.breaks = listed("can", "break");
    facts_.reverts = listed("can", "revert");
    facts_.resyncs = listed("can", "resync");
    facts_.exposes = listed("can", "expose");
    if (description.contains("volumes")) {
        all_ = false;
        for (const auto& name : description["volumes"]) {
            const auto* volume = volumes_->find(name.get<std::string>());
            if (volume == nullptr) throw BadScenario(name.get<std::string>() + ": no such volume");
            supported_.insert(volume->name);
        }
    }
    if (description.contains("events")) script_ = Script(description["events"], event_names());
}

Task<Status> ScriptedProvider::scripted(ProviderCall call) {
    const auto script = script_.take(vss::word(call));
    if (!script) co_return Status();
    const auto& abandoned = abandoned_[static_cast<std::size_t>(call)];
    auto acting = act(*script, [&abandoned, before = abandoned] { return abandoned != before; });
    co_await std::move(acting);
    if (vss::failed(script->fail)) co_return vss::vss_error(script->fail, script->message);
    co_return Status();
}

vss::SnapshotProperties* ScriptedProvider::find(const Uuid& snapshot) {
    disks_->read();
    for (auto& one : disks_->snapshots) {
        if (one.snapshot_id == snapshot && one.provider_id == facts_.properties.provider_id) return &one;
    }
    return nullptr;
}

SnapshotAttributes ScriptedProvider::made_attributes(SnapshotAttributes asked) const {
    auto result = asked;
    if (!has(asked, SnapshotAttributes::plex) && !has(asked, SnapshotAttributes::differential)) {
        result = result | (facts_.differential ? SnapshotAttributes::differential : SnapshotAttributes::plex);
    }
    if (facts_.properties.type == vss::ProviderType::hardware) {
        result = result | SnapshotAttributes::hardware_assisted;
    }
    return result;
}

Task<Result<bool>> ScriptedProvider::is_volume_supported(std::string volume, SnapshotAttributes) {
    auto task = scripted(ProviderCall::is_supported);
    const auto status = co_await std::move(task);
    if (!status.ok()) co_return status.error();
    const auto* found = volumes_->find(volume);
    if (found == nullptr) co_return vss::vss_error(HResult::vss_e_object_not_found, volume);
    co_return all_ || supported_.contains(found->name);
}

Task<Status> ScriptedProvider::begin_prepare_snapshot(vss::SnapshotRequest request) {
    auto task = scripted(ProviderCall::begin_prepare);
    EXSHADOW_CO_TRY(co_await std::move(task));
    const auto* volume = volumes_->find(request.volume);
    if (volume == nullptr) co_return vss::vss_error(HResult::vss_e_object_not_found, request.volume);
    std::erase_if(making_, [&](const auto& one) { return one.set_id != request.set_id; });
    vss::SnapshotProperties snapshot;
    snapshot.snapshot_id = request.snapshot_id;
    snapshot.set_id = request.set_id;
    snapshot.original_volume = volume->name;
    snapshot.originating_machine = machine_;
    snapshot.service_machine = machine_;
    snapshot.provider_id = facts_.properties.provider_id;
    snapshot.attributes = made_attributes(request.attributes);
    snapshot.state = vss::SnapshotState::preparing;
    making_.push_back(std::move(snapshot));
    co_return Status();
}

Task<Status> ScriptedProvider::end_prepare_snapshots(Uuid) {
    return scripted(ProviderCall::end_prepare);
}
Task<Status> ScriptedProvider::pre_commit_snapshots(Uuid) {
    return scripted(ProviderCall::pre_commit);
}

Task<Status> ScriptedProvider::commit_snapshots(Uuid) {
    for (auto& one : making_) one.created = filetime_now();
    return scripted(ProviderCall::commit);
}

Task<Status> ScriptedProvider::post_commit_snapshots(Uuid, std::int32_t count) {
    for (auto& one : making_) one.set_size = count;
    return scripted(ProviderCall::post_commit);
}

Task<Status> ScriptedProvider::pre_final_commit_snapshots(Uuid) {
    return scripted(ProviderCall::pre_final_commit);
}

Task<Status> ScriptedProvider::post_final_commit_snapshots(Uuid) {
    auto task = scripted(ProviderCall::post_final_commit);
    EXSHADOW_CO_TRY(co_await std::move(task));
    disks_->read();
    for (auto& one : making_) {
        one.state = vss::SnapshotState::created;
        one.device =
            "\\\\?\\GLOBALROOT\\Device\\HarddiskVolumeShadowCopy" + std::to_string(disks_->next_device());
        if (has(one.attributes, SnapshotAttributes::transportable)) {
            one.attributes = one.attributes | SnapshotAttributes::not_surfaced;
            disks_->transported.push_back(one);
        } else {
            disks_->snapshots.push_back(one);
        }
    }
    making_.clear();
    disks_->save();
    co_return Status();
}

Task<Status> ScriptedProvider::abort_snapshots(Uuid set) {
    std::erase_if(making_, [&](const auto& one) { return one.set_id == set; });
    return scripted(ProviderCall::abort);
}

Task<Result<std::vector<vss::SnapshotProperties>>> ScriptedProvider::query() {
    auto task = scripted(ProviderCall::query);
    const auto status = co_await std::move(task);
    if (!status.ok()) co_return status.error();
    disks_->read();
    std::vector<vss::SnapshotProperties> mine;
    for (const auto* list : {&disks_->snapshots, &disks_->transported}) {  // the latter are not surfaced
        for (const auto& one : *list) {
            if (one.provider_id == facts_.properties.provider_id) mine.push_back(one);
        }
    }
    co_return mine;
}

Task<Status> ScriptedProvider::delete_snapshot(Uuid snapshot, bool) {
    auto task = scripted(ProviderCall::remove);
    EXSHADOW_CO_TRY(co_await std::move(task));
    if (find(snapshot) == nullptr) co_return vss::vss_error(HResult::vss_e_object_not_found, snapshot.text());
    std::erase_if(disks_->snapshots, [&](const auto& one) { return one.snapshot_id == snapshot; });
    disks_->save();
    co_return Status();
}

Task<Status> ScriptedProvider::break_snapshot_set(Uuid set, vss::BreakFlags) {
    auto task = scripted(ProviderCall::break_set);
    EXSHADOW_CO_TRY(co_await std::move(task));
    disks_->read();
    for (const auto& one : disks_->snapshots) {
        if (one.set_id == set) disks_->broken.push_back(one.device);
    }
    std::erase_if(disks_->snapshots, [&](const auto& one) { return one.set_id == set; });
    disks_->save();
    co_return Status();
}

Task<Result<vss::SnapshotProperties>> ScriptedProvider::import_snapshot(vss::RecordedSnapshot recorded) {
    auto task = scripted(ProviderCall::import);
    const auto status = co_await std::move(task);
    if (!status.ok()) co_return status.error();
    disks_->read();
    const auto wanted = recorded.properties.snapshot_id;
    const auto found = std::find_if(disks_->transported.begin(), disks_->transported.end(),
                                    [&](const auto& one) { return one.snapshot_id == wanted; });
    if (found == disks_->transported.end()) {
        co_return vss::vss_error(HResult::vss_e_object_not_found, wanted.text());
    }
    auto snapshot = *found;
    disks_->transported.erase(found);
    snapshot.attributes =
        without(snapshot.attributes, SnapshotAttributes::not_surfaced) | SnapshotAttributes::imported;
    snapshot.service_machine = machine_;
    disks_->snapshots.push_back(snapshot);
    disks_->save();
    co_return snapshot;
}

Task<Result<std::string>> ScriptedProvider::expose_snapshot(Uuid snapshot, std::string path_from_root,
                                                            vss::Exposure how, std::string name) {
    auto task = scripted(ProviderCall::expose);
    const auto status = co_await std::move(task);
    if (!status.ok()) co_return status.error();
    auto* found = find(snapshot);
    if (found == nullptr) co_return vss::vss_error(HResult::vss_e_object_not_found, snapshot.text());
    const bool taken = !found->exposed_name.empty() ||
                       std::any_of(disks_->snapshots.begin(), disks_->snapshots.end(), [&](const auto& one) {
                           return !name.empty() && same_text(one.exposed_name, name);
                       });
    if (taken) co_return vss::vss_error(HResult::vss_e_object_already_exists, name);
    const bool locally = how == vss::Exposure::locally;
    if (name.empty()) name = locally ? "Z:\\" : "shadow";
    found->exposed_name = name;
    found->exposed_path = path_from_root;
    found->attributes = found->attributes | (locally ? SnapshotAttributes::exposed_locally
                                                     : SnapshotAttributes::exposed_remotely);
    disks_->save();
    co_return name;
}

Task<Status> ScriptedProvider::unexpose_snapshot(Uuid snapshot) {
    auto task = scripted(ProviderCall::unexpose);
    EXSHADOW_CO_TRY(co_await std::move(task));
    auto* found = find(snapshot);
    if (found == nullptr || found->exposed_name.empty()) {
        co_return vss::vss_error(HResult::vss_e_object_not_found, snapshot.text());
    }
    found->exposed_name.clear();
    found->exposed_path.clear();
    found->attributes = without(found->attributes,
                                SnapshotAttributes::exposed_locally | SnapshotAttributes::exposed_remotely);
    disks_->save();
    co_return Status();
}

Task<Status> ScriptedProvider::revert_to_snapshot(Uuid snapshot, bool) {
    auto task = scripted(ProviderCall::revert);
    EXSHADOW_CO_TRY(co_await std::move(task));
    const auto* found = find(snapshot);
    if (found == nullptr) co_return vss::vss_error(HResult::vss_e_object_not_found, snapshot.text());
    reverting_.insert(found->original_volume);
    co_return Status();
}

Task<Status> ScriptedProvider::query_revert_status(std::string volume) {
    const auto* found = volumes_->find(volume);
    if (found == nullptr || reverting_.erase(found->name) == 0) {
        co_return vss::vss_error(HResult::vss_e_object_not_found, volume);
    }
    auto task = scripted(ProviderCall::revert_status);
    co_return co_await std::move(task);
}

Task<Status> ScriptedProvider::resync(std::vector<vss::ResyncPair>, vss::RecoveryFlags) {
    return scripted(ProviderCall::resync);
}

}  // namespace exshadow::scenario
