// The table of scenarios on the portable coordinator. EXSHADOW_SCENARIO=NAME runs those whose names begin so.
#include <doctest/doctest.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>

#include "runner.h"

namespace exshadow::scenario {

namespace {

std::string lower(std::string text) {
    std::transform(text.begin(), text.end(), text.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return text;
}

std::string name_of(const Status& status) {
    if (status.ok()) return "ok";
    const auto& error = status.error();
    if (error.os_error() == 0) return std::string(code_name(error.code()));
    const auto text = vss::hresult_text(vss::hresult_of(error));
    return text.substr(0, text.find(' '));
}

// Whether `found` has all that `wanted` names; lists have as many entries.
bool holds(const Json& found, const Json& wanted) {
    if (wanted.is_object()) {
        return std::ranges::all_of(wanted.items(), [&](const auto& one) {
            return found.contains(one.key()) && holds(found[one.key()], one.value());
        });
    }
    if (!wanted.is_array()) return found == wanted;
    return found.is_array() && std::ranges::equal(found, wanted, holds);
}

void check_outcome(const Outcome& outcome, const Json& expect) {
    check_keys(expect, {"result", "text", "count", "imported", "chosen"}, "expect of a step");
    const auto said = outcome.status.ok()
                          ? std::string()
                          : outcome.status.error().message() + "\n" + outcome.status.error().hint();
    INFO("said: ", said);
    CHECK(name_of(outcome.status) == text_of(expect, "result", "ok"));
    for (const auto& words : expect.value("text", Json::array())) {
        INFO("words: ", words.get<std::string>());
        CHECK(lower(said).find(lower(words.get<std::string>())) != std::string::npos);
    }
    for (const auto* key : {"count", "imported"}) {
        if (expect.contains(key)) CHECK(outcome.count == expect[key].get<int>());
    }
    INFO("chosen: ", outcome.chosen.dump());
    CHECK(holds(outcome.chosen, expect.value("chosen", Json::object())));
}

bool left_out(const vss::Callback& callback) {
    return callback.event == "identify" || callback.event == "is_supported" ||
           callback.event == "properties" || callback.event == "query";
}

void check_callbacks(const std::vector<vss::Callback>& seen, const Json& expect) {
    std::map<std::string, std::vector<std::string>> by_actor;
    std::vector<std::string> all;
    for (const auto& callback : seen) {
        if (left_out(callback)) continue;
        by_actor[callback.actor].emplace_back(callback.event);
        all.push_back(callback.actor + "." + std::string(callback.event));
    }
    const auto callbacks = expect.value("callbacks", Json::object());
    for (const auto& [actor, events] : callbacks.items()) {
        INFO("actor: ", actor);
        CHECK(Json(by_actor[actor]).dump() == events.dump());
    }
    for (const auto& pair : expect.value("before", Json::array())) {
        const auto first = std::find(all.begin(), all.end(), pair.at(0).get<std::string>());
        const auto second = std::find(all.begin(), all.end(), pair.at(1).get<std::string>());
        INFO("before: ", pair.dump());
        CHECK(second != all.end());
        CHECK(first < second);
    }
}

void check_calls(const std::vector<std::string>& asked, const Json& expected) {
    auto next = asked.begin();
    for (const auto& call : expected) {
        next = std::find(next, asked.end(), call.get<std::string>());
        INFO("call: ", call.get<std::string>(), " in ", Json(asked).dump());
        CHECK(next != asked.end());
        if (next == asked.end()) return;
        ++next;
    }
}

// Milliseconds from the first Freeze to the last Thaw or Abort.
std::int64_t frozen(const std::vector<vss::Callback>& seen) {
    Nanoseconds first = -1;
    Nanoseconds last = -1;
    for (const auto& callback : seen) {
        if (!callback.of_writer) continue;
        if (callback.event == "freeze" && first < 0) first = callback.at;
        if (callback.event == "thaw" || callback.event == "abort") last = callback.at;
    }
    return (last - first) / millisecond_ns;
}

void check_end(Runner& runner, const Json& expect) {
    check_keys(expect, {"callbacks", "before", "calls", "writers", "snapshots", "set_open", "within"},
               "expect");
    const auto seen = runner.callbacks();
    check_callbacks(seen, expect);
    check_calls(runner.asked(), expect.value("calls", Json::array()));
    const auto writers = expect.value("writers", Json::object());
    for (const auto& [name, wanted] : writers.items()) {
        INFO("writer: ", name);
        const auto found = runner.last_status().find(name);
        REQUIRE(found != runner.last_status().end());
        CHECK(vss::word(found->second.state) == wanted.at(0).get<std::string>());
        CHECK(vss::hresult_text(found->second.failure).find(wanted.at(1).get<std::string>() + " ") == 0);
    }
    if (expect.contains("snapshots")) CHECK(runner.snapshots() == expect["snapshots"].get<std::size_t>());
    CHECK(runner.set_open() == expect.value("set_open", false));
    if (expect.contains("within")) CHECK(frozen(seen) <= expect["within"].get<std::int64_t>());
}

}  // namespace

TEST_CASE("every scenario of the table comes out on the coordinator as it says") {
    const auto* chosen = std::getenv("EXSHADOW_SCENARIO");
    int run = 0;
    for (const auto& scenario : load_table(EXSHADOW_SCENARIOS, "cpp")) {
        if (!scenario.skipped.empty()) continue;
        if (chosen != nullptr && scenario.name.rfind(chosen, 0) != 0) continue;
        ++run;
        INFO("scenario: ", scenario.name, ": ", scenario.what);
        Runner runner(scenario);
        for (const auto& step : scenario.run) {
            INFO("step: ", step.dump());
            check_outcome(runner.step(step), step.value("expect", Json::object()));
        }
        check_end(runner, scenario.expect);
    }
    CHECK(run > 0);
}

}  // namespace exshadow::scenario
