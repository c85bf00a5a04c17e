// What a session says of arguments that fit no call: contexts, and volumes under another name.
#include <doctest/doctest.h>

#include <cstdint>

#include "session_bed.h"

using namespace exshadow;
using namespace exshadow::vss;
using namespace exshadow::vss::test;

TEST_CASE("a volume is in a set once, under whichever of its names") {
    auto world = usual_world();
    world["volumes"][0]["paths"] = {"\\\\?\\Volume{1}\\"};
    Bed bed(world);
    const auto session = manager(bed, context::backup);
    const Closing closing{bed, session};
    REQUIRE(session->start_snapshot_set().ok());
    REQUIRE(get(bed, session->add_to_snapshot_set("C:\\", {})).ok());
    for (const auto* name : {"C:\\", "c:\\", "\\\\?\\Volume{1}\\"}) {
        CHECK(code_of(get(bed, session->add_to_snapshot_set(name, {}))) ==
              HResult::vss_e_object_already_exists);
    }
    CHECK(get(bed, session->add_to_snapshot_set("D:\\", {})).ok());
}

TEST_CASE("only the SDK's contexts are taken, with what a requestor may add, and no set is made of all") {
    Bed bed;
    const auto session = manager(bed);
    const Closing closing{bed, session};
    CHECK(code_of(session->start_snapshot_set()) == HResult::vss_e_unsupported_context);
    for (const std::uint32_t wrong : {0x1U, 0x8U, 0x4U, 0x18U, 0x40U, 0x1000U, 0x10000U, 0x80000U, 0x100000U,
                                      0x400000U, 0x4000000U, 0x80000000U, 0xFFFFFFFEU}) {
        CHECK(code_of(session->set_context(SnapshotAttributes{wrong})) == HResult::vss_e_unsupported_context);
    }
    for (const std::uint32_t good :
         {0x0U, 0x10U, 0x9U, 0x19U, 0x1DU, 0xDU, 0x20U, 0x2000022U, 0x800009U, 0x80U, 0x20009U, 0x40000U}) {
        CHECK(session->set_context(SnapshotAttributes{good}).ok());
    }
}
