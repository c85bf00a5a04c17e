#include "vss/selection.h"

#include <algorithm>

#include "vss/backup_kinds.h"

namespace exshadow::vss {

namespace {

bool is_named(const WriterMetadata& writer, const ComponentName& name) {
    return writer.writer_id == name.writer_id &&
           (name.instance_id.is_nil() || writer.instance_id == name.instance_id);
}

void add_once(std::vector<std::string>& list, const std::string& value) {
    if (std::ranges::find(list, value) == list.end()) list.push_back(value);
}

// One writer on its way through the rules.
struct Candidate {
    struct Component {
        std::string path;
        Selectability selectability = Selectability::mandatory;
        bool wanted = false;
        std::optional<LeftOutReason> out;
        std::string detail;
        [[nodiscard]] bool taken() const { return wanted && !out; }
    };

    const WriterMetadata* writer = nullptr;
    ActualBackup actual;
    ComponentTree tree;
    std::vector<Component> components;
    std::optional<LeftOutReason> out;  // the whole writer
    std::string detail;

    Candidate(const WriterMetadata& metadata, BackupType type)
        : writer(&metadata),
          actual(actual_backup(type, metadata.schema)),
          tree(metadata),
          components(metadata.components.size()) {
        for (std::size_t i = 0; i < components.size(); ++i) {
            components[i].path = full_path(metadata.components[i]);
            components[i].selectability = selectability(metadata, tree, i);
        }
    }

    [[nodiscard]] bool selectable(std::size_t i) const { return writer->components[i].selectable; }
    // The selectable ancestor with the longest path.
    [[nodiscard]] std::optional<std::size_t> nearest_selectable_above(std::size_t i) const {
        std::optional<std::size_t> found;
        for (const auto j : tree.above(i)) {
            if (!selectable(j)) continue;
            if (!found || components[j].path.size() > components[*found].path.size()) found = j;
        }
        return found;
    }
    [[nodiscard]] bool has_taken_selectable_above(std::size_t i) const {
        return std::ranges::any_of(tree.above(i), [this](std::size_t upper) {
            return components[upper].taken() && selectable(upper);
        });
    }

    // With all that comes along; true when anything changed.
    bool want(std::size_t i) {
        bool changed = !components[i].wanted;
        components[i].wanted = true;
        if (!selectable(i)) return changed;
        for (const auto lower : tree.below(i)) changed |= !std::exchange(components[lower].wanted, true);
        return changed;
    }
    // A component that cannot stand alone is wanted by its nearest selectable ancestor.
    bool want_dependency(std::size_t i) {
        if (components[i].selectability != Selectability::implicit) return want(i);
        return want(nearest_selectable_above(i).value_or(i));
    }
    bool want_mandatory() {
        const bool any = std::ranges::any_of(components, &Component::wanted);
        bool changed = false;
        for (std::size_t i = 0; any && i < components.size(); ++i) {
            if (components[i].selectability == Selectability::mandatory) changed |= want(i);
        }
        return changed;
    }

