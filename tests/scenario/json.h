// JSON as the scenarios and the log use it; keys keep their order.
#pragma once

#include <nlohmann/json.hpp>

namespace exshadow::scenario {
using Json = nlohmann::ordered_json;
}
