#include "table.h"

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "scenario/script.h"

namespace exshadow::scenario {

namespace {

Json parse_file(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) throw BadScenario(path.string() + ": cannot be opened");
    return Json::parse(file);
}

void patch(Json& scenario, const Json& patches) {
    for (const auto& [pointer, value] : patches.items()) {
        const Json::json_pointer place(pointer);
        if (!value.is_null()) {
            scenario[place] = value;
        } else if (scenario.contains(place)) {
            auto& parent = scenario[place.parent_pointer()];
            if (parent.is_array()) {
                parent.erase(std::stoul(place.back()));
            } else {
                parent.erase(place.back());
            }
        }
    }
}

Scenario finish(const std::string& name, const Json& text, const std::string& runner) {
    return {name,
            text.at("what").get<std::string>(),
            text.at("world"),
            text.at("run"),
            text.at("expect"),
            text_of(text.value("skip", Json::object()), runner.c_str())};
}

void load_file(const std::filesystem::path& path, const std::string& runner, std::vector<Scenario>& table) {
    auto text = parse_file(path);
    check_keys(text, {"what", "world", "patch", "run", "expect", "cases", "skip"}, path.filename().string());
    if (text.at("world").is_string()) {
        const auto world = text["world"].get<std::string>() + ".json";
        text["world"] = parse_file(path.parent_path() / "worlds" / world);
    }
    if (!text.contains("expect")) text["expect"] = Json::object();
    patch(text, text.value("patch", Json::object()));
    const auto cases = text.value("cases", Json{{"", Json::object()}});
    for (const auto& [name, patches] : cases.items()) {
        auto one = text;
        patch(one, patches);
        const auto stem = path.stem().string();
        table.push_back(finish(name.empty() ? stem : stem + ":" + name, one, runner));
    }
}

}  // namespace

std::vector<Scenario> load_table(const std::string& folder, const std::string& runner) {
    std::vector<std::filesystem::path> files;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
        if (entry.path().extension() == ".json") files.push_back(entry.path());
    }
    std::sort(files.begin(), files.end());
    std::vector<Scenario> table;
    for (const auto& file : files) load_file(file, runner, table);
    return table;
}

}  // namespace exshadow::scenario
