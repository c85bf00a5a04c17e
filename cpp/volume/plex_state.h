// The plex state table: which event may happen in which state, and what comes of it. Every change of a
// plex's state goes through next_state(); a refusal names the state found and what to do.
#pragma once

#include <optional>
#include <string>

#include "base/error.h"
#include "volume/state.h"

namespace exshadow {

enum class PlexEvent : std::uint8_t {
    start_sync,     // a copier starts to bring it up by its sync map
    start_resync,   // its snapshot is given up, a copier starts
    finish_sync,    // the copier is done: member again
    interrupt,      // the copier stopped, or the engine did while it ran
    prepare_split,  // named to leave the mirror
    commit_split,   // it is a snapshot now
    roll_back,      // the split was undone
    fail,           // an I/O error or a time limit made it leave
    vanish,         // not there, or not what it was, when the volume was opened
    replace,        // another plex was promoted over it
    promote,        // it becomes production
    remove,         // the volume forgets it
};

// The state after `event`, or nothing when the event is not permitted. `remove` answers the state itself.
[[nodiscard]] std::optional<PlexState> next_state(PlexState state, PlexEvent event);
// Code::refused: "plex 'm2' is resyncing: ...", with what to do.
[[nodiscard]] Error refuse_event(const std::string& label, PlexState state, PlexEvent event);

}  // namespace exshadow
