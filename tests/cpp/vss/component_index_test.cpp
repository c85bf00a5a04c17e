// The indexes over components answer as going through the list does, and stay quick where it is long.
#include "vss/component_index.h"

#include <doctest/doctest.h>

#include <chrono>
#include <random>

#include "vss/selection.h"

using namespace exshadow;
using namespace exshadow::vss;

namespace {

ComponentMetadata component(std::string path, std::string name) {
    ComponentMetadata made;
    made.logical_path = std::move(path);
    made.name = std::move(name);
    return made;
}

// Few names, so that many are equal, stand above one another, or only begin alike.
WriterMetadata random_writer(std::mt19937& random) {
    const std::vector<std::string> names{"", "a", "b", "ab", "a\\b", "\\a", "a\\"};
    const auto name = [&] { return names[random() % names.size()]; };
    WriterMetadata made;
    for (auto count = random() % 12; count > 0; --count) {
        auto path = name();
        for (auto depth = random() % 3; depth > 0; --depth) path += "\\" + name();
        made.components.push_back(component(path, name()));
    }
    return made;
}

bool stands_above(const ComponentMetadata& upper, const ComponentMetadata& lower) {
    const auto root = full_path(upper);
    const auto& path = lower.logical_path;
    return path == root || path.starts_with(root + "\\");
}

}  // namespace

TEST_CASE("the tree of a writer's components says what comparing all of them says") {
    std::mt19937 random(4);
    std::size_t found = 0;
    for (int round = 0; round < 600; ++round) {
        const auto writer = random_writer(random);
        const auto& all = writer.components;
        const ComponentTree tree(writer);
        for (std::size_t i = 0; i < all.size(); ++i) {
            ComponentTree::Places above, below, same;
            for (std::size_t j = 0; j < all.size(); ++j) {
                if (stands_above(all[j], all[i])) above.push_back(j);
                if (stands_above(all[i], all[j])) below.push_back(j);
                if (full_path(all[i]) == full_path(all[j])) same.push_back(j);
            }
            CHECK(tree.above(i) == above);
            CHECK(tree.below(i) == below);
            CHECK(tree.at(full_path(all[i])) == same);
            found += above.size();
        }
        CHECK(tree.at("nowhere").empty());
    }
    CHECK(found > 300);
}

TEST_CASE("an index finds by path and name what going through the list finds, also when the list has grown") {
    BackupWriter writer;
    ComponentIndex index;
    const auto add = [&](ComponentType type, std::string path, std::string name) {
        BackupComponent one;
        one.type = type;
        one.logical_path = std::move(path);
        one.name = std::move(name);
        writer.components.push_back(std::move(one));
    };
    const auto agrees = [&](ComponentType type, std::string path, std::string name) {
        const ComponentKey key{{}, {}, type, std::move(path), std::move(name)};
        return index.first(writer, key) == writer.find(key);
    };
    using enum ComponentType;
    CHECK(agrees(database, "a", "b"));
    add(database, "a", "b");
    add(database, "", "a\\b");  // the same full path, another component
    CHECK(agrees(database, "a", "b"));
    CHECK(agrees(database, "", "a\\b"));
    CHECK(agrees(file_group, "a", "b"));
    add(file_group, "a", "b");
    add(file_group, "a", "b");
    CHECK(agrees(file_group, "a", "b"));
    CHECK(agrees(database, "a", "b"));
    CHECK(index.find(writer.components, "a", "b") == ComponentIndex::Places{0, 2, 3});
    CHECK(index.find(writer.components, "a", "c").empty());
}

TEST_CASE("forty thousand components are chosen in seconds, not in a minute") {
    std::vector<WriterMetadata> writers(1);
    for (int i = 0; i < 40'000; ++i)
        writers[0].components.push_back(component("store\\" + std::to_string(i % 100), std::to_string(i)));
    SelectionRequest request;
    request.volume_of = [](const std::string&) { return std::optional<std::string>("C:"); };
    const auto begin = std::chrono::steady_clock::now();
    const auto chosen = select(writers, request);
    const auto took = std::chrono::steady_clock::now() - begin;
    REQUIRE(chosen.ok());
    CHECK(chosen->writers.at(0).added.size() == 40'000);
    CHECK(took < std::chrono::seconds(15));  // comparing each with each: half a minute and more
}
