// Instant restores: of one or several volumes, under writes, moved beside everything else (E25-E28).
#include <algorithm>

#include "sim/scenario.h"
#include "volume/instant.h"

namespace exshadow::sim {

namespace {

// Sectors of regions that `map` marks come from the snapshot.
void redirect(std::vector<Value>& values, const std::vector<Value>& copy, const ChangeMap& map) {
    for (const Range& run : map.runs()) {
        const auto first = static_cast<std::ptrdiff_t>(run.offset / sector_bytes);
        const auto count = static_cast<std::ptrdiff_t>(run.length / sector_bytes);
        std::copy_n(copy.begin() + first, count, values.begin() + first);
    }
}

}  // namespace

std::vector<Value> Simulation::production(const Subject& subject) const {
    const VolumeState& state = subject.volume->state();
    auto values = content(subject, state.find_plex(state.authority)->path);
    const Redirect* const moving = subject.volume->redirect();
    if (moving == nullptr) return values;
    redirect(values, content(subject, subject.plex_path(moving->source->label)), moving->unmoved);
    return values;
}

// What a power cut now would leave.
std::vector<Value> Simulation::durable_production(const Subject& subject) const {
    const VolumeState& state = subject.volume->state();
    const auto durable = [&](const std::string& path) {
        return read_sectors(world_.peek_durable(path, {0, subject.size}), subject.id, 0);
    };
    auto values = durable(state.find_plex(state.authority)->path);
    const Redirect* const moving = subject.volume->redirect();
    if (moving == nullptr) return values;
    redirect(values, durable(subject.plex_path(moving->source->label)), subject.volume->restore_map()->bits);
    return values;
}

// What was answered and not flushed while an instant restore moves may be moved again after any crash (E27).
Survival Simulation::survival_of(const Subject& subject) const {
    return survival_ == Survival::process_kill && subject.redirected ? Survival::power_cut : survival_;
}

Task<void> Simulation::restore_instantly(SimRandom& random) {
    std::vector<RestoreWish> wishes;
    std::vector<Subject*> members;
    const std::uint64_t only = random.chance(0.3) ? random.below(subjects_.size()) : subjects_.size();
    for (std::uint64_t i = 0; i < subjects_.size(); ++i) {
        Subject& subject = *subjects_[i];
        if (subject.swap || (only != subjects_.size() && only != i)) continue;
        SnapshotModel* const snapshot = pick_snapshot(subject);
        if (snapshot == nullptr || snapshot->touched || snapshot->path == subject.bad_plex) continue;
        wishes.push_back({subject.volume.get(), snapshot->label});
        members.push_back(&subject);
        const auto& copy = snapshot->content;
        subject.swap = Swap{subject.history.begin_write({0, copy.size()}, copy), snapshot->label, false,
                            subject.volume->is_moving(), ++swaps_};
        subject.redirected = true;
    }
    for (Subject* const subject : members) subject->swap->set = swaps_;
    if (members.empty()) co_return;
    note("instant restore of " + std::to_string(members.size()));
    delicate(members.size() > 1 ? 0.8 : 0.3, 160);  // its commit takes a while
    const auto finished = std::make_shared<bool>(false);
    if (crashes_ && working_ && members.size() > 1 && random.chance(0.4))
        beside_->spawn(crash_in_commit(members, finished));
    auto restoring = restore_instant(*loop_, wishes);
    const Status status = co_await std::move(restoring);
    *finished = true;
    if (over()) co_return;
    note("instant restore: " + (status.ok() ? "done" : status.error().message()));
    const bool unknown =
        !status.ok() && std::any_of(members.begin(), members.end(),
                                    [](const Subject* subject) { return subject->volume->is_read_only(); });
    for (Subject* const subject : members) {
        const bool fair = std::any_of(members.begin(), members.end(),
                                      [](const Subject* one) { return one->weather != Weather::calm; });
        if (!fair) expect(*subject, status, "instant restore");
        if (unknown) continue;  // decided when they are opened again
        subject->history.end_write(subject->swap->operation,
                                   status.ok() ? History::Result::durable : History::Result::not_tried);
        subject->swap.reset();
        if (status.ok() && random.chance(0.7)) beside_->spawn(move_job(*subject));
    }
    delicate(0.3);
}

// Stops the machine when the first of several volumes says that it is restored.
Task<void> Simulation::crash_in_commit(std::vector<Subject*> members, std::shared_ptr<bool> finished) {
    const auto moving = [&members] {
        return std::count_if(members.begin(), members.end(),
                             [](const Subject* subject) { return subject->volume->is_moving(); });
    };
    const auto before = moving();
    while (!*finished && !over() && moving() <= before) co_await loop_->sleep(10 * microsecond_ns);
    if (*finished || over()) co_return;
    planned_crash_ = loop_->operations() + 1 + random_.below(12);
    loop_->crash_at(planned_crash_, crash_kind_);
}

Task<void> Simulation::move_job(Subject& subject) {
    auto sleeping = sleep_a_while(5 * millisecond_ns);
    co_await std::move(sleeping);
    if (over() || !subject.volume->is_moving()) co_return;
    auto job = std::make_shared<Job>("restore");
    const auto finished = std::make_shared<bool>(false);
    if (working_) maybe_cancel(job, finished);
    auto moving = subject.volume->continue_restore(working_ && random_.chance(0.4) ? 2 * MiB : 0, job);
    const Status status = co_await std::move(moving);
    *finished = true;
    expect(subject, status, "move");
    delicate(0.2);
}

// All or none of the volumes that were restored together (E24).
void Simulation::check_restored_sets(const std::map<std::uint64_t, SwapOutcome>& outcomes) {
    for (const auto& [set, outcome] : outcomes) {
        if (outcome.done != 0 && outcome.undone != 0)
            fail("instant restore " + std::to_string(set) + " was done on some of its volumes only");
    }
}

}  // namespace exshadow::sim
