// Volume: what the application writes to, made of plexes; the engine's centre.
//
// The write path (E1-E14), in volume_io.cpp:
//   validate -> admit (epoch and place among overlapping requests) -> extents in the activity log
//   -> mark the maps and choose the plexes (one step) -> write to all of them -> a plex that failed is
//   recorded durably -> answer.
// Rooms of this class: volume_io and flush (requests), membership (who is in the mirror), maintenance (log
// and maps), volume_open and volume_close, trust (which plexes are believed), recovery (after an unclean
// stop), snapshots, sync, restore, redirect and mover (instant restore), verify. Splitting several volumes
// at one instant is group.h, restoring them at one instant is instant.h.
//
// Thread rule: the loop's thread only. Errors are values; an error never leaves a request half answered.
// Every task must have ended before the volume is destroyed: await close().
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "disk/block_device.h"
#include "runtime/loop.h"
#include "runtime/sync.h"
#include "volume/activity_log.h"
#include "volume/fan_out.h"
#include "volume/hooks.h"
#include "volume/job.h"
#include "volume/map_store.h"
#include "volume/metadata_device.h"
#include "volume/plex.h"
#include "volume/plex_state.h"
#include "volume/range_lock.h"
#include "volume/redirect.h"
#include "volume/state.h"
#include "volume/superblock.h"

namespace exshadow {

struct VolumeOptions {
    bool force = false;                          // accept a production plex changed from outside, a
                                                 // mounted device, or no production plex (for promote)
    Nanoseconds lock_wait = 5 * second_ns;       // for a previous owner's last I/O to land
    Nanoseconds latency_limit = 30 * second_ns;  // a member slower than this leaves the mirror (F19)
    std::uint64_t copy_chunk = 0;                // 0: chosen by the plexes' backing
    std::uint32_t copy_depth = 0;
    bool direct = true;  // plexes: O_DIRECT where it can be had
    OrderHooks orders;   // tests only
};

struct CreateOptions {
    std::string name;
    std::string group;  // empty: a group of its own name
    std::string plex_path;
    std::string plex_label = "p1";
    std::string metadata_copy;             // empty: none
    std::uint32_t region_size = 64 * KiB;  // power of two, 4 KiB to 64 MiB
    std::uint32_t extent_size = 4 * MiB;
    std::uint32_t log_slots = 1024;
};

struct AddPlexOptions {
    std::string path;
    std::string label;       // empty: the first free of p1, p2, ...
    bool overwrite = false;  // existing content may be replaced
    bool force = false;
    std::uint64_t limit = 0;  // bytes a second, 0: none
};

struct VolumeEvent {
    std::int64_t wall_clock_ns = 0;
    std::string text;
};

class Volume {
public:
    // --- life (volume_open.cpp, volume_close.cpp) ---
    // Adopt `plex_path` (its bytes are not touched) and write the volume file at `path`.
    [[nodiscard]] static Task<Result<std::unique_ptr<Volume>>> create(Loop& loop, std::string path,
                                                                      CreateOptions create_options,
                                                                      VolumeOptions options);
    // Open under lock; answers when unfinished extents are reconciled (E19).
    [[nodiscard]] static Task<Result<std::unique_ptr<Volume>>> open(Loop& loop, std::string path,
                                                                    std::string metadata_copy,
                                                                    VolumeOptions options);
    ~Volume();
    // Pause jobs, drain, flush, persist, mark clean. The volume answers nothing afterwards. After an
    // error it is closed all the same, but not clean.
    [[nodiscard]] Task<Status> close();

    // --- requests (volume_io.cpp) ---
    [[nodiscard]] Task<Status> read(std::uint64_t offset, std::span<std::byte> buffer);
    // Answered when every member has the bytes; durable after flush(), or on return with `fua`.
    [[nodiscard]] Task<Status> write(std::uint64_t offset, Payload data, bool fua = false);
    [[nodiscard]] Task<Status> zero(Range range, ZeroMode mode);
    // Everything answered before this call is durable on every member (E12).
    [[nodiscard]] Task<Status> flush();

