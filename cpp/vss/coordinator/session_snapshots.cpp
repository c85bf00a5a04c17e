// What a session does with snapshots that exist. The providers are the catalogue: each is asked what it has.
#include <algorithm>

#include "vss/coordinator/session.h"

namespace exshadow::vss {

namespace {

// What tells the contexts apart.
constexpr SnapshotAttributes context_bits =
    SnapshotAttributes::persistent | SnapshotAttributes::client_accessible |
    SnapshotAttributes::no_auto_release | SnapshotAttributes::no_writers;

bool is_persistent(const SnapshotProperties& one) {
    return has(one.attributes, SnapshotAttributes::persistent);
}
bool is_exposed(const SnapshotProperties& one) {
    return (one.attributes & (SnapshotAttributes::exposed_locally | SnapshotAttributes::exposed_remotely)) !=
           SnapshotAttributes::no_flags;
}

Status legal_flags(BreakFlags flags) {
    const bool masked_with_more = has(flags, BreakFlags::mask_luns) && flags != BreakFlags::mask_luns;
    const bool both_identities =
        has(flags, BreakFlags::revert_identity_all | BreakFlags::revert_identity_none);
    if (masked_with_more || both_identities)
        return vss_error(HResult::e_invalidarg, "BreakSnapshotSetEx with " + word(flags));
    return {};
}

}  // namespace

ProviderPtr Session::provider(const Uuid& id) const {
    for (const auto& one : coordinator_.providers()) {
        if (one->facts().properties.provider_id == id) return one;
    }
    return nullptr;
}

bool Session::in_context(const SnapshotProperties& one) const {
    return context_ == context::all || (one.attributes & context_bits) == (context_ & context_bits);
}

Task<Session::Catalogue> Session::all_snapshots() {
    Catalogue all;
    for (const auto& one : std::vector(coordinator_.providers())) {
        auto asking = ask(one, ProviderCall::query, one->query());
        auto there = co_await std::move(asking);
        if (!there.ok()) {
            if (!all.failure) all.failure = there.error();
            continue;
        }
        for (auto& snapshot : *there) {
            snapshot.provider_id = one->facts().properties.provider_id;
            all.snapshots.push_back(std::move(snapshot));
        }
    }
    co_return all;
}

Task<Result<std::vector<Session::Found>>> Session::find_snapshots(Uuid id, ObjectType type) {
    auto asking = all_snapshots();
    auto all = co_await std::move(asking);
    std::vector<Found> found;
    for (auto& one : all.snapshots) {
        if ((type == ObjectType::snapshot ? one.snapshot_id : one.set_id) != id) continue;
        auto maker = provider(one.provider_id);
        found.push_back({std::move(maker), std::move(one)});
    }
    // What is sought may be with a provider that does not say what it has: a part of a set, at least.
    const bool whole =
        !found.empty() && (type == ObjectType::snapshot ||
                           std::cmp_greater_equal(found.size(), found.front().properties.set_size));
    if (all.failure && !whole) co_return *all.failure;
    const std::string what = type == ObjectType::snapshot ? "snapshot " : "snapshot set ";
    if (found.empty()) co_return vss_error(HResult::vss_e_object_not_found, what + id.text());
    co_return found;
}

Task<Result<Session::Found>> Session::find_snapshot(Uuid id) {
    auto finding = find_snapshots(id, ObjectType::snapshot);
    auto found = co_await std::move(finding);
    if (!found.ok()) co_return found.error();
    co_return std::move(found->front());
}

Task<Result<SnapshotProperties>> Session::snapshot_properties(Uuid snapshot) {
    const auto turn = take_turn(Call::get_snapshot_properties);
    if (!turn.ok()) co_return turn.error();
    auto finding = find_snapshot(snapshot);
    auto found = co_await std::move(finding);
    if (!found.ok()) co_return found.error();
    co_return std::move(found->properties);
}

Task<Result<std::vector<SnapshotProperties>>> Session::query_snapshots() {
    const auto turn = take_turn(Call::query);
    if (!turn.ok()) co_return turn.error();
    auto asking = all_snapshots();
    auto all = co_await std::move(asking);
    if (all.failure) co_return *all.failure;  // a list that looks whole must be
    std::erase_if(all.snapshots, [this](const SnapshotProperties& one) { return !in_context(one); });
    co_return std::move(all.snapshots);
}

Result<std::vector<ProviderProperties>> Session::query_providers() {
    EXSHADOW_TRY(permit(Call::query));
    std::vector<ProviderProperties> all;
    for (const auto& one : coordinator_.providers()) all.push_back(one->facts().properties);
    return all;
}

// One by one; stops at the first failure, which is in the outcome.
Task<Result<DeleteOutcome>> Session::delete_snapshots(Uuid id, ObjectType type, bool force) {
    const auto turn = take_turn(Call::delete_snapshots);
    if (!turn.ok()) co_return turn.error();
    if (type != ObjectType::snapshot && type != ObjectType::snapshot_set)
        co_return vss_error(HResult::e_invalidarg, "DeleteSnapshots of a " + word(type));
    auto finding = find_snapshots(id, type);
    const auto found = co_await std::move(finding);
    if (!found.ok()) co_return found.error();
    DeleteOutcome outcome;
    for (const auto& one : *found) {
        const Uuid snapshot = one.properties.snapshot_id;
        auto deleting =
            ask(one.provider, ProviderCall::remove, one.provider->delete_snapshot(snapshot, force),
                Patience::endless);  // its data may be moved for it
        const auto deleted = co_await std::move(deleting);
        if (!deleted.ok()) {
            outcome.failed_snapshot = snapshot;
            outcome.failure = hresult_of(deleted.error());
            break;
        }
        ++outcome.deleted;
    }
    co_return outcome;
}

// --- Break.

Task<Status> Session::break_snapshot_set(Uuid set) {
    const auto turn = take_turn(Call::break_snapshot_set);
    if (!turn.ok()) co_return turn.error();
    auto breaking = break_set(set, BreakFlags::no_flags);
    const auto outcome = co_await std::move(breaking);
    if (failed(outcome.result)) co_return vss_error(outcome.result, outcome.detail);
    co_return Status{};
}

Result<StepPtr> Session::break_snapshot_set_ex(Uuid set, BreakFlags flags) {
    EXSHADOW_TRY(permit(Call::break_snapshot_set));
    EXSHADOW_TRY(legal_flags(flags));
    return begin_step(Call::break_snapshot_set, break_set(set, flags));
}

Task<Session::StepOutcome> Session::break_set(Uuid set, BreakFlags flags) {
    auto finding = find_snapshots(set, ObjectType::snapshot_set);
    const auto found = co_await std::move(finding);
    if (!found.ok()) co_return outcome_of(found.error());
    std::vector<ProviderPtr> makers;
    for (const auto& one : *found) {
        if (std::ranges::find(makers, one.provider) == makers.end()) makers.push_back(one.provider);
        // Only what is surfaced: a transportable set is imported first.
        if (has(one.properties.attributes, SnapshotAttributes::not_surfaced))
            co_return StepOutcome{HResult::vss_e_bad_state, "the set is not imported"};
    }
    for (const auto& one : makers) {  // all are asked before the first is touched
        if (!one->facts().breaks) {
            co_return StepOutcome{HResult::vss_e_provider_veto, "provider '" + one->facts().properties.name +
                                                                    "' cannot break its snapshots"};
        }
    }
    for (const auto& one : makers) {
        auto breaking = ask(one, ProviderCall::break_set, one->break_snapshot_set(set, flags));
        const auto broken = co_await std::move(breaking);
        if (!broken.ok()) co_return outcome_of(broken.error());
    }
    co_return StepOutcome{};
}

// --- Import.

Result<StepPtr> Session::import_snapshots() {
    return begin_step(Call::import_snapshots, import_set());
}

// One import at a time on a machine.
Task<Session::StepOutcome> Session::import_set() {
    auto& slot = coordinator_.import_slot();
    const auto taken = slot.try_take();
    if (!taken.ok())
        co_return StepOutcome{HResult::vss_e_unexpected, "ImportSnapshots: " + taken.error().message()};
    // No page says which code Windows gives for a second one: unsure.
    if (!*taken)
        co_return StepOutcome{HResult::vss_e_snapshot_set_in_progress, "another import runs on this machine"};
    auto importing = import_recorded();
    auto outcome = co_await std::move(importing);
    slot.give_back();
    co_return outcome;
}

Task<Session::StepOutcome> Session::import_recorded() {
    const auto recorded = document_.snapshots;
    const bool transportable =
        !recorded.empty() && std::ranges::all_of(recorded, [](const RecordedSnapshot& one) {
            return has(one.properties.attributes, SnapshotAttributes::transportable);
        });
    if (!transportable)
        co_return StepOutcome{HResult::vss_e_nontransportable_bcd, "set " + document_.snapshot_set_id.text()};
    std::size_t imported = 0;
    StepOutcome first{HResult::vss_e_no_snapshots_imported, {}};
    for (const auto& one : recorded) {
        const auto maker = provider(one.properties.provider_id);
        if (!maker) {
            first.detail = "provider " + one.properties.provider_id.text() + " is not registered here";
            continue;
        }
        auto importing = ask(maker, ProviderCall::import, maker->import_snapshot(one), Patience::endless);
        const auto got = co_await std::move(importing);
        if (got.ok()) {
            ++imported;
            continue;
        }
        const auto code = hresult_of(got.error());
        if (code == HResult::vss_s_async_cancelled) co_return StepOutcome{code, {}};
        // A disk or volume that did not appear is said as such when nothing was imported at all.
        const bool missing = code == HResult::vss_e_missing_disk || code == HResult::vss_e_missing_volume ||
                             code == HResult::vss_e_missing_hidden_volume;
        if (missing) first.result = code;
        first.detail = vss_context(got.error());
    }
    if (imported == recorded.size()) co_return StepOutcome{};
    if (imported != 0) co_return StepOutcome{HResult::vss_s_some_snapshots_not_imported, first.detail};
    co_return first;
}

// --- Expose, revert.

Task<Result<std::string>> Session::expose_snapshot(Uuid snapshot, std::string path_from_root, Exposure how,
                                                   std::string name) {
    const auto turn = take_turn(Call::expose_snapshot);
    if (!turn.ok()) co_return turn.error();
    const std::string what = "ExposeSnapshot of " + snapshot.text();
    if (how == Exposure::locally && (!path_from_root.empty() || name.empty()))
        co_return vss_error(HResult::e_invalidarg, what + ": locally a name is given and no path");
    auto finding = find_snapshot(snapshot);
    const auto found = co_await std::move(finding);
    if (!found.ok()) co_return found.error();
    const auto& one = found->properties;
    // Which code Windows gives for these is not documented.
    if (!is_persistent(one) || has(one.attributes, SnapshotAttributes::client_accessible))
        co_return vss_error(HResult::vss_e_bad_state, what + ": only persistent snapshots are exposed");
    if (is_exposed(one)) co_return vss_error(HResult::vss_e_object_already_exists, what);
    const auto& maker = found->provider;
    if (!maker->facts().exposes)
        co_return vss_error(HResult::vss_e_provider_veto, what + ": the provider cannot expose");
    auto exposing = ask(maker, ProviderCall::expose,
                        maker->expose_snapshot(snapshot, std::move(path_from_root), how, std::move(name)));
    auto exposed = co_await std::move(exposing);
    co_return exposed;
}

Task<Status> Session::unexpose_snapshot(Uuid snapshot) {
    const auto turn = take_turn(Call::unexpose_snapshot);
    if (!turn.ok()) co_return turn.error();
    auto finding = find_snapshot(snapshot);
    const auto found = co_await std::move(finding);
    if (!found.ok()) co_return found.error();
    if (!is_exposed(found->properties)) {
        co_return vss_error(HResult::vss_e_object_not_found,
                            "snapshot " + snapshot.text() + " is not exposed");
    }
    const auto& maker = found->provider;
    auto asking = ask(maker, ProviderCall::unexpose, maker->unexpose_snapshot(snapshot));
    auto done = co_await std::move(asking);
    co_return done;
}

Task<Status> Session::revert_to_snapshot(Uuid snapshot, bool force_dismount) {
    const auto turn = take_turn(Call::revert_to_snapshot);
    if (!turn.ok()) co_return turn.error();
    const std::string what = "RevertToSnapshot " + snapshot.text();
    auto finding = find_snapshot(snapshot);
    const auto found = co_await std::move(finding);
    if (!found.ok()) co_return found.error();
    if (!is_persistent(found->properties))
        co_return vss_error(HResult::vss_e_unsupported_context, what + ": only to persistent snapshots");
    const auto& maker = found->provider;
    if (!maker->facts().reverts)
        co_return vss_error(HResult::e_notimpl, what + ": the provider cannot revert");
    auto asking = ask(maker, ProviderCall::revert, maker->revert_to_snapshot(snapshot, force_dismount));
    auto begun = co_await std::move(asking);
    co_return begun;
}

Result<StepPtr> Session::query_revert_status(std::string volume) {
    return begin_step(Call::query_revert_status, wait_for_revert(std::move(volume)));
}

Task<Session::StepOutcome> Session::wait_for_revert(std::string volume) {
    for (const auto& one : std::vector(coordinator_.providers())) {
        if (!one->facts().reverts) continue;
        auto asking =
            ask(one, ProviderCall::revert_status, one->query_revert_status(volume), Patience::endless);
        const auto ended = co_await std::move(asking);
        if (ended.ok()) co_return StepOutcome{};
        const auto code = hresult_of(ended.error());
        if (code != HResult::vss_e_object_not_found) co_return outcome_of(ended.error());
    }
    co_return StepOutcome{HResult::vss_e_object_not_found, "no revert of volume '" + volume + "' runs"};
}

Result<Requestor::RootAndPrefix> Session::root_and_logical_prefix_paths(std::string path,
                                                                        bool /*normalize_fqdn*/) {
    EXSHADOW_TRY(permit(Call::get_root_and_logical_prefix_paths));
    const auto& volume_of_path = coordinator_.options().volume_of_path;
    if (!volume_of_path)
        return vss_error(HResult::e_notimpl, "GetRootAndLogicalPrefixPaths: this coordinator knows no paths");
    auto root = volume_of_path(path);
    if (root.empty()) return vss_error(HResult::vss_e_object_not_found, "the volume of '" + path + "'");
    return Requestor::RootAndPrefix{root, root};
}

}  // namespace exshadow::vss
