#include "vss/writer_match.h"

#include <algorithm>

namespace exshadow::vss {

namespace {

using Matches = std::vector<std::optional<std::size_t>>;

// Matches what is still free on both sides, where `alike` leaves one part and one writer.
template <class Alike>
void match_singles(std::span<const BackupWriter> parts, std::span<const RunningWriter> running,
                   Matches& matches, const Alike& alike) {
    const auto before = matches;
    const auto part_is_free = [&](std::size_t part) {
        return std::ranges::none_of(before, [part](const auto& one) { return one == part; });
    };
    for (std::size_t i = 0; i < running.size(); ++i) {
        if (before[i]) continue;
        std::vector<std::size_t> candidates;
        for (std::size_t part = 0; part < parts.size(); ++part) {
            if (part_is_free(part) && alike(parts[part], running[i])) candidates.push_back(part);
        }
        if (candidates.size() != 1) continue;
        std::size_t rivals = 0;
        for (std::size_t other = 0; other < running.size(); ++other) {
            if (!before[other] && alike(parts[candidates.front()], running[other])) ++rivals;
        }
        if (rivals == 1) matches[i] = candidates.front();
    }
}

}  // namespace

std::vector<RunningWriter> running_writers(std::span<const WriterMetadata> metadata) {
    std::vector<RunningWriter> all;
    for (const auto& one : metadata) all.push_back({one.writer_id, one.instance_id, one.instance_name});
    return all;
}

Matches match_writers(std::span<const BackupWriter> parts, std::span<const RunningWriter> running) {
    Matches matches(running.size());
    for (std::size_t i = 0; i < running.size(); ++i) {
        const auto found = std::ranges::find(parts, running[i].instance_id, &BackupWriter::instance_id);
        if (found != parts.end()) matches[i] = static_cast<std::size_t>(found - parts.begin());
    }
    const auto same_class = [](const BackupWriter& part, const RunningWriter& writer) {
        return part.writer_id == writer.writer_id;
    };
    match_singles(parts, running, matches, [&](const BackupWriter& part, const RunningWriter& writer) {
        return same_class(part, writer) && part.instance_name == writer.instance_name;
    });
    // Not what others have left over: that would be another instance's.
    match_singles(parts, running, matches, [&](const BackupWriter& part, const RunningWriter& writer) {
        const auto of_class = [&](const auto& one) { return one.writer_id == writer.writer_id; };
        return same_class(part, writer) && std::ranges::count_if(parts, of_class) == 1 &&
               std::ranges::count_if(running, of_class) == 1;
    });
    return matches;
}

}  // namespace exshadow::vss