    // Data and zero extents of what production holds, in order, without gaps; "zero" is a promise.
    // (redirect.cpp)
    [[nodiscard]] Task<Result<std::vector<Extent>>> production_extents(Range range);

    // --- mirror (membership.cpp, sync.cpp, verify.cpp) ---
    // Attach a plex as stale, durable; sync_plex() brings it up. Answers its label.
    [[nodiscard]] Task<Result<std::string>> attach_plex(AddPlexOptions options);
    // Bring any plex that is not a member and not a snapshot up by its map, until in sync.
    [[nodiscard]] Task<Status> sync_plex(std::string label, std::uint64_t limit, std::shared_ptr<Job> job);
    [[nodiscard]] Task<Status> remove_plex(std::string label);
    // Compare all members; with `repair` copy from `source` (empty: the authority) where they differ.
    [[nodiscard]] Task<Status> verify(bool repair, std::string source, std::shared_ptr<Job> job);

    // --- snapshots (snapshots.cpp, restore.cpp) ---
    [[nodiscard]] Task<Result<Ranges>> changed(std::string label, std::optional<std::string> since);
    [[nodiscard]] Task<Result<Ranges>> changed_within(std::string label, Range range);
    [[nodiscard]] Task<Status> read_snapshot(std::string label, std::uint64_t offset,
                                             std::span<std::byte> buffer);
    // As its file tells; "zero" is a promise.
    [[nodiscard]] Task<Result<std::vector<Extent>>> snapshot_extents(std::string label, Range range);
    [[nodiscard]] Task<Status> verify_snapshot(std::string label, std::shared_ptr<Job> job);
    [[nodiscard]] Task<Status> resync(std::string label, std::uint64_t limit, std::shared_ptr<Job> job);
    [[nodiscard]] Task<Status> restore(std::string label, std::uint64_t limit, std::shared_ptr<Job> job);
    // Continue an interrupted restore from the snapshot it was started with; move what an instant one left.
    [[nodiscard]] Task<Status> continue_restore(std::uint64_t limit, std::shared_ptr<Job> job);
    [[nodiscard]] Task<Status> promote(std::string label);
    [[nodiscard]] Task<Status> delete_snapshot(std::string label);
    [[nodiscard]] Task<Status> annotate_snapshot(std::string label,
                                                 std::function<void(SnapshotRecord&)> change);

    // --- facts ---
    [[nodiscard]] const VolumeState& state() const { return state_; }
    [[nodiscard]] const std::string& path() const { return path_; }
    [[nodiscard]] std::uint64_t size() const { return state_.size; }
    [[nodiscard]] Loop& loop() { return loop_; }
    [[nodiscard]] bool is_read_only() const { return metadata_error_.has_value(); }
    [[nodiscard]] bool is_restoring() const { return state_.mode == VolumeMode::restoring; }
    // An instant restore moves its data; clients see the snapshot and what they wrote since.
    [[nodiscard]] bool is_moving() const { return state_.mode == VolumeMode::redirecting; }
    [[nodiscard]] bool is_restore_in_doubt() const { return in_doubt_; }
    [[nodiscard]] std::uint64_t unmoved_bytes() const;
    [[nodiscard]] const Redirect* redirect() const { return redirect_.get(); }         // tests only
    [[nodiscard]] const StoredMap* restore_map() const { return restore_map_.get(); }  // likewise
    [[nodiscard]] bool lacks_production() const { return lacks_production_; }
    [[nodiscard]] const std::vector<VolumeEvent>& events() const { return events_; }
    [[nodiscard]] const std::vector<std::shared_ptr<Plex>>& plexes() const { return plexes_; }
    [[nodiscard]] std::size_t active_extents() const { return log_->used(); }
    // Upper bound of what differs between production and the snapshot; runs() of the OR, but only counted.
    [[nodiscard]] std::uint64_t changed_bytes(const SnapshotRecord& snapshot) const;

private:
    friend class GroupSplit;
    friend class GroupRestore;
    friend class Copier;
    friend Task<Status> resolve_sets(std::vector<Volume*> volumes);
    friend Task<Status> resolve_restores(std::vector<Volume*> volumes);

