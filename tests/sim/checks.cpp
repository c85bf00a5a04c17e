// What must hold when nothing is under way (E36), and what a change map must always cover.
#include <algorithm>

#include "sim/scenario.h"

namespace exshadow::sim {

std::vector<Value> Simulation::content(const Subject& subject, const std::string& path) const {
    return read_sectors(world_.peek(path, {0, subject.size}), subject.id, 0);
}

// Guarantee 2: members of the mirror are identical, byte by byte; what an instant restore has still to move
// is on none of them.
void Simulation::check_members(const Subject& subject) {
    const VolumeState& state = subject.volume->state();
    const std::string& authority = state.find_plex(state.authority)->path;
    for (const auto& plex : subject.volume->plexes()) {
        if (!plex->is_member()) continue;
        const std::string& path = state.find_plex(plex->uuid)->path;
        if (world_.same_content(authority, path)) continue;
        const auto a = content(subject, authority);
        const auto b = content(subject, path);
        const Redirect* const moving = subject.volume->redirect();
        std::size_t at = 0;
        const auto alike = [&] {
            return a[at] == b[at] ||
                   (moving != nullptr && moving->unmoved.any({at * sector_bytes, sector_bytes}));
        };
        while (at < a.size() && alike()) ++at;
        if (at == a.size()) continue;
        fail(subject.name + ": members " + authority + " and " + path + " differ at sector " +
             std::to_string(at) + ": " + std::to_string(a[at]) + ", " + std::to_string(b[at]) +
             subject.history.describe(at));
    }
}

void Simulation::check_after_open() {
    check_sets();
    std::map<std::uint64_t, SwapOutcome> outcomes;
    for (auto& subject : subjects_) {
        if (over()) return;
        if (subject->volume->is_restore_in_doubt()) fail(subject->name + ": its instant restore is in doubt");
        check_snapshots(*subject);
        settle(*subject, outcomes);
    }
    check_restored_sets(outcomes);
    for (auto& subject : subjects_) {
        subject->lost_log = false;
        subject->redirected = subject->volume->is_moving();
    }
    survival_ = Survival::closed;
}

// Guarantee 1, and no new-then-old over the crash: what is found now is fixed from here on.
void Simulation::settle(Subject& subject, std::map<std::uint64_t, SwapOutcome>& outcomes) {
    const Survival survival = survival_of(subject);
    History& history = subject.history;
    std::optional<Swap>& swap = subject.swap;
    if (subject.volume->is_restoring()) {
        if (!swap || swap->promotion) {
            fail(subject.name + " is being restored, and nobody asked for it");
            return;
        }
        history.end_write(swap->operation, History::Result::unknown);
        const auto& copy = subject.snapshots.at(swap->label).content;
        swap->operation = history.begin_write({0, copy.size()}, copy);
        return;
    }
    check_members(subject);
    const auto now = production(subject);
    if (!swap) {
        const std::string wrong = history.check_survival(survival, now);
        if (!wrong.empty()) fail(subject.name + ": " + wrong);
    } else {
        const bool undone = history.check_survival(survival, now, swap->operation).empty();
        const bool done = history.is_replaced_by(swap->operation, now);
        // The content may fit both; whether it moves does not, unless it did before.
        const bool stands = swap->moved_before ? done : subject.volume->is_moving();
        if (swap->set != 0 && (undone != done || !swap->moved_before))
            ++(stands ? outcomes[swap->set].done : outcomes[swap->set].undone);
        if (!undone && !done) {
            const std::string wrong = history.check_survival(survival, now);
            fail(subject.name + ": neither before nor after its " +
                 (swap->promotion ? "promotion" : "restore") + " from " + swap->label + ": " + wrong);
        }
        swap.reset();
    }
    history.settle(now);
}

// Guarantee 3: a set is on all its volumes or on none, and decided once all are open.
void Simulation::check_sets() {
    for (const auto& subject : subjects_) {
        for (const auto& snapshot : subject->volume->state().snapshots) {
            if (snapshot.state != SetState::committed) {
                fail(subject->name + ": set " + snapshot.label + " is not decided");
            }
            const bool known =
                subject->snapshots.contains(snapshot.label) || open_splits_.contains(snapshot.label);
            if (!known) fail(subject->name + ": snapshot " + snapshot.label + " comes out of nothing");
        }
    }
    for (auto& [label, cut] : open_splits_) {
        const auto& members = split_members_.at(label);
        const auto count =
            std::count_if(members.begin(), members.end(), [&label = label](const Subject* subject) {
                return subject->volume->state().find_snapshot(label) != nullptr;
            });
        if (count == 0) continue;
        if (static_cast<std::size_t>(count) != members.size()) {
            fail("set " + label + " is on " + std::to_string(count) + " of " +
                 std::to_string(members.size()) + " volumes");
            return;
        }
        note("set " + label + " was committed without an answer");
        learn_split(cut, members, label);
    }
    open_splits_.clear();
}

// A snapshot never changes, and goes only when asked to.
void Simulation::check_snapshots(Subject& subject) {
    for (auto at = subject.snapshots.begin(); at != subject.snapshots.end();) {
        SnapshotModel& snapshot = at->second;
        const bool there = subject.volume->state().find_snapshot(snapshot.label) != nullptr;
        if (!there && !snapshot.leaving) fail(subject.name + ": snapshot " + snapshot.label + " is gone");
        if (there && !snapshot.touched && content(subject, snapshot.path) != snapshot.content) {
            fail(subject.name + ": snapshot " + snapshot.label + " has changed");
        }
        if (there) snapshot.leaving = snapshot.kept = false;
        // Until a restore from it is done it cannot go.
        at = there ? std::next(at) : subject.snapshots.erase(at);
    }
}

// Guarantee 4: a change map never misses a difference. Nothing may be under way.
Task<void> Simulation::check_changed(Subject& subject) {
    std::vector<std::string> labels;
    for (const auto& [label, snapshot] : subject.snapshots) labels.push_back(label);
    for (const auto& label : labels) {
        auto asking = subject.volume->changed(label, std::nullopt);
        const Result<Ranges> changed = co_await std::move(asking);
        if (over()) co_return;
        if (!changed.ok()) {
            fail(subject.name + ": changed(" + label + "): " + changed.error().message());
            co_return;
        }
        const auto& copy = subject.snapshots.at(label).content;
        check_covered(subject, *changed, copy, production(subject), "since " + label);
        for (const auto& other : labels) {
            if (other == label) continue;
            auto asking_between = subject.volume->changed(label, other);
            const Result<Ranges> between = co_await std::move(asking_between);
            if (over() || !between.ok()) co_return;
            check_covered(subject, *between, copy, subject.snapshots.at(other).content,
                          label + " to " + other);
        }
    }
}

// The same under load, for sectors nobody is writing to.
Task<void> Simulation::check_changed_live(Subject& subject, std::string label) {
    const Time begin = clock_.tick();
    std::vector<Value> now(subject.history.sectors());
    const auto& copy = subject.snapshots.at(label).content;
    for (std::size_t sector = 0; sector < now.size(); ++sector) {
        const Value value = subject.history.certain(sector, begin);
        now[sector] = value == garbage ? copy[sector] : value;
    }
    const std::vector<Value> then = copy;
    const bool swapping = subject.swap.has_value();
    auto asking = subject.volume->changed(label, std::nullopt);
    const Result<Ranges> changed = co_await std::move(asking);
    if (over() || !changed.ok() || swapping || subject.swap) co_return;
    check_covered(subject, *changed, then, now, "since " + label + " (live)");
}

void Simulation::check_covered(const Subject& subject, const Ranges& changed, const std::vector<Value>& a,
                               const std::vector<Value>& b, const std::string& what) {
    std::vector<bool> covered(a.size());
    for (const auto& range : changed) {
        for (std::uint64_t at = range.offset / sector_bytes; at * sector_bytes < range.end(); ++at)
            covered[at] = true;
    }
    for (std::size_t sector = 0; sector < a.size(); ++sector) {
        if (a[sector] == b[sector] || covered[sector]) continue;
        fail(subject.name + ": changes " + what + " lack sector " + std::to_string(sector) + ": " +
             std::to_string(a[sector]) + ", " + std::to_string(b[sector]) + subject.history.describe(sector));
        return;
    }
}

}  // namespace exshadow::sim
