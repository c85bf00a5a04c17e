// The rules of choosing components, one case each.
#include "vss/selection.h"

#include <doctest/doctest.h>

using namespace exshadow;
using namespace exshadow::vss;

namespace {

const Uuid writer_a = Uuid::from_words(1, 1), writer_b = Uuid::from_words(2, 2);

// A component with one file on the volume that is the first two characters of its path.
ComponentMetadata component(std::string path, std::string name, bool selectable, std::string file = "C:\\x") {
    ComponentMetadata made;
    made.logical_path = std::move(path);
    made.name = std::move(name);
    made.selectable = selectable;
    made.files.resize(1);
    made.files[0].path = std::move(file);
    return made;
}

WriterMetadata writer(const Uuid& id, std::vector<ComponentMetadata> components) {
    WriterMetadata made;
    made.writer_id = id;
    made.instance_id = id;
    made.name = id == writer_a ? "A" : "B";
    made.schema = BackupSchema::incremental | BackupSchema::copy;
    made.components = std::move(components);
    return made;
}

SelectionRequest request() {
    SelectionRequest made;
    made.volumes = {"C:"};
    made.volume_of = [](const std::string& path) -> std::optional<std::string> {
        if (path.size() < 2 || path[1] != ':') return std::nullopt;
        return path.substr(0, 2);
    };
    return made;
}

using Indices = std::vector<std::size_t>;
using Lines = std::vector<std::string>;

Selection selected(const std::vector<WriterMetadata>& writers, const SelectionRequest& wanted = request()) {
    auto result = select(writers, wanted);
    REQUIRE_MESSAGE(result.ok(), result.error().message());
    return *result;
}

Lines lines(const Selection& selection) {
    Lines out;
    for (const auto& one : selection.left_out) out.push_back(text(one));
    return out;
}

}  // namespace

TEST_CASE("the table of selectability") {
    const auto made = writer(writer_a, {component("", "top", true), component("top", "below", false),
                                        component("top\\below", "deep", true), component("", "alone", false),
                                        component("topmost", "other", false)});
    const ComponentTree tree(made);
    CHECK(selectability(made, tree, 0) == Selectability::optional);
    CHECK(selectability(made, tree, 1) == Selectability::implicit);
    CHECK(selectability(made, tree, 2) == Selectability::optional_or_below);
    CHECK(selectability(made, tree, 3) == Selectability::mandatory);
    CHECK(selectability(made, tree, 4) == Selectability::mandatory);  // "topmost" is not below "top"
}

TEST_CASE("roots are added and what is below a selectable one is implicit") {
    const auto result =
        selected({writer(writer_a, {component("", "top", true), component("top", "below", false),
                                    component("top\\below", "deep", true), component("", "alone", false),
                                    component("alone", "child", true)})});
    REQUIRE(result.writers.size() == 1);
    CHECK(result.writers[0].added == Indices{0, 3, 4});
    CHECK(result.writers[0].implicit == Indices{1, 2});
    CHECK(result.left_out.empty());
    CHECK(result.snapshot_needed);
}

TEST_CASE("a component on another volume takes its ancestors with it, and both are named") {
    const auto result = selected(
        {writer(writer_a, {component("", "top", true), component("top", "near", true),
                           component("top", "far", true, "D:\\x"), component("top", "tied", false)})});
    REQUIRE(result.writers.size() == 1);
    CHECK(result.writers[0].added == Indices{1});
    CHECK(result.writers[0].implicit.empty());
    CHECK(lines(result) == Lines{"A: component 'top': 'top\\far', which is part of it, is left out",
                                 "A: component 'top\\far': volume D: is not in the snapshot set",
                                 "A: component 'top\\tied': comes only with 'top', which is left out"});
}

TEST_CASE("a writer that loses a mandatory component is left out as a whole") {
    const auto result =
        selected({writer(writer_a, {component("", "must", false, "D:\\x"), component("", "may", true)}),
                  writer(writer_b, {component("", "good", true)})});
    REQUIRE(result.writers.size() == 1);
    CHECK(result.writers[0].writer == 1);
    CHECK(lines(result) == Lines{"A: cannot be backed up without 'must', which is left out",
                                 "A: component 'must': volume D: is not in the snapshot set"});
}

TEST_CASE("a mandatory component above a lost one is lost too") {
    const auto result =
        selected({writer(writer_a, {component("", "must", false), component("must", "far", true, "D:\\x")})});
    CHECK(result.writers.empty());
    CHECK(result.left_out.front().reason == LeftOutReason::mandatory_left_out);
    CHECK(result.left_out.front().detail == "must");
}

TEST_CASE("a writer of which nothing is left says so, one without components says nothing") {
    const auto result =
        selected({writer(writer_a, {component("", "far", true, "D:\\x")}), writer(writer_b, {})});
    CHECK(result.writers.empty());
    CHECK(lines(result) == Lines{"A: none of its components is left",
                                 "A: component 'far': volume D: is not in the snapshot set"});
    CHECK_FALSE(result.snapshot_needed);
}

TEST_CASE("a path whose volume is not known leaves its component out") {
    const auto result =
        selected({writer(writer_a, {component("", "odd", true, "%Where%\\x"), component("", "good", true)})});
    CHECK(result.writers[0].added == Indices{1});
    CHECK(lines(result) == Lines{"A: component 'odd': the volume of '%Where%\\x' is not known"});
}