    // An operation that close() waits for; a job is cancelled by it as well.
    class Scope {
    public:
        explicit Scope(Volume& volume, std::shared_ptr<Job> job = nullptr);
        Scope(const Scope&) = delete;
        Scope& operator=(const Scope&) = delete;
        ~Scope();

    private:
        Volume& volume_;
        std::shared_ptr<Job> job_;
    };

    Volume(Loop& loop, std::string path, VolumeOptions options);

    using PlexPointer = std::shared_ptr<Plex>;
    using PlexList = std::vector<PlexPointer>;

    // volume_io.cpp
    [[nodiscard]] Status check_request(std::uint64_t offset, std::uint64_t length, bool writing) const;
    [[nodiscard]] Status write_refusal() const;
    [[nodiscard]] Task<void> wait_while_paused();
    [[nodiscard]] Task<Status> modify(PlexOperation operation, bool fua);
    [[nodiscard]] Task<Status> modify_admitted(RangeLock::Request& request, PlexOperation operation);
    [[nodiscard]] Task<Status> modify_piece(RangeLock::Request& request, PlexOperation piece);
    [[nodiscard]] Task<Status> write_piece(RangeLock::Request& request, PlexOperation piece);
    void mark(Range range, std::uint64_t epoch, PlexList& targets);
    [[nodiscard]] Task<Status> settle(PlexOperation piece, std::shared_ptr<FanOut> fan);
    [[nodiscard]] Task<Status> even_out(PlexOperation piece, PlexList members);
    [[nodiscard]] Task<void> wait_for_unsettled(Range range);
    [[nodiscard]] bool may_be_slow(const Plex& plex) const;
    [[nodiscard]] Task<Status> read_members(std::uint64_t offset, std::span<std::byte> buffer, bool locked);
    [[nodiscard]] Task<Status> read_and_repair(PlexPointer broken, std::uint64_t offset,
                                               std::span<std::byte> buffer, bool locked);
    [[nodiscard]] Task<Status> flush_members();
    [[nodiscard]] Task<Status> flush_plexes(PlexList plexes);
    // One transfer on one plex, counted in Plex::in_flight, so that its device stays open (E6, E32).
    [[nodiscard]] Task<Status> read_plex(PlexPointer plex, std::uint64_t offset, std::span<std::byte> buffer);
    [[nodiscard]] Task<Result<std::vector<Extent>>> plex_extents(PlexPointer plex, Range range);
    [[nodiscard]] Task<Status> write_plex(PlexPointer plex, std::uint64_t offset,
                                          std::span<const std::byte> data);
    [[nodiscard]] std::uint64_t repair_piece() const;
    [[nodiscard]] Task<Status> acquire_extents(Range range);
    void release_extents(Range range);
    [[nodiscard]] Task<void> watch_latency();
    void start_watch(const std::shared_ptr<FanOut>& fan);
    void finish_client(const RangeLock::Request& request);
    [[nodiscard]] Task<void> wait_for_old_requests(std::uint64_t epoch);

    // membership.cpp
    [[nodiscard]] PlexPointer find(const Uuid& plex) const;
    [[nodiscard]] PlexPointer find(const std::string& label) const;
    [[nodiscard]] PlexPointer authority() const;
    [[nodiscard]] PlexList members() const;
    [[nodiscard]] std::size_t member_count() const;
    [[nodiscard]] PlexList flush_targets() const;
    void depart(PlexPointer plex, PlexState to, const std::string& why);
    void start_sync_map(Plex& plex);
    void stop_receiving(Plex& plex);
    void choose_authority(const Plex* except = nullptr);
    void forget_prepared_split(PlexRecord& record);
    [[nodiscard]] Task<void> record_departures();
    [[nodiscard]] Task<Status> departures_recorded();
    void leave_broken(Plex& plex, const Error& why);
    [[nodiscard]] Task<void> wait_idle(PlexPointer plex);
    [[nodiscard]] Task<Status> close_device(PlexPointer plex, bool flush_first);
    [[nodiscard]] std::string new_label() const;
    [[nodiscard]] Result<std::uint32_t> take_slot() const;

