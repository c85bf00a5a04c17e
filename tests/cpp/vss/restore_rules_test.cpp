#include "vss/restore_rules.h"

#include <doctest/doctest.h>

using namespace exshadow;
using namespace exshadow::vss;

namespace {

FileSet files() {
    FileSet made;
    made.path = "C:\\data";
    made.spec = "*";
    return made;
}

LocationMapping to(std::string place) {
    return {files(), std::move(place)};
}

}  // namespace

TEST_CASE("every restore method has its own rule") {
    for (const auto& one : enum_names<RestoreMethod>())
        CHECK(method_rule(static_cast<RestoreMethod>(one.value)).method ==
              static_cast<RestoreMethod>(one.value));
    CHECK(method_rule(RestoreMethod::stop_restore_start).stop_before);
    CHECK_FALSE(method_rule(RestoreMethod::restore_stop_start).stop_before);
    CHECK(method_rule(RestoreMethod::restore_stop_start).restart_after);
}

TEST_CASE("the writer's target comes before the requestor's, and that before the method") {
    RestoreMethodMetadata method;
    method.method = RestoreMethod::restore_to_alternate_location;
    method.mappings = {to("E:\\mapped")};
    RestoreChoice choice;
    const auto place = [&] { return *destination(files(), choice, method); };
    CHECK(place().placement == Placement::mapped);
    CHECK(place().path == "E:\\mapped");
    choice.new_targets = {to("F:\\new")};
    CHECK(place().path == "F:\\new");
    choice.target = RestoreTarget::original;
    CHECK(place().placement == Placement::new_target);
    choice.target = RestoreTarget::alternate;
    CHECK(place().path == "E:\\mapped");
    choice.target = RestoreTarget::original_location;
    CHECK(place().placement == Placement::in_place);
    CHECK(place().path == "C:\\data");
    choice.target = RestoreTarget::directed;
    choice.directed_targets = {{"C:\\data", "a", "", "G:\\", "b", "", {}},
                               {"C:\\else", "a", "", "G:\\", "b", "", {}}};
    CHECK(place().placement == Placement::directed);
    CHECK(place().targets.size() == 1);
}

TEST_CASE("without a choice the method decides") {
    RestoreMethodMetadata method;
    CHECK(destination(files(), {}, method)->placement == Placement::in_place);
    method.method = RestoreMethod::custom;
    CHECK(destination(files(), {}, method)->placement == Placement::by_writer);
    method.method = RestoreMethod::restore_to_alternate_location;
    CHECK(destination(files(), {}, method).error().code() == Code::refused);
}

TEST_CASE("a mapping is for exactly its files") {
    auto other = files();
    other.recursive = true;
    CHECK(find_mapping(files(), {to("x")}) != nullptr);
    CHECK(find_mapping(other, {to("x")}) == nullptr);
    other = files();
    other.spec = "*.*";
    CHECK(find_mapping(other, {to("x")}) == nullptr);
}
