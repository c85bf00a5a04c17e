// Bringing plexes into the mirror: attach, sync, resync of a snapshot, removal (E2, E6, E7, E17).
#include "volume/copier.h"
#include "volume/volume.h"

namespace exshadow {

namespace {

// Existing content must not be lost by mistake: true when every byte of the target is a hole.
Task<Result<bool>> is_blank(FileDisk& device) {
    auto asking = device.extents({0, device.size()});
    const auto extents = co_await std::move(asking);
    if (!extents.ok()) co_return extents.error();
    for (const auto& extent : *extents) {
        if (!extent.zero) co_return false;
    }
    co_return true;
}

Status create_plex_file(Loop& loop, const std::string& path, std::uint64_t size) {
    OpenOptions options;
    options.writable = true;
    options.create = true;
    options.exclusive_create = true;
    auto file = loop.open(path, options);
    if (!file.ok()) return file.error();
    return file.value()->resize(size);
}

}  // namespace

Volume::Scope::Scope(Volume& volume, std::shared_ptr<Job> job) : volume_(volume), job_(std::move(job)) {
    ++volume_.operations_;
    if (!job_) return;
    volume_.running_jobs_.push_back(job_);
    job_->started_ns = volume_.loop_.now();
}

Volume::Scope::~Scope() {
    if (job_) {
        std::erase(volume_.running_jobs_, job_);
        job_->finished_ns = volume_.loop_.now();
    }
    if (--volume_.operations_ == 0) volume_.operation_done_.notify();
}

// Nothing that copies, splits or restores starts on a volume that cannot carry it through.
Status Volume::check_operation() const {
    if (closing_ || closed_) return Error(Code::closed, "volume " + state_.name + " is closed");
    if (lacks_production_)
        return Error(Code::refused, "volume " + state_.name + " has no production plex",
                     "promote a snapshot first");
    if (in_doubt_) return check_mode();
    return write_refusal();
}

Status Volume::check_not_restoring() const {
    if (paused_) {
        return Error(Code::busy, "volume " + state_.name + " is just being restored or promoted",
                     "try again");
    }
    return check_mode();
}

Task<Result<std::string>> Volume::attach_plex(AddPlexOptions options) {
    const Scope scope(*this);
    EXSHADOW_CO_TRY(check_operation());
    EXSHADOW_CO_TRY(check_not_restoring());
    const std::string label = options.label.empty() ? new_label() : options.label;
    if (!is_name(label)) co_return Error(Code::invalid, "'" + label + "' is not a label");
    if (find(label) != nullptr)
        co_return Error(Code::exists, "volume " + state_.name + " has a plex '" + label + "' already");
    if (plexes_.size() >= max_plexes) co_return Error(Code::refused, "a volume has at most 64 plexes");
    if (options.path.size() > max_path_bytes) co_return Error(Code::invalid, "the plex path is too long");
    auto device = open_plex(loop_, options.path, options.force, 0, options_.direct);
    if (!device.ok() && device.error().code() == Code::not_found) {
        EXSHADOW_CO_TRY(create_plex_file(loop_, options.path, state_.size));
        device = open_plex(loop_, options.path, options.force, 0, options_.direct);
    }
    if (!device.ok()) co_return device.error();
    auto checking = check_attachable(**device, options);
    EXSHADOW_CO_TRY(co_await std::move(checking));
    const auto guard = co_await structure_mutex_.lock();
    EXSHADOW_CO_TRY(check_operation());
    if (find(label) != nullptr)
        co_return Error(Code::exists, "volume " + state_.name + " has a plex '" + label + "' already");
    auto recording = record_plex(label, options.path, std::move(device).value());
    EXSHADOW_CO_TRY(co_await std::move(recording));
    co_return label;
}

Task<Status> Volume::check_attachable(FileDisk& device, AddPlexOptions options) {
    if (device.size() != state_.size) {
        co_return Error(Code::invalid,
                        options.path + " has " + std::to_string(device.size()) + " bytes, the volume has " +
                            std::to_string(state_.size),
                        "a plex must be exactly as large as its volume");
    }
    const auto tag = read_tag(device);
    const auto now = device.file().identity();
    for (const auto& record : state_.plexes) {
        const bool same_tag = tag && tag->volume == state_.uuid && tag->plex == record.uuid;
        const bool same_file =
            now.ok() && now->inode == record.identity.inode && now->serial == record.identity.serial;
        if (record.path != options.path && !(same_tag && same_file && record.identity.recorded)) continue;
        co_return Error(Code::exists, options.path + " is plex '" + record.label + "' of this volume already",
                        "resync it when it is a snapshot, else bring it back with: exshadow mirror sync " +
                            state_.name + " " + record.label);
    }
    if (options.overwrite) co_return Status{};
    auto asking = is_blank(device);
    const Result<bool> blank = co_await std::move(asking);
    if (!blank.ok()) co_return blank.error();
    if (*blank) co_return Status{};
    const bool device_file = device.file().info().is_block_device;
    co_return Error(Code::exists,
                    options.path + (device_file ? " is a block device and may hold data" : " holds data"),
                    "replace its content with --overwrite");
}

// A new plex is stale with everything to sync; durable on return.
Task<Status> Volume::record_plex(std::string label, std::string path, std::unique_ptr<FileDisk> device) {
    const auto slot = take_slot();
    if (!slot.ok()) co_return slot.error();
    const MapRef ref = new_map_ref(*slot);
    auto creating = maps_->create(ref);
    auto map = co_await std::move(creating);
    if (!map.ok()) co_return map.error();
    const std::shared_ptr<StoredMap> sync_map = std::move(map).value();
    sync_map->bits.mark_all();
    auto persisting = persist({sync_map});
    EXSHADOW_CO_TRY(co_await std::move(persisting));
    PlexRecord record;
    record.uuid = loop_.new_uuid();
    record.label = label;
    record.path = std::move(path);
    record.slot = *slot;
    record.sync_map_id = ref.id;
    record.note = "its first sync is not finished";
    record.tag =
        write_tag(*device, state_.uuid, record.uuid, state_.generation + 1) ? state_.generation + 1 : 0;
    auto tagging = device->flush();
    EXSHADOW_CO_TRY(co_await std::move(tagging));
    auto plex = std::make_shared<Plex>(record.uuid, label, PlexState::stale);
    plex->sync_map = sync_map;
    plex->device = std::move(device);  // kept open, hence locked, until the sync that follows
    plexes_.push_back(plex);
    state_.plexes.push_back(record);
    auto committing = commit();
    co_return co_await std::move(committing);
}

Task<Status> Volume::sync_plex(std::string label, std::uint64_t limit, std::shared_ptr<Job> job) {
    const Scope scope(*this, job);
    EXSHADOW_CO_TRY(check_operation());
    EXSHADOW_CO_TRY(check_not_restoring());
    const PlexPointer plex = find(label);
    if (!plex) co_return Error(Code::not_found, "volume " + state_.name + " has no plex '" + label + "'");
    if (plex->is_member()) co_return Status{};
    if (!next_state(plex->state, PlexEvent::start_sync))
        co_return refuse_event(label, plex->state, PlexEvent::start_sync);
    if (plex->busy) co_return Error(Code::busy, "plex '" + label + "' is being worked on");
    ++plex->busy;
    auto syncing = run_sync(plex, limit, job);
    const Status status = co_await std::move(syncing);
    --plex->busy;
    co_return status;
}

// The plex is stale, failed or detached, with its sync map; afterwards in sync or stale.
Task<Status> Volume::run_sync(PlexPointer plex, std::uint64_t limit, std::shared_ptr<Job> job) {
    auto opening = open_sync_target(plex, job);
    EXSHADOW_CO_TRY(co_await std::move(opening));
    if (plex->state != PlexState::resyncing) set_plex_state(*plex, PlexState::syncing);
    state_.find_plex(plex->uuid)->identity.forget_contents();  // the copier changes them from here on
    auto persisting = persist({plex->sync_map});
    Status status = co_await std::move(persisting);
    if (status.ok()) {
        auto committing = commit();
        status = co_await std::move(committing);
    }
    auto bringing = bring_up(plex, limit, job, status);
    co_return co_await std::move(bringing);
}

// The map is durable and the superblock says that the plex is being written. With an error in `status` it
// is only put down again.
Task<Status> Volume::bring_up(PlexPointer plex, std::uint64_t limit, std::shared_ptr<Job> job,
                              Status status) {
    while (status.ok() && plex->state != PlexState::in_sync) {
        // From this step on live writes reach the plex or keep their region marked (F4).
        plex->todo = std::make_unique<ChangeMap>(state_.size, state_.region_size);
        plex->todo->merge(plex->sync_map->bits);
        plex->receive_error.reset();
        plex->receiving = true;
        CopyPlan plan;
        plan.target = plex;
        plan.todo = plex->todo.get();
        plan.durable = plex->sync_map;
        plan.rewrite = state_.find_plex(plex->uuid)->flush_failed;
        plan.compare = state_.find_plex(plex->uuid)->needs_compare && !plan.rewrite;
        plan.limit = limit;
        Copier copier(*this, std::move(plan), job);
        auto copying = copier.run();
        status = co_await std::move(copying);
        if (!status.ok()) break;
        auto finishing = finish_sync(plex);
        status = co_await std::move(finishing);
    }
    if (!status.ok()) {
        auto interrupting = interrupt_sync(plex, status.error().message());
        co_await std::move(interrupting);
    }
    co_return status;
}

// Opens the plex for writing once every old operation on it has ended (E6), and looks whether it is
// still what the volume left (E7).
Task<Status> Volume::open_sync_target(PlexPointer plex, std::shared_ptr<Job> job) {
    auto waiting = wait_idle(plex);
    co_await std::move(waiting);
    // A descriptor kept since attach is good; one that saw a failure is not (E33).
    const bool fresh = plex->device != nullptr && plex->state == PlexState::stale && !plex->receive_error;
    if (!fresh) {
        plex->device.reset();
        const std::string path = state_.find_plex(plex->uuid)->path;
        auto device = open_plex(loop_, path, options_.force, options_.lock_wait, options_.direct);
        if (!device.ok()) co_return device.error().within("plex " + plex->label);
        if ((*device)->size() == 0) {
            co_return Error(Code::not_found, "plex " + plex->label + ": " + path + " is empty",
                            "bring its device or file back");
        }
        if ((*device)->size() != state_.size) {
            co_return Error(Code::invalid, "plex " + plex->label + " has another size than the volume now",
                            "remove it and add it again");
        }
        plex->device = std::move(device).value();
        auto judging = distrust(plex, log_->used() != 0);
        const std::string why = co_await std::move(judging);
        if (!why.empty()) {
            plex->sync_map->bits.mark_all();
            state_.find_plex(plex->uuid)->needs_compare = true;
            say("plex " + plex->label + " " + why + ": everything is compared");
        }
    }
    // Records move when plexes come and go: never kept over a wait.
    if (state_.find_plex(plex->uuid)->needs_compare && job) {
        job->set_note("everything is compared: " + plex->label + " is not as it was left");
    }
    block_size_ = std::max(block_size_, plex->device->block_size());
    co_return Status{};
}

// Everything is copied, flushed and cleared: the plex becomes a member (E17).
Task<Status> Volume::finish_sync(PlexPointer plex) {
    const std::uint64_t tag = state_.generation + 1;
    const bool tagged = write_tag(*plex->device, state_.uuid, plex->uuid, tag);
    state_.find_plex(plex->uuid)->previous_tag = tag;
    state_.find_plex(plex->uuid)->tag = tagged ? tag : 0;
    auto tagging = flush_plexes({plex});
    EXSHADOW_CO_TRY(co_await std::move(tagging));
    auto identifying = read_identity(*plex->device);
    const Result<PlexIdentity> identity = co_await std::move(identifying);
    if (!identity.ok()) co_return identity.error();
    // Something was marked again meanwhile: once more.
    if (!plex->sync_map->bits.empty() || !plex->todo->empty() || plex->receive_error) co_return Status{};
    // Member in memory first: from here on a write that fails on it is a departure like any other (E1).
    plex->state = PlexState::in_sync;
    plex->receiving = false;
    plex->todo.reset();
    plex->sync_map.reset();
    PlexRecord& record = *state_.find_plex(plex->uuid);
    record.state = PlexState::in_sync;
    record.sync_map_id = 0;
    record.needs_compare = false;
    record.flush_failed = false;
    record.joined = state_.generation + 1;
    record.identity = *identity;
    record.note.clear();
    auto committing = commit();
    co_return co_await std::move(committing);
}

// What was copied is kept: the sync map says what is left.
Task<void> Volume::interrupt_sync(PlexPointer plex, std::string why) {
    const bool broken = plex->receive_error.has_value();
    stop_receiving(*plex);
    plex->todo.reset();
    if (plex->is_member()) co_return;
    const auto state = next_state(plex->state, broken ? PlexEvent::fail : PlexEvent::interrupt);
    if (state) set_plex_state(*plex, *state);
    state_.find_plex(plex->uuid)->note = why.substr(0, 180);
    auto waiting = wait_idle(plex);
    co_await std::move(waiting);
    if (plex->device && !broken) {
        auto identifying = read_identity(*plex->device);
        const Result<PlexIdentity> identity = co_await std::move(identifying);
        PlexRecord& record = *state_.find_plex(plex->uuid);
        if (identity.ok()) record.identity = *identity;
    } else {
        state_.find_plex(plex->uuid)->identity.recorded = false;
    }
    plex->device.reset();
    auto persisting = persist({plex->sync_map});
    const Status persisted = co_await std::move(persisting);
    if (!persisted.ok()) co_return;
    auto committing = commit();
    static_cast<void>(co_await std::move(committing));
}

Task<Status> Volume::resync(std::string label, std::uint64_t limit, std::shared_ptr<Job> job) {
    const Scope scope(*this, job);
    EXSHADOW_CO_TRY(check_operation());
    EXSHADOW_CO_TRY(check_not_restoring());
    auto snapshot = usable_snapshot(label);
    if (!snapshot.ok()) co_return snapshot.error();
    const PlexPointer plex = find((*snapshot)->plex);
    EXSHADOW_CO_TRY(check_not_source(*plex, label));
    if (plex->busy) co_return Error(Code::busy, "snapshot '" + label + "' is being worked on");
    ++plex->busy;
    auto beginning = begin_resync(label, plex, job);
    Status status = co_await std::move(beginning);
    if (plex->state == PlexState::resyncing) {
        auto syncing = bring_up(plex, limit, job, status);
        status = co_await std::move(syncing);
    }
    --plex->busy;
    co_return status;
}

// The difference durable, then the snapshot given up, then the first byte (E17).
Task<Status> Volume::begin_resync(std::string label, PlexPointer plex, std::shared_ptr<Job> job) {
    const auto guard = co_await structure_mutex_.lock();
    EXSHADOW_CO_TRY(check_operation());
    EXSHADOW_CO_TRY(check_not_restoring());
    auto snapshot = usable_snapshot(label);
    if (!snapshot.ok()) co_return snapshot.error();
    EXSHADOW_CO_TRY(check_not_source(*plex, label));  // a restore may have begun
    const std::uint64_t anchor = (*snapshot)->anchor;
    const Uuid set_id = (*snapshot)->set_id;
    auto waiting = wait_idle(plex);
    co_await std::move(waiting);
    plex->device.reset();  // may be open for reading
    // It left by a split, flushed: the intervals since then say what differs, and every write from here on
    // marks its map. Active extents would only be copied for nothing.
    plex->sync_map = maps_->start(new_map_ref(state_.find_plex(plex->uuid)->slot));
    auto opening = open_sync_target(plex, job);
    Status status = co_await std::move(opening);
    if (status.ok() && options_.orders.keeps(Order::e17_difference_before_resync)) {
        auto merging = merge_difference(plex->sync_map->bits, anchor);
        co_await std::move(merging);
    }
    if (status.ok()) {
        auto persisting = persist({plex->sync_map});
        status = co_await std::move(persisting);
    }
    if (!status.ok()) {
        plex->sync_map.reset();
        auto closing = close_device(plex, false);  // somebody may be reading the snapshot
        static_cast<void>(co_await std::move(closing));
        co_return status;
    }
    set_plex_state(*plex, PlexState::resyncing);
    state_.find_plex(plex->uuid)->sync_map_id = plex->sync_map->ref.id;
    state_.find_plex(plex->uuid)->identity.forget_contents();  // the copier changes them from here on
    std::erase_if(state_.snapshots, [&](const SnapshotRecord& record) { return record.set_id == set_id; });
    auto committing = commit();
    EXSHADOW_CO_TRY(co_await std::move(committing));
    auto merging = merge_lost_intervals();
    co_return co_await std::move(merging);
}

Task<Status> Volume::remove_plex(std::string label) {
    const Scope scope(*this);
    EXSHADOW_CO_TRY(check_operation());
    const auto guard = co_await structure_mutex_.lock();
    const PlexPointer plex = find(label);
    if (!plex) co_return Error(Code::not_found, "volume " + state_.name + " has no plex '" + label + "'");
    if (plex->busy)
        co_return Error(Code::busy, "plex '" + label + "' is being worked on", "cancel its job first");
    if (plex->state == PlexState::split || plex->state == PlexState::splitting) {
        co_return refuse_event(label, plex->state, PlexEvent::remove);
    }
    if (plex->is_member()) {
        if (members().size() < 2) {
            co_return Error(Code::refused, "plex '" + label + "' is the last one in sync",
                            "a volume is forgotten with: exshadow volume remove " + state_.name);
        }
        EXSHADOW_CO_TRY(check_not_restoring());
        // It leaves like one that failed, durably, before any write is answered without it (E1).
        depart(plex, PlexState::failed, "it is being removed");
    }
    ++plex->busy;  // no sync starts on it meanwhile
    auto recording = departures_recorded();
    const Status recorded = co_await std::move(recording);
    if (!recorded.ok()) {
        --plex->busy;
        co_return recorded;
    }
    auto closing = close_device(plex, false);
    static_cast<void>(co_await std::move(closing));
    std::erase_if(state_.plexes, [&](const PlexRecord& record) { return record.uuid == plex->uuid; });
    std::erase(plexes_, plex);
    auto committing = commit();
    co_return co_await std::move(committing);
}

}  // namespace exshadow
