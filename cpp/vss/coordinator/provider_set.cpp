#include "vss/coordinator/provider_set.h"

#include <array>

namespace exshadow::vss {

namespace {

std::string quoted(const Provider& provider) {
    return "provider '" + provider.facts().properties.name + "'";
}

// Codes of a call's own page beside those of the contract.
bool permitted(ProviderCall call, HResult code) {
    const auto is_one_of = [code](std::initializer_list<HResult> codes) {
        return std::ranges::find(codes, code) != codes.end();
    };
    if (std::ranges::find(contract_codes(), code) != contract_codes().end()) return true;
    switch (call) {
        case ProviderCall::is_supported: return code == HResult::vss_e_nested_volume_limit;
        case ProviderCall::break_set:
            return is_one_of({HResult::e_notimpl, HResult::vss_e_break_revert_id_failed});
        case ProviderCall::import:
            return is_one_of({HResult::e_notimpl, HResult::vss_e_missing_disk, HResult::vss_e_missing_volume,
                              HResult::vss_e_missing_hidden_volume});
        case ProviderCall::expose:
        case ProviderCall::unexpose: return code == HResult::e_notimpl;
        case ProviderCall::revert:
            return is_one_of({HResult::e_notimpl, HResult::e_fail, HResult::vss_e_revert_in_progress,
                              HResult::vss_e_volume_in_use});
        case ProviderCall::revert_status:
            return is_one_of({HResult::e_notimpl, HResult::vss_e_revert_volume_lost});
        case ProviderCall::resync:
            return is_one_of({HResult::e_notimpl, HResult::vss_e_legacy_provider,
                              HResult::vss_e_unselected_volume, HResult::vss_e_resync_in_progress});
        default: return false;
    }
}

// In the order of choice.
int rank(ProviderType type) {
    switch (type) {
        case ProviderType::hardware: return 0;
        case ProviderType::software: return 1;
        case ProviderType::system: return 2;
        default: return 3;
    }
}

bool can_make(const ProviderFacts& facts, SnapshotAttributes attributes) {
    const bool hardware = facts.properties.type == ProviderType::hardware;
    if (has(attributes, SnapshotAttributes::transportable) && !(hardware && facts.transportable))
        return false;
    if (has(attributes, SnapshotAttributes::client_accessible) &&
        facts.properties.type != ProviderType::system) {
        return false;
    }
    if (has(attributes, SnapshotAttributes::differential)) return facts.differential;
    if (has(attributes, SnapshotAttributes::plex)) return facts.plex;
    return true;
}

Refusal provider_refusal(const Provider& provider, ProviderCall call, const Error& error) {
    const HResult code = hresult_of(error);
    const bool known = permitted(call, code);
    std::string text = quoted(provider) + " refused " + std::string(sdk_name(call));
    const std::string own_words = vss_context(error);
    if (!own_words.empty()) text += ": " + own_words;
    if (!known && code != HResult::vss_e_unexpected) text += ", with " + hresult_text(code);
    return {known ? code : HResult::vss_e_unexpected_provider_error, std::move(text)};
}

Refusal late_refusal(const Provider& provider, ProviderCall call) {
    return {HResult::vss_e_unexpected_provider_error,
            quoted(provider) + " did not answer " + std::string(sdk_name(call)) + " in time"};
}

}  // namespace

Error provider_error(const Provider& provider, ProviderCall call, const Error& error) {
    const auto refusal = provider_refusal(provider, call, error);
    return vss_error(refusal.code, refusal.text);
}

Error provider_late(const Provider& provider, ProviderCall call) {
    const auto refusal = late_refusal(provider, call);
    return vss_error(refusal.code, refusal.text);
}

Task<Result<ProviderPtr>> ProviderSet::choose(std::vector<ProviderPtr> registered, Uuid named,
                                              std::string volume, SnapshotAttributes attributes) {
    if (!named.is_nil()) {
        std::erase_if(registered,
                      [&](const ProviderPtr& one) { return one->facts().properties.provider_id != named; });
        if (registered.empty())
            co_return vss_error(HResult::vss_e_provider_not_registered, "provider " + named.text());
    }
    std::ranges::stable_sort(registered, {},
                             [](const ProviderPtr& one) { return rank(one->facts().properties.type); });
    bool known = registered.empty();
    for (const auto& one : registered) {
        auto asking = ask(one, ProviderCall::is_supported, one->is_volume_supported(volume, attributes),
                          Stoppable::yes);
        const auto supported = co_await std::move(asking);
        if (!supported.ok() && hresult_of(supported.error()) == HResult::vss_e_object_not_found) continue;
        if (!supported.ok()) co_return supported.error();
        known = true;
        if (*supported && can_make(one->facts(), attributes)) co_return one;
    }
    if (!known) co_return vss_error(HResult::vss_e_object_not_found, "volume '" + volume + "'");
    co_return vss_error(named.is_nil() ? HResult::vss_e_volume_not_supported
                                       : HResult::vss_e_volume_not_supported_by_provider,
                        "volume '" + volume + "'");
}

Task<Status> ProviderSet::begin(ProviderPtr provider, SnapshotRequest request) {
    set_ = request.set_id;
    auto asking =
        ask(provider, ProviderCall::begin_prepare, provider->begin_prepare_snapshot(request), Stoppable::yes);
    auto begun = co_await std::move(asking);
    if (!begun.ok()) co_return begun;
    auto found = std::ranges::find(members_, provider, &Member::provider);
    if (found == members_.end()) found = members_.insert(members_.end(), Member{provider, {}, {}, false});
    EXSHADOW_CHECK(found->state == State::preparing);
    found->snapshots.push_back(std::move(request));
    co_return Status{};
}

Task<Status> ProviderSet::start_step(Provider& provider, ProviderCall call, Uuid set, std::size_t snapshots) {
    switch (call) {
        case ProviderCall::end_prepare: return provider.end_prepare_snapshots(set);
        case ProviderCall::pre_commit: return provider.pre_commit_snapshots(set);
        case ProviderCall::commit: return provider.commit_snapshots(set);
        case ProviderCall::post_commit:
            return provider.post_commit_snapshots(set, static_cast<std::int32_t>(snapshots));
        case ProviderCall::pre_final_commit: return provider.pre_final_commit_snapshots(set);
        case ProviderCall::post_final_commit: return provider.post_final_commit_snapshots(set);
        default: break;
    }
    EXSHADOW_CHECK(call == ProviderCall::abort);
    return provider.abort_snapshots(set);
}

Task<EventOutcome> ProviderSet::step(ProviderCall call, Nanoseconds until) {
    const auto before =
        static_cast<State>(static_cast<int>(call) - static_cast<int>(ProviderCall::end_prepare));
    const auto after = static_cast<State>(static_cast<int>(before) + 1);
    CallGroup<Status> calls(hub_);
    std::vector<CallNumber> numbers;
    for (auto& member : members_) {
        EXSHADOW_CHECK(member.state == before);
        if (call == ProviderCall::end_prepare) member.abortable = true;
        observe(*member.provider, call);
        auto made = start_step(*member.provider, call, set_, member.snapshots.size());
        numbers.push_back(member.provider->last_call());
        calls.start(std::move(made), member.provider, std::min(until, this->until(Patience::provider)));
    }
    auto waiting = calls.wait(Stoppable::yes);
    co_await std::move(waiting);

    EventOutcome outcome;
    for (std::size_t i = 0; i < members_.size(); ++i) {
        auto& member = members_[i];
        std::optional<Refusal> refusal;
        if (const auto* const answer = calls.answer(i)) {
            if (answer->ok()) member.state = after;
            if (!answer->ok()) refusal = provider_refusal(*member.provider, call, answer->error());
        } else {
            member.provider->abandon(call, numbers[i]);
            if (calls.late(i)) refusal = late_refusal(*member.provider, call);
            if (!calls.late(i)) outcome.stopped = true;
        }
        if (refusal && !outcome.refusal) outcome.refusal = std::move(refusal);
    }
    co_return outcome;
}

Task<void> ProviderSet::abort(std::vector<Error>* troubles) {
    CallGroup<Status> calls(hub_);
    struct Told {
        Member* member;
        CallNumber number;
    };
    std::vector<Told> told;
    for (auto& member : members_) {
        const bool finished = member.state == State::created || member.state == State::aborted;
        if (finished || !member.abortable) continue;
        member.state = State::aborted;
        observe(*member.provider, ProviderCall::abort);
        auto made = start_step(*member.provider, ProviderCall::abort, set_, 0);
        told.push_back({&member, member.provider->last_call()});
        calls.start(std::move(made), member.provider, until(Patience::abort));
    }
    auto waiting = calls.wait(Stoppable::no);
    co_await std::move(waiting);
    for (std::size_t i = 0; i < told.size(); ++i) {
        if (calls.answer(i) == nullptr)
            told[i].member->provider->abandon(ProviderCall::abort, told[i].number);
    }
    // A provider may have finished its part before another failed; none of the set may stay.
    for (auto& member : members_) {
        if (!member.abortable) continue;
        auto removing = remove(member, Patience::abort, troubles);
        co_await std::move(removing);
    }
}

Task<std::vector<Error>> ProviderSet::remove_all() {
    std::vector<Error> troubles;
    for (auto& member : members_) {
        auto removing = remove(member, Patience::provider, &troubles);
        co_await std::move(removing);
    }
    co_return troubles;
}

// Of a provider that cannot say what it has, what was asked for is deleted by its ids.
Task<void> ProviderSet::remove(Member& member, Patience patience, std::vector<Error>* troubles) {
    const auto& provider = member.provider;
    auto asking = ask(provider, ProviderCall::query, provider->query(), Stoppable::no, patience);
    const auto there = co_await std::move(asking);
    std::vector<Uuid> ids;
    if (there.ok()) {
        for (const auto& one : *there) {
            if (one.set_id == set_) ids.push_back(one.snapshot_id);
        }
    } else {
        for (const auto& one : member.snapshots) ids.push_back(one.snapshot_id);
    }
    for (const auto& id : ids) {
        auto deleting =
            ask(provider, ProviderCall::remove, provider->delete_snapshot(id, true), Stoppable::no, patience);
        const auto deleted = co_await std::move(deleting);
        const bool gone = deleted.ok() || hresult_of(deleted.error()) == HResult::vss_e_object_not_found;
        if (!gone) troubles->push_back(deleted.error().within("snapshot " + id.text() + " is left"));
        if (!gone && !there.ok()) co_return;  // it answers nothing: not the same wait for each
    }
}

std::vector<SnapshotProperties> ProviderSet::requested() const {
    std::vector<SnapshotProperties> all;
    for (const auto& member : members_) {
        const auto& facts = member.provider->facts().properties;
        for (const auto& request : member.snapshots) {
            SnapshotProperties one;
            one.snapshot_id = request.snapshot_id;
            one.set_id = request.set_id;
            one.original_volume = request.volume;
            one.provider_id = facts.provider_id;
            one.attributes = request.attributes;
            if (facts.type == ProviderType::hardware)
                one.attributes = one.attributes | SnapshotAttributes::hardware_assisted;
            one.state = SnapshotState::created;
            all.push_back(std::move(one));
        }
    }
    return all;
}

Task<std::vector<SnapshotProperties>> ProviderSet::properties() {
    std::vector<SnapshotProperties> all;
    for (auto& member : members_) {
        auto asking = ask(member.provider, ProviderCall::query, member.provider->query(), Stoppable::yes);
        auto there = co_await std::move(asking);
        if (!there.ok()) continue;
        for (auto& one : *there) {
            if (one.set_id != set_) continue;
            one.provider_id = member.provider->facts().properties.provider_id;
            all.push_back(std::move(one));
        }
    }
    co_return all;
}

void ProviderSet::observe(const Provider& provider, ProviderCall call) const {
    if (!options_.observe || call == ProviderCall::snapshot_id) return;  // VSS has no such call
    const auto& properties = provider.facts().properties;
    options_.observe({properties.name, properties.provider_id, false, word(call), hub_->loop.now()});
}

}  // namespace exshadow::vss
