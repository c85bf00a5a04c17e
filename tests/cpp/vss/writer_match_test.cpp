#include "vss/writer_match.h"

#include <doctest/doctest.h>

using namespace exshadow;
using namespace exshadow::vss;

namespace {

Uuid id(std::uint64_t number) {
    return number == 0 ? Uuid{} : Uuid::from_words(9, number);
}

BackupWriter part(std::uint64_t writer, std::uint64_t instance, std::string name = {}) {
    BackupWriter made;
    made.writer_id = id(writer);
    made.instance_id = id(instance);
    made.instance_name = std::move(name);
    return made;
}

RunningWriter runs(std::uint64_t writer, std::uint64_t instance, std::string name = {}) {
    return {id(writer), id(instance), std::move(name)};
}

// "1 - 0": the first writer has part 1, the second none, the third part 0.
std::string matched(const std::vector<BackupWriter>& parts, const std::vector<RunningWriter>& running) {
    std::string text;
    for (const auto& one : match_writers(parts, running)) {
        if (!text.empty()) text += " ";
        text += one ? std::to_string(*one) : "-";
    }
    return text;
}

}  // namespace

TEST_CASE("a part belongs to its own instance, then to its name, then to the only one of its class") {
    CHECK(matched({part(1, 10), part(1, 11)}, {runs(1, 11), runs(1, 10)}) == "1 0");
    CHECK(matched({part(1, 10, "a"), part(1, 11, "b")}, {runs(1, 21, "b"), runs(1, 20, "a")}) == "1 0");
    CHECK(matched({part(1, 10, "a")}, {runs(1, 20, "a")}) == "0");
    CHECK(matched({part(1, 10, "old")}, {runs(1, 20, "new")}) == "0");
    CHECK(matched({part(1, 10), part(2, 11)}, {runs(2, 20), runs(1, 21)}) == "1 0");
}

TEST_CASE("a part of one instance is never another's") {
    // One of two still runs; the other's part is not the newcomer's.
    CHECK(matched({part(1, 10, "a"), part(1, 11, "b")}, {runs(1, 10, "a"), runs(1, 20, "c")}) == "0 -");
    // Nothing of the second was backed up.
    CHECK(matched({part(1, 10)}, {runs(1, 10), runs(1, 11)}) == "0 -");
    CHECK(matched({part(1, 10)}, {runs(1, 11), runs(1, 10)}) == "- 0");
    // Both were started anew and have no names.
    CHECK(matched({part(1, 10), part(1, 11)}, {runs(1, 20), runs(1, 21)}) == "- -");
    CHECK(matched({part(1, 10)}, {runs(1, 20), runs(1, 21)}) == "- -");
    CHECK(matched({part(1, 10, "a"), part(1, 11, "a")}, {runs(1, 20, "a")}) == "-");
    CHECK(matched({part(1, 10)}, {runs(2, 20)}) == "-");
    CHECK(matched({}, {runs(1, 10)}) == "-");
}
