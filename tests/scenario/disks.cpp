#include "scenario/disks.h"

#include <chrono>
#include <fstream>
#include <thread>

#include "scenario/script.h"

namespace exshadow::scenario {

namespace {

bool outlives_the_object(const vss::SnapshotProperties& snapshot) {
    return has(snapshot.attributes, vss::SnapshotAttributes::no_auto_release);
}

// The file's text; another process may be writing it just now, so what is no whole document is read again.
Json read_whole(const std::string& path) {
    for (int tries = 200;; --tries) {
        std::ifstream file(path, std::ios::binary);
        if (!file) return nullptr;  // nothing was made yet
        auto state = Json::parse(file, nullptr, tries == 0);
        if (!state.is_discarded()) return state;
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
}

}  // namespace

Json to_json(const vss::SnapshotProperties& snapshot) {
    return {{"id", snapshot.snapshot_id.text()},
            {"set", snapshot.set_id.text()},
            {"set_size", snapshot.set_size},
            {"device", snapshot.device},
            {"volume", snapshot.original_volume},
            {"machine", snapshot.originating_machine},
            {"exposed_name", snapshot.exposed_name},
            {"exposed_path", snapshot.exposed_path},
            {"provider", snapshot.provider_id.text()},
            {"attributes", static_cast<std::uint32_t>(snapshot.attributes)},
            {"created", snapshot.created}};
}

vss::SnapshotProperties snapshot_from(const Json& object) {
    check_keys(object,
               {"id", "set", "set_size", "device", "volume", "machine", "exposed_name", "exposed_path",
                "provider", "attributes", "created"},
               "snapshot");
    vss::SnapshotProperties snapshot;
    snapshot.snapshot_id = id_of(object, "id");
    snapshot.set_id = id_of(object, "set");
    snapshot.set_size = object.value("set_size", 1);
    snapshot.device = text_of(object, "device");
    snapshot.original_volume = text_of(object, "volume");
    snapshot.originating_machine = text_of(object, "machine");
    snapshot.service_machine = snapshot.originating_machine;
    snapshot.exposed_name = text_of(object, "exposed_name");
    snapshot.exposed_path = text_of(object, "exposed_path");
    snapshot.provider_id = id_of(object, "provider");
    if (object.contains("attributes") && object["attributes"].is_number()) {
        snapshot.attributes = vss::SnapshotAttributes{object["attributes"].get<std::uint32_t>()};
    } else {
        snapshot.attributes = enum_of(object, "attributes", vss::context::nas_rollback);
    }
    snapshot.created = object.value("created", std::int64_t{0});
    snapshot.state = vss::SnapshotState::created;
    return snapshot;
}

Disks::Disks(std::string state_file) : state_file_(std::move(state_file)) {
    read();
}

void Disks::read() {
    if (state_file_.empty()) return;
    const auto state = read_whole(state_file_);
    if (state.is_null()) return;
    std::erase_if(snapshots, outlives_the_object);
    for (const auto& one : state.at("snapshots")) snapshots.push_back(snapshot_from(one));
    transported.clear();
    for (const auto& one : state.at("transported")) transported.push_back(snapshot_from(one));
    broken = state.at("broken").get<std::vector<std::string>>();
    devices_ = state.at("devices").get<int>();
}

void Disks::save() const {
    if (state_file_.empty()) return;
    Json state{{"snapshots", Json::array()}, {"transported", Json::array()}};
    for (const auto& one : snapshots) {
        if (outlives_the_object(one)) state["snapshots"].push_back(to_json(one));
    }
    for (const auto& one : transported) state["transported"].push_back(to_json(one));
    state["broken"] = broken;
    state["devices"] = devices_;
    std::ofstream file(state_file_, std::ios::binary | std::ios::trunc);
    file << state.dump(2) << '\n';
}

}  // namespace exshadow::scenario
