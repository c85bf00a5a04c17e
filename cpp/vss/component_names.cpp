#include "vss/component_names.h"

#include <algorithm>
#include <cctype>
#include <map>
#include <set>

#include "vss/component_index.h"

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

std::string folded(std::string_view name) {
    std::string made(name);
    for (auto& c : made) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    return made;
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

std::size_t find_writer(const std::vector<WriterMetadata>& writers, const Uuid& instance) {
    const auto found = std::ranges::find(writers, instance, &WriterMetadata::instance_id);
    return static_cast<std::size_t>(found - writers.begin());
}

}  // namespace

std::vector<ComponentReport> reports_of(const Selection& selection,
                                        const std::vector<WriterMetadata>& writers) {
    std::vector<ComponentReport> all;
    std::set<ComponentKey> reported;
    const auto add = [&](ComponentReport report) {
        reported.insert(report.key);
        all.push_back(std::move(report));
    };
    for (const auto& one : selection.writers) {
        const auto& writer = writers[one.writer];
        const auto take = [&](const std::vector<std::size_t>& components, bool added) {
            for (const auto i : components) {
                auto report = report_of(writer, writer.components[i]);
                report.included = true;
                report.explicitly = added;
                report.reason = added ? "chosen" : "comes with the component above it";
                add(std::move(report));
            }
        };
        take(one.added, true);
        take(one.implicit, false);
    }
    std::map<std::size_t, ComponentTree> trees;
    for (const auto& one : selection.left_out) {
        const auto place = find_writer(writers, one.instance_id);
        if (place == writers.size()) continue;
        const auto& writer = writers[place];
        const auto leave_out = [&](const ComponentMetadata& component) {
            auto report = report_of(writer, component);
            report.reason = text(one);
            add(std::move(report));
        };
        if (!one.full_path.empty()) {
            const auto& tree = trees.try_emplace(place, writer).first->second;
            for (const auto i : tree.at(one.full_path)) leave_out(writer.components[i]);
            continue;
        }
        for (const auto& component : writer.components) {
            if (!reported.contains(report_of(writer, component).key)) leave_out(component);
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
