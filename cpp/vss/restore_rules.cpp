#include "vss/restore_rules.h"

#include <algorithm>
#include <array>

namespace exshadow::vss {

namespace {

using enum RestoreMethod;

constexpr auto rules = std::to_array<MethodRule>({
    {.method = undefined},
    {.method = restore_if_not_there, .if_there = IfThere::leave_all},
    {.method = restore_if_can_replace, .if_in_use = IfInUse::mapped_place},
    {.method = stop_restore_start, .stop_before = true, .restart_after = true},
    {.method = restore_to_alternate_location, .mapped_place = true},
    {.method = restore_at_reboot, .at_reboot = true},
    {.method = restore_at_reboot_if_cannot_replace, .if_in_use = IfInUse::at_reboot},
    {.method = custom, .custom = true},
    {.method = restore_stop_start, .restart_after = true},
});

std::string original_path(const FileSet& files) {
    return files.alternate_path.empty() ? files.path : files.alternate_path;
}

Result<Destination> mapped(const FileSet& files, const RestoreMethodMetadata& method, std::string reason) {
    const auto* const mapping = find_mapping(files, method.mappings);
    if (mapping == nullptr)
        return Error(Code::refused,
                     "files '" + files.spec + "' in '" + files.path + "': " + reason +
                         ", but the writer names no other place for them",
                     "choose a new target for the component");
    return Destination{Placement::mapped, mapping->destination, std::move(reason), {}};
}

Destination directed(const FileSet& files, const RestoreChoice& choice) {
    Destination result{Placement::directed, {}, "the writer directs every file", {}};
    std::ranges::copy_if(choice.directed_targets, std::back_inserter(result.targets),
                         [&](const DirectedTarget& one) { return one.source_path == files.path; });
    return result;
}

}  // namespace

const MethodRule& method_rule(RestoreMethod method) {
    const auto found = std::ranges::find(rules, method, &MethodRule::method);
    return found == rules.end() ? rules.front() : *found;
}

const LocationMapping* find_mapping(const FileSet& files, const std::vector<LocationMapping>& mappings) {
    const auto found = std::ranges::find_if(mappings, [&](const LocationMapping& one) {
        return one.files.path == files.path && one.files.spec == files.spec &&
               one.files.recursive == files.recursive;
    });
    return found == mappings.end() ? nullptr : &*found;
}

Result<Destination> destination(const FileSet& files, const RestoreChoice& choice,
                                const RestoreMethodMetadata& method) {
    if (choice.target == RestoreTarget::directed) return directed(files, choice);
    if (choice.target == RestoreTarget::alternate)
        return mapped(files, method, "the writer wants them at the other place");
    if (choice.target == RestoreTarget::original_location)
        return Destination{
            Placement::in_place, original_path(files), "the writer wants them where they were", {}};
    if (const auto* const target = find_mapping(files, choice.new_targets))
        return Destination{Placement::new_target, target->destination, "a new target was chosen", {}};
    const auto& rule = method_rule(method.method);
    if (rule.custom)
        return Destination{Placement::by_writer, {}, "the writer restores by its own interface", {}};
    if (rule.mapped_place) return mapped(files, method, "the restore method wants the other place");
    return Destination{Placement::in_place, original_path(files), "the restore method", {}};
}

}  // namespace exshadow::vss
