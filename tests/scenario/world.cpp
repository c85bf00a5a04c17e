#include "scenario/world.h"

#include <fstream>

namespace exshadow::scenario {

namespace {

vss::CoordinatorLimits limits_of(const Json& object) {
    vss::CoordinatorLimits limits;
    const std::map<std::string, vss::Milliseconds*> names{{"freeze", &limits.freeze},
                                                          {"hold", &limits.hold},
                                                          {"identify", &limits.identify},
                                                          {"prepare_backup", &limits.prepare_backup},
                                                          {"prepare_snapshot", &limits.prepare_snapshot},
                                                          {"post_snapshot", &limits.post_snapshot},
                                                          {"backup_complete", &limits.backup_complete},
                                                          {"restore", &limits.restore},
                                                          {"abort", &limits.abort},
                                                          {"provider", &limits.provider}};
    for (const auto& [name, value] : object.items()) {
        const auto found = names.find(name);
        if (found == names.end()) throw BadScenario("'" + name + "' is no limit");
        *found->second = value.get<vss::Milliseconds>();
    }
    return limits;
}

std::shared_ptr<const VolumeList> volumes_of(const Json& list) {
    auto volumes = std::make_shared<VolumeList>();
    for (const auto& volume : list) {
        check_keys(volume, {"name", "paths", "size"}, "volume");
        volumes->volumes.push_back(
            {text_of(volume, "name"), volume.value("paths", std::vector<std::string>{})});
    }
    return volumes;
}

Json system_provider() {
    return {{"id", vss::system_provider_id.text()},
            {"name", "Microsoft Software Shadow Copy provider 1.0"},
            {"type", "system"},
            {"version", "1.0.0.7"},
            {"kinds", {"differential"}},
            {"can", {"revert", "expose"}}};
}

World build(const Json& description, const std::string& state_file) {
    check_keys(description,
               {"machine", "volumes", "writers", "providers", "snapshots", "limits", "steps", "calls"},
               "world");
    World world;
    world.machine = text_of(description, "machine", "TEST-PC");
    world.limits = limits_of(description.value("limits", Json::object()));
    world.volumes = volumes_of(description.value("volumes", Json::array()));
    world.disks = std::make_shared<Disks>(state_file);
    for (const auto& writer : description.value("writers", Json::array())) {
        world.writers.push_back(std::make_shared<ScriptedWriter>(writer));
    }
    for (const auto& provider : description.value("providers", Json::array({system_provider()}))) {
        world.providers.push_back(
            std::make_shared<ScriptedProvider>(provider, world.machine, world.volumes, world.disks));
    }
    // A state file that is there already has them.
    const bool new_state = state_file.empty() || !std::ifstream(state_file);
    for (const auto& snapshot : description.value("snapshots", Json::array())) {
        if (new_state) world.disks->snapshots.push_back(snapshot_from(snapshot));
    }
    if (new_state) world.disks->save();
    world.scripts = std::make_shared<CallScripts>(description.value("calls", Json::object()),
                                                  description.value("steps", Json::object()));
    return world;
}

}  // namespace

vss::CoordinatorOptions World::options() const {
    vss::CoordinatorOptions options;
    options.machine = machine;
    options.limits = limits;
    options.volume_of_path = [list = volumes](std::string_view path) { return list->of_path(path); };
    return options;
}

Result<World> make_world(const Json& description, const std::string& state_file) {
    try {
        return build(description, state_file);
    } catch (const std::exception& failure) {  // BadScenario, or JSON of another type than asked for
        return Error(Code::invalid, std::string("scenario: ") + failure.what());
    }
}

Result<Json> read_json(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) return Error(Code::not_found, path + ": cannot be opened");
    try {
        return Json::parse(file);
    } catch (const std::exception& failure) {
        return Error(Code::invalid, path + ": " + failure.what());
    }
}

}  // namespace exshadow::scenario