    // maintenance.cpp
    [[nodiscard]] Task<Status> become_unclean();
    // `maps_digest`: by mark_clean() alone; whoever else writes a superblock may have changed a map.
    [[nodiscard]] Task<Status> commit(std::uint32_t maps_digest = 0);
    [[nodiscard]] Task<Status> persist_maps();
    [[nodiscard]] Task<Status> persist(std::vector<std::shared_ptr<StoredMap>> maps);
    void fail_metadata(const Error& error);
    void start_eviction();
    [[nodiscard]] Task<void> evict();
    [[nodiscard]] MapRef new_map_ref(std::uint32_t slot) { return {state_.next_map_id++, slot}; }
    [[nodiscard]] Task<Status> merge_lost_intervals();
    [[nodiscard]] Task<Status> merge_one_interval(std::size_t index);
    [[nodiscard]] Task<void> merge_slowly(ChangeMap& target, const ChangeMap& source);
    [[nodiscard]] bool anchors(std::uint64_t interval) const;
    void say(std::string text);

    // volume_open.cpp
    struct MemberCheck {
        PlexList trusted;
        std::vector<std::pair<PlexPointer, std::string>> changed;  // open, but not as it was left
        std::vector<std::pair<PlexPointer, std::string>> absent;
    };
    [[nodiscard]] Status validate(const CreateOptions& options) const;
    [[nodiscard]] Task<Status> adopt(CreateOptions options);
    void make_stores();
    [[nodiscard]] Task<Status> write_owner(std::string text);
    [[nodiscard]] Task<Status> load(std::string metadata_copy);
    [[nodiscard]] Task<Status> remake_from(std::string metadata_copy);
    [[nodiscard]] Task<Result<SuperblockStore::Loaded>> read_superblock();
    [[nodiscard]] Task<Status> refresh_copy(std::size_t newest);
    [[nodiscard]] Task<Result<std::unique_ptr<StoredMap>>> load_map(MapRef ref, std::size_t copy,
                                                                    std::string what);
    [[nodiscard]] Task<Status> load_maps(std::size_t copy);
    [[nodiscard]] Task<Status> load_restore(std::size_t copy);

    // trust.cpp
    [[nodiscard]] Task<Status> open_members(bool extents_active);
    [[nodiscard]] Task<std::string> distrust(PlexPointer plex, bool extents_active);
    [[nodiscard]] Task<Status> decide_members(MemberCheck check);
    [[nodiscard]] Status accept_changed_production(MemberCheck& check);
    [[nodiscard]] Task<Status> refresh_tags();
    void leave_at_open(Plex& plex, PlexState to, const std::string& why);
    [[nodiscard]] Task<Status> mark_clean();

    // seal.cpp
    [[nodiscard]] std::vector<std::shared_ptr<StoredMap>> sealed_maps() const;
    [[nodiscard]] Task<std::uint32_t> digest_maps();
    [[nodiscard]] Task<void> check_seal();

    // recovery.cpp
    [[nodiscard]] std::vector<std::uint32_t> every_extent() const;
    [[nodiscard]] Task<Status> recover(std::vector<std::uint32_t> extents);
    void set_plex_state(Plex& plex, PlexState state);
    [[nodiscard]] Task<Status> reconcile(Range extent);
    void count_as_changed(Range range);
    [[nodiscard]] Task<Status> settle_interrupted();
    // Undo a split: the leaving plex becomes stale by the new interval OR the active extents (E24).
    [[nodiscard]] Task<Status> roll_back_split(Uuid set_id);
    [[nodiscard]] Task<Status> commit_split(Uuid set_id);

