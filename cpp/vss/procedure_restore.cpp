#include <algorithm>
#include <set>

#include "vss/component_names.h"
#include "vss/documents.h"
#include "vss/procedure_steps.h"
#include "vss/writer_match.h"

namespace exshadow::vss {

namespace {

bool meant(const ComponentWish& wish, const BackupWriter& writer, std::string_view writer_name,
           const BackupComponent& component) {
    return names_writer(wish, writer.writer_id, writer_name) &&
           (wish.component.empty() ||
            same_name(wish.component, full_name(component.logical_path, component.name)));
}

Status check_point(const std::optional<RollForward>& kind, std::string_view point) {
    if ((kind == RollForward::partial) != point.empty()) return {};
    return Error(Code::invalid, "a point of a roll-forward goes with partial, and with it alone",
                 "name the point, or roll forward none or all of the logs");
}

// The part as its writer spells it.
RestoreSubcomponent known_part(const RestoreSubcomponent& part, const WriterMetadata& writer) {
    const auto found = std::ranges::find_if(writer.components, [&](const ComponentMetadata& one) {
        return same_name(full_name(one.logical_path, one.name), full_name(part.logical_path, part.name));
    });
    return found == writer.components.end() ? part
                                            : RestoreSubcomponent{found->logical_path, found->name, {}};
}

// What is to come back: files from a medium, or whole disks. A disk brings back everything that is on it,
// also what its backup called failed.
enum class Kind : std::uint8_t { files, disks };

class RestoreRun {
public:
    RestoreRun(const Host& host, const RestoreRequest& request, RestoreReport& report, Kind kind)
        : host_(host),
          request_(request),
          limits_(with_cancel(host, request.limits)),
          report_(report),
          kind_(kind) {}

    Status run_through(const PutBack& put_back);
    Status resync(const std::vector<RecoveryPair>& pairs, RecoveryFlags flags, bool writers);

private:
    Status begin();
    Status learn_writers();
    Status recover(const std::vector<RecoveryPair>& pairs, RecoveryFlags flags);
    Status choose();
    // A part of the document, and the running writer that it goes back to.
    struct Part {
        Uuid writer_id;
        Uuid instance_id;  // the document's
        const WriterMetadata* running = nullptr;
        bool several = false;  // parts or running writers of its class
    };
    void match(const std::vector<BackupWriter>& held);
    [[nodiscard]] const Part& part_of(const Uuid& writer, const Uuid& instance) const;
    [[nodiscard]] ComponentKey key_for_calls(const ComponentKey& reported) const;
    [[nodiscard]] std::vector<ComponentWish> named() const;
    Status check_named(const std::vector<BackupWriter>& held) const;
    Status choose_one(const BackupWriter& writer, const BackupComponent& component);
    [[nodiscard]] std::string why_left_out(const BackupWriter& writer,
                                           const BackupComponent& component) const;
    Status set_choices(const ComponentKey& key, const BackupWriter& writer, const BackupComponent& component);
    Status set_choices(const ComponentKey& key, const RestoreChoices& choices);
    Status set_places(const ComponentKey& key, const WriterMetadata& running,
                      const std::function<bool(const ComponentWish&)>& is_meant);
    [[nodiscard]] LocationMapping with_known_files(LocationMapping target,
                                                   const WriterMetadata& writer) const;
    Status check_writers(std::string_view after);
    Status read_chosen();
    Status tell_status(const Result<Copied>& copied);
    [[nodiscard]] std::string writer_name(const BackupWriter& writer) const;
    [[nodiscard]] bool is_chosen(const BackupWriter& writer, const BackupComponent& component) const;
    [[nodiscard]] const Part* part_run_by(const WriterStatus& status) const;
    [[nodiscard]] std::string writers_messages(const WriterStatus& status) const;

