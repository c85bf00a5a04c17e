// Which part of a Backup Components Document belongs to which writer that runs: a class may have several
// instances, and a writer that was started anew is another instance.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "vss/metadata.h"

namespace exshadow::vss {

struct RunningWriter {
    Uuid writer_id;
    Uuid instance_id;
    std::string instance_name;
};
[[nodiscard]] std::vector<RunningWriter> running_writers(std::span<const WriterMetadata> metadata);

// For each running writer the index of its part: by instance; else, among what is left on both sides, by
// class and instance name; else by class. Each but the first only where no second part or writer comes into
// question: the data of one instance is never taken for another's. By class alone a single part goes to the
// only writer, even if their instance names differ (restored under another name).
[[nodiscard]] std::vector<std::optional<std::size_t>> match_writers(std::span<const BackupWriter> parts,
                                                                    std::span<const RunningWriter> running);

}  // namespace exshadow::vss
