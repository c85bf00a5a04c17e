// Which superblock is believed: every combination of two places in two files, against the table in words.
#include "volume/superblock.h"

#include <doctest/doctest.h>

#include <array>

namespace exshadow::test {

namespace {

enum class Found : std::uint8_t { older, newer, torn, future, foreign };
constexpr std::array all_found = {Found::older, Found::newer, Found::torn, Found::future, Found::foreign};

SuperblockCandidate candidate(std::size_t copy, unsigned place, Found found) {
    VolumeState state;
    state.uuid = Uuid::from_words(1, found == Found::foreign ? 99 : 1);
    state.generation = found == Found::newer ? 8 : 7;
    if (found == Found::torn) return {copy, place, Error(Code::corrupt, "checksum")};
    if (found == Found::future) return {copy, place, Error(Code::newer_version, "version 2")};
    return {copy, place, state};
}

bool any(const std::vector<Found>& found, Found wanted) {
    return std::find(found.begin(), found.end(), wanted) != found.end();
}

// The table of superblock.h, said another way.
void check(const std::vector<Found>& found) {
    std::vector<SuperblockCandidate> candidates;
    for (std::size_t i = 0; i < found.size(); ++i) {
        candidates.push_back(candidate(i / 2, static_cast<unsigned>(i % 2), found[i]));
    }
    const auto chosen = choose_superblock(candidates);
    const bool ours = any(found, Found::older) || any(found, Found::newer);
    if (any(found, Found::future)) {
        REQUIRE_FALSE(chosen.ok());
        CHECK(chosen.error().code() == Code::newer_version);
    } else if (ours && any(found, Found::foreign)) {
        REQUIRE_FALSE(chosen.ok());
        CHECK(chosen.error().code() == Code::corrupt);
    } else if (!ours && !any(found, Found::foreign)) {
        REQUIRE_FALSE(chosen.ok());
        CHECK(chosen.error().code() == Code::corrupt);
    } else {
        REQUIRE(chosen.ok());
        const Found best = any(found, Found::newer)   ? Found::newer
                           : any(found, Found::older) ? Found::older
                                                      : Found::foreign;
        CHECK(found[*chosen] == best);
        CHECK(*chosen ==
              static_cast<std::size_t>(std::find(found.begin(), found.end(), best) - found.begin()));
    }
}

}  // namespace

TEST_CASE("every combination of superblocks in one file has its answer") {
    for (const Found a : all_found) {
        for (const Found b : all_found) check({a, b});
    }
}

TEST_CASE("every combination of superblocks in two files has its answer") {
    for (const Found a : all_found) {
        for (const Found b : all_found) {
            for (const Found c : all_found) {
                for (const Found d : all_found) check({a, b, c, d});
            }
        }
    }
}

TEST_CASE("nothing to read is corrupt") {
    CHECK(choose_superblock({}).error().code() == Code::corrupt);
}

}  // namespace exshadow::test
