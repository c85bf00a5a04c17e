#include "vss/component_names.h"

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

std::string list(const std::vector<std::string>& names) {
    std::string text;
    for (const auto& name : names) text += (text.empty() ? "'" : ", '") + name + "'";
    return text;
}

Error unknown_wish(const ComponentWish& wish, std::span<const WriterMetadata> writers) {
    std::vector<std::string> names;
    for (const auto& writer : writers) {
        if (!names_writer(wish, writer.writer_id, writer.name)) {
            names.push_back(writer.name);
            continue;
        }
        std::vector<std::string> components;
        for (const auto& one : writer.components) components.push_back(full_path(one));
        return {Code::not_found, "writer '" + writer.name + "' has no component '" + wish.component + "'",
                components.empty() ? "it has none" : "it has " + list(components)};
    }
    return {Code::not_found, "there is no writer '" + wish.writer + "'",
            names.empty() ? "no writer answered" : "there are " + list(names)};
}

}  // namespace

Result<std::vector<ComponentName>> resolve(std::span<const ComponentWish> wishes,
                                           std::span<const WriterMetadata> writers) {
    std::vector<ComponentName> names;
    for (const auto& wish : wishes) {
        const auto before = names.size();
        for (const auto& writer : writers) {
            if (!names_writer(wish, writer.writer_id, writer.name)) continue;
            if (wish.component.empty()) names.push_back({writer.writer_id, writer.instance_id, ""});
            for (const auto& one : writer.components) {
                if (same_name(full_path(one), wish.component))
                    names.push_back({writer.writer_id, writer.instance_id, full_path(one)});
            }
        }
        if (names.size() == before) return unknown_wish(wish, writers);
    }
    return names;
}

namespace {

ComponentReport report_of(const WriterMetadata& writer, const ComponentMetadata& component) {
    ComponentReport report;
    report.key = {writer.writer_id, writer.instance_id, component.type, component.logical_path,
                  component.name};
    report.writer_name = writer.name;
    return report;
}

bool is_reported(const std::vector<ComponentReport>& reports, const ComponentKey& key) {
    return std::ranges::any_of(reports, [&](const ComponentReport& one) { return one.key == key; });
}

const WriterMetadata* find_writer(const std::vector<WriterMetadata>& writers, const Uuid& instance) {
    const auto found =
        std::ranges::find_if(writers, [&](const WriterMetadata& one) { return one.instance_id == instance; });
    return found == writers.end() ? nullptr : &*found;
}

}  // namespace

std::vector<ComponentReport> reports_of(const Selection& selection,
                                        const std::vector<WriterMetadata>& writers) {
    std::vector<ComponentReport> all;
    for (const auto& one : selection.writers) {
        const auto& writer = writers[one.writer];
        const auto take = [&](const std::vector<std::size_t>& components, bool added) {
            for (const auto i : components) {
                auto report = report_of(writer, writer.components[i]);
                report.included = true;
                report.explicitly = added;
                report.reason = added ? "chosen" : "comes with the component above it";
                all.push_back(std::move(report));
            }
        };
        take(one.added, true);
        take(one.implicit, false);
    }
    for (const auto& one : selection.left_out) {
        const auto* writer = find_writer(writers, one.instance_id);
        if (writer == nullptr) continue;
        for (const auto& component : writer->components) {
            auto report = report_of(*writer, component);
            const bool whole_writer = one.full_path.empty() && !is_reported(all, report.key);
            if (!whole_writer && full_path(component) != one.full_path) continue;
            report.reason = text(one);
            all.push_back(std::move(report));
        }
    }
    return all;
}

std::vector<std::string> notes_of(const Selection& selection, const std::vector<WriterMetadata>& writers) {
    std::vector<std::string> notes;
    for (const auto& one : selection.writers) {
        if (!one.warning.empty()) notes.push_back(one.warning);
    }
    for (const auto& one : selection.unmet) {
        const auto& writer = writers[one.writer];
        notes.push_back("component '" + full_path(writer.components[one.component]) + "' of writer '" +
                        writer.name + "' needs component '" +
                        full_name(one.dependency.logical_path, one.dependency.name) + "' of writer " +
                        one.dependency.writer_id.text() + ", which is not in this backup");
    }
    return notes;
}

}  // namespace exshadow::vss