    void leave_out(std::size_t i, LeftOutReason reason, std::string why = {}) {
        if (components[i].out) return;
        components[i].out = reason;
        components[i].detail = std::move(why);
    }
    void judge_volumes(const SelectionRequest& request) {
        for (std::size_t i = 0; i < components.size(); ++i) {
            if (!components[i].taken()) continue;
            const auto needed = volumes_needed(writer->components[i], actual.type, request.volume_of);
            if (!needed.unknown_paths.empty())
                leave_out(i, LeftOutReason::volume_unknown, needed.unknown_paths.front());
            for (const auto& volume : needed.volumes) {
                if (std::ranges::find(request.volumes, volume) == request.volumes.end())
                    leave_out(i, LeftOutReason::volume_not_in_set, volume);
            }
        }
    }
    void leave_out_ancestors() {
        for (std::size_t i = 0; i < components.size(); ++i) {
            const auto& one = components[i];
            if (!one.wanted || !one.out || one.out == LeftOutReason::part_left_out) continue;
            for (const auto j : tree.above(i)) {
                if (components[j].taken()) leave_out(j, LeftOutReason::part_left_out, one.path);
            }
        }
    }
    void leave_out_orphans() {
        for (std::size_t i = 0; i < components.size(); ++i) {
            if (!components[i].taken() || components[i].selectability != Selectability::implicit) continue;
            if (has_taken_selectable_above(i)) continue;
            leave_out(i, LeftOutReason::ancestor_left_out, components[*nearest_selectable_above(i)].path);
        }
    }
    void judge_whole() {
        for (const auto& one : components) {
            if (one.selectability != Selectability::mandatory || !one.wanted || !one.out || out) continue;
            out = LeftOutReason::mandatory_left_out;
            detail = one.path;
        }
        if (out || components.empty()) return;
        if (std::ranges::none_of(components, &Component::wanted)) {
            out = LeftOutReason::not_asked_for;
        } else if (std::ranges::none_of(components, &Component::taken)) {
            out = LeftOutReason::nothing_left;
        }
    }
    [[nodiscard]] bool takes(const std::string& path) const {
        return !out && std::ranges::any_of(tree.at(path),
                                           [this](std::size_t place) { return components[place].taken(); });
    }
};

std::string dependency_path(const Dependency& dependency) {
    return dependency.logical_path.empty() ? dependency.name
                                           : dependency.logical_path + "\\" + dependency.name;
}

Error not_there(const ComponentName& name, std::string_view what) {
    const auto which = name.full_path.empty()
                           ? "writer " + name.writer_id.text()
                           : "component '" + name.full_path + "' of writer " + name.writer_id.text();
    return {Code::not_found, which + " " + std::string(what), "list the writers to see what there is"};
}

class Selector {
public:
    Selector(const std::vector<WriterMetadata>& writers, const SelectionRequest& request)
        : request_(request) {
        for (const auto& writer : writers) candidates_.emplace_back(writer, request.type);
    }

    Result<Selection> run() {
        EXSHADOW_TRY(want());
        exclude();
        for (auto& one : candidates_) {
            one.judge_volumes(request_);
            one.leave_out_ancestors();
            one.leave_out_orphans();
            one.judge_whole();
        }
        for (std::size_t i = 0; i < candidates_.size(); ++i) {
            report(candidates_[i]);
            if (!candidates_[i].out && !candidates_[i].components.empty()) take(i);
        }
        return std::move(result_);
    }

private:
    Status want() {
        if (request_.only.empty()) {
            for (auto& one : candidates_) {
                for (auto& component : one.components) component.wanted = true;
            }
            return {};
        }
        for (const auto& name : request_.only) EXSHADOW_TRY(want(name));
        while (want_companions()) {
        }
        return check_companions();
    }

    Status want(const ComponentName& name) {
        bool found = false;
        for (auto& one : candidates_) {
            if (!is_named(*one.writer, name)) continue;
            found |= name.full_path.empty();
            if (name.full_path.empty()) {
                for (std::size_t i = 0; i < one.components.size(); ++i) one.want(i);
            }
            for (const auto i : one.tree.at(name.full_path)) {
                found = true;
                one.want(i);
            }
        }
        if (!found) return not_there(name, "is not here");
        return {};
    }

    // What the wanted ones need: the writer's mandatory components, and other writers' by dependency.
    bool want_companions() {
        bool changed = false;
        for (auto& one : candidates_) {
            changed |= one.want_mandatory();
            for (std::size_t i = 0; i < one.components.size(); ++i) {
                if (!one.components[i].wanted) continue;
                for (const auto& needed : one.writer->components[i].dependencies) changed |= want(needed);
            }
        }
        return changed;
    }
    bool want(const Dependency& needed) {
        const auto path = dependency_path(needed);
        bool changed = false;
        for (auto& one : candidates_) {
            if (one.writer->writer_id != needed.writer_id) continue;
            for (const auto i : one.tree.at(path)) changed |= one.want_dependency(i);
        }
        return changed;
    }

    Status check_companions() const {
        for (const auto& name : request_.only) {
            for (const auto& one : candidates_) {
                if (!is_named(*one.writer, name)) continue;
                for (const auto i : one.tree.at(name.full_path)) {
                    if (one.components[i].selectability != Selectability::implicit) continue;
                    const auto above = *one.nearest_selectable_above(i);
                    if (!one.components[above].wanted)
                        return not_there(name,
                                         "is only taken together with '" + one.components[above].path + "'");
                }
            }
        }
        return {};
    }

