// World: a scenario's machine (tests/scenarios/README.md, "World"): its writers and providers, ready to be
// registered with a coordinator.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "scenario/disks.h"
#include "scenario/json.h"
#include "scenario/scripted_provider.h"
#include "scenario/scripted_requestor.h"
#include "scenario/scripted_writer.h"
#include "vss/coordinator/coordinator.h"

namespace exshadow::scenario {

struct World {
    std::string machine;
    vss::CoordinatorLimits limits;
    std::shared_ptr<const VolumeList> volumes;
    std::shared_ptr<Disks> disks;
    std::vector<std::shared_ptr<ScriptedWriter>> writers;
    std::vector<std::shared_ptr<ScriptedProvider>> providers;
    std::shared_ptr<CallScripts> scripts;

    // The limits, the machine's name and volume_of_path; slot, holder and observer are the caller's.
    [[nodiscard]] vss::CoordinatorOptions options() const;
};

// `state_file`: where snapshots that outlive the process are kept (empty: nowhere).
[[nodiscard]] Result<World> make_world(const Json& description, const std::string& state_file);
[[nodiscard]] Result<Json> read_json(const std::string& path);

}  // namespace exshadow::scenario
