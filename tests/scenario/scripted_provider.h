// A Provider that is what a scenario says: it makes no snapshots but keeps account of them (disks.h), and
// fails, waits or hangs where the scenario says so.
#pragma once

#include <array>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "scenario/disks.h"
#include "scenario/json.h"
#include "scenario/script.h"
#include "vss/coordinator/provider.h"

namespace exshadow::scenario {

// The volumes of a world, by their names and their other names, no matter which case.
struct VolumeList {
    struct Volume {
        std::string name;
        std::vector<std::string> paths;
    };
    std::vector<Volume> volumes;

    [[nodiscard]] const Volume* find(std::string_view name) const;  // null: no such volume
    // The volume that a path lies on, by its longest beginning; empty: none.
    [[nodiscard]] std::string of_path(std::string_view path) const;
};

class ScriptedProvider final : public vss::Provider {
public:
    // Throws BadScenario.
    ScriptedProvider(const Json& description, std::string machine, std::shared_ptr<const VolumeList> volumes,
                     std::shared_ptr<Disks> disks);

    [[nodiscard]] const vss::ProviderFacts& facts() const override { return facts_; }
    Task<Result<bool>> is_volume_supported(std::string volume, vss::SnapshotAttributes attributes) override;
    Task<Status> begin_prepare_snapshot(vss::SnapshotRequest request) override;
    Task<Status> end_prepare_snapshots(Uuid set) override;
    Task<Status> pre_commit_snapshots(Uuid set) override;
    Task<Status> commit_snapshots(Uuid set) override;
    Task<Status> post_commit_snapshots(Uuid set, std::int32_t count) override;
    Task<Status> pre_final_commit_snapshots(Uuid set) override;
    Task<Status> post_final_commit_snapshots(Uuid set) override;
    Task<Status> abort_snapshots(Uuid set) override;
    Task<Result<std::vector<vss::SnapshotProperties>>> query() override;
    Task<Status> delete_snapshot(Uuid snapshot, bool force) override;
    Task<Status> break_snapshot_set(Uuid set, vss::BreakFlags flags) override;
    Task<Result<vss::SnapshotProperties>> import_snapshot(vss::RecordedSnapshot recorded) override;
    Task<Result<std::string>> expose_snapshot(Uuid snapshot, std::string path_from_root, vss::Exposure how,
                                              std::string name) override;
    Task<Status> unexpose_snapshot(Uuid snapshot) override;
    Task<Status> revert_to_snapshot(Uuid snapshot, bool force_dismount) override;
    Task<Status> query_revert_status(std::string volume) override;
    Task<Status> resync(std::vector<vss::ResyncPair> pairs, vss::RecoveryFlags flags) override;
    void abandon(vss::ProviderCall call, vss::CallNumber) override {
        ++abandoned_[static_cast<std::size_t>(call)];
    }

private:
    // What the script says of the call; an error when it fails.
    Task<Status> scripted(vss::ProviderCall call);
    [[nodiscard]] vss::SnapshotProperties* find(const Uuid& snapshot);
    [[nodiscard]] vss::SnapshotAttributes made_attributes(vss::SnapshotAttributes asked) const;

    vss::ProviderFacts facts_;
    const std::string machine_;
    const std::shared_ptr<const VolumeList> volumes_;
    const std::shared_ptr<Disks> disks_;
    std::set<std::string> supported_;  // names; with all_, every one
    bool all_ = true;
    Script script_;
    std::vector<vss::SnapshotProperties> making_;
    std::set<std::string> reverting_;
    std::array<int, vss::provider_call_count> abandoned_{};
};

}  // namespace exshadow::scenario
