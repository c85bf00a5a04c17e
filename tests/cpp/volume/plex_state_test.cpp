// The plex state table: every pair of state and event is decided, as written out here by hand.
#include "volume/plex_state.h"

#include <doctest/doctest.h>

#include <map>
#include <string>

namespace exshadow::test {

namespace {

using enum PlexState;
using enum PlexEvent;

constexpr PlexState states[] = {stale, syncing, in_sync, splitting, split, resyncing, failed, detached};
constexpr PlexEvent events[] = {start_sync,    start_resync, finish_sync, interrupt,
                                prepare_split, commit_split, roll_back,   PlexEvent::fail,
                                vanish,        replace,      promote,     PlexEvent::remove};

const std::map<std::pair<PlexState, PlexEvent>, PlexState> expected = {
    {{stale, start_sync}, syncing},
    {{failed, start_sync}, syncing},
    {{detached, start_sync}, syncing},
    {{split, start_resync}, resyncing},
    {{syncing, finish_sync}, in_sync},
    {{resyncing, finish_sync}, in_sync},
    {{syncing, interrupt}, stale},
    {{resyncing, interrupt}, stale},
    {{in_sync, prepare_split}, splitting},
    {{splitting, commit_split}, split},
    {{splitting, roll_back}, stale},
    {{in_sync, PlexEvent::fail}, failed},
    {{syncing, PlexEvent::fail}, failed},
    {{resyncing, PlexEvent::fail}, failed},
    {{splitting, PlexEvent::fail}, failed},
    {{in_sync, vanish}, detached},
    {{split, promote}, in_sync},
    {{stale, replace}, stale},
    {{syncing, replace}, stale},
    {{resyncing, replace}, stale},
    {{in_sync, replace}, stale},
    {{failed, replace}, stale},
    {{detached, replace}, stale},
    {{stale, PlexEvent::remove}, stale},
    {{failed, PlexEvent::remove}, failed},
    {{detached, PlexEvent::remove}, detached},
    {{in_sync, PlexEvent::remove}, in_sync},
    {{split, PlexEvent::remove}, split},
};

}  // namespace

TEST_CASE("every state answers every event as the table says") {
    for (const PlexState state : states) {
        for (const PlexEvent event : events) {
            CAPTURE(plex_state_name(state));
            CAPTURE(static_cast<int>(event));
            const auto found = next_state(state, event);
            const auto wanted = expected.find({state, event});
            REQUIRE(found.has_value() == (wanted != expected.end()));
            if (found) CHECK(*found == wanted->second);
        }
    }
}

TEST_CASE("a refusal names the plex, the state found and what to do") {
    const Error error = refuse_event("m2", resyncing, prepare_split);
    CHECK(error.code() == Code::refused);
    CHECK(error.message() == "plex 'm2' is resyncing: it cannot be split off");
    CHECK(error.hint().find("mirror sync") != std::string::npos);
    for (const PlexState state : states) CHECK_FALSE(refuse_event("x", state, start_sync).hint().empty());
}

TEST_CASE("no plex becomes a member but by a finished sync or a promotion") {
    for (const PlexState state : states) {
        for (const PlexEvent event : events) {
            if (state == in_sync || next_state(state, event) != in_sync) continue;
            CHECK((event == finish_sync || event == promote));
        }
    }
}

}  // namespace exshadow::test
