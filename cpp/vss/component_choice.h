// Which components of which writers go into a backup (fact sheet, 2.2), from the writers' metadata and the wishes.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "vss/procedures.h"

namespace exshadow::vss {

// Names compare without regard to ASCII case, as Windows' do.
[[nodiscard]] bool same_name(std::string_view a, std::string_view b);
// "path\name", or the name alone at the writer's root.
[[nodiscard]] std::string full_name(std::string_view logical_path, std::string_view name);
// Is the component `path`\`name` below the one whose full name is `root`?
[[nodiscard]] bool is_below(std::string_view logical_path, std::string_view root);
// Does the wish name this writer (by id, name, or name and instance name)?
[[nodiscard]] bool names_writer(const ComponentWish& wish, const Uuid& writer_id, std::string_view name);

// One report per component of every writer. An error when a wish names nothing, or a component that was asked for by
// name must be left out. `volumes` empty: they do not matter.
[[nodiscard]] Result<std::vector<ComponentReport>> choose_components(std::span<const WriterMetadata> writers,
                                                                     const BackupRequest& request,
                                                                     std::span<const std::string> volumes,
                                                                     const Host& host);

}  // namespace exshadow::vss