    void exclude() {
        for (const auto& name : request_.excluded) {
            bool found = false;
            for (auto& one : candidates_) {
                if (!is_named(*one.writer, name)) continue;
                if (name.full_path.empty()) one.out = LeftOutReason::excluded;
                found |= name.full_path.empty();
                for (const auto i : one.tree.at(name.full_path)) {
                    one.leave_out(i, LeftOutReason::excluded);
                    found = true;
                }
            }
            if (!found) result_.unmatched.push_back(name);
        }
    }

    void report(const Candidate& one) {
        const auto add = [&](std::string path, LeftOutReason reason, std::string detail) {
            result_.left_out.push_back({one.writer->writer_id, one.writer->instance_id, one.writer->name,
                                        std::move(path), reason, std::move(detail)});
        };
        if (one.out) add({}, *one.out, one.detail);
        if (one.out == LeftOutReason::excluded || one.out == LeftOutReason::not_asked_for) return;
        for (const auto& component : one.components) {
            if (component.out) add(component.path, *component.out, component.detail);
            if (!component.out && !component.wanted) add(component.path, LeftOutReason::not_asked_for, {});
        }
    }

    void take(std::size_t index) {
        const auto& one = candidates_[index];
        WriterSelection chosen{index, one.actual.type, one.actual.warning, {}, {}};
        for (std::size_t i = 0; i < one.components.size(); ++i) {
            if (!one.components[i].taken()) continue;
            (one.has_taken_selectable_above(i) ? chosen.implicit : chosen.added).push_back(i);
            const auto& metadata = one.writer->components[i];
            result_.snapshot_needed |= snapshot_needed(metadata, one.actual.type);
            for (const auto& needed : metadata.dependencies) {
                if (!is_met(needed)) result_.unmet.push_back({index, i, needed});
            }
        }
        result_.writers.push_back(std::move(chosen));
    }
    [[nodiscard]] bool is_met(const Dependency& needed) const {
        return std::ranges::any_of(candidates_, [&](const Candidate& one) {
            return one.writer->writer_id == needed.writer_id && one.takes(dependency_path(needed));
        });
    }

    const SelectionRequest& request_;
    std::vector<Candidate> candidates_;
    Selection result_;
};

}  // namespace

std::string full_path(const ComponentMetadata& component) {
    return component.logical_path.empty() ? component.name : component.logical_path + "\\" + component.name;
}

Selectability selectability(const WriterMetadata& writer, const ComponentTree& tree, std::size_t component) {
    const bool below = std::ranges::any_of(
        tree.above(component), [&](std::size_t upper) { return writer.components[upper].selectable; });
    if (writer.components[component].selectable)
        return below ? Selectability::optional_or_below : Selectability::optional;
    return below ? Selectability::implicit : Selectability::mandatory;
}

VolumesNeeded volumes_needed(const ComponentMetadata& component, BackupType actual,
                             const VolumeOf& volume_of) {
    VolumesNeeded result;
    for (const auto& needed : files_needed(component, actual)) {
        if (!needed.from_snapshot) continue;
        const auto& files = *needed.files;
        const auto& path = files.alternate_path.empty() ? files.path : files.alternate_path;
        if (const auto volume = volume_of ? volume_of(path) : std::nullopt) {
            add_once(result.volumes, *volume);
        } else {
            add_once(result.unknown_paths, path);
        }
    }
    return result;
}

std::string text(const LeftOut& left_out) {
    std::string said = left_out.writer_name + ": ";
    if (!left_out.full_path.empty()) said += "component '" + left_out.full_path + "': ";
    switch (left_out.reason) {
        case LeftOutReason::excluded: return said + "excluded as asked";
        case LeftOutReason::not_asked_for: return said + "not asked for";
        case LeftOutReason::volume_not_in_set:
            return said + "volume " + left_out.detail + " is not in the snapshot set";
        case LeftOutReason::volume_unknown:
            return said + "the volume of '" + left_out.detail + "' is not known";
        case LeftOutReason::part_left_out:
            return said + "'" + left_out.detail + "', which is part of it, is left out";
        case LeftOutReason::ancestor_left_out:
            return said + "comes only with '" + left_out.detail + "', which is left out";
        case LeftOutReason::mandatory_left_out:
            return said + "cannot be backed up without '" + left_out.detail + "', which is left out";
        case LeftOutReason::nothing_left: return said + "none of its components is left";
    }
    return said;
}

Result<Selection> select(const std::vector<WriterMetadata>& writers, const SelectionRequest& request) {
    return Selector(writers, request).run();
}

}  // namespace exshadow::vss