    const Host& host_;
    const RestoreRequest& request_;
    WaitLimits limits_;
    RestoreReport& report_;
    const Kind kind_;
    std::unique_ptr<Requestor> requestor_;
    std::vector<WriterMetadata> metadata_;
    std::vector<Part> parts_;
    std::set<ComponentKey> chosen_;
};

Status RestoreRun::begin() {
    if (request_.document.empty())
        return Error(Code::invalid, "no document to restore from", "give the one saved at the backup");
    EXSHADOW_TRY(check_point(request_.roll_forward, request_.roll_forward_point));
    for (const auto& one : request_.choices)
        EXSHADOW_TRY(check_point(one.roll_forward, one.roll_forward_point));
    auto made = host_.make();
    if (!made.ok()) return made.error();
    requestor_ = std::move(made).value();
    return requestor_->initialize_for_restore(request_.document);
}

Status RestoreRun::learn_writers() {
    say(host_, "asking the writers");
    auto metadata = ask_writers(*requestor_, limits_);
    if (!metadata.ok()) return metadata.error();
    metadata_ = std::move(metadata).value();
    if (request_.type) EXSHADOW_TRY(requestor_->set_restore_state(*request_.type));
    return {};
}

void RestoreRun::match(const std::vector<BackupWriter>& held) {
    const auto matches = match_writers(held, running_writers(metadata_));
    for (std::size_t i = 0; i < held.size(); ++i) {
        const auto of_class = [&](const auto& one) { return one.writer_id == held[i].writer_id; };
        Part part{held[i].writer_id, held[i].instance_id, nullptr, false};
        part.several =
            std::ranges::count_if(held, of_class) > 1 || std::ranges::count_if(metadata_, of_class) > 1;
        const auto found = std::ranges::find(matches, std::optional(i));
        if (found != matches.end())
            part.running = &metadata_[static_cast<std::size_t>(found - matches.begin())];
        parts_.push_back(part);
    }
}

const RestoreRun::Part& RestoreRun::part_of(const Uuid& writer, const Uuid& instance) const {
    const auto found = std::ranges::find_if(
        parts_, [&](const Part& one) { return one.writer_id == writer && one.instance_id == instance; });
    EXSHADOW_CHECK(found != parts_.end());
    return *found;
}

// Of several of one class the running instance is named. A nil one means the class: it needs no interface
// that came later, and Windows no writer that can take what was another instance's.
ComponentKey RestoreRun::key_for_calls(const ComponentKey& reported) const {
    const auto& part = part_of(reported.writer_id, reported.instance_id);
    auto key = reported;
    key.instance_id = part.several && part.running != nullptr ? part.running->instance_id : Uuid{};
    return key;
}

// The running writer's name; the document has ids only.
std::string RestoreRun::writer_name(const BackupWriter& writer) const {
    const auto* const running = part_of(writer.writer_id, writer.instance_id).running;
    return running == nullptr ? std::string() : running->name;
}

std::vector<ComponentWish> RestoreRun::named() const {
    std::vector<ComponentWish> all = request_.included;
    for (const auto& [wish, target] : request_.new_targets) all.push_back(wish);
    for (const auto& [wish, mapping] : request_.alternate_mappings) all.push_back(wish);
    for (const auto& [wish, part] : request_.subcomponents) all.push_back(wish);
    for (const auto& [wish, file] : request_.ranges_files) all.push_back(wish);
    for (const auto& one : request_.choices) all.push_back(one.component);
    return all;
}

// Whatever is named must be there, else it would be left out in silence.
Status RestoreRun::check_named(const std::vector<BackupWriter>& held) const {
    for (const auto& wish : named()) {
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
    match(*held);
    EXSHADOW_TRY(check_named(*held));
    for (const auto& writer : *held) {
        for (const auto& one : writer.components) EXSHADOW_TRY(choose_one(writer, one));
    }
    if (std::ranges::none_of(report_.components, &ComponentReport::included))
        return Error(Code::refused, "there is nothing to restore",
                     "start the writers, or ask for other components");
    return {};
}

// Empty: nothing is against it.
std::string RestoreRun::why_left_out(const BackupWriter& writer, const BackupComponent& component) const {
    const auto& part = part_of(writer.writer_id, writer.instance_id);
    if (part.running == nullptr)
        return std::ranges::find(metadata_, writer.writer_id, &WriterMetadata::writer_id) == metadata_.end()
                   ? "its writer is not running"
                   : "none of the running writers of its class is known to be its own";
    if (kind_ == Kind::files && component.succeeded == false) return "its backup failed";
    return {};
}

Status RestoreRun::choose_one(const BackupWriter& writer, const BackupComponent& component) {
    ComponentReport report;
    report.key = {writer.writer_id, writer.instance_id, component.type, component.logical_path,
                  component.name};
    report.writer_name = writer_name(writer);
    const auto in = [&](const ComponentWish& wish) {
        return meant(wish, writer, report.writer_name, component);
    };
    report.reason = why_left_out(writer, component);
    if (std::ranges::any_of(request_.excluded, in)) {
        report.reason = "excluded on request";
    } else if (!request_.included.empty() && std::ranges::none_of(request_.included, in)) {
        report.reason = "not asked for";
    } else if (report.reason.empty()) {
        report.included = report.explicitly = true;
        report.reason = "chosen";
        EXSHADOW_TRY(set_choices(key_for_calls(report.key), writer, component));
    } else {  // what was asked for by name must not be left out
        const auto name = full_name(component.logical_path, component.name);
        const std::string what =
            "component '" + name + "' of writer " +
            (report.writer_name.empty() ? writer.writer_id.text() : "'" + report.writer_name + "'");
        // A failed part of a writer that was named whole is no more than a note.
        const bool asked = std::ranges::any_of(named(), [&](const ComponentWish& wish) {
            return in(wish) && (!wish.component.empty() || report.writer_name.empty());
        });
        if (asked)
            return Error(Code::refused, "cannot restore what was asked for: " + what + ": " + report.reason,
                         "start its writer, take another backup, or ask for other components");
        report_.notes.push_back(what + " is left out: " + report.reason);
    }
    if (report.included) chosen_.insert(report.key);
    report_.components.push_back(std::move(report));
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
    const auto& running = *part_of(writer.writer_id, writer.instance_id).running;
    const auto& name = running.name;
    for (const auto& one : request_.choices) {
        if (meant(one.component, writer, name, component)) EXSHADOW_TRY(set_choices(key, one));
    }
    return set_places(key, running,
                      [&](const ComponentWish& wish) { return meant(wish, writer, name, component); });
}

// Which parts, and which files elsewhere. Mappings are told here, before anything is put back, because what
// the service refuses must not be found when the files lie there already.
Status RestoreRun::set_places(const ComponentKey& key, const WriterMetadata& running,
                              const std::function<bool(const ComponentWish&)>& is_meant) {
    for (const auto& [wish, part] : request_.subcomponents) {
        if (is_meant(wish))
            EXSHADOW_TRY(requestor_->add_restore_subcomponent(key, known_part(part, running)));
    }
    for (const auto& [wish, target] : request_.new_targets) {
        if (is_meant(wish)) EXSHADOW_TRY(requestor_->add_new_target(key, with_known_files(target, running)));
    }
    for (const auto& [wish, mapping] : request_.alternate_mappings) {
        if (is_meant(wish))
            EXSHADOW_TRY(
                requestor_->add_alternative_location_mapping(key, with_known_files(mapping, running)));
    }
    for (const auto& [wish, file] : request_.ranges_files) {
        if (is_meant(wish)) EXSHADOW_TRY(requestor_->set_ranges_file_path(key, file.partial_file, file.path));
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
LocationMapping RestoreRun::with_known_files(LocationMapping target, const WriterMetadata& writer) const {
    const auto meant_files = [&](const FileSet& one) {
        return same_name(one.path, target.files.path) && same_name(one.spec, target.files.spec);
    };
    for (const auto& component : writer.components) {
        for (const auto* sets : {&component.files, &component.database_files, &component.database_logs}) {
            const auto found = std::ranges::find_if(*sets, meant_files);
            if (found == sets->end()) continue;
            target.files = *found;
            return target;
        }
    }
    return target;
}

bool RestoreRun::is_chosen(const BackupWriter& writer, const BackupComponent& component) const {
    const ComponentKey key{writer.writer_id, writer.instance_id, component.type, component.logical_path,
                           component.name};
    return chosen_.contains(key);
}

const RestoreRun::Part* RestoreRun::part_run_by(const WriterStatus& status) const {
    const auto found = std::ranges::find_if(parts_, [&](const Part& one) {
        return one.running != nullptr && one.running->instance_id == status.instance_id;
    });
    return found == parts_.end() ? nullptr : &*found;
}

// The chosen components as the document holds them now: the writers may have set targets.
Status RestoreRun::read_chosen() {
    auto held = requestor_->writer_components();
    if (!held.ok()) return held.error();
    report_.chosen.clear();
    for (auto& writer : *held) {
        std::erase_if(writer.components, [&](const BackupComponent& one) { return !is_chosen(writer, one); });
        if (!writer.components.empty()) report_.chosen.push_back(std::move(writer));
    }
    return {};
}

std::string RestoreRun::writers_messages(const WriterStatus& status) const {
    std::string text;
    for (const auto& writer : report_.chosen) {
        const auto* const part = part_run_by(status);
        if (part == nullptr || writer.instance_id != part->instance_id) continue;
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
        const auto* const part = part_run_by(status);
        const bool wanted =
            part != nullptr && std::ranges::any_of(report_.components, [&](const ComponentReport& one) {
                return one.included && one.key.writer_id == part->writer_id &&
                       one.key.instance_id == part->instance_id;
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
                        std::ranges::none_of(copied->failed,
                                             [&](const ComponentKey& key) { return is_meant(key, one.key); });
        EXSHADOW_TRY(requestor_->set_file_restore_status(
            key_for_calls(one.key), *one.succeeded ? FileRestoreStatus::all : FileRestoreStatus::failed));
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
    RestoreRun one(host, request, result.report, Kind::files);
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
    RestoreRun one(host, request, report, Kind::disks);
    return one.resync(pairs, flags, writers);
}

}  // namespace exshadow::vss
