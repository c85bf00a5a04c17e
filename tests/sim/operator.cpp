// The operator: splits, snapshots, restores and plexes come and go while clients work.
#include <algorithm>

#include "sim/scenario.h"

namespace exshadow::sim {

// An operation that must succeed in this weather, or is refused with a reason.
void Simulation::expect(const Subject& subject, const Status& status, const char* what) {
    if (over()) return;
    note(subject.name + ": " + what + ": " + (status.ok() ? "done" : status.error().message()));
    if (status.ok()) return;
    const Code code = status.error().code();
    const bool disks = subject.weather == Weather::one_bad_plex || subject.weather == Weather::all_plexes;
    const bool fair = code == Code::busy || code == Code::refused || code == Code::cancelled ||
                      (disks && (code == Code::io || code == Code::no_space || code == Code::timed_out)) ||
                      (subject.weather == Weather::no_space && code == Code::no_space) ||
                      (subject.weather == Weather::metadata && code == Code::io) ||
                      error_is_fair(subject, status.error());
    if (!fair) fail(subject.name + ": " + what + " failed: " + status.error().message());
}

Task<void> Simulation::operate(std::uint64_t seed) {
    SimRandom random(seed);
    const std::uint64_t steps = 4 + random.below(24);
    for (std::uint64_t step = 0; step < steps && !over(); ++step) {
        auto sleeping = sleep_a_while(3 * millisecond_ns);
        co_await std::move(sleeping);
        if (over()) break;
        Subject& subject = *subjects_[random.below(subjects_.size())];
        const std::uint64_t roll = random.below(100);
        Task<void> task = roll < 24   ? split_some(random)
                          : roll < 46 ? sync_one(subject, {})
                          : roll < 56 ? resync_one(subject)
                          : roll < 60 ? restore_one(subject)
                          : roll < 68 ? restore_instantly(random)
                          : roll < 72 ? delete_one(subject)
                          : roll < 76 ? add_plex(subject)
                          : roll < 80 ? remove_one(subject)
                          : roll < 84 ? promote_one(subject)
                          : roll < 88 ? verify_one(subject)
                          : roll < 90 ? touch_one(subject)
                                      : quiet_check();
        co_await std::move(task);
        if (!over() && subject.volume->is_restoring() && subject.busy == 0) {
            auto continuing = continue_restore(subject);
            co_await std::move(continuing);
        }
        if (!over() && subject.volume->is_moving() && random.chance(0.3)) beside_->spawn(move_job(subject));
        if (over() || subject.snapshots.empty() || subject.history.is_loose()) continue;
        auto checking = check_changed_live(subject, subject.snapshots.begin()->first);
        co_await std::move(checking);
    }
}

Task<void> Simulation::add_plex(Subject& subject) {
    const VolumeState& state = subject.volume->state();
    if (state.plexes.size() >= 6) co_return;
    AddPlexOptions options;
    for (std::uint32_t i = 1; i <= subject.plexes_made; ++i) {
        const std::string path = subject.name + "-" + std::to_string(i);
        const bool used = std::any_of(state.plexes.begin(), state.plexes.end(),
                                      [&](const PlexRecord& record) { return record.path == path; });
        if (used) continue;
        options.path = path;  // holds whatever it held, or was being made when the machine stopped
        if (!world_.exists(path) || world_.file(path).store.size() != subject.size)
            world_.create(path, subject.size);
    }
    if (options.path.empty()) {
        options.path = subject.name + "-" + std::to_string(++subject.plexes_made);
        if (random_.chance(0.5)) world_.create(options.path, subject.size);
    }
    options.overwrite = true;
    co_await loop_->sleep(30 * millisecond_ns);  // its last late write has landed
    auto attaching = subject.volume->attach_plex(options);
    const Result<std::string> label = co_await std::move(attaching);
    expect(subject, label.ok() ? Status{} : Status(label.error()), "attach");
    if (over() || !label.ok()) co_return;
    auto syncing = sync_one(subject, *label);
    co_await std::move(syncing);
}

Task<void> Simulation::split_some(SimRandom& random) {
    SplitRequest request;
    std::vector<Subject*> members;
    for (auto& subject : subjects_) {
        if (random.chance(0.3) || subject->volume->is_restoring()) continue;
        std::vector<std::string> plexes;
        for (const auto& record : subject->volume->state().plexes) {
            if (may_leave(*subject, record.label)) plexes.push_back(record.label);
        }
        if (plexes.empty()) continue;
        request.volumes.push_back(subject->volume.get());
        request.plexes[subject->name] = plexes[random.below(plexes.size())];
        members.push_back(subject.get());
    }
    if (members.empty()) co_return;
    const std::string label = "s" + std::to_string(++splits_);
    request.label = label;
    Cut& cut = open_splits_[label];
    split_members_[label] = members;
    std::vector<Time> looks;
    for (Subject* const subject : members) looks.push_back(subject->history.begin_look());
    cut.begin = looks.front();
    note("split " + label + " of " + std::to_string(members.size()));
    delicate(0.2);
    const auto given_up = std::make_shared<bool>(false);
    const auto gate = how_to_split_ == Splits::armed ? std::make_shared<SplitGate>(*loop_) : nullptr;
    request.gate = gate;
    if (gate) beside_->spawn(turn_later(gate, given_up));
    auto splitting = split(*loop_, std::move(request));
    const Result<SplitResult> result = co_await std::move(splitting);
    if (gate) gate->note_ended();
    const bool undecided = std::any_of(members.begin(), members.end(), [](const Subject* subject) {
        return subject->volume->is_read_only();
    });
    if (!loop_->crashed()) cut.end = clock_.tick();
    if (!over() && result.ok()) {
        learn_split(cut, members, label);
        for (Subject* const subject : members) {
            if (undecided && subject->snapshots.contains(label)) subject->snapshots.at(label).kept = true;
        }
        open_splits_.erase(label);
        delicate(0.2);
    } else if (!over()) {
        const bool fair = std::any_of(members.begin(), members.end(), [&](const Subject* subject) {
            const Code code = result.error().code();
            return subject->weather != Weather::calm || code == Code::busy || code == Code::refused ||
                   (code == Code::cancelled && *given_up);
        });
        note("split " + label + " failed: " + result.error().message());
        if (!fair) fail("split failed: " + result.error().message());
        for (const Subject* const subject : members) {
            if (undecided || subject->volume->state().find_snapshot(label) == nullptr) continue;
            fail(subject->name + ": a failed split left " + label + " behind");
        }
        if (!undecided) open_splits_.erase(label);
    }
    for (std::size_t i = 0; i < members.size(); ++i) members[i]->history.end_look(looks[i]);
}

// The machine often stops while the split is armed, or between its turn and its commit (E21).
Task<void> Simulation::turn_later(std::shared_ptr<SplitGate> gate, std::shared_ptr<bool> given_up) {
    auto preparing = gate->until_prepared();
    co_await std::move(preparing);
    if (!over() && !gate->has_ended()) {
        if (random_.chance(0.2)) delicate(1.0, 20);
        auto sleeping = sleep_a_while(5 * millisecond_ns);
        co_await std::move(sleeping);
        *given_up = random_.chance(0.2);
        if (!*given_up) delicate(0.4, 12);
        note(*given_up ? "the armed split is given up" : "the armed split turns");
    }
    if (*given_up) {
        gate->give_up();
    } else {
        gate->turn_now();
    }
}

// The copies are there: one cut through all of them (guarantee 3).
void Simulation::learn_split(Cut& cut, const std::vector<Subject*>& subjects, const std::string& label) {
    for (Subject* const subject : subjects) {
        const VolumeState& state = subject->volume->state();
        const SnapshotRecord* const record = state.find_snapshot(label);
        if (record == nullptr) {
            fail(subject->name + " has no snapshot " + label + " after its split");
            return;
        }
        const PlexRecord& plex = *state.find_plex(record->plex);
        SnapshotModel snapshot{label, plex.label, plex.path, content(*subject, plex.path)};
        const std::string wrong = subject->history.check_cut(cut, snapshot.content);
        if (!wrong.empty()) fail(subject->name + ": split " + label + ": " + wrong);
        subject->snapshots[label] = std::move(snapshot);
    }
    const std::string wrong = cut.problem();
    if (!wrong.empty()) fail("split " + label + ": " + wrong);
}

Task<void> Simulation::delete_one(Subject& subject) {
    SnapshotModel* const snapshot = pick_snapshot(subject);
    if (snapshot == nullptr || subject.swap) co_return;
    const std::string label = snapshot->label;
    snapshot->leaving = true;
    delicate();
    auto deleting = subject.volume->delete_snapshot(label);
    const Status status = co_await std::move(deleting);
    expect(subject, status, "delete");
    end_leaving(subject, label);
}

// Gone, still there, or known at the next opening only.
void Simulation::end_leaving(Subject& subject, const std::string& label) {
    if (over() || subject.volume->is_read_only()) return;
    if (subject.volume->state().find_snapshot(label) == nullptr) {
        subject.snapshots.erase(label);
    } else {
        subject.snapshots.at(label).leaving = false;
    }
}

Task<void> Simulation::restore_one(Subject& subject) {
    if (subject.busy != 0 || subject.swap) co_return;
    SnapshotModel* const snapshot = pick_snapshot(subject);
    if (snapshot == nullptr || snapshot->touched || snapshot->path == subject.bad_plex) co_return;
    const std::string label = snapshot->label;
    const auto& copy = snapshot->content;
    subject.swap = Swap{subject.history.begin_write({0, copy.size()}, copy), label, false};
    auto job = std::make_shared<Job>("restore");
    const auto finished = std::make_shared<bool>(false);
    maybe_cancel(job, finished);
    delicate(0.2);
    auto restoring = subject.volume->restore(label, random_.chance(0.2) ? 8 * MiB : 0, job);
    const Status status = co_await std::move(restoring);
    *finished = true;
    expect(subject, status, "restore");
    end_swap(subject, status);
    delicate();
}

Task<void> Simulation::continue_restore(Subject& subject) {
    for (int attempt = 0; attempt < 20 && !over() && subject.volume->is_restoring(); ++attempt) {
        auto job = std::make_shared<Job>("restore");
        auto continuing = subject.volume->continue_restore(0, job);
        const Status status = co_await std::move(continuing);
        expect(subject, status, "continue restore");
        end_swap(subject, status);
        if (!status.ok() && subject.weather != Weather::calm) co_return;
    }
}

void Simulation::end_swap(Subject& subject, const Status& status) {
    if (over() || !subject.swap) return;
    if (!status.ok() && (subject.volume->is_restoring() || subject.volume->is_read_only())) return;
    using Result = History::Result;
    subject.history.end_write(subject.swap->operation, status.ok() ? Result::durable : Result::not_tried);
    subject.swap.reset();
}

Task<void> Simulation::promote_one(Subject& subject) {
    if (subject.busy != 0 || subject.swap) co_return;
    SnapshotModel* const snapshot = pick_snapshot(subject);
    if (snapshot == nullptr || snapshot->touched || snapshot->path == subject.bad_plex) co_return;
    const std::string label = snapshot->label;
    const auto& copy = snapshot->content;
    subject.swap = Swap{subject.history.begin_write({0, copy.size()}, copy), label, true};
    snapshot->leaving = true;
    delicate(0.2);
    auto promoting = subject.volume->promote(label);
    const Status status = co_await std::move(promoting);
    expect(subject, status, "promote");
    end_swap(subject, status);
    end_leaving(subject, label);
    delicate();
}

Task<void> Simulation::remove_one(Subject& subject) {
    std::vector<std::string> labels;
    for (const auto& record : subject.volume->state().plexes) {
        const bool out = record.state == PlexState::failed || record.state == PlexState::stale ||
                         record.state == PlexState::detached;
        if (out || may_leave(subject, record.label)) labels.push_back(record.label);
    }
    if (labels.empty()) co_return;
    const std::string label = labels[random_.below(labels.size())];
    const PlexRecord record = *subject.find(label);
    auto removing = subject.volume->remove_plex(label);
    const Status status = co_await std::move(removing);
    expect(subject, status, "remove");
    // Its cache may show what its disk never got: nobody uses such a file again.
    if (!over() && status.ok() && record.flush_failed) world_.remove(record.path);
}

// Somebody writes to the copy behind the engine's back; only a resync is possible then, and must find it.
Task<void> Simulation::touch_one(Subject& subject) {
    SnapshotModel* const snapshot = pick_snapshot(subject);
    if (snapshot == nullptr || subject.swap) co_return;
    const Redirect* const moving = subject.volume->redirect();
    if (moving != nullptr && moving->source->label == snapshot->plex) co_return;  // it is production, too
    const std::vector<std::byte> bytes(4096, std::byte{0xA5});
    world_.poke(snapshot->path, random_.below(subject.size / 4096) * 4096, bytes);
    snapshot->touched = true;
    note(subject.name + ": snapshot " + snapshot->label + " touched");
    co_await loop_->sleep(microsecond_ns);
}

// Clients rest for a moment: the members must be alike and hold what was answered.
Task<void> Simulation::quiet_check() {
    quiet_ = true;
    const auto inside = [this] {
        return std::any_of(subjects_.begin(), subjects_.end(),
                           [](const auto& s) { return s->clients_inside != 0; });
    };
    while (inside() && !over()) co_await loop_->sleep(millisecond_ns);
    for (auto& subject : subjects_) {
        if (over() || subject->swap || subject->history.is_loose()) continue;
        check_members(*subject);
        const Time begin = subject->history.begin_look();
        const std::string wrong = subject->history.check_read(begin, 0, production(*subject));
        subject->history.end_look(begin);
        if (!wrong.empty()) fail(subject->name + ": quiet: " + wrong);
    }
    quiet_ = false;
}

}  // namespace exshadow::sim
