// How people name writers and their components, and what a backup takes when they do.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "vss/procedures.h"
#include "vss/selection.h"

namespace exshadow::vss {

// Names compare without regard to ASCII letter case, as Windows' do.
[[nodiscard]] bool same_name(std::string_view a, std::string_view b);
// "path\name", or the name alone at the writer's root.
[[nodiscard]] std::string full_name(std::string_view logical_path, std::string_view name);
// The same text for all names that are the same.
[[nodiscard]] std::string folded(std::string_view name);
// Does the wish name this writer, by id or name?
[[nodiscard]] bool names_writer(const ComponentWish& wish, const Uuid& writer_id, std::string_view name);

// The wishes as selection.h takes them: one for each running instance; the error lists what there is.
[[nodiscard]] Result<std::vector<ComponentName>> resolve(std::span<const ComponentWish> wishes,
                                                         std::span<const WriterMetadata> writers);
// A selection as reports: what is taken first, then what is left out and why.
[[nodiscard]] std::vector<ComponentReport> reports_of(const Selection& selection,
                                                      const std::vector<WriterMetadata>& writers);
// What a person should know of it beside that: other kinds of backup, dependencies that are not met.
[[nodiscard]] std::vector<std::string> notes_of(const Selection& selection,
                                                const std::vector<WriterMetadata>& writers);

}  // namespace exshadow::vss
