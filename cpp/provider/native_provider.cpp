#include "provider/native_provider.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <optional>

#include "volume/group.h"
#include "volume/instant.h"

namespace exshadow {

using vss::HResult;
using vss::SnapshotAttributes;
using vss::vss_error;

namespace {

constexpr std::string_view label_start = "vss-";

std::string make_label(SnapshotAttributes attributes, const Uuid& set) {
    std::array<char, 16> digits{};
    std::snprintf(digits.data(), digits.size(), "%08x", static_cast<unsigned>(attributes));
    return std::string(label_start) + digits.data() + "-" + set.text().substr(0, 8);
}

// Empty: not one of ours. Ours is only what has the label that we give to its set: a user may choose any that
// looks alike.
std::optional<SnapshotAttributes> attributes_of(const SnapshotRecord& record) {
    const std::string_view label = record.label;
    if (!label.starts_with(label_start) || label.size() < label_start.size() + 8) return std::nullopt;
    const auto digits = label.substr(label_start.size(), 8);
    std::uint32_t value = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
    if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
    const auto attributes = static_cast<SnapshotAttributes>(value);
    if (label != make_label(attributes, record.set_id)) return std::nullopt;
    return attributes;
}

Uuid id_of(const Uuid& set, const Uuid& volume) {
    std::array<std::uint64_t, 2> words{};
    for (std::size_t i = 0; i < 16; ++i)
        words[i / 8] = words[i / 8] << 8 | static_cast<std::uint64_t>(set.bytes[i] ^ volume.bytes[i]);
    return Uuid::from_words(words[0], words[1]);
}

std::int64_t filetime(std::int64_t unix_ns) {
    constexpr std::int64_t unix_epoch = 116'444'736'000'000'000;
    return unix_epoch + unix_ns / 100;
}

// The engine's refusal as a provider's: what was wrong is in the text.
Error refused(const Error& error) {
    const auto code =
        error.code() == Code::no_space ? HResult::vss_e_insufficient_storage : HResult::vss_e_provider_veto;
    std::string text = error.message();
    if (!error.hint().empty()) text += " (" + error.hint() + ")";
    return vss_error(code, text);
}
Status as_provider(const Status& status) {
    return status.ok() ? Status{} : Status(refused(status.error()));
}

Error closed(const NativeVolume& volume) {
    return vss_error(HResult::vss_e_object_not_found, "volume " + volume.name + " is closed");
}

// A mirror in sync beside the one that clients read.
bool can_be_split(const Volume& volume) {
    const auto& plexes = volume.plexes();
    return std::ranges::count_if(plexes, [](const auto& plex) { return plex->is_member(); }) >= 2;
}

}  // namespace

NativeProvider::NativeProvider(Loop& loop, NativeProviderOptions options)
    : loop_(loop), options_(std::move(options)), background_(loop), moved_(loop) {
    facts_.properties.provider_id = native_provider_id;
    facts_.properties.name = "exshadow mirror provider";
    facts_.properties.type = vss::ProviderType::software;
    facts_.properties.version = "1.0";
    facts_.differential = false;
    facts_.reverts = true;
}

NativeProvider::~NativeProvider() = default;

Task<void> NativeProvider::close() {
    for (const auto& one : jobs_) {
        if (const auto job = one.lock()) job->cancel();
    }
    auto waiting = background_.wait();
    co_await std::move(waiting);
}

Task<Status> NativeProvider::delete_orphans() {
    Status first;
    for (const auto& one : all_snapshots()) {
        if (has(one.properties.attributes, SnapshotAttributes::no_auto_release)) continue;
        auto disposing = dispose(one.volume, one.label);
        const auto disposed = co_await std::move(disposing);
        if (!disposed.ok() && first.ok()) first = disposed.error().within(one.properties.device);
    }
    co_return first;
}

// --- Finding.

Result<NativeVolume> NativeProvider::find_volume(const std::string& name) const {
    for (auto& one : options_.volumes()) {
        if (one.name == name) return one;
    }
    return vss_error(HResult::vss_e_object_not_found, "volume '" + name + "'");
}

std::vector<NativeProvider::Found> NativeProvider::all_snapshots() const {
    std::vector<Found> all;
    for (const auto& volume : options_.volumes()) {
        const VolumeUse use(*volume.source);
        if (!use) continue;
        for (const auto& record : use->state().snapshots) {
            const auto attributes = attributes_of(record);
            const bool being_made = making_ && making_->set == record.set_id;
            if (!attributes || record.state != SetState::committed || being_made) continue;
            Found found{volume, record.label, {}};
            auto& properties = found.properties;
            properties.snapshot_id = id_of(record.set_id, use->state().uuid);
            properties.set_id = record.set_id;
            properties.set_size = static_cast<std::int32_t>(record.members.size());
            properties.device = volume.name + "@" + record.label;
            properties.original_volume = volume.name;
            properties.originating_machine = properties.service_machine = options_.machine;
            properties.provider_id = native_provider_id;
            properties.attributes = *attributes | SnapshotAttributes::plex;
            properties.created = filetime(record.created_ns);
            properties.state = vss::SnapshotState::created;
            all.push_back(std::move(found));
        }
    }
    return all;
}

Result<NativeProvider::Found> NativeProvider::find_snapshot(const Uuid& id) const {
    for (auto& one : all_snapshots()) {
        if (one.properties.snapshot_id == id) return one;
    }
    return vss_error(HResult::vss_e_object_not_found, "snapshot " + id.text());
}

Task<Result<std::vector<vss::SnapshotProperties>>> NativeProvider::query() {
    std::vector<vss::SnapshotProperties> all;
    for (auto& one : all_snapshots()) all.push_back(std::move(one.properties));
    co_return all;
}

Task<Result<Uuid>> NativeProvider::snapshot_id(Uuid set, std::string volume, Uuid /*proposed*/) {
    const auto found = find_volume(volume);
    if (!found.ok()) co_return found.error();
    const VolumeUse use(*found->source);
    if (!use) co_return closed(*found);
    co_return id_of(set, use->state().uuid);
}

// --- Making a set.

Task<Result<bool>> NativeProvider::is_volume_supported(std::string volume,
                                                       SnapshotAttributes /*attributes*/) {
    const auto found = find_volume(volume);
    if (!found.ok()) co_return found.error();
    co_return true;
}

Task<Status> NativeProvider::begin_prepare_snapshot(vss::SnapshotRequest request) {
    const auto found = find_volume(request.volume);
    if (!found.ok()) co_return found.error();
    const VolumeUse use(*found->source);
    if (!use) co_return closed(*found);
    if (!can_be_split(*use)) {
        co_return refused(Error(Code::refused, "volume " + found->name + " has no mirror in sync to be split",
                                "add one, or bring one back: exshadow mirror sync " + found->name));
    }
    if (!making_ || making_->set != request.set_id) {
        making_ = std::make_shared<Making>();
        making_->set = request.set_id;
        making_->attributes = request.attributes;
    }
    making_->volumes.push_back(*found);
    co_return Status{};
}

Result<std::shared_ptr<NativeProvider::Making>> NativeProvider::making(vss::ProviderCall call,
                                                                       const Uuid& set) const {
    if (!making_ || making_->set != set) return vss_error(HResult::vss_e_bad_state, sdk_name(call));
    return making_;
}

// What clients wrote so far goes to the disks first: less is left to be made durable at the end.
Task<Status> NativeProvider::end_prepare_snapshots(Uuid set) {
    const auto found = making(vss::ProviderCall::end_prepare, set);
    if (!found.ok()) co_return found.error();
    auto flushing = flush((*found)->volumes);
    EXSHADOW_CO_TRY(co_await std::move(flushing));
    if (making_ != *found) co_return vss_error(HResult::vss_e_bad_state, "aborted meanwhile");
    (*found)->gate = std::make_shared<SplitGate>(loop_);
    background_.spawn(run_split(*found));
    auto preparing = (*found)->gate->until_prepared();
    co_await std::move(preparing);
    co_return (*found)->gate->has_ended() ? as_provider((*found)->outcome) : Status{};
}

Task<void> NativeProvider::run_split(std::shared_ptr<Making> making) {
    std::vector<std::unique_ptr<VolumeUse>> uses;
    SplitRequest request;
    for (const auto& one : making->volumes) {
        uses.push_back(std::make_unique<VolumeUse>(*one.source));
        if (!*uses.back()) {
            making->outcome = Error(Code::closed, "volume " + one.name + " is closed");
            making->gate->note_ended();
            co_return;
        }
        request.volumes.push_back(&**uses.back());
    }
    request.label = make_label(making->attributes, making->set);
    request.consistency = has(making->attributes, SnapshotAttributes::no_writers) ? "crash" : "application";
    request.set_id = making->set;
    request.gate = making->gate;
    auto splitting = split(loop_, std::move(request));
    auto done = co_await std::move(splitting);
    if (!done.ok()) making->outcome = done.error();
    making->gate->note_ended();
}

Task<Status> NativeProvider::flush(std::vector<NativeVolume> volumes) {
    for (const auto& one : volumes) {
        const VolumeUse use(*one.source);
        if (!use) co_return closed(one);
        auto flushing = use->flush();
        const auto flushed = co_await std::move(flushing);
        if (!flushed.ok()) co_return refused(flushed.error());
    }
    co_return Status{};
}

Task<Status> NativeProvider::pre_commit_snapshots(Uuid set) {
    const auto found = making(vss::ProviderCall::pre_commit, set);
    co_return found.ok() ? Status{} : found.error();
}

Task<Status> NativeProvider::commit_snapshots(Uuid set) {
    const auto found = making(vss::ProviderCall::commit, set);
    if (!found.ok()) co_return found.error();
    const auto gate = (*found)->gate;
    gate->turn_now();
    auto turning = gate->until_turned();
    co_await std::move(turning);
    co_return gate->has_turned() ? Status{} : as_provider((*found)->outcome);
}

Task<Status> NativeProvider::post_commit_snapshots(Uuid set, std::int32_t count) {
    const auto found = making(vss::ProviderCall::post_commit, set);
    if (!found.ok()) co_return found.error();
    if ((*found)->volumes.size() != static_cast<std::size_t>(count))
        co_return vss_error(HResult::vss_e_bad_state, "PostCommitSnapshots of another number of snapshots");
    co_return Status{};
}

Task<Status> NativeProvider::pre_final_commit_snapshots(Uuid set) {
    const auto found = making(vss::ProviderCall::pre_final_commit, set);
    if (!found.ok()) co_return found.error();
    auto ending = (*found)->gate->until_ended();
    co_await std::move(ending);
    co_return as_provider((*found)->outcome);
}

Task<Status> NativeProvider::post_final_commit_snapshots(Uuid set) {
    const auto found = making(vss::ProviderCall::post_final_commit, set);
    if (!found.ok()) co_return found.error();
    making_.reset();
    co_return Status{};
}

Task<Status> NativeProvider::abort_snapshots(Uuid set) {
    if (!making_ || making_->set != set) co_return Status{};  // finished, or not ours
    const auto dropped = std::exchange(making_, nullptr);
    if (!dropped->gate) co_return Status{};
    dropped->gate->give_up();
    auto ending = dropped->gate->until_ended();
    co_await std::move(ending);
    if (!dropped->gate->has_turned() || !dropped->outcome.ok()) co_return Status{};
    auto undoing = undo_split(set);
    co_await std::move(undoing);
    co_return Status{};
}

Task<void> NativeProvider::undo_split(Uuid set) {
    for (const auto& one : all_snapshots()) {
        if (one.properties.set_id != set) continue;
        auto disposing = dispose(one.volume, one.label);
        static_cast<void>(co_await std::move(disposing));  // what stays is found by query, and deleted
    }
}

// --- Snapshots that exist.

Task<Status> NativeProvider::delete_snapshot(Uuid snapshot, bool /*force*/) {
    const auto found = find_snapshot(snapshot);
    if (!found.ok()) co_return found.error();
    auto disposing = dispose(found->volume, found->label);
    co_return co_await std::move(disposing);
}

Task<Status> NativeProvider::dispose(NativeVolume volume, std::string label) {
    const VolumeUse use(*volume.source);
    if (!use) co_return closed(volume);
    if (options_.disposal == Disposal::dissolve) {
        auto deleting = use->delete_snapshot(label);
        co_return as_provider(co_await std::move(deleting));
    }
    // Deleted is what is no longer a snapshot; its plex becomes equal again in the background.
    auto job = std::make_shared<Job>("resync");
    auto outcome = std::make_shared<Status>();
    std::erase_if(jobs_, [](const std::weak_ptr<Job>& one) { return one.expired(); });
    jobs_.push_back(job);
    background_.spawn(resync(volume, label, job, outcome));
    constexpr Nanoseconds look_again = millisecond_ns / 2;
    while (use->state().find_snapshot(label) != nullptr && job->finished_ns == 0)
        co_await loop_.sleep(look_again);
    const bool gone = use->state().find_snapshot(label) == nullptr;
    co_return gone ? Status{} : as_provider(*outcome);
}

Task<void> NativeProvider::resync(NativeVolume volume, std::string label, std::shared_ptr<Job> job,
                                  std::shared_ptr<Status> outcome) {
    const VolumeUse use(*volume.source);
    if (use) {
        auto running = use->resync(label, options_.copy_limit, job);
        *outcome = co_await std::move(running);
    } else {
        *outcome = closed(volume);
    }
    job->finished_ns = loop_.now();
}

Task<Status> NativeProvider::revert_to_snapshot(Uuid snapshot, bool /*force_dismount*/) {
    const auto found = find_snapshot(snapshot);
    if (!found.ok()) co_return found.error();
    const auto& volume = found->volume;
    const VolumeUse use(*volume.source);
    if (!use) co_return closed(volume);
    if (moving_.contains(volume.name))
        co_return vss_error(HResult::vss_e_revert_in_progress, "volume " + volume.name);
    std::vector<RestoreWish> wishes;
    wishes.push_back({&*use, found->label});
    auto starting = restore_instant(loop_, std::move(wishes));
    const auto started = co_await std::move(starting);
    if (!started.ok()) co_return refused(started.error());
    auto job = std::make_shared<Job>("restore");
    jobs_.push_back(job);
    moving_[volume.name] = job;
    background_.spawn(move(volume, job));
    co_return Status{};
}

Task<void> NativeProvider::move(NativeVolume volume, std::shared_ptr<Job> job) {
    Status ended;
    {
        const VolumeUse use(*volume.source);
        if (use) {
            auto moving = use->continue_restore(options_.copy_limit, job);
            ended = co_await std::move(moving);
        } else {
            ended = closed(volume);
        }
    }
    reverts_.insert_or_assign(volume.name, std::move(ended));
    moving_.erase(volume.name);
    moved_.notify();
}

// The end of a revert is told once; after that there is none.
Task<Status> NativeProvider::query_revert_status(std::string volume) {
    while (moving_.contains(volume)) co_await moved_.wait();
    const auto ended = reverts_.find(volume);
    if (ended == reverts_.end())
        co_return vss_error(HResult::vss_e_object_not_found, "no revert of volume " + volume);
    const auto status = std::move(ended->second);
    reverts_.erase(ended);
    co_return as_provider(status);
}

}  // namespace exshadow