    // sync.cpp
    [[nodiscard]] Status check_operation() const;
    [[nodiscard]] Status check_not_restoring() const;
    [[nodiscard]] Task<Status> check_attachable(FileDisk& device, AddPlexOptions options);
    [[nodiscard]] Task<Status> record_plex(std::string label, std::string path,
                                           std::unique_ptr<FileDisk> device);
    [[nodiscard]] Task<Status> run_sync(PlexPointer plex, std::uint64_t limit, std::shared_ptr<Job> job);
    [[nodiscard]] Task<Status> bring_up(PlexPointer plex, std::uint64_t limit, std::shared_ptr<Job> job,
                                        Status status);
    [[nodiscard]] Task<Status> open_sync_target(PlexPointer plex, std::shared_ptr<Job> job);
    [[nodiscard]] Task<Status> finish_sync(PlexPointer plex);
    [[nodiscard]] Task<void> interrupt_sync(PlexPointer plex, std::string why);
    [[nodiscard]] Task<Status> begin_resync(std::string label, PlexPointer plex, std::shared_ptr<Job> job);

    // snapshots.cpp
    [[nodiscard]] Result<SnapshotRecord*> usable_snapshot(const std::string& label);
    [[nodiscard]] Status check_not_source(const Plex& plex, const std::string& label) const;
    [[nodiscard]] std::vector<const ChangeMap*> intervals_since(std::uint64_t anchor) const;
    [[nodiscard]] Task<void> merge_difference(ChangeMap& into, std::uint64_t anchor);
    [[nodiscard]] Task<Status> open_snapshot_device(PlexPointer plex);
    [[nodiscard]] Task<Result<PlexPointer>> readable_plex(std::string label);
    [[nodiscard]] Task<Status> promote_plex(PlexPointer plex, SnapshotRecord snapshot);
    [[nodiscard]] Task<Status> swap_production(PlexPointer plex, Uuid set_id, PlexList replaced,
                                               PlexIdentity identity, bool unknown);

    // restore.cpp
    [[nodiscard]] Task<Status> begin_restore(std::string label, PlexPointer plex);
    [[nodiscard]] Task<Status> open_restore_source(PlexPointer plex);
    [[nodiscard]] Task<Status> start_restore(PlexPointer plex, Uuid set_id);
    [[nodiscard]] Task<Status> run_restore(std::uint64_t limit, std::shared_ptr<Job> job);

    // redirect.cpp
    [[nodiscard]] Task<Status> read_production(std::uint64_t offset, std::span<std::byte> buffer,
                                               bool locked);
    [[nodiscard]] Task<Status> read_redirected(std::uint64_t offset, std::span<std::byte> buffer,
                                               bool locked);
    [[nodiscard]] Task<Status> read_source(PlexPointer source, std::uint64_t offset,
                                           std::span<std::byte> buffer);
    [[nodiscard]] Task<Status> know_source();
    [[nodiscard]] bool redirects(const RangeLock::Request& request, Range range) const;
    [[nodiscard]] Task<Status> modify_unmoved(RangeLock::Request& request, PlexOperation piece);
    [[nodiscard]] Task<Status> lay_over(RangeLock::Request& request, PlexOperation piece, Range region);
    [[nodiscard]] Task<Status> settle_moved();
    [[nodiscard]] Task<Status> clear_moved(std::shared_ptr<StoredMap> map, const ChangeMap& batch);

    // instant.cpp
    [[nodiscard]] Task<Status> begin_redirect(bool alone);
    [[nodiscard]] Task<Status> give_up_restore();

    // mover.cpp
    [[nodiscard]] Task<Status> load_redirect(std::size_t copy);
    void break_redirect(const std::string& why);
    [[nodiscard]] Status check_mode() const;
    [[nodiscard]] Status check_not_moving() const;
    // Whether there is anything to compare a snapshot with.
    [[nodiscard]] bool knows_production() const {
        return !lacks_production_ && !(redirect_ && redirect_->broken);
    }
    [[nodiscard]] bool has_other_jobs(const Job* own) const;
    [[nodiscard]] Task<void> stop_mover();
    [[nodiscard]] Task<Status> move_restored(std::uint64_t limit, std::shared_ptr<Job> job);
    [[nodiscard]] Task<Status> run_mover(std::uint64_t limit, std::shared_ptr<Job> job);
    [[nodiscard]] Task<Status> finish_redirect();

