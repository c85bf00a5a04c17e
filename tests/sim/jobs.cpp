// Jobs, many of them beside the operator's next steps and some cancelled; and the last life's end.
#include <algorithm>

#include "sim/scenario.h"

namespace exshadow::sim {

// Another member, without faults, stays.
bool Simulation::may_leave(const Subject& subject, const std::string& label) const {
    if (!subject.is_member(label)) return false;
    return std::any_of(subject.volume->plexes().begin(), subject.volume->plexes().end(),
                       [&](const auto& plex) {
                           return plex->is_member() && plex->label != label &&
                                  subject.plex_path(plex->label) != subject.bad_plex;
                       });
}

SnapshotModel* Simulation::pick_snapshot(Subject& subject) {
    if (subject.snapshots.empty()) return nullptr;
    auto at = subject.snapshots.begin();
    std::advance(at, random_.below(subject.snapshots.size()));
    return at->second.leaving || at->second.kept ? nullptr : &at->second;
}

Task<void> Simulation::cancel_later(std::shared_ptr<Job> job, Nanoseconds delay,
                                    std::shared_ptr<bool> finished) {
    co_await loop_->sleep(delay);
    if (!*finished) job->cancel();
}

void Simulation::maybe_cancel(const std::shared_ptr<Job>& job, const std::shared_ptr<bool>& finished) {
    if (last_ || !random_.chance(0.2)) return;
    beside_->spawn(cancel_later(job, random_.between(0, 20 * millisecond_ns), finished));
}

Task<void> Simulation::sync_one(Subject& subject, std::string label) {
    if (label.empty()) {
        std::vector<std::string> labels;
        for (const auto& record : subject.volume->state().plexes) {
            const bool out = record.state == PlexState::failed || record.state == PlexState::stale ||
                             record.state == PlexState::detached;
            if (out) labels.push_back(record.label);
        }
        if (labels.empty()) co_return;
        label = labels[random_.below(labels.size())];
    }
    if (!working_ || random_.chance(0.4)) {
        auto syncing = sync_job(subject, label);
        co_await std::move(syncing);
    } else {
        beside_->spawn(sync_job(subject, label));
    }
}

Task<void> Simulation::sync_job(Subject& subject, std::string label) {
    ++subject.busy;
    co_await loop_->sleep(30 * millisecond_ns);  // its last late write has landed
    auto job = std::make_shared<Job>("sync");
    const auto finished = std::make_shared<bool>(false);
    if (working_) maybe_cancel(job, finished);
    auto syncing = subject.volume->sync_plex(label, random_.chance(0.2) ? 8 * MiB : 0, job);
    const Status status = co_await std::move(syncing);
    *finished = true;
    --subject.busy;
    if (!status.ok() && status.error().code() == Code::not_found) co_return;  // removed meanwhile
    expect(subject, status, ("sync " + label).c_str());
    if (status.ok()) delicate();
}

Task<void> Simulation::resync_one(Subject& subject) {
    SnapshotModel* const snapshot = pick_snapshot(subject);
    if (snapshot == nullptr || subject.swap) co_return;
    snapshot->leaving = true;
    if (random_.chance(0.5)) {
        auto resyncing = resync_job(subject, snapshot->label);
        co_await std::move(resyncing);
    } else {
        beside_->spawn(resync_job(subject, snapshot->label));
    }
}

Task<void> Simulation::resync_job(Subject& subject, std::string label) {
    ++subject.busy;
    co_await loop_->sleep(30 * millisecond_ns);
    auto job = std::make_shared<Job>("resync");
    const auto finished = std::make_shared<bool>(false);
    maybe_cancel(job, finished);
    delicate();
    auto resyncing = subject.volume->resync(label, 0, job);
    const Status status = co_await std::move(resyncing);
    *finished = true;
    --subject.busy;
    expect(subject, status, ("resync " + label).c_str());
    end_leaving(subject, label);
    if (status.ok()) delicate();
}

Task<void> Simulation::verify_one(Subject& subject) {
    ++subject.busy;
    auto job = std::make_shared<Job>("verify");
    SnapshotModel* const snapshot = random_.chance(0.5) ? pick_snapshot(subject) : nullptr;
    Status status;
    const auto& plexes = subject.volume->state().plexes;
    const bool doubted = std::any_of(plexes.begin(), plexes.end(),
                                     [](const PlexRecord& record) { return record.needs_compare; });
    if (snapshot == nullptr) {
        auto verifying = subject.volume->verify(random_.chance(0.3), {}, job);
        status = co_await std::move(verifying);
    } else if (!snapshot->touched) {
        auto verifying = subject.volume->verify_snapshot(snapshot->label, job);
        status = co_await std::move(verifying);
    }
    --subject.busy;
    // A plex that was found changed from outside is compared too.
    if (doubted && !status.ok() && status.error().code() == Code::mismatch) co_return;
    if (!over() && !status.ok() && status.error().code() == Code::mismatch) check_members(subject);
    expect(subject, status, "verify");
    if (!over() && !doubted && status.ok() && !job->differences().empty() && !subject.history.is_loose()) {
        fail(subject.name + ": verify found differences");
    }
}

// The last life: every plex comes back, everything is equal, a snapshot can be restored.
Task<void> Simulation::finish() {
    for (auto& subject : subjects_) {
        if (over()) co_return;
        auto finishing = finish_one(*subject);
        co_await std::move(finishing);
    }
}

Task<void> Simulation::finish_one(Subject& subject) {
    if (subject.volume->is_restoring()) {
        auto continuing = continue_restore(subject);
        co_await std::move(continuing);
    }
    if (!over() && subject.volume->is_restoring()) fail(subject.name + ": the restore does not end");
    for (int attempt = 0; attempt < 2 && !over(); ++attempt) {
        if (random_.chance(0.5)) {
            auto restoring = attempt == 0 ? restore_one(subject) : restore_instantly(random_);
            co_await std::move(restoring);
        }
        auto waiting = beside_->wait();
        co_await std::move(waiting);
        if (over() || !subject.volume->is_moving()) continue;
        auto moving = move_job(subject);
        co_await std::move(moving);
        if (!over() && subject.volume->is_moving()) fail(subject.name + ": the instant restore does not end");
    }
    if (!over()) {
        auto checking = check_changed(subject);
        co_await std::move(checking);
    }
    check_snapshots(subject);
    if (!over()) {
        auto resyncing = resync_one(subject);
        co_await std::move(resyncing);
        auto waiting = beside_->wait();
        co_await std::move(waiting);
    }
    for (int attempt = 0; attempt < 20 && !over(); ++attempt) {
        auto syncing = sync_one(subject, {});
        co_await std::move(syncing);
    }
    if (over()) co_return;
    for (const auto& record : subject.volume->state().plexes) {
        if (record.state == PlexState::in_sync || record.state == PlexState::split) continue;
        fail(subject.name + ": plex " + record.label + " is " + plex_state_name(record.state) +
             " in the end");
    }
    auto verifying = verify_one(subject);
    co_await std::move(verifying);
    auto checking = quiet_check();
    co_await std::move(checking);
    if (!over()) {
        auto changing = check_changed(subject);
        co_await std::move(changing);
    }
    if (!over()) check_snapshots(subject);
}

}  // namespace exshadow::sim
