#include "volume/superblock.h"

#include "volume/format.h"

namespace exshadow {

Result<std::size_t> choose_superblock(const std::vector<SuperblockCandidate>& candidates) {
    for (const auto& candidate : candidates) {
        const auto& content = candidate.content;
        if (!content.ok() && content.error().code() == Code::newer_version) return content.error();
    }
    std::optional<std::size_t> best;
    for (std::size_t i = 0; i < candidates.size(); ++i) {
        const auto& content = candidates[i].content;
        if (!content.ok()) continue;
        if (!best) {
            best = i;
            continue;
        }
        const auto& leader = *candidates[*best].content;
        if (leader.uuid != content->uuid) {
            return Error(Code::corrupt, "the volume file and its copy belong to different volumes",
                         "name the right --metadata-copy");
        }
        if (content->generation > leader.generation) best = i;
    }
    if (best) return *best;
    std::string why = candidates.empty() ? "nothing to read" : candidates[0].content.error().message();
    return Error(
        Code::corrupt, "no sound superblock (" + why + ")",
        "put back the metadata copy if there is one; the plexes themselves are untouched raw images");
}

Task<Result<SuperblockStore::Loaded>> SuperblockStore::load() {
    std::vector<SuperblockCandidate> candidates;
    std::vector<std::byte> buffer(format::superblock_bytes);
    for (std::size_t copy = 0; copy < device_.copies(); ++copy) {
        for (unsigned place = 0; place < 2; ++place) {
            auto reading = device_.read(copy, format::superblock_places[place], buffer);
            const Status status = co_await std::move(reading);
            Result<VolumeState> content =
                status.ok() ? format::decode_superblock(buffer, place) : Result<VolumeState>(status.error());
            candidates.push_back({copy, place, std::move(content)});
        }
    }
    auto chosen = choose_superblock(candidates);
    if (!chosen.ok()) co_return chosen.error();
    SuperblockCandidate& best = candidates[*chosen];
    co_return Loaded{std::move(best.content).value(), best.copy};
}

Task<Status> SuperblockStore::commit(VolumeState& state) {
    const auto guard = co_await mutex_.lock();
    ++state.generation;
    const auto place = static_cast<unsigned>(state.generation % 2);
    if (const auto text = state.problem(); !text.empty()) {
        co_return Error(Code::internal, "refusing to write an impossible superblock: " + text);
    }
    const auto bytes = format::encode_superblock(state, place);
    auto writing = device_.write(format::superblock_places[place], bytes);
    EXSHADOW_CO_TRY(co_await std::move(writing));
    auto flushing = device_.flush();
    co_return co_await std::move(flushing);
}

}  // namespace exshadow
