// Faults: what the disks do to each volume during one life, and what happens to files between lives.
#include <algorithm>

#include "sim/scenario.h"
#include "volume/format.h"

namespace exshadow::sim {

std::vector<std::string> Simulation::plex_files(const Subject& subject) const {
    std::vector<std::string> paths;
    for (std::uint32_t i = 1; i <= subject.plexes_made; ++i) {
        std::string path = subject.name + "-" + std::to_string(i);
        if (world_.exists(path)) paths.push_back(std::move(path));
    }
    return paths;
}

void Simulation::draw_weather(Subject& subject) {
    subject.weather = Weather::calm;
    subject.bad_plex.clear();
    if (last_) return;
    const std::uint64_t roll = random_.below(100);
    const Redirect* const moving = subject.volume->redirect();
    if (moving != nullptr && roll < 20) {
        subject.weather = Weather::one_bad_plex;
        subject.bad_plex = subject.plex_path(moving->source->label);
        world_.behaviour(subject.bad_plex).read_error = 0.05;
    } else if (roll < 40) {
        bad_plex_weather(subject);
    } else if (roll < 48) {
        subject.weather = Weather::all_plexes;
        subject.history.set_loose(true);
        crash_by_power_cut();
        for (const auto& path : plex_files(subject)) {
            SimBehaviour& how = world_.behaviour(path);
            how.write_error = random_.chance(0.6) ? 0.01 : 0;
            how.read_error = random_.chance(0.3) ? 0.01 : 0;
            how.flush_error = random_.chance(0.4) ? 0.02 : 0;
        }
    } else if (roll < 55) {
        subject.weather = Weather::metadata;
        SimFault fault;
        const bool flush = random_.chance(0.3);
        fault.kind = flush ? SimFault::Kind::flush_error : SimFault::Kind::write_error;
        fault.skip = random_.below(100);
        fault.count = random_.chance(0.5) ? 1 : sim_unlimited;
        if (flush) crash_by_power_cut();
        world_.inject(subject.path, fault);
    } else if (roll < 62) {
        subject.weather = Weather::no_space;
        world_.behaviour(subject.path).space = random_.below(64) * KiB;
    }
    if (subject.weather != Weather::calm)
        note(subject.name + ": weather " + std::to_string(static_cast<int>(subject.weather)) + " " +
             subject.bad_plex);
}

// One member gets worse; the others are faultless.
void Simulation::bad_plex_weather(Subject& subject) {
    std::vector<std::string> members;
    for (const auto& record : subject.volume->state().plexes) {
        if (record.state == PlexState::in_sync) members.push_back(record.label);
    }
    if (members.size() < 2 || subject.volume->is_restoring()) return;
    subject.weather = Weather::one_bad_plex;
    const std::string path = subject.plex_path(members[random_.below(members.size())]);
    subject.bad_plex = path;
    SimBehaviour& how = world_.behaviour(path);
    switch (random_.below(8)) {
        case 0: how.write_error = 0.02; break;
        case 7:  // fails while the others still lack what it has
            how.write_error = 0.05;
            for (const auto& label : members) {
                if (subject.plex_path(label) == path) continue;
                world_.behaviour(subject.plex_path(label)).slow = 0.3;
                world_.behaviour(subject.plex_path(label)).slow_latency = 10 * millisecond_ns;
            }
            break;
        case 1:
            how.flush_error = 0.1;
            crash_by_power_cut();
            break;
        case 2: how.late_write = 0.02; break;
        case 3: how.read_error = 0.05; break;
        case 4:
            how.slow = 0.02;
            how.slow_latency = 3 * second_ns;
            break;
        case 5: how.space = random_.below(64) * KiB; break;
        case 6:
            for (int i = 0; i < 4; ++i) {
                SimFault fault;
                fault.kind = SimFault::Kind::read_error;
                fault.range = {random_.below(subject.size / 4096) * 4096, (1 + random_.below(8)) * 4096};
                fault.count = sim_unlimited;
                world_.inject(path, fault);
            }
            break;
    }
}

void Simulation::clear_weather() {
    for (const auto& subject : subjects_) {
        std::vector<std::string> paths = plex_files(*subject);
        paths.push_back(subject->path);
        for (const auto& path : paths) {
            const SimBehaviour& fresh = world_.options().behaviour;
            world_.heal(path);
            world_.behaviour(path) = fresh;
        }
        subject->weather = Weather::calm;
        subject->bad_plex.clear();
    }
}

// Zeroes what redundancy or the fail-closed rule must make up for: the older superblock, the whole log,
// all places of a map's summary or of some of its blocks (E18, E35). True when it was the log.
bool Simulation::break_metadata(Subject& subject) {
    if (!random_.chance(0.15)) return false;
    const auto generation_at = [&](unsigned place) {
        const auto bytes =
            world_.peek(subject.path, {format::superblock_places[place], format::superblock_bytes});
        const auto state = format::decode_superblock(bytes, place);
        return state.ok() ? state->generation : 0;
    };
    const auto wipe = [&](Range range) { world_.poke_zeroes(subject.path, range); };
    switch (random_.below(3)) {
        case 0: {
            const unsigned older = generation_at(0) < generation_at(1) ? 0 : 1;
            wipe({format::superblock_places[older], 4096});
            note(subject.name + ": older superblock zeroed");
            break;
        }
        case 1:
            for (const auto place : format::log_places) wipe({place, format::log_bytes});
            note(subject.name + ": activity log zeroed");
            return true;
        case 2: {
            const unsigned newest = generation_at(0) < generation_at(1) ? 1 : 0;
            const auto bytes =
                world_.peek(subject.path, {format::superblock_places[newest], format::superblock_bytes});
            const auto state = format::decode_superblock(bytes, newest);
            if (!state.ok()) break;
            const format::MapLayout layout(state->size, state->region_size);
            const auto slot = static_cast<std::uint32_t>(random_.below(6));
            // The map of an instant restore has no safe side (E25): a test of its own loses it.
            if (state->restore && state->mode == VolumeMode::redirecting && state->restore->map.slot == slot)
                break;
            if (state->starting && state->starting->map.slot == slot) break;
            if (random_.chance(0.5)) {
                wipe({layout.summary_offset(slot, 0), 2 * layout.summary_bytes});
            } else {
                wipe({layout.block_offset(slot, 0, 0), 2 * format::block_bytes});
            }
            note(subject.name + ": map slot " + std::to_string(slot) + " zeroed");
            break;
        }
    }
    return false;
}

void Simulation::hide_plexes(Subject& subject) {
    if (!random_.chance(0.25)) return;
    const auto paths = plex_files(subject);
    const std::string path = paths[random_.below(paths.size())];
    world_.set_missing(path, true);
    note(path + " is missing");
}

// Whether a client may see this error under the weather of its volume (guarantee 7).
bool Simulation::error_is_fair(const Subject& subject, const Error& error) const {
    if (over()) return true;
    const Volume& volume = *subject.volume;
    if (volume.is_restoring() && error.code() == Code::refused) return true;
    const Redirect* const moving = volume.redirect();
    if (moving != nullptr && subject.plex_path(moving->source->label) == subject.bad_plex &&
        error.code() == Code::io)
        return true;  // what is not moved yet is nowhere else
    switch (subject.weather) {
        case Weather::all_plexes: return error.code() == Code::io || error.code() == Code::no_space;
        case Weather::metadata: return volume.is_read_only();
        case Weather::calm:
        case Weather::one_bad_plex:
        case Weather::no_space: break;
    }
    return false;
}

}  // namespace exshadow::sim