    // verify.cpp
    [[nodiscard]] Ranges comparable_parts(Range chunk) const;
    [[nodiscard]] Task<Result<PlexList>> comparable_plexes();
    [[nodiscard]] Task<Status> compare_plexes(PlexList plexes, PlexPointer truth, bool repair,
                                              std::shared_ptr<Job> job);
    [[nodiscard]] Task<Status> verify_chunk(Range chunk, bool repair, PlexList plexes, PlexPointer truth,
                                            std::shared_ptr<Job> job);
    [[nodiscard]] Task<Status> repair_chunk(PlexPointer plex, Range chunk, std::span<const std::byte> right);
    [[nodiscard]] Task<Result<std::string>> verify_snapshot_plex(PlexPointer plex, Uuid set_id,
                                                                 std::shared_ptr<Job> job);
    [[nodiscard]] Task<Status> verify_snapshot_bytes(PlexPointer plex, Uuid set_id, ChangeMap& difference,
                                                     std::shared_ptr<Job> job);
    [[nodiscard]] Task<Status> verify_snapshot_chunk(PlexPointer plex, ChangeMap& difference, Range chunk,
                                                     std::shared_ptr<Job> job);

    [[nodiscard]] StoredMap& current_interval() { return *intervals_.back(); }

    Loop& loop_;
    const std::string path_;
    const VolumeOptions options_;
    VolumeState state_;
    std::unique_ptr<MetadataDevice> metadata_;
    std::unique_ptr<SuperblockStore> superblocks_;
    std::unique_ptr<MapStore> maps_;
    std::unique_ptr<ActivityLog> log_;
    RangeLock lock_;

    PlexList plexes_;                                    // in the order of state_.plexes
    std::vector<std::shared_ptr<StoredMap>> intervals_;  // in the order of state_.intervals, plus, between
                                                         // a split's turn and its commit, the new current
    std::shared_ptr<StoredMap> merging_;                 // an interval on its way into the one before it
    std::shared_ptr<StoredMap> restore_map_;
    std::unique_ptr<Redirect> redirect_;            // while an instant restore moves
    std::shared_ptr<StoredMap> starting_map_;       // of state_.starting
    std::shared_ptr<StoredMap> starting_interval_;  // likewise
    std::shared_ptr<Job> mover_;                    // its job, while it runs
    std::vector<ChangeMap*> watched_;               // jobs that want to hear of every write

    std::uint64_t epoch_ = 0;  // splits so far
    bool lacks_production_ = false;
    bool in_doubt_ = false;  // an instant restore of several volumes is not decided (E24)
    bool paused_ = false;    // clients wait: promotion, start of a restore
    bool closing_ = false;
    bool closed_ = false;
    bool unclean_durable_ = false;  // writes may start (E19)
    bool committed_ = false;        // a superblock was written since open
    bool evicting_ = false;
    bool watching_ = false;
    bool accepted_ = false;                // production was taken as it was found
    std::optional<Error> metadata_error_;  // read-only from then on (E20)
    std::optional<Error> flush_error_;     // of the last member: no more writes (E4)
    std::uint32_t departures_pending_ = 0;
    std::uint32_t unsettled_ = 0;  // requests readers have to wait for (E3)
    std::uint32_t waiting_clients_ = 0;
    std::uint32_t block_size_ = 512;  // largest of the plexes
    std::vector<VolumeEvent> events_;
    std::vector<std::weak_ptr<FanOut>> fans_;  // operations on several plexes under way
    std::size_t fans_limit_ = 64;
    std::vector<std::shared_ptr<Job>> running_jobs_;

    Mutex unclean_mutex_;
    Mutex structure_mutex_;  // changes of intervals and snapshots
    Mutex moved_mutex_;      // changes of the restore map on disk
    Mutex source_mutex_;
    Signal departed_;
    Signal request_done_;
    Signal idle_;
    Signal operation_done_;
    TaskGroup background_;
    std::uint32_t operations_ = 0;  // jobs and other operations that close() waits for
};

}  // namespace exshadow
