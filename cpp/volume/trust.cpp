// Which plexes are what the volume left (E7): decided at open, before anything is read from them.
#include <algorithm>

#include "volume/volume.h"

namespace exshadow {

namespace {

Error wrong_size(const std::string& path, std::uint64_t found, std::uint64_t wanted) {
    return Error(Code::invalid,
                 path + " has " + std::to_string(found) + " bytes, the volume has " + std::to_string(wanted),
                 "a plex must be exactly as large as its volume");
}

}  // namespace

// Opens every plex that is recorded as in sync and decides which of them may be believed.
Task<Status> Volume::open_members(bool extents_active) {
    MemberCheck check;
    for (const auto& record : state_.plexes) {
        if (record.state != PlexState::in_sync) continue;
        const PlexPointer plex = find(record.uuid);
        auto device = open_plex(loop_, record.path, options_.force, options_.lock_wait, options_.direct);
        if (!device.ok()) {
            const Code code = device.error().code();
            if (code == Code::busy || code == Code::permission) co_return device.error();
            check.absent.push_back({plex, device.error().message()});
            continue;
        }
        if ((*device)->size() != state_.size) {
            check.absent.push_back({plex, wrong_size(record.path, (*device)->size(), state_.size).message()});
            continue;
        }
        plex->device = std::move(device).value();
        block_size_ = std::max(block_size_, plex->device->block_size());
        auto judging = distrust(plex, extents_active);
        std::string why = co_await std::move(judging);
        if (why.empty()) {
            check.trusted.push_back(plex);
        } else {
            check.changed.push_back({plex, std::move(why)});
        }
    }
    auto deciding = decide_members(std::move(check));
    co_return co_await std::move(deciding);
}

// Empty when the plex is what the volume left behind, else why it is not (E7, F20).
Task<std::string> Volume::distrust(PlexPointer plex, bool extents_active) {
    if (!options_.orders.keeps(Order::e7_identity_before_trust)) co_return std::string();
    auto identifying = read_identity(*plex->device);
    const Result<PlexIdentity> identity = co_await std::move(identifying);
    if (!identity.ok()) co_return identity.error().message();
    const PlexRecord& record = *state_.find_plex(plex->uuid);
    // Members are written to until the volume is clean; nobody else is.
    const bool contents = state_.clean || !plex->is_member();
    if (auto text = identity_difference(record.identity, *identity, contents); !text.empty()) co_return text;
    if (record.tag == 0) co_return std::string();
    const auto tag = read_tag(*plex->device);
    if (!tag) co_return std::string("it does not carry this volume's mark");
    if (tag->volume != state_.uuid || tag->plex != plex->uuid)
        co_return std::string("it belongs to another volume or plex");
    const bool before_first_write = tag->generation == record.previous_tag && !extents_active;
    if (tag->generation != record.tag && !before_first_write) co_return std::string("it is an older copy");
    co_return std::string();
}

Task<Status> Volume::decide_members(MemberCheck check) {
    if (check.trusted.empty() && check.changed.empty()) {
        std::string text = "volume " + state_.name + " has no production plex";
        for (const auto& [plex, why] : check.absent) text += "; " + plex->label + ": " + why;
        if (!options_.force) {
            co_return Error(
                Code::not_found, text,
                "put the plex back, or make a snapshot production: exshadow snapshot promote SET --force");
        }
        say(text + ": opened for promotion only");
        lacks_production_ = true;
        for (const auto& [plex, why] : check.absent) plex->state = PlexState::detached;
        co_return Status{};
    }
    if (check.trusted.empty()) EXSHADOW_CO_TRY(accept_changed_production(check));
    if (check.absent.empty() && check.changed.empty() && !accepted_) {
        auto tagging = refresh_tags();
        co_return co_await std::move(tagging);
    }
    for (const auto& [plex, why] : check.changed) leave_at_open(*plex, PlexState::stale, why);
    for (const auto& [plex, why] : check.absent) leave_at_open(*plex, PlexState::detached, why);
    if (!authority()->is_member()) choose_authority();
    std::vector<std::shared_ptr<StoredMap>> maps = intervals_;
    for (const auto& plex : plexes_) {
        if (plex->sync_map) maps.push_back(plex->sync_map);
    }
    auto persisting = persist(std::move(maps));
    EXSHADOW_CO_TRY(co_await std::move(persisting));
    if (accepted_) {  // the marks are durable: from here on it may be believed
        PlexRecord& record = *state_.find_plex(state_.authority);
        record.identity.recorded = false;
        const std::uint64_t tag = state_.generation + 1;
        record.previous_tag = record.tag;
        record.tag = write_tag(*authority()->device, state_.uuid, record.uuid, tag) ? tag : 0;
    }
    auto tagging = refresh_tags();
    EXSHADOW_CO_TRY(co_await std::move(tagging));
    auto committing = commit();
    co_return co_await std::move(committing);
}

// Every member carries the newest tag, durable, before anything is written to it.
Task<Status> Volume::refresh_tags() {
    for (const auto& plex : members()) {
        const PlexRecord& record = *state_.find_plex(plex->uuid);
        if (record.tag == 0) continue;
        const auto tag = read_tag(*plex->device);
        const bool newest = tag && tag->generation == record.tag;
        if (!newest) static_cast<void>(write_tag(*plex->device, state_.uuid, plex->uuid, record.tag));
        if (newest && !accepted_) continue;
        auto flushing = plex->device->flush();
        EXSHADOW_CO_TRY(co_await std::move(flushing));
    }
    co_return Status{};
}

// No member is as it was left. With force one of them is taken as it is now: nothing is known of what
// changed, so everything counts as changed since every snapshot.
Status Volume::accept_changed_production(MemberCheck& check) {
    auto chosen = std::find_if(check.changed.begin(), check.changed.end(),
                               [&](const auto& entry) { return entry.first->uuid == state_.authority; });
    if (chosen == check.changed.end()) chosen = check.changed.begin();
    const std::string text = "production plex " + chosen->first->label + " of volume " + state_.name +
                             " is not as it was left: " + chosen->second;
    if (!options_.force) {
        return Error(Code::refused, text, "look at it; accept it as it is now with --force");
    }
    say(text + "; accepted, everything counts as changed");
    for (const auto& interval : intervals_) interval->bits.mark_all();
    for (const auto& plex : plexes_) {
        if (plex->sync_map) plex->sync_map->bits.mark_all();
    }
    const PlexPointer plex = chosen->first;
    check.trusted.push_back(plex);
    check.changed.erase(chosen);
    state_.authority = plex->uuid;
    accepted_ = true;
    return {};
}

void Volume::leave_at_open(Plex& plex, PlexState to, const std::string& why) {
    say("plex " + plex.label + " is " + (to == PlexState::stale ? "not trusted: " : "not there: ") + why);
    plex.state = to;
    plex.device.reset();
    start_sync_map(plex);
    PlexRecord& record = *state_.find_plex(plex.uuid);
    record.state = to;
    record.sync_map_id = plex.sync_map->ref.id;
    record.note = why.substr(0, 180);
    if (!state_.clean) record.identity.forget_contents();
    if (to == PlexState::stale) {
        record.needs_compare = true;
        plex.sync_map->bits.mark_all();
    }
}

}  // namespace exshadow
