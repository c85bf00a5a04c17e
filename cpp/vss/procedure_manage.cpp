#include <algorithm>

#include "vss/procedure_steps.h"

namespace exshadow::vss {

namespace {

// A session that only looks at or manages what exists.
Result<std::unique_ptr<Requestor>> open_session(const Host& host, SnapshotAttributes context) {
    auto made = host.make();
    if (!made.ok()) return made.error();
    auto requestor = std::move(made).value();
    EXSHADOW_TRY(requestor->initialize_for_backup(""));
    if (context != context::backup) EXSHADOW_TRY(requestor->set_context(context));
    return requestor;
}

Status check_break_flags(BreakFlags flags) {
    const bool mask = has(flags, BreakFlags::mask_luns);
    if (mask && flags != BreakFlags::mask_luns)
        return Error(Code::invalid, "mask_luns goes with no other flag of a break", "leave the others out");
    if (has(flags, BreakFlags::revert_identity_all | BreakFlags::revert_identity_none))
        return Error(Code::invalid, "revert_identity_all and revert_identity_none exclude each other",
                     "choose one of them");
    return {};
}

}  // namespace

Result<std::vector<WriterEntry>> list_writers(const Host& host, const WaitLimits& limits) {
    const auto session = open_session(host, context::backup);
    if (!session.ok()) return session.error();
    Requestor& requestor = **session;
    const auto waits = with_cancel(host, limits);
    auto metadata = ask_writers(requestor, waits);
    if (!metadata.ok()) return metadata.error();
    const auto documents = requestor.writer_metadata_documents();
    if (!documents.ok()) return documents.error();
    const auto statuses = look_at_writers(requestor, waits);
    if (!statuses.ok()) return statuses.error();
    std::vector<WriterEntry> all;
    for (std::size_t i = 0; i < metadata->size(); ++i) {
        WriterEntry entry;
        entry.metadata = std::move((*metadata)[i]);
        if (i < documents->size()) entry.document = (*documents)[i];
        for (const auto& status : *statuses) {
            if (status.instance_id == entry.metadata.instance_id) entry.status = status;
        }
        all.push_back(std::move(entry));
    }
    return all;
}

Result<std::vector<ProviderProperties>> list_providers(const Host& host) {
    const auto session = open_session(host, context::backup);
    if (!session.ok()) return session.error();
    return (*session)->query_providers();
}

Result<std::vector<SnapshotProperties>> list_snapshots(const Host& host, SnapshotAttributes context) {
    const auto session = open_session(host, context);
    if (!session.ok()) return session.error();
    return (*session)->query_snapshots();
}

Result<DeleteOutcome> delete_snapshots(const Host& host, const Uuid& id, ObjectType type, bool force) {
    const auto session = open_session(host, context::all);
    if (!session.ok()) return session.error();
    return (*session)->delete_snapshots(id, type, force);
}

Status break_set(const Host& host, const Uuid& set, std::optional<BreakFlags> flags,
                 const WaitLimits& limits) {
    if (flags) EXSHADOW_TRY(check_break_flags(*flags));
    const auto session = open_session(host, context::all);
    if (!session.ok()) return session.error();
    if (!flags) return (*session)->break_snapshot_set(set);
    const auto broken = run((*session)->break_snapshot_set_ex(set, *flags),
                            "BreakSnapshotSetEx of " + set.text(), with_cancel(host, limits));
    return broken.ok() ? Status() : Status(broken.error());
}

Result<std::string> expose(const Host& host, const Uuid& snapshot, Exposure how, std::string_view name,
                           std::string_view path_from_root) {
    if (how == Exposure::locally && name.empty())
        return Error(Code::invalid, "a snapshot is exposed under a drive letter or in an empty folder",
                     "name one, as in X:");
    const auto session = open_session(host, context::all);
    if (!session.ok()) return session.error();
    return (*session)->expose_snapshot(snapshot, path_from_root, how, name);
}

Status unexpose(const Host& host, const Uuid& snapshot) {
    const auto session = open_session(host, context::all);
    if (!session.ok()) return session.error();
    return (*session)->unexpose_snapshot(snapshot);
}

Status revert(const Host& host, const Uuid& snapshot, bool force_dismount,
              const std::function<Result<bool>(std::string_view volume)>& blocked, const WaitLimits& limits) {
    const auto session = open_session(host, context::all);
    if (!session.ok()) return session.error();
    const auto properties = (*session)->snapshot_properties(snapshot);
    if (!properties.ok()) return properties.error();
    const auto& volume = properties->original_volume;
    if (blocked) {
        const auto answer = blocked(volume);
        if (!answer.ok()) return answer.error();
        if (*answer)
            return Error(Code::refused, "a writer on this machine forbids to revert " + volume,
                         "restore by copying, or see WritersBlockingRevert in the registry");
    }
    EXSHADOW_TRY((*session)->revert_to_snapshot(snapshot, force_dismount));
    // A revert cannot be cancelled; whoever stops waiting only stops looking.
    const auto waits = with_cancel(host, limits);
    auto begun = (*session)->query_revert_status(volume);
    if (!begun.ok()) {
        // None is running any more: it was done before we asked.
        if (hresult_of(begun.error()) == HResult::vss_e_object_not_found) return {};
        return begun.error();
    }
    const auto ended = finish(**begun, "reverting " + volume, waits);
    return ended.ok() ? Status() : Status(ended.error());
}

Result<ImportReport> import_set(const Host& host, std::string_view document, const WaitLimits& limits,
                                const std::function<Status(const ImportReport&)>& use) {
    if (document.empty())
        return Error(Code::invalid, "no document to import from", "give the one saved at the backup");
    auto made = host.make();
    if (!made.ok()) return made.error();
    const auto requestor = std::move(made).value();
    EXSHADOW_TRY(requestor->initialize_for_backup(document));
    EXSHADOW_TRY(requestor->set_context(context::all));
    const auto before = requestor->query_snapshots();
    if (!before.ok()) return before.error();
    const auto imported = run(requestor->import_snapshots(), "ImportSnapshots", with_cancel(host, limits));
    if (!imported.ok()) return imported.error();
    ImportReport report;
    report.partly = *imported == HResult::vss_s_some_snapshots_not_imported;
    const auto after = requestor->query_snapshots();
    if (!after.ok()) return after.error();
    for (const auto& one : *after) {
        // On the machine that made the set it may be known, but hidden until now.
        const bool known = std::ranges::any_of(*before, [&](const SnapshotProperties& old) {
            return old.snapshot_id == one.snapshot_id &&
                   !has(old.attributes, SnapshotAttributes::not_surfaced);
        });
        if (!known) report.snapshots.push_back(one);
    }
    if (use) EXSHADOW_TRY(use(report));
    return report;
}

}  // namespace exshadow::vss
