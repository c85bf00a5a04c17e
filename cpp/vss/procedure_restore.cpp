#include <algorithm>

#include "vss/component_names.h"
#include "vss/documents.h"
#include "vss/procedure_steps.h"

namespace exshadow::vss {

namespace {

bool meant(const ComponentWish& wish, const BackupWriter& writer, std::string_view writer_name,
           const BackupComponent& component) {
    return names_writer(wish, writer.writer_id, writer_name) &&
           (wish.component.empty() ||
            same_name(wish.component, full_name(component.logical_path, component.name)));
}

class RestoreRun {
public:
    RestoreRun(const Host& host, const RestoreRequest& request, RestoreReport& report)
        : host_(host), request_(request), limits_(with_cancel(host, request.limits)), report_(report) {}

    Status run_through(const PutBack& put_back);
    Status resync(const std::vector<RecoveryPair>& pairs, RecoveryFlags flags, bool writers);

private:
    Status begin();
    Status learn_writers();
    Status recover(const std::vector<RecoveryPair>& pairs, RecoveryFlags flags);
    Status choose();
    Status check_named(const std::vector<BackupWriter>& held) const;
    Status set_choices(const ComponentKey& key, const BackupWriter& writer, const BackupComponent& component);
    Status set_choices(const ComponentKey& key, const RestoreChoices& choices);
    [[nodiscard]] LocationMapping with_known_files(LocationMapping target, const Uuid& writer) const;
    Status check_writers(std::string_view after);
    Status read_chosen();
    Status tell_status(const Result<Copied>& copied);
    [[nodiscard]] std::string writer_name(const BackupWriter& writer) const;
    [[nodiscard]] bool is_chosen(const Uuid& writer, std::string_view path, std::string_view name) const;
    [[nodiscard]] std::string writers_messages(const WriterStatus& status) const;

