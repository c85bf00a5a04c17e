#include <algorithm>
#include <set>
#include <span>
#include <utility>

#include "vss/backup_kinds.h"
#include "vss/backup_try.h"
#include "vss/component_index.h"
#include "vss/component_names.h"
#include "vss/documents.h"
#include "vss/writer_match.h"

namespace exshadow::vss {

Status BackupTry::choose() {
    volumes_ = request_.volumes;
    if (!writers_ || !request_.state.select_components) {
        if (!volumes_.empty()) return {};
        return Error(Code::invalid, "no volume is named to take a snapshot of", "name at least one volume");
    }
    const auto selection = select_components();
    if (!selection.ok()) return selection.error();
    report_.components = reports_of(*selection, metadata_);
    for (auto& note : notes_of(*selection, metadata_)) report_.notes.push_back(std::move(note));
    snapshot_needed_ = selection->snapshot_needed;
    if (request_.volumes.empty()) narrow_volumes(*selection);
    if (volumes_.empty() && report_.components.empty()) {
        return Error(Code::invalid, "no volume is named, and no writer here has anything to back up",
                     "name at least one volume");
    }
    EXSHADOW_TRY(check_asked(*selection));
    for (const auto& key : explicit_keys()) EXSHADOW_TRY(requestor_->add_component(key));
    return set_component_facts();
}

// Without named volumes all that any component needs come into question, and those that are needed stay.
Result<Selection> BackupTry::select_components() {
    auto only = resolve(request_.included, metadata_);
    if (!only.ok()) return only.error();
    std::vector<ComponentWish> parts;  // whole writers were left out before they were asked
    for (const auto& wish : request_.excluded) {
        if (!wish.component.empty()) parts.push_back(wish);
    }
    auto excluded = resolve(parts, metadata_);
    if (!excluded.ok()) return excluded.error();
    SelectionRequest wanted;
    wanted.type = request_.state.type;
    wanted.only = std::move(only).value();
    wanted.excluded = std::move(excluded).value();
    wanted.volume_of = volume_function();
    if (volumes_.empty()) {
        std::set<std::string> all;
        for (const auto& writer : metadata_) {
            for (const auto& component : writer.components) {
                for (auto& volume : volumes_of(writer, component)) all.insert(std::move(volume));
            }
        }
        volumes_.assign(all.begin(), all.end());
    }
    wanted.volumes = volumes_;
    return select(metadata_, wanted);
}

// A host that knows nothing of paths has every file in the set.
VolumeOf BackupTry::volume_function() const {
    if (host_.volume_of) return host_.volume_of;
    return [volume = volumes_.empty() ? std::string() : volumes_.front()](const std::string&) {
        return std::optional(volume);
    };
}

std::vector<std::string> BackupTry::volumes_of(const WriterMetadata& writer,
                                               const ComponentMetadata& component) const {
    const auto actual = actual_backup(request_.state.type, writer.schema).type;
    return volumes_needed(component, actual, volume_function()).volumes;
}

void BackupTry::narrow_volumes(const Selection& selection) {
    std::set<std::string> needed;
    for (const auto& one : selection.writers) {
        for (const auto* components : {&one.added, &one.implicit}) {
            for (const auto i : *components) {
                const auto& writer = metadata_[one.writer];
                for (auto& volume : volumes_of(writer, writer.components[i]))
                    needed.insert(std::move(volume));
            }
        }
    }
    needed.erase("");
    volumes_.assign(needed.begin(), needed.end());
}

// What was asked for by name must not be left out.
Status BackupTry::check_asked(const Selection& selection) const {
    for (const auto& one : selection.left_out) {
        for (const auto& wish : request_.included) {
            if (!names_writer(wish, one.writer_id, one.writer_name)) continue;
            const bool named =
                wish.component.empty() ? one.full_path.empty() : same_name(wish.component, one.full_path);
            if (named && one.reason != LeftOutReason::not_asked_for)
                return Error(Code::refused, "cannot back up what was asked for: " + text(one),
                             "add the volume, or ask for another component");
        }
    }
    return {};
}

std::vector<ComponentKey> BackupTry::explicit_keys() const {
    std::vector<ComponentKey> keys;
    for (const auto& one : report_.components) {
        if (one.explicitly) keys.push_back(one.key);
    }
    return keys;
}

namespace {

// What the base's document says of a component, as backup_base() wants it. The writer's own schema decides
// what the base really was. A base that was saved before its outcome was told is not known to have failed.
PastBackup past_backup(const BackupDocument& base, const BackupWriter& writer, const BackupComponent& part) {
    return {actual_backup(base.type, writer.schema).type, part.succeeded.value_or(true), part.backup_stamp};
}

}  // namespace

// The stamps of the base, of the same instance. Refused where the base is none for this kind of backup.
Status BackupTry::set_stamps(const BackupDocument& base) {
    const auto running = running_writers(metadata_);
    const auto parts = match_writers(base.writers, running);
    std::vector<ComponentIndex> held(base.writers.size());
    for (const auto& one : report_.components) {
        if (!one.explicitly) continue;
        const auto at = std::ranges::find(metadata_, one.key.instance_id, &WriterMetadata::instance_id);
        const auto part = parts[static_cast<std::size_t>(at - metadata_.begin())];
        const auto actual = actual_backup(request_.state.type, at->schema).type;
        const std::string what =
            "component '" + full_name(one.key.logical_path, one.key.name) + "' of writer '" + at->name + "'";
        const auto* before = part ? held[*part].first(base.writers[*part], one.key) : nullptr;
        if (before == nullptr) {
            if (needs_base(actual))
                report_.notes.push_back("the base does not hold " + what + ": it gets no stamp");
            continue;
        }
        const auto past = past_backup(base, base.writers[*part], *before);
        const auto found = backup_base(actual, at->schema, std::span(&past, 1));
        if (!found.ok()) return found.error().within(what);
        if (!found->stamp.empty()) EXSHADOW_TRY(requestor_->set_previous_backup_stamp(one.key, found->stamp));
    }
    return {};
}

// The base's stamps and the private options.
Status BackupTry::set_component_facts() {
    if (!request_.base_document.empty()) {
        const auto base = parse_backup_document(request_.base_document);
        if (!base.ok()) return base.error().within("the base's document");
        EXSHADOW_TRY(set_stamps(*base));
    } else if (needs_base(request_.state.type)) {
        report_.notes.push_back(
            "no document of a base backup was given: writers get no stamp to compare with");
    }
    for (const auto& one : report_.components) {
        if (!one.explicitly) continue;
        const auto name = full_name(one.key.logical_path, one.key.name);
        for (const auto& [wish, text] : request_.options) {
            if (names_writer(wish, one.key.writer_id, one.writer_name) &&
                (wish.component.empty() || same_name(wish.component, name)))
                EXSHADOW_TRY(requestor_->set_backup_options(one.key, text));
        }
    }
    return {};
}

}  // namespace exshadow::vss
