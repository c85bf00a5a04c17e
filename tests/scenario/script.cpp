#include "scenario/script.h"

#include <algorithm>

#include "base/check.h"

namespace exshadow::scenario {

namespace {

EventScript parse_event(const Json& event, const std::string& name) {
    check_keys(event, {"fail", "times", "delay", "hang", "noted", "application", "message"}, name);
    EventScript script;
    if (event.contains("fail")) script.fail = hresult_named(event["fail"].get<std::string>());
    if (event.contains("times")) script.times = event["times"].get<int>();
    if (event.contains("delay")) script.delay = event["delay"].get<vss::Milliseconds>();
    if (event.contains("hang")) script.hang = event["hang"].get<bool>();
    if (event.contains("noted")) script.noted = event["noted"].get<bool>();
    if (event.contains("application"))
        script.application = hresult_named(event["application"].get<std::string>());
    script.message = text_of(event, "message");
    return script;
}

}  // namespace

void check_keys(const Json& object, std::initializer_list<std::string_view> known, std::string_view what) {
    if (!object.is_object()) throw BadScenario(std::string(what) + ": an object is expected");
    for (const auto& [key, value] : object.items()) {
        if (std::find(known.begin(), known.end(), key) == known.end()) {
            throw BadScenario(std::string(what) + ": unknown key '" + key + "'");
        }
    }
}

std::string text_of(const Json& object, const char* key, std::string_view otherwise) {
    const auto found = object.find(key);
    return found == object.end() ? std::string(otherwise) : found->get<std::string>();
}

Uuid id_of(const Json& object, const char* key) {
    const auto text = text_of(object, key);
    if (text.empty()) return {};
    const auto id = Uuid::parse(text);
    if (!id) throw BadScenario(std::string(key) + ": '" + text + "' is no id");
    return *id;
}

vss::HResult hresult_named(std::string_view name) {
    for (const auto& row : vss::all_hresults()) {
        if (row.name == name) return row.value;
    }
    throw BadScenario("'" + std::string(name) + "' is no HRESULT that we know");
}

Script::Script(const Json& events, const std::vector<std::string_view>& known) {
    for (const auto& [name, event] : events.items()) {
        if (std::find(known.begin(), known.end(), name) == known.end()) {
            throw BadScenario("'" + name + "' is no event");
        }
        events_[name] = parse_event(event, name);
    }
}

std::optional<EventScript> Script::take(std::string_view event) {
    const auto found = events_.find(event);
    if (found == events_.end()) return std::nullopt;
    auto& script = found->second;
    if (script.times && *script.times == 0) return std::nullopt;
    if (script.times) --*script.times;
    return script;
}

Task<void> act(EventScript script, std::function<bool()> stop) {
    auto* loop = Loop::current();
    EXSHADOW_CHECK(loop != nullptr);
    constexpr Nanoseconds slice = 5 * millisecond_ns;
    auto left = script.delay * millisecond_ns;
    while ((script.hang || left > 0) && !stop()) {
        const auto turn = script.hang ? slice : std::min(left, slice);
        co_await loop->sleep(turn);
        left -= turn;
    }
}

}  // namespace exshadow::scenario
