// Creating and opening a volume (E8, E19). Which plexes are believed is decided in trust.cpp, what an
// unclean stop left is settled in recovery.cpp.
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>

#include "volume/volume.h"

namespace exshadow {

namespace {

std::string owner_text(Loop& loop) {
    char host[256] = {};
    if (gethostname(host, sizeof(host) - 1) != 0) std::strcpy(host, "unknown");
    return "exshadow volume file\nowner pid " + std::to_string(getpid()) + " on " + host + " since " +
           std::to_string(loop.wall_clock_ns() / second_ns) + "\n";
}

// A change map of more than this is no small file any more, nor quick to read.
Status check_map_size(std::uint64_t size, std::uint32_t region_size) {
    constexpr std::uint64_t largest = GiB;
    if (size / region_size / 4 <= largest && format::MapLayout(size, region_size).slot_bytes <= largest)
        return {};
    return Error(Code::invalid,
                 "a volume of " + std::to_string(size) + " bytes is too large for regions of " +
                     std::to_string(region_size) + " bytes",
                 "use larger regions (--region, up to 64M) or a smaller volume");
}

std::string truncation_hint(const std::string& metadata_copy) {
    if (metadata_copy.empty()) return "put back the metadata copy if there is one";
    return "move it away, then it is made anew from its copy " + metadata_copy;
}

}  // namespace

Volume::Volume(Loop& loop, std::string path, VolumeOptions options)
    : loop_(loop),
      path_(std::move(path)),
      options_(options),
      lock_(loop),
      unclean_mutex_(loop),
      structure_mutex_(loop),
      moved_mutex_(loop),
      source_mutex_(loop),
      departed_(loop),
      request_done_(loop),
      idle_(loop),
      operation_done_(loop),
      background_(loop) {}

Volume::~Volume() {
    EXSHADOW_CHECK(operations_ == 0);
}

Task<Result<std::unique_ptr<Volume>>> Volume::create(Loop& loop, std::string path,
                                                     CreateOptions create_options, VolumeOptions options) {
    std::unique_ptr<Volume> volume(new Volume(loop, std::move(path), options));
    EXSHADOW_CO_TRY(volume->validate(create_options));
    auto adopting = volume->adopt(create_options);
    const Status status = co_await std::move(adopting);
    if (status.ok()) co_return std::move(volume);
    if (volume->metadata_) {  // made by us a moment ago: nothing else knows of it
        volume->metadata_.reset();
        std::error_code ignored;
        std::filesystem::remove(volume->path_, ignored);
        if (!create_options.metadata_copy.empty())
            std::filesystem::remove(create_options.metadata_copy, ignored);
    }
    co_return status.error();
}

Status Volume::validate(const CreateOptions& options) const {
    const std::string group = options.group.empty() ? options.name : options.group;
    for (const std::string& name : {options.name, group, options.plex_label}) {
        if (!is_name(name)) {
            return Error(Code::invalid, "'" + name + "' is not a name",
                         "names start with a letter or digit and hold letters, digits, '.', '_' and '-', "
                         "at most 64 of them");
        }
    }
    if (!is_power_of_two(options.region_size) || options.region_size < 4 * KiB ||
        options.region_size > 64 * MiB) {
        return Error(Code::invalid, "region size " + std::to_string(options.region_size) + " is not possible",
                     "use a power of two from 4K to 64M");
    }
    if (!is_power_of_two(options.extent_size) || options.log_slots < 4 || options.log_slots > 4000) {
        return Error(Code::invalid, "this activity log is not possible",
                     "use extents of a power of two bytes, and 4 to 4000 slots");
    }
    if (options.plex_path.size() > max_path_bytes) return Error(Code::invalid, "the plex path is too long");
    return {};
}

Task<Status> Volume::adopt(CreateOptions options) {
    auto device = open_plex(loop_, options.plex_path, options_.force, 0, options_.direct);
    if (!device.ok()) co_return device.error();
    const std::uint64_t size = (*device)->size();
    if (size == 0)
        co_return Error(Code::invalid, options.plex_path + " is empty", "adopt an image that holds data");
    if (size % 512 != 0) {
        co_return Error(Code::invalid,
                        options.plex_path + " has " + std::to_string(size) + " bytes, not a multiple of 512",
                        "grow it with: truncate --size=%512 " + options.plex_path);
    }
    EXSHADOW_CO_TRY(check_map_size(size, options.region_size));
    state_.uuid = loop_.new_uuid();
    state_.name = options.name;
    state_.group = options.group.empty() ? options.name : options.group;
    state_.metadata_copy = options.metadata_copy;
    state_.size = size;
    state_.region_size = options.region_size;
    state_.extent_size = std::max(options.extent_size, options.region_size);
    state_.log_slots = options.log_slots;

    const format::MapLayout layout(state_.size, state_.region_size);
    auto metadata = MetadataDevice::create(loop_, path_, options.metadata_copy, layout.file_bytes());
    if (!metadata.ok()) co_return metadata.error();
    metadata_ = std::move(metadata).value();
    EXSHADOW_CO_TRY(metadata_->allocate({0, format::maps_offset}));
    make_stores();

    PlexRecord record;
    record.uuid = loop_.new_uuid();
    record.label = options.plex_label;
    record.path = options.plex_path;
    record.state = PlexState::in_sync;
    record.slot = 0;
    record.joined = 1;
    record.tag = write_tag(**device, state_.uuid, record.uuid, 1) ? 1 : 0;
    auto tagging = (*device)->flush();
    EXSHADOW_CO_TRY(co_await std::move(tagging));
    auto identifying = read_identity(**device);
    const Result<PlexIdentity> identity = co_await std::move(identifying);
    if (!identity.ok()) co_return identity.error();
    record.identity = *identity;
    state_.authority = record.uuid;
    state_.plexes.push_back(record);
    auto plex = std::make_shared<Plex>(record.uuid, record.label, PlexState::in_sync);
    plex->device = std::move(device).value();
    block_size_ = std::max(block_size_, plex->device->block_size());
    plexes_.push_back(plex);

    auto reserving = maps_->create(new_map_ref(0));
    EXSHADOW_CO_TRY(co_await std::move(reserving));
    auto creating = maps_->create(new_map_ref(1));
    auto interval = co_await std::move(creating);
    if (!interval.ok()) co_return interval.error();
    state_.intervals.push_back({(*interval)->ref});
    intervals_.push_back(std::move(interval).value());
    auto writing = log_->write_now();
    EXSHADOW_CO_TRY(co_await std::move(writing));
    auto owning = write_owner(owner_text(loop_));
    EXSHADOW_CO_TRY(co_await std::move(owning));
    auto committing = commit();
    EXSHADOW_CO_TRY(co_await std::move(committing));
    auto again = commit();  // into the other place, so that one damaged superblock is survived from the start
    co_return co_await std::move(again);
}

void Volume::make_stores() {
    superblocks_ = std::make_unique<SuperblockStore>(loop_, *metadata_);
    maps_ = std::make_unique<MapStore>(loop_, *metadata_, state_, options_.orders);
    log_ = std::make_unique<ActivityLog>(loop_, *metadata_, state_);
    log_->on_starved([this] { start_eviction(); });
    maps_->start_sequences(state_.generation + 1);
}

Task<Status> Volume::write_owner(std::string text) {
    text.resize(format::owner_bytes, '\0');
    auto writing = metadata_->write(0, std::as_bytes(std::span(text)));
    co_return co_await std::move(writing);
}

Task<Result<std::unique_ptr<Volume>>> Volume::open(Loop& loop, std::string path, std::string metadata_copy,
                                                   VolumeOptions options) {
    std::unique_ptr<Volume> volume(new Volume(loop, std::move(path), options));
    auto loading = volume->load(std::move(metadata_copy));
    const Status status = co_await std::move(loading);
    if (status.ok()) co_return std::move(volume);
    volume->closing_ = true;
    auto waiting = volume->background_.wait();
    co_await std::move(waiting);
    for (const auto& plex : volume->plexes_) {
        auto closing = volume->close_device(plex, false);
        co_await std::move(closing);
    }
    co_return status.error();
}

Task<Status> Volume::load(std::string metadata_copy) {
    auto metadata = MetadataDevice::open(loop_, path_, options_.lock_wait);
    if (metadata.ok()) {
        metadata_ = std::move(metadata).value();
    } else if (metadata.error().code() == Code::not_found && !metadata_copy.empty()) {
        auto remaking = remake_from(metadata_copy);
        EXSHADOW_CO_TRY(co_await std::move(remaking));
    } else {
        co_return metadata.error();
    }
    if (metadata_->size() < format::maps_offset) {
        co_return Error(Code::corrupt, path_ + " is truncated: no volume file",
                        truncation_hint(metadata_copy));
    }
    if (!metadata_copy.empty()) EXSHADOW_CO_TRY(metadata_->add_copy(metadata_copy, options_.lock_wait));
    auto loading = read_superblock();
    auto loaded = co_await std::move(loading);
    if (!loaded.ok()) co_return loaded.error().within(path_);
    const std::size_t copy = loaded->copy;
    state_ = std::move(loaded->state);
    if (format::MapLayout(state_.size, state_.region_size).file_bytes() > metadata_->size()) {
        co_return Error(Code::corrupt, path_ + " is truncated", truncation_hint(metadata_copy));
    }
    make_stores();
    // A killed owner may have left it in the page cache only: durable before anything is built on it.
    auto settling = metadata_->flush();
    EXSHADOW_CO_TRY(co_await std::move(settling));
    if (metadata_->copies() > 1) {
        auto refreshing = refresh_copy(copy);
        EXSHADOW_CO_TRY(co_await std::move(refreshing));
    }
    for (const auto& record : state_.plexes) {
        plexes_.push_back(std::make_shared<Plex>(record.uuid, record.label, record.state));
    }
    auto reading_log = log_->load(copy);
    auto extents = co_await std::move(reading_log);
    auto reading_maps = load_maps(copy);
    EXSHADOW_CO_TRY(co_await std::move(reading_maps));
    if (!extents.ok() && !state_.clean) {
        say("the activity log is damaged: the whole volume counts as active");
        extents = every_extent();
    }
    const std::vector<std::uint32_t> active = extents.ok() ? *extents : std::vector<std::uint32_t>{};
    auto opening = open_members(!active.empty());
    EXSHADOW_CO_TRY(co_await std::move(opening));
    if (!extents.ok() && state_.clean) {  // nothing is active: say so, or the next stop could not tell
        auto emptying = log_->write_now();
        EXSHADOW_CO_TRY(co_await std::move(emptying));
    }
    auto owning = write_owner(owner_text(loop_));
    EXSHADOW_CO_TRY(co_await std::move(owning));
    if (lacks_production_) co_return Status{};
    auto recovering = recover(active);
    co_return co_await std::move(recovering);
}

// The volume file is gone, its copy is not: an empty one takes its place, which refresh_copy() fills. A
// file that is there is never replaced, whatever is left in it.
Task<Status> Volume::remake_from(std::string metadata_copy) {
    std::uint64_t bytes = 0;
    {
        auto copy = MetadataDevice::open(loop_, metadata_copy, options_.lock_wait);
        if (!copy.ok()) co_return copy.error();
        SuperblockStore store(loop_, **copy);
        auto loading = store.load();
        const auto loaded = co_await std::move(loading);
        if (!loaded.ok()) co_return loaded.error().within(metadata_copy);
        bytes = format::MapLayout(loaded->state.size, loaded->state.region_size).file_bytes();
    }
    auto made = MetadataDevice::create(loop_, path_, "", bytes);
    if (!made.ok()) co_return made.error();
    metadata_ = std::move(made).value();
    EXSHADOW_CO_TRY(metadata_->allocate({0, format::maps_offset}));
    say("the volume file was gone: it is made anew from its copy " + metadata_copy);
    co_return Status{};
}

// The newest superblock, of the copy as well where one is known of.
Task<Result<SuperblockStore::Loaded>> Volume::read_superblock() {
    superblocks_ = std::make_unique<SuperblockStore>(loop_, *metadata_);
    auto loading = superblocks_->load();
    auto loaded = co_await std::move(loading);
    if (!loaded.ok() || metadata_->copies() > 1 || loaded->state.metadata_copy.empty()) co_return loaded;
    const Status added = metadata_->add_copy(loaded->state.metadata_copy, options_.lock_wait);
    if (!added.ok()) {
        say("going on without the metadata copy: " + added.error().message());
        co_return loaded;
    }
    auto again = superblocks_->load();
    co_return co_await std::move(again);
}

// Both files alike again: the one that is behind may have missed anything. Its superblocks come last, so
// that it never claims a generation whose log and maps it does not hold.
Task<Status> Volume::refresh_copy(std::size_t newest) {
    const std::size_t other = 1 - newest;
    const format::MapLayout& layout = maps_->layout();
    const std::uint64_t logs = format::log_places[0];
    auto log = metadata_->copy_range(newest, other, {logs, format::maps_offset - logs});
    EXSHADOW_CO_TRY(co_await std::move(log));
    for (std::uint32_t slot = 0; slot < format::max_map_slots; ++slot) {
        if (!state_.uses_slot(slot)) continue;
        auto copying = metadata_->copy_range(newest, other, layout.slot(slot));
        EXSHADOW_CO_TRY(co_await std::move(copying));
    }
    auto settling = metadata_->flush();
    EXSHADOW_CO_TRY(co_await std::move(settling));
    // One after the other: whichever a power cut tears, the other one still says where the copy is.
    for (const std::uint64_t place : format::superblock_places) {
        auto superblock = metadata_->copy_range(newest, other, {place, format::superblock_bytes});
        EXSHADOW_CO_TRY(co_await std::move(superblock));
        auto flushing = metadata_->flush();
        EXSHADOW_CO_TRY(co_await std::move(flushing));
    }
    co_return Status{};
}

Task<Result<std::unique_ptr<StoredMap>>> Volume::load_map(MapRef ref, std::size_t copy, std::string what) {
    std::string doubts;
    auto loading = maps_->load(ref, copy, doubts);
    auto map = co_await std::move(loading);
    if (!doubts.empty()) say(what + ": " + doubts);
    co_return map;
}

Task<Status> Volume::load_maps(std::size_t copy) {
    for (const auto& interval : state_.intervals) {
        if (state_.snapshots.empty()) {  // nobody will ask it: an empty one will do
            intervals_.push_back(maps_->start(interval.map));
            continue;
        }
        auto loading = load_map(interval.map, copy, "interval " + std::to_string(interval.map.id));
        auto map = co_await std::move(loading);
        if (!map.ok()) co_return map.error();
        intervals_.push_back(std::move(map).value());
    }
    for (const auto& snapshot : state_.snapshots) {
        if (snapshot.state != SetState::preparing) continue;
        auto loading = load_map(snapshot.next_interval, copy, "interval being opened");
        auto map = co_await std::move(loading);
        if (!map.ok()) co_return map.error();
        intervals_.push_back(std::move(map).value());
    }
    for (const auto& record : state_.plexes) {
        const PlexPointer plex = find(record.uuid);
        const bool needs_map = record.state == PlexState::stale || record.state == PlexState::syncing ||
                               record.state == PlexState::resyncing || record.state == PlexState::failed ||
                               record.state == PlexState::detached;
        if (!needs_map && record.sync_map_id == 0) continue;
        auto loading = load_map({record.sync_map_id, record.slot}, copy, "sync map of plex " + record.label);
        auto map = co_await std::move(loading);
        if (!map.ok()) co_return map.error();
        plex->sync_map = std::move(map).value();
    }
    auto loading = load_restore(copy);
    co_return co_await std::move(loading);
}

Task<Status> Volume::load_restore(std::size_t copy) {
    if (state_.starting && state_.starting->state == SetState::ready) {
        in_doubt_ = true;
        ++epoch_;
        std::string doubts;
        auto loading = maps_->load(state_.starting->map, copy, doubts);
        auto map = co_await std::move(loading);
        if (!map.ok()) co_return map.error();
        if (!doubts.empty()) co_return Error(Code::corrupt, "the map of a restore in doubt: " + doubts);
        starting_map_ = std::move(map).value();
        auto loading_interval = load_map(state_.starting->interval, copy, "interval being opened");
        auto interval = co_await std::move(loading_interval);
        if (!interval.ok()) co_return interval.error();
        starting_interval_ = std::move(interval).value();
    }
    if (is_moving()) {
        auto loading = load_redirect(copy);
        EXSHADOW_CO_TRY(co_await std::move(loading));
    } else if (state_.restore) {
        auto loading = load_map(state_.restore->map, copy, "restore map");
        auto map = co_await std::move(loading);
        if (!map.ok()) co_return map.error();
        restore_map_ = std::move(map).value();
    }
    auto checking = check_seal();
    co_await std::move(checking);
    if (restore_map_) {
        for (const auto& plex : plexes_) {
            if (plex->sync_map) plex->sync_map->bits.merge(restore_map_->bits);
        }
    }
    co_return Status{};
}

}  // namespace exshadow
