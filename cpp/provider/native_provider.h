// NativeProvider: a VSS provider whose snapshots are splits of the engine's volumes (volume/group.h). What a
// split has to write is written while writers are not frozen: EndPrepareSnapshots prepares it, the commit is
// its turn, which waits for no disk, and PreFinalCommitSnapshots, after Thaw, waits until it is durable.
//
// A snapshot's label carries its context ("vss-00000009-1a2b3c4d": attributes, beginning of the set's id),
// and its id follows from set and volume, so that both are found again after a restart. Snapshots that were
// not made through VSS are not shown, nor touched, whatever label their maker chose.
//
// delete: the plex is brought back into the mirror in the background, or leaves the volume (Disposal).
// revert: an instant restore; query_revert_status() ends when all data has been moved.
//
// Thread rule: everything on the loop of the volumes, which is the coordinator's as well.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "runtime/loop.h"
#include "runtime/sync.h"
#include "volume/group.h"
#include "volume/volume.h"
#include "volume/volume_device.h"
#include "vss/coordinator/provider.h"

namespace exshadow {

// What becomes of a snapshot's plex when the snapshot is deleted.
enum class Disposal : std::uint8_t {
    resync,    // member of the mirror again: the next snapshot can be made
    dissolve,  // the volume forgets it; its file stays
};

struct NativeVolume {
    std::string name;
    std::shared_ptr<VolumeSource> source;
};

struct NativeProviderOptions {
    std::function<std::vector<NativeVolume>()> volumes;  // those that are open, asked at every call
    std::string machine = "localhost";
    Disposal disposal = Disposal::resync;
    std::uint64_t copy_limit = 0;  // bytes a second of resync and revert; 0: none
};

// The id of the provider, the same on every machine.
inline constexpr Uuid native_provider_id{
    {0x6e, 0x1d, 0x0c, 0x5a, 0x93, 0x47, 0x4b, 0x0e, 0xa6, 0x02, 0xc4, 0x5f, 0x3b, 0x88, 0x71, 0xd9}};

class NativeProvider final : public vss::Provider {
public:
    NativeProvider(Loop& loop, NativeProviderOptions options);
    ~NativeProvider() override;

    // Deletes what sessions that died with their process have left: snapshots of auto-release contexts. Once,
    // before the first session. The error is the first; the others are deleted all the same.
    Task<Status> delete_orphans();
    // Stops what runs in the background, resumably, and waits for its end. Before the volumes are closed.
    Task<void> close();

    [[nodiscard]] const vss::ProviderFacts& facts() const override { return facts_; }
    Task<Result<Uuid>> snapshot_id(Uuid set, std::string volume, Uuid proposed) override;
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
    Task<Status> revert_to_snapshot(Uuid snapshot, bool force_dismount) override;
    Task<Status> query_revert_status(std::string volume) override;

private:
    // A set that is being made.
    struct Making {
        Uuid set;
        vss::SnapshotAttributes attributes = vss::SnapshotAttributes::no_flags;
        std::vector<NativeVolume> volumes;
        std::shared_ptr<SplitGate> gate;  // from EndPrepareSnapshots on
        Status outcome;                   // of the split, when it has ended
    };
    // A snapshot of ours, and where it is.
    struct Found {
        NativeVolume volume;
        std::string label;
        vss::SnapshotProperties properties;
    };

    [[nodiscard]] Result<NativeVolume> find_volume(const std::string& name) const;
    [[nodiscard]] std::vector<Found> all_snapshots() const;
    [[nodiscard]] Result<Found> find_snapshot(const Uuid& id) const;
    Task<Status> flush(std::vector<NativeVolume> volumes);
    Task<void> run_split(std::shared_ptr<Making> making);
    Task<void> undo_split(Uuid set);
    [[nodiscard]] Result<std::shared_ptr<Making>> making(vss::ProviderCall call, const Uuid& set) const;
    Task<Status> dispose(NativeVolume volume, std::string label);
    Task<void> resync(NativeVolume volume, std::string label, std::shared_ptr<Job> job,
                      std::shared_ptr<Status> outcome);
    Task<void> move(NativeVolume volume, std::shared_ptr<Job> job);

    Loop& loop_;
    const NativeProviderOptions options_;
    vss::ProviderFacts facts_;
    std::shared_ptr<Making> making_;
    std::map<std::string, Status> reverts_;  // those that ended, by volume
    std::map<std::string, std::shared_ptr<Job>> moving_;
    std::vector<std::weak_ptr<Job>> jobs_;
    TaskGroup background_;
    Signal moved_;
};

}  // namespace exshadow
