#include "volume/plex_state.h"

#include <array>

namespace exshadow {

namespace {

struct Row {
    PlexState from;
    PlexEvent event;
    PlexState to;
};

using enum PlexState;
using enum PlexEvent;

constexpr std::array rows = {
    Row{stale, start_sync, syncing},
    Row{stale, PlexEvent::remove, stale},
    Row{stale, replace, stale},
    Row{syncing, finish_sync, in_sync},
    Row{syncing, interrupt, stale},
    Row{syncing, fail, failed},
    Row{syncing, replace, stale},
    Row{in_sync, prepare_split, splitting},
    Row{in_sync, fail, failed},
    Row{in_sync, vanish, detached},
    Row{in_sync, replace, stale},
    Row{in_sync, PlexEvent::remove, in_sync},
    Row{splitting, commit_split, split},
    Row{splitting, roll_back, stale},
    Row{splitting, fail, failed},
    Row{split, start_resync, resyncing},
    Row{split, promote, in_sync},
    Row{split, PlexEvent::remove, split},
    Row{resyncing, finish_sync, in_sync},
    Row{resyncing, interrupt, stale},
    Row{resyncing, fail, failed},
    Row{resyncing, replace, stale},
    Row{failed, start_sync, syncing},
    Row{failed, replace, stale},
    Row{failed, PlexEvent::remove, failed},
    Row{detached, start_sync, syncing},
    Row{detached, replace, stale},
    Row{detached, PlexEvent::remove, detached},
};

const char* event_text(PlexEvent event) {
    switch (event) {
        case start_sync: return "cannot be synced";
        case start_resync: return "cannot be resynced";
        case finish_sync: return "cannot become in sync";
        case interrupt: return "is not being copied to";
        case prepare_split: return "cannot be split off";
        case commit_split:
        case roll_back: return "is not being split off";
        case fail: return "cannot fail";
        case vanish: return "cannot vanish";
        case replace: return "cannot be replaced";
        case promote: return "cannot be promoted";
        case PlexEvent::remove: return "cannot be removed";
    }
    return "refuses";
}

const char* what_to_do(PlexState state) {
    switch (state) {
        case stale:
        case failed:
        case detached: return "bring it back first: exshadow mirror sync VOLUME LABEL";
        case syncing:
        case resyncing:
            return "wait until it is in sync, or continue with: exshadow mirror sync VOLUME LABEL";
        case in_sync: return "it is a member of the mirror already";
        case splitting: return "its snapshot set is not decided yet: open all volumes of the set together";
        case split: return "it is a snapshot: use exshadow snapshot resync or snapshot delete";
    }
    return "";
}

}  // namespace

std::optional<PlexState> next_state(PlexState state, PlexEvent event) {
    for (const auto& row : rows) {
        if (row.from == state && row.event == event) return row.to;
    }
    return std::nullopt;
}

Error refuse_event(const std::string& label, PlexState state, PlexEvent event) {
    return Error(Code::refused,
                 "plex '" + label + "' is " + plex_state_name(state) + ": it " + event_text(event),
                 what_to_do(state));
}

}  // namespace exshadow
