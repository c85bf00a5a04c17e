#include "vss/component_choice.h"

#include <algorithm>
#include <cctype>

namespace exshadow::vss {

bool same_name(std::string_view a, std::string_view b) {
    return std::ranges::equal(a, b, [](char x, char y) {
        return std::tolower(static_cast<unsigned char>(x)) == std::tolower(static_cast<unsigned char>(y));
    });
}

std::string full_name(std::string_view logical_path, std::string_view name) {
    std::string path(logical_path);
    if (!path.empty() && path.back() != '\\') path += '\\';
    path += name;
    return path;
}

bool is_below(std::string_view logical_path, std::string_view root) {
    return same_name(logical_path, root) ||
           (logical_path.size() > root.size() && logical_path[root.size()] == '\\' &&
            same_name(logical_path.substr(0, root.size()), root));
}

bool names_writer(const ComponentWish& wish, const Uuid& writer_id, std::string_view name) {
    const auto id = Uuid::parse(wish.writer);
    return id ? *id == writer_id : same_name(wish.writer, name);
}

namespace {

// The components of one writer on their way into the backup or out of it.
class WriterChoice {
public:
    WriterChoice(const WriterMetadata& writer, const BackupRequest& request) : writer_(writer) {
        for (const auto& one : writer.components) {
            ComponentReport report;
            report.key = {writer.writer_id, writer.instance_id, one.type, one.logical_path, one.name};
            report.writer_name = writer.name;
            report.included = true;
            reports_.push_back(std::move(report));
        }
        for (const auto& wish : request.excluded) {
            if (names_writer(wish, writer.writer_id, writer.name)) leave_out(wish);
        }
    }

    void leave_out_by_volume(std::span<const std::string> volumes, const Host& host) {
        for (std::size_t i = 0; i < reports_.size(); ++i) {
            const auto elsewhere = foreign_volume(writer_.components[i], volumes, host);
            if (!elsewhere.empty())
                drop(i, "its files lie on " + elsewhere + ", which is not in the snapshot set");
        }
    }

    void keep_only_wished(const std::vector<ComponentWish>& wishes) {
        if (wishes.empty()) return;
        bool any = false;
        for (std::size_t i = 0; i < reports_.size(); ++i) any = wished(i, wishes) || any;
        for (std::size_t i = 0; i < reports_.size(); ++i) {
            if (!wished(i, wishes) && !(any && mandatory(i))) drop(i, "not asked for");
        }
    }

    // What cannot be taken whole is not taken: who stands above a component that is left out, and the whole writer when
    // one that it always wants is.
    void settle(bool by_wish) {
        for (std::size_t i = 0; i < reports_.size() && !by_wish; ++i) {
            for (std::size_t j = 0; j < reports_.size(); ++j) {
                if (!reports_[j].included && below(j, i))
                    drop(i, "component '" + name(j) + "' below it is left out");
            }
        }
        for (std::size_t i = 0; i < reports_.size(); ++i) {
            if (reports_[i].included || !mandatory(i)) continue;
            for (std::size_t j = 0; j < reports_.size(); ++j)
                drop(j, "the writer always wants its component '" + name(i) + "', which is left out");
        }
        for (std::size_t i = 0; i < reports_.size(); ++i) {
            reports_[i].explicitly = reports_[i].included && addable(i) && !under_included(i);
            if (reports_[i].included && !reports_[i].explicitly && !under_included(i))
                drop(i, "it comes only together with the selectable component above it");
            else if (reports_[i].included)
                reports_[i].reason = reports_[i].explicitly ? "chosen" : "comes with the component above it";
        }
    }

