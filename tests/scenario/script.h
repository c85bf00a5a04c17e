// Script: what a scripted writer or provider does at an event beside answering well.
#pragma once

#include <functional>
#include <initializer_list>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "runtime/loop.h"
#include "runtime/task.h"
#include "scenario/json.h"
#include "vss/hresult.h"
#include "vss/requestor.h"
#include "vss/types.h"

namespace exshadow::scenario {

// The first words of JSON that is not as the README says. Thrown while a scenario is read; world.h catches
// it.
class BadScenario : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

// Throws BadScenario for a key that is not in `known`.
void check_keys(const Json& object, std::initializer_list<std::string_view> known, std::string_view what);
[[nodiscard]] std::string text_of(const Json& object, const char* key, std::string_view otherwise = "");
[[nodiscard]] Uuid id_of(const Json& object, const char* key);  // nil when absent
[[nodiscard]] vss::HResult hresult_named(std::string_view name);

// A value by our word or Microsoft's name; flags may be a list.
template <class E>
[[nodiscard]] E enum_of(const Json& object, const char* key, E otherwise) {
    const auto found = object.find(key);
    if (found == object.end()) return otherwise;
    const auto one = [key](const std::string& name) {
        auto value = vss::from_word<E>(name);
        if (!value.ok()) throw BadScenario(std::string(key) + ": " + value.error().message());
        return *value;
    };
    if (found->is_string()) return one(found->template get<std::string>());
    if constexpr (vss::FlagSet<E>) {
        E sum = E::no_flags;
        for (const auto& name : *found) sum = sum | one(name.template get<std::string>());
        return sum;
    }
    throw BadScenario(std::string(key) + ": one of the words is expected");
}

struct EventScript {
    vss::HResult fail = vss::HResult::s_ok;
    std::optional<int> times;  // absent: always
    vss::Milliseconds delay = 0;
    bool hang = false;
    bool noted = false;  // a writer's failure is noted and the event goes on
    vss::HResult application = vss::HResult::s_ok;
    std::string message;
};

class Script {
public:
    // `events` is the object of the scenario; `known` the names an event may have.
    Script() = default;
    Script(const Json& events, const std::vector<std::string_view>& known);

    // What to do now; counts down `times`. Nothing: answer well at once.
    [[nodiscard]] std::optional<EventScript> take(std::string_view event);

private:
    std::map<std::string, EventScript, std::less<>> events_;
};

// Waits as the script says, on the current loop; ends early when `stop` says so.
[[nodiscard]] Task<void> act(EventScript script, std::function<bool()> stop);

}  // namespace exshadow::scenario
