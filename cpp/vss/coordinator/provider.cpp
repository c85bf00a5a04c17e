#include "vss/coordinator/provider.h"

#include <array>

namespace exshadow::vss {

namespace {

struct CallNames {
    std::string_view word;
    std::string_view sdk_name;
};
constexpr auto call_names = std::to_array<CallNames>({
    {"is_supported", "IsVolumeSupported"},
    {"snapshot_id", "the id of a snapshot"},  // ours
    {"begin_prepare", "BeginPrepareSnapshot"},
    {"end_prepare", "EndPrepareSnapshots"},
    {"pre_commit", "PreCommitSnapshots"},
    {"commit", "CommitSnapshots"},
    {"post_commit", "PostCommitSnapshots"},
    {"pre_final_commit", "PreFinalCommitSnapshots"},
    {"post_final_commit", "PostFinalCommitSnapshots"},
    {"abort", "AbortSnapshots"},
    {"query", "Query"},
    {"delete", "DeleteSnapshots"},
    {"break", "BreakSnapshotSet"},
    {"import", "LocateLuns"},
    {"expose", "ExposeSnapshot"},
    {"unexpose", "UnexposeSnapshot"},
    {"revert", "RevertToSnapshot"},
    {"revert_status", "QueryRevertStatus"},
    {"resync", "ResyncLuns"},
});
static_assert(call_names.size() == provider_call_count);

constexpr auto contract = std::to_array<HResult>({
    HResult::e_outofmemory,
    HResult::e_invalidarg,
    HResult::e_accessdenied,
    HResult::vss_e_bad_state,
    HResult::vss_e_object_not_found,
    HResult::vss_e_insufficient_storage,
    HResult::vss_e_volume_not_supported,
    HResult::vss_e_volume_not_supported_by_provider,
    HResult::vss_e_maximum_number_of_snapshots_reached,
    HResult::vss_e_provider_veto,
    HResult::vss_e_cannot_revert_diskid,
});

Error not_offered(ProviderCall call) {
    return vss_error(HResult::e_notimpl, sdk_name(call));
}

// The calls that a provider may leave out.
Task<Status> refuse(ProviderCall call) {
    co_return not_offered(call);
}
template <class T>
Task<Result<T>> refuse_value(ProviderCall call) {
    co_return not_offered(call);
}

}  // namespace

std::string_view word(ProviderCall call) {
    return call_names[static_cast<std::size_t>(call)].word;
}
std::string_view sdk_name(ProviderCall call) {
    return call_names[static_cast<std::size_t>(call)].sdk_name;
}

std::span<const HResult> contract_codes() {
    return contract;
}

Task<Result<Uuid>> Provider::snapshot_id(Uuid /*set*/, std::string /*volume*/, Uuid proposed) {
    co_return proposed;
}
Task<Status> Provider::break_snapshot_set(Uuid /*set*/, BreakFlags /*flags*/) {
    return refuse(ProviderCall::break_set);
}
Task<Result<SnapshotProperties>> Provider::import_snapshot(RecordedSnapshot /*recorded*/) {
    return refuse_value<SnapshotProperties>(ProviderCall::import);
}
Task<Result<std::string>> Provider::expose_snapshot(Uuid /*snapshot*/, std::string /*path_from_root*/,
                                                    Exposure /*how*/, std::string /*name*/) {
    return refuse_value<std::string>(ProviderCall::expose);
}
Task<Status> Provider::unexpose_snapshot(Uuid /*snapshot*/) {
    return refuse(ProviderCall::unexpose);
}
Task<Status> Provider::revert_to_snapshot(Uuid /*snapshot*/, bool /*force_dismount*/) {
    return refuse(ProviderCall::revert);
}
Task<Status> Provider::query_revert_status(std::string /*volume*/) {
    return refuse(ProviderCall::revert_status);
}
Task<Status> Provider::resync(std::vector<ResyncPair> /*pairs*/, RecoveryFlags /*flags*/) {
    return refuse(ProviderCall::resync);
}

Result<Uuid> BlockingProvider::snapshot_id(const Uuid& /*set*/, const std::string& /*volume*/,
                                           const Uuid& proposed) {
    return proposed;
}
Status BlockingProvider::break_snapshot_set(const Uuid& /*set*/, BreakFlags /*flags*/) {
    return not_offered(ProviderCall::break_set);
}
Result<SnapshotProperties> BlockingProvider::import_snapshot(const RecordedSnapshot& /*recorded*/) {
    return not_offered(ProviderCall::import);
}
Result<std::string> BlockingProvider::expose_snapshot(const Uuid& /*snapshot*/,
                                                      const std::string& /*path_from_root*/, Exposure /*how*/,
                                                      const std::string& /*name*/) {
    return not_offered(ProviderCall::expose);
}
Status BlockingProvider::unexpose_snapshot(const Uuid& /*snapshot*/) {
    return not_offered(ProviderCall::unexpose);
}
Status BlockingProvider::revert_to_snapshot(const Uuid& /*snapshot*/, bool /*force_dismount*/) {
    return not_offered(ProviderCall::revert);
}
Status BlockingProvider::query_revert_status(const std::string& /*volume*/) {
    return not_offered(ProviderCall::revert_status);
}
Status BlockingProvider::resync(const std::vector<ResyncPair>& /*pairs*/, RecoveryFlags /*flags*/) {
    return not_offered(ProviderCall::resync);
}

}  // namespace exshadow::vss