    [[nodiscard]] const std::vector<ComponentReport>& reports() const { return reports_; }

private:
    [[nodiscard]] std::string name(std::size_t i) const {
        return full_name(reports_[i].key.logical_path, reports_[i].key.name);
    }
    [[nodiscard]] bool below(std::size_t i, std::size_t root) const {
        return is_below(reports_[i].key.logical_path, name(root));
    }
    [[nodiscard]] bool has_selectable_above(std::size_t i) const {
        for (std::size_t j = 0; j < reports_.size(); ++j) {
            if (below(i, j) && writer_.components[j].selectable) return true;
        }
        return false;
    }
    [[nodiscard]] bool mandatory(std::size_t i) const {
        return !writer_.components[i].selectable && !has_selectable_above(i);
    }
    [[nodiscard]] bool addable(std::size_t i) const {
        return writer_.components[i].selectable || !has_selectable_above(i);
    }
    [[nodiscard]] bool under_included(std::size_t i) const {
        for (std::size_t j = 0; j < reports_.size(); ++j) {
            if (reports_[j].included && below(i, j) && addable(j)) return true;
        }
        return false;
    }
    // Named by a wish, or below what a wish names.
    [[nodiscard]] bool wished(std::size_t i, const std::vector<ComponentWish>& wishes) const {
        return std::ranges::any_of(wishes, [&](const ComponentWish& wish) {
            return names_writer(wish, writer_.writer_id, writer_.name) &&
                   (wish.component.empty() || same_name(wish.component, name(i)) ||
                    is_below(reports_[i].key.logical_path, wish.component));
        });
    }
    void drop(std::size_t i, std::string reason) {
        if (!reports_[i].included) return;
        reports_[i].included = false;
        reports_[i].reason = std::move(reason);
    }
    void leave_out(const ComponentWish& wish) {
        for (std::size_t i = 0; i < reports_.size(); ++i) {
            if (wish.component.empty() || same_name(wish.component, name(i)) ||
                is_below(reports_[i].key.logical_path, wish.component))
                drop(i, "excluded on request");
        }
    }
    static std::string foreign_volume(const ComponentMetadata& component, std::span<const std::string> volumes,
                                      const Host& host) {
        for (const auto* sets : {&component.files, &component.database_files, &component.database_logs}) {
            for (const auto& files : *sets) {
                const auto volume = host.volume_of(files.path);
                const bool held = std::ranges::any_of(
                    volumes, [&](const std::string& one) { return same_name(one, volume); });
                if (!volume.empty() && !held) return volume;
            }
        }
        return {};
    }

    const WriterMetadata& writer_;
    std::vector<ComponentReport> reports_;
};

Error unknown_wish(const ComponentWish& wish, std::span<const WriterMetadata> writers) {
    std::string known;
    for (const auto& writer : writers) {
        if (!names_writer(wish, writer.writer_id, writer.name)) {
            known += (known.empty() ? "" : ", ") + ("'" + writer.name + "'");
            continue;
        }
        std::string components;
        for (const auto& one : writer.components)
            components += (components.empty() ? "'" : ", '") + full_name(one.logical_path, one.name) + "'";
        return {Code::not_found, "writer '" + writer.name + "' has no component '" + wish.component + "'",
                components.empty() ? "it has none" : "it has " + components};
    }
    return {Code::not_found, "there is no writer '" + wish.writer + "'",
            known.empty() ? "no writer answered" : "there are " + known};
}

bool names_something(const ComponentWish& wish, std::span<const WriterMetadata> writers) {
    for (const auto& writer : writers) {
        if (!names_writer(wish, writer.writer_id, writer.name)) continue;
        if (wish.component.empty()) return true;
        for (const auto& one : writer.components) {
            if (same_name(full_name(one.logical_path, one.name), wish.component)) return true;
        }
    }
    return false;
}

// What was asked for by name must be there.
Status check_asked(const BackupRequest& request, const std::vector<ComponentReport>& reports) {
    for (const auto& wish : request.included) {
        for (const auto& one : reports) {
            const auto name = full_name(one.key.logical_path, one.key.name);
            if (one.included || wish.component.empty() || !same_name(name, wish.component) ||
                !names_writer(wish, one.key.writer_id, one.writer_name))
                continue;
            return Error(Code::refused,
                         "component '" + name + "' of writer '" + one.writer_name +
                             "' cannot be backed up: " + one.reason,
                         "add the volume, or ask for another component");
        }
    }
    return {};
}

}  // namespace

Result<std::vector<ComponentReport>> choose_components(std::span<const WriterMetadata> writers,
                                                       const BackupRequest& request,
                                                       std::span<const std::string> volumes, const Host& host) {
    for (const auto& wish : request.included) {
        if (!names_something(wish, writers)) return unknown_wish(wish, writers);
    }
    std::vector<ComponentReport> all;
    for (const auto& writer : writers) {
        WriterChoice choice(writer, request);
        if (!volumes.empty() && host.volume_of) choice.leave_out_by_volume(volumes, host);
        choice.settle(false);
        choice.keep_only_wished(request.included);
        choice.settle(true);
        all.insert(all.end(), choice.reports().begin(), choice.reports().end());
    }
    EXSHADOW_TRY(check_asked(request, all));
    return all;
}

}  // namespace exshadow::vss
