// The table of scenarios (tests/scenarios/README.md), read and patched: one value per scenario and case.
#pragma once

#include <string>
#include <vector>

#include "scenario/json.h"

namespace exshadow::scenario {

struct Scenario {
    std::string name;
    std::string what;
    Json world;
    Json run;
    Json expect;
    std::string skipped;  // why this runner leaves it out; empty: it does not
};

// All files of the folder, sorted by name. Throws on a file that is not as the README says.
[[nodiscard]] std::vector<Scenario> load_table(const std::string& folder, const std::string& runner);

}  // namespace exshadow::scenario
