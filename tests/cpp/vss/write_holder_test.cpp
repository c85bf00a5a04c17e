// Writes held round the commit: what a holder refuses, delays or never answers ends the set, and what it
// holds is always released.
#include <doctest/doctest.h>

#include <memory>
#include <optional>

#include "sim_bed.h"

using namespace exshadow;
using namespace exshadow::vss;
using namespace exshadow::vss::test;

namespace {

class ScriptedHolder final : public WriteHolder {
public:
    explicit ScriptedHolder(Nanoseconds flush) : flush_(flush) {}
    ScriptedHolder(Nanoseconds flush, Error refusal) : flush_(flush), refusal_(std::move(refusal)) {}

    Task<Status> flush_and_hold(std::vector<std::string> volumes) override {
        volumes_ = volumes;
        held = true;
        co_await Loop::current()->sleep(flush_);
        if (refusal_) co_return *refusal_;
        co_return Status{};
    }
    Task<Status> release(std::vector<std::string> volumes) override {
        CHECK(volumes == volumes_);
        held = false;
        ++released;
        co_return Status{};
    }

    bool held = false;
    int released = 0;

private:
    const Nanoseconds flush_;
    const std::optional<Error> refusal_;
    std::vector<std::string> volumes_;
};

struct Ending {
    Course course;
    std::string front;
    std::string maker;
};

Ending back_up_with(const std::shared_ptr<ScriptedHolder>& holder, const Json& world = usual_world()) {
    Bed bed(world, 1, local_slot(), [&](CoordinatorOptions& options) { options.holder = holder; });
    Ending ending{bed.backup({}), {}, {}};
    bed.close();
    check_promises(bed, world);
    CHECK(bed.snapshots() == 0);
    CHECK(!holder->held);
    CHECK(holder->released == 1);
    ending.front = bed.of("Front");
    ending.maker = bed.of("Maker");
    return ending;
}

bool holds(const std::string& text, const char* part) {
    return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("write holder: writes are held over the commit alone") {
    const auto ending = back_up_with(std::make_shared<ScriptedHolder>(10 * millisecond_ns));
    CHECK(ending.course.made);
    CHECK(holds(ending.maker, "pre_commit commit post_commit"));
}

TEST_CASE("write holder: a flush that takes too long ends the set") {
    const auto ending = back_up_with(std::make_shared<ScriptedHolder>(5 * second_ns));
    CHECK(!ending.course.made);
    CHECK(ending.course.steps.at("DoSnapshotSet").result == HResult::vss_e_flush_writes_timeout);
    CHECK(ending.front == "prepare_backup prepare_snapshot freeze abort backup_shutdown");
    CHECK(ending.maker == "begin_prepare begin_prepare end_prepare pre_commit abort");
}

TEST_CASE("write holder: its refusal is the step's result") {
    const auto refusal = vss_error(HResult::vss_e_insufficient_storage, "the log is full");
    const auto ending = back_up_with(std::make_shared<ScriptedHolder>(0, refusal));
    const auto& step = ending.course.steps.at("DoSnapshotSet");
    CHECK(step.result == HResult::vss_e_insufficient_storage);
    CHECK(holds(step.detail, "the log is full"));
    CHECK(!holds(ending.maker, " commit"));
}

TEST_CASE("write holder: a commit that takes too long ends the set, and writes flow again") {
    auto world = usual_world();
    world["providers"][0]["events"]["commit"]["hang"] = true;
    const auto ending = back_up_with(std::make_shared<ScriptedHolder>(0), world);
    CHECK(ending.course.steps.at("DoSnapshotSet").result == HResult::vss_e_hold_writes_timeout);
    CHECK(holds(ending.front, "freeze abort"));
}

TEST_CASE("write holder: a writer's own window is shorter than the flush") {
    auto world = usual_world();
    world["limits"]["hold"] = 500;
    world["writers"][0]["freeze_limit"] = 100;
    const auto ending = back_up_with(std::make_shared<ScriptedHolder>(300 * millisecond_ns), world);
    CHECK(ending.course.steps.at("DoSnapshotSet").result == HResult::vss_e_writererror_timeout);
    CHECK(ending.course.writers.at("Front").failure == HResult::vss_e_writererror_timeout);
}
