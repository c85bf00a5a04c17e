#include <algorithm>
#include <set>
#include <utility>

#include "vss/backup_try.h"
#include "vss/component_index.h"
#include "vss/component_names.h"

namespace exshadow::vss {

bool BackupTry::is_wanted(const WriterStatus& status) const {
    for (const auto& wish : request_.excluded) {
        if (wish.component.empty() && names_writer(wish, status.writer_id, status.name)) return false;
    }
    if (!request_.state.select_components) return true;
    return std::ranges::any_of(report_.components, [&](const ComponentReport& one) {
        return one.included && one.key.instance_id == status.instance_id;
    });
}

std::vector<ComponentReport> BackupTry::failed_components(const WriterStatus& status) {
    std::vector<ComponentReport> out;
    const auto held = requestor_->writer_components();
    if (!held.ok()) return out;  // only an explanation: the writer's failure stands without it
    for (const auto& writer : *held) {
        if (writer.instance_id != status.instance_id) continue;
        for (const auto& one : writer.components) {
            if (!one.failure) continue;
            for (auto& report : report_.components) {
                if (report.key.instance_id != status.instance_id || report.key.name != one.name ||
                    report.key.logical_path != one.logical_path)
                    continue;
                report.failure = one.failure;
                out.push_back(report);
            }
        }
    }
    return out;
}

// What a writer needs and the set lacks, when that is what it complains of.
std::string BackupTry::missing_volumes(const WriterStatus& status) const {
    if (status.failure != HResult::vss_e_writererror_inconsistentsnapshot || !host_.volume_of) return {};
    std::set<std::string> missing;
    for (const auto& writer : metadata_) {
        if (writer.instance_id != status.instance_id) continue;
        for (const auto& component : writer.components) {
            for (const auto& volume : volumes_of(writer, component)) {
                const bool there = std::ranges::any_of(
                    volumes_, [&](const std::string& one) { return same_name(one, volume); });
                if (!there && !volume.empty()) missing.insert(shown(volume));
            }
        }
    }
    std::string text;
    for (const auto& one : missing) text += (text.empty() ? "" : ", ") + one;
    return text;
}

// Records what the writers say; the error is of the first wanted one that failed.
std::optional<Error> BackupTry::judge(const std::vector<WriterStatus>& statuses, std::string_view after,
                                      bool note) {
    std::optional<Error> first;
    report_.writers.clear();
    for (const auto& status : statuses) {
        const bool wanted = is_wanted(status);
        report_.writers.push_back({status, wanted, std::string(after)});
        if (!has_failed(status)) continue;
        auto error = writer_error(status, after, failed_components(status));
        const auto missing = missing_volumes(status);
        if (!missing.empty())
            error = Error(error.code(), error.message() + "; its components need also " + missing,
                          "add " + missing + " to the volumes, or exclude the writer", error.os_error());
        if (wanted) {
            if (!first) first = error;
        } else if (note) {
            report_.notes.push_back("not counted, since its data is not wanted: " + error.message());
        }
    }
    return first;
}

Status BackupTry::check_writers(std::string_view after) {
    if (!writers_) return {};
    const auto statuses = look_at_writers(*requestor_, limits_);
    if (!statuses.ok()) return statuses.error();
    const auto error = judge(*statuses, after, true);
    return error ? Status(*error) : Status();
}

// A step failed: the writers' state may say why.
Status BackupTry::step_failed(const Error& error, std::string_view after) {
    if (!writers_ || error.code() == Code::cancelled || error.code() == Code::timed_out) return error;
    const auto statuses = look_at_writers(*requestor_, limits_);
    if (!statuses.ok()) return error;
    const auto writer = judge(*statuses, after, false);
    if (!writer) return error;
    const auto said = hresult_of(error);
    if (said == HResult::vss_e_unexpected_writer_error || said == hresult_of(*writer)) return *writer;
    return Error(error.code(), error.message() + "; " + writer->message(), error.hint(), error.os_error());
}

Status BackupTry::tell_outcome(const Copied& copied) {
    for (auto& one : report_.components) {
        if (!one.included) continue;
        one.succeeded = copied.all_succeeded &&
                        std::ranges::none_of(copied.failed,
                                             [&](const ComponentKey& key) { return is_meant(key, one.key); });
    }
    // A component set succeeded when every part of it did.
    std::set<std::pair<Uuid, std::string>> failed;  // the roots that have a part that failed
    for (const auto& part : report_.components) {
        if (!part.included || part.succeeded != false) continue;
        for (const auto root : roots_of(part.key.logical_path))
            failed.emplace(part.key.instance_id, folded(root));
    }
    for (auto& one : report_.components) {
        if (!one.explicitly) continue;
        const auto root = folded(full_name(one.key.logical_path, one.key.name));
        if (failed.contains({one.key.instance_id, root})) one.succeeded = false;
        EXSHADOW_TRY(requestor_->set_backup_succeeded(one.key, *one.succeeded));
    }
    return {};
}

}  // namespace exshadow::vss