    const Host& host_;
    const RestoreRequest& request_;
    WaitLimits limits_;
    RestoreReport& report_;
    std::unique_ptr<Requestor> requestor_;
    std::vector<WriterMetadata> metadata_;
};

Status RestoreRun::begin() {
    if (request_.document.empty())
        return Error(Code::invalid, "no document to restore from", "give the one saved at the backup");
    auto made = host_.make();
    if (!made.ok()) return made.error();
    requestor_ = std::move(made).value();
    return requestor_->initialize_for_restore(request_.document);
}

Status RestoreRun::learn_writers() {
    say(host_, "asking the writers");
    const auto gathered = run(requestor_->gather_writer_metadata(), "GatherWriterMetadata", limits_);
    if (!gathered.ok()) return gathered.error();
    auto metadata = requestor_->writer_metadata();
    if (!metadata.ok()) return metadata.error();
    metadata_ = std::move(metadata).value();
    if (request_.type) EXSHADOW_TRY(requestor_->set_restore_state(*request_.type));
    return {};
}

// The running writer's name; the document has ids only.
std::string RestoreRun::writer_name(const BackupWriter& writer) const {
    for (const auto& one : metadata_) {
        if (one.writer_id == writer.writer_id) return one.name;
    }
    return {};
}

// Whatever is named must be there, else it would be left out in silence.
Status RestoreRun::check_named(const std::vector<BackupWriter>& held) const {
    std::vector<ComponentWish> named = request_.included;
    for (const auto& [wish, target] : request_.new_targets) named.push_back(wish);
    for (const auto& one : request_.choices) named.push_back(one.component);
    for (const auto& wish : named) {
        const bool found = std::ranges::any_of(held, [&](const BackupWriter& writer) {
            return std::ranges::any_of(writer.components, [&](const BackupComponent& one) {
                return meant(wish, writer, writer_name(writer), one);
            });
        });
        if (!found)
            return Error(
                Code::not_found,
                "the backup holds no component '" + wish.component + "' of a writer '" + wish.writer + "'",
                "its document lists what it holds");
    }
    return {};
}

Status RestoreRun::choose() {
    const auto held = requestor_->writer_components();
    if (!held.ok()) return held.error();
    EXSHADOW_TRY(check_named(*held));
    std::size_t chosen = 0;
    for (const auto& writer : *held) {
        const auto name = writer_name(writer);
        for (const auto& one : writer.components) {
            ComponentReport report;
            // The instance of the backup may be gone; a nil one means the class, which is what a restore
            // wants.
            report.key = {writer.writer_id, {}, one.type, one.logical_path, one.name};
            report.writer_name = name;
            const auto in = [&](const ComponentWish& wish) { return meant(wish, writer, name, one); };
            if (name.empty()) {
                report.reason = "its writer is not running";
            } else if (std::ranges::any_of(request_.excluded, in)) {
                report.reason = "excluded on request";
            } else if (!request_.included.empty() && std::ranges::none_of(request_.included, in)) {
                report.reason = "not asked for";
            } else {
                report.included = report.explicitly = true;
                report.reason = "chosen";
                ++chosen;
                EXSHADOW_TRY(set_choices(report.key, writer, one));
            }
            report_.components.push_back(std::move(report));
        }
    }
    if (chosen == 0)
        return Error(Code::refused, "there is nothing to restore",
                     "start the writers, or ask for other components");
    return {};
}

Status RestoreRun::set_choices(const ComponentKey& key, const BackupWriter& writer,
                               const BackupComponent& component) {
    EXSHADOW_TRY(requestor_->set_selected_for_restore(key, true));
    RestoreChoices of_all;
    of_all.additional_restores = request_.additional_restores;
    of_all.authoritative = request_.authoritative;
    of_all.options = request_.options;
    of_all.roll_forward = request_.roll_forward;
    of_all.roll_forward_point = request_.roll_forward_point;
    of_all.new_name = request_.new_name;
    EXSHADOW_TRY(set_choices(key, of_all));
    const auto name = writer_name(writer);
    for (const auto& one : request_.choices) {
        if (meant(one.component, writer, name, component)) EXSHADOW_TRY(set_choices(key, one));
    }
    for (const auto& [wish, target] : request_.new_targets) {
        if (meant(wish, writer, name, component))
            EXSHADOW_TRY(requestor_->add_new_target(key, with_known_files(target, writer.writer_id)));
    }
    return {};
}

Status RestoreRun::set_choices(const ComponentKey& key, const RestoreChoices& choices) {
    if (!choices.options.empty()) EXSHADOW_TRY(requestor_->set_restore_options(key, choices.options));
    if (choices.additional_restores) EXSHADOW_TRY(requestor_->set_additional_restores(key, true));
    if (choices.authoritative) EXSHADOW_TRY(requestor_->set_authoritative_restore(key, true));
    if (choices.roll_forward)
        EXSHADOW_TRY(requestor_->set_roll_forward(key, *choices.roll_forward, choices.roll_forward_point));
    if (!choices.new_name.empty()) EXSHADOW_TRY(requestor_->set_restore_name(key, choices.new_name));
    return {};
}

// AddNewTarget wants path, pattern and recursion exactly as the writer's metadata has them.
LocationMapping RestoreRun::with_known_files(LocationMapping target, const Uuid& writer) const {
    const auto meant_files = [&](const FileSet& one) {
        return same_name(one.path, target.files.path) && same_name(one.spec, target.files.spec);
    };
    for (const auto& metadata : metadata_) {
        if (metadata.writer_id != writer) continue;
        for (const auto& component : metadata.components) {
            for (const auto* sets : {&component.files, &component.database_files, &component.database_logs}) {
                const auto found = std::ranges::find_if(*sets, meant_files);
                if (found == sets->end()) continue;
                target.files = *found;
                return target;
            }
        }
    }
    return target;
}

bool RestoreRun::is_chosen(const Uuid& writer, std::string_view path, std::string_view name) const {
    return std::ranges::any_of(report_.components, [&](const ComponentReport& one) {
        return one.included && one.key.writer_id == writer && one.key.logical_path == path &&
               one.key.name == name;
    });
}

// The chosen components as the document holds them now: the writers may have set targets.
Status RestoreRun::read_chosen() {
    auto held = requestor_->writer_components();
    if (!held.ok()) return held.error();
    report_.chosen.clear();
    for (auto& writer : *held) {
        std::erase_if(writer.components, [&](const BackupComponent& one) {
            return !is_chosen(writer.writer_id, one.logical_path, one.name);
        });
        if (!writer.components.empty()) report_.chosen.push_back(std::move(writer));
    }
    return {};
}

std::string RestoreRun::writers_messages(const WriterStatus& status) const {
    std::string text;
    for (const auto& writer : report_.chosen) {
        if (writer.writer_id != status.writer_id) continue;
        for (const auto& one : writer.components) {
            for (const auto* message :
                 {&one.restore.pre_restore_failure, &one.restore.post_restore_failure}) {
                if (!message->empty())
                    text += "; component '" + full_name(one.logical_path, one.name) + "': " + *message;
            }
        }
    }
    return text;
}

Status RestoreRun::check_writers(std::string_view after) {
    const auto statuses = look_at_writers(*requestor_, limits_);
    if (!statuses.ok()) return statuses.error();
    EXSHADOW_TRY(read_chosen());
    report_.writers.clear();
    std::optional<Error> first;
    for (const auto& status : *statuses) {
        const bool wanted = std::ranges::any_of(report_.components, [&](const ComponentReport& one) {
            return one.included && one.key.writer_id == status.writer_id;
        });
        report_.writers.push_back({status, wanted, std::string(after)});
        if (!wanted || !has_failed(status) || first) continue;
        const auto error = writer_error(status, after, {});
        first =
            Error(error.code(), error.message() + writers_messages(status), error.hint(), error.os_error());
    }
    return first ? Status(*first) : Status();
}

Status RestoreRun::tell_status(const Result<Copied>& copied) {
    for (auto& one : report_.components) {
        if (!one.included) continue;
        one.succeeded = copied.ok() && copied->all_succeeded &&
                        std::ranges::none_of(copied->failed, [&](const ComponentKey& key) {
                            return key.writer_id == one.key.writer_id && key.name == one.key.name &&
                                   key.logical_path == one.key.logical_path;
                        });
        EXSHADOW_TRY(requestor_->set_file_restore_status(
            one.key, *one.succeeded ? FileRestoreStatus::all : FileRestoreStatus::failed));
    }
    return {};
}

Status RestoreRun::run_through(const PutBack& put_back) {
    EXSHADOW_TRY(begin());
    EXSHADOW_TRY(learn_writers());
    EXSHADOW_TRY(choose());
    say(host_, "preparing the writers for the restore");
    const auto prepared = run(requestor_->pre_restore(), "PreRestore", limits_);
    if (!prepared.ok()) return prepared.error();
    const auto before = check_writers("PreRestore");
    // From here on there is no way back but PostRestore; a writer that refused gets told that nothing was put
    // back.
    const Result<Copied> copied = !before.ok() ? Result<Copied>(before.error())
                                               : (put_back ? put_back(report_) : Result<Copied>(Copied{}));
    EXSHADOW_TRY(tell_status(copied));
    say(host_, "completing the restore");
    auto limits = limits_;
    limits.cancelled = {};  // a restore that began is brought to its end
    const auto ended = run(requestor_->post_restore(), "PostRestore", limits);
    if (ended.ok()) report_.completed = true;
    if (!copied.ok()) return copied.error();
    if (!ended.ok()) return ended.error();
    limits_ = limits;
    return check_writers("PostRestore");
}

Status RestoreRun::recover(const std::vector<RecoveryPair>& pairs, RecoveryFlags flags) {
    for (const auto& one : pairs)
        EXSHADOW_TRY(requestor_->add_snapshot_to_recovery_set(one.snapshot, one.destination));
    const auto recovered = run(requestor_->recover_set(flags), "RecoverSet", limits_);
    return recovered.ok() ? Status() : Status(recovered.error());
}

// Who heard PreRestore hears PostRestore, whatever becomes of the disks.
Status RestoreRun::resync(const std::vector<RecoveryPair>& pairs, RecoveryFlags flags, bool writers) {
    EXSHADOW_TRY(begin());
    if (!writers) return recover(pairs, flags);
    EXSHADOW_TRY(learn_writers());
    EXSHADOW_TRY(choose());
    const auto prepared = run(requestor_->pre_restore(), "PreRestore", limits_);
    if (!prepared.ok()) return prepared.error();
    auto status = check_writers("PreRestore");
    if (status.ok()) status = recover(pairs, flags);
    EXSHADOW_TRY(tell_status(status.ok() ? Result<Copied>(Copied{}) : Result<Copied>(status.error())));
    limits_.cancelled = {};
    const auto ended = run(requestor_->post_restore(), "PostRestore", limits_);
    EXSHADOW_TRY(status);
    if (!ended.ok()) return ended.error();
    return check_writers("PostRestore");
}

}  // namespace

RestoreResult restore(const Host& host, const RestoreRequest& request, const PutBack& put_back) {
    RestoreResult result;
    RestoreRun one(host, request, result.report);
    result.status = one.run_through(put_back);
    return result;
}

Status resync(const Host& host, std::string_view document, const std::vector<RecoveryPair>& pairs,
              RecoveryFlags flags, const WaitLimits& limits, bool writers) {
    if (pairs.empty()) return Error(Code::invalid, "no snapshot to resynchronise from", "name at least one");
    RestoreRequest request;
    request.document = document;
    request.limits = limits;
    RestoreReport report;
    RestoreRun one(host, request, report);
    return one.resync(pairs, flags, writers);
}

}  // namespace exshadow::vss