TEST_CASE("only what is read from a snapshot needs its volume") {
    auto live = component("", "live", true, "D:\\x");
    live.files[0].backup_type = FileSpecBackupType::all_backup_required;
    auto never = component("", "never", true, "E:\\x");
    never.files[0].backup_type = FileSpecBackupType::no_flags;
    auto other = component("", "elsewhere", true, "D:\\x");
    other.files[0].alternate_path = "C:\\copy";
    const auto result = selected({writer(writer_a, {live, never})});
    CHECK(result.writers[0].added == Indices{0, 1});
    CHECK_FALSE(result.snapshot_needed);
    CHECK(volumes_needed(other, BackupType::full, request().volume_of).volumes == Lines{"C:"});
}

TEST_CASE("exclusion by the user") {
    auto wanted = request();
    wanted.excluded = {
        {writer_a, {}, "top\\one"}, {writer_b, {}, ""}, {writer_b, writer_a, "x"}, {writer_a, {}, "nowhere"}};
    const auto result = selected({writer(writer_a, {component("", "top", true), component("top", "one", true),
                                                    component("top", "two", true)}),
                                  writer(writer_b, {component("", "x", true)})},
                                 wanted);
    REQUIRE(result.writers.size() == 1);
    CHECK(result.writers[0].added == Indices{2});
    CHECK(lines(result) == Lines{"A: component 'top': 'top\\one', which is part of it, is left out",
                                 "A: component 'top\\one': excluded as asked", "B: excluded as asked"});
    CHECK(result.unmatched == std::vector<ComponentName>{wanted.excluded[2], wanted.excluded[3]});
}

TEST_CASE("only some components: mandatory ones and dependencies come along") {
    auto database = component("", "db", true);
    database.dependencies = {{writer_b, "set", "needed", {}}};
    const std::vector<WriterMetadata> writers{
        writer(writer_a, {database, component("db", "log", false), component("", "other", true),
                          component("", "must", false)}),
        writer(writer_b,
               {component("", "set", true), component("set", "needed", false), component("", "not", true)})};
    auto wanted = request();
    wanted.only = {{writer_a, {}, "db"}};
    const auto result = selected(writers, wanted);
    REQUIRE(result.writers.size() == 2);
    CHECK(result.writers[0].added == Indices{0, 3});
    CHECK(result.writers[0].implicit == Indices{1});
    CHECK(result.writers[1].added == Indices{0});
    CHECK(result.writers[1].implicit == Indices{1});
    CHECK(result.unmet.empty());
    CHECK(lines(result) == Lines{"A: component 'other': not asked for", "B: component 'not': not asked for"});

    wanted.only = {{writer_a, {}, "other"}};
    const auto less = selected(writers, wanted);
    REQUIRE(less.writers.size() == 1);
    CHECK(less.writers[0].added == Indices{2, 3});
    CHECK(lines(less).back() == "B: not asked for");
}

TEST_CASE("`only` must name what there is and what can stand alone") {
    const std::vector<WriterMetadata> writers{
        writer(writer_a, {component("", "top", true), component("top", "tied", false)})};
    auto wanted = request();
    wanted.only = {{writer_a, {}, "missing"}};
    CHECK(select(writers, wanted).error().code() == Code::not_found);
    wanted.only = {{writer_b, {}, ""}};
    CHECK(select(writers, wanted).error().code() == Code::not_found);
    wanted.only = {{writer_a, writer_b, "top"}};
    CHECK(select(writers, wanted).error().code() == Code::not_found);
    wanted.only = {{writer_a, {}, "top\\tied"}};
    CHECK(select(writers, wanted).error().message().find("together with 'top'") != std::string::npos);
    wanted.only = {{writer_a, {}, "top\\tied"}, {writer_a, writer_a, "top"}};
    CHECK(selected(writers, wanted).writers[0].implicit == Indices{1});
}

TEST_CASE("a dependency that is not taken is reported") {
    auto database = component("", "db", true);
    database.dependencies = {{writer_b, "", "far", {}}, {writer_b, "", "near", {}}};
    const auto result =
        selected({writer(writer_a, {database}),
                  writer(writer_b, {component("", "far", true, "D:\\x"), component("", "near", true)})});
    REQUIRE(result.unmet.size() == 1);
    CHECK(result.unmet[0].dependency.name == "far");
    CHECK(result.writers.size() == 2);
}

TEST_CASE("dependencies in a circle end") {
    auto one = component("", "one", true), two = component("", "two", true);
    one.dependencies = {{writer_b, "", "two", {}}};
    two.dependencies = {{writer_a, "", "one", {}}};
    auto wanted = request();
    wanted.only = {{writer_b, {}, "two"}};
    CHECK(selected({writer(writer_a, {one}), writer(writer_b, {two})}, wanted).writers.size() == 2);
}

TEST_CASE("what the writer makes of the wanted kind is said") {
    auto wanted = request();
    wanted.type = BackupType::differential;
    const auto result = selected({writer(writer_a, {component("", "x", true)})}, wanted);
    CHECK(result.writers[0].actual == BackupType::full);
    CHECK(result.writers[0].warning.find("differential") != std::string::npos);
    wanted.type = BackupType::incremental;
    CHECK(selected({writer(writer_a, {component("", "x", true)})}, wanted).writers[0].warning.empty());
}
