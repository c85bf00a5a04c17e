#include <algorithm>
#include <utility>

#include "vss/backup_try.h"
#include "vss/component_names.h"

namespace exshadow::vss {

namespace {

// Writers are left out by class before they are asked, so names must be known from an earlier session.
Result<std::vector<Uuid>> find_disabled(const Host& host, const BackupRequest& request) {
    std::vector<Uuid> ids;
    std::vector<ComponentWish> named;
    for (const auto& wish : request.excluded) {
        if (!wish.component.empty()) continue;
        if (const auto id = Uuid::parse(wish.writer)) {
            ids.push_back(*id);
        } else {
            named.push_back(wish);
        }
    }
    if (named.empty() || !with_writers(request.context)) return ids;
    const auto writers = list_writers(host, with_cancel(host, request.limits));
    if (!writers.ok()) return writers.error();
    for (const auto& wish : named) {
        const auto found = std::ranges::find_if(
            *writers, [&](const WriterEntry& one) { return same_name(one.metadata.name, wish.writer); });
        if (found == writers->end())
            return Error(Code::not_found, "there is no writer '" + wish.writer + "' to exclude",
                         "exshadow vss writers lists them");
        ids.push_back(found->metadata.writer_id);
    }
    return ids;
}

}  // namespace

BackupResult backup(const Host& host, const BackupRequest& request, const Between& between) {
    BackupResult result;
    const auto disabled = find_disabled(host, request);
    if (!disabled.ok()) {
        result.status = disabled.error();
        return result;
    }
    const int tries = std::max(1, request.retry.tries);
    for (int number = 1;; ++number) {
        auto notes = std::move(result.report.notes);
        result.report = {};
        result.report.notes = std::move(notes);
        result.report.tries = number;
        bool final_try = number == tries;
        {
            BackupTry one(host, request, *disabled, result.report);
            result.status = one.run_through(between);
            final_try = final_try || one.files_were_touched();
        }
        if (result.status.ok() || final_try || !is_transient(result.status.error())) break;
        result.report.notes.push_back("try " + std::to_string(number) +
                                      " failed: " + result.status.error().message());
        say(host, result.status.error().message() + " (try " + std::to_string(number) + " of " +
                      std::to_string(tries) + "; the next in " + std::to_string(request.retry.wait / 1000) +
                      " s)");
        const auto waited = pause(host, request.retry.wait);
        if (!waited.ok()) {
            result.status = waited;
            break;
        }
    }
    return result;
}

}  // namespace exshadow::vss
