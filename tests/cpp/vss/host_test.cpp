// The host: Requestors from other threads, writers and providers that block, on real time.
#include "vss/coordinator/host.h"

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "vss/coordinator/blocking.h"

using namespace exshadow;
using namespace exshadow::vss;

namespace {

// Opens once; what waits for it passes then.
class Gate {
public:
    void open() {
        const std::lock_guard lock(mutex_);
        open_ = true;
        changed_.notify_all();
    }
    void wait() {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return open_; });
    }

private:
    std::mutex mutex_;
    std::condition_variable changed_;
    bool open_ = false;
};

// Everything that several threads look at; outlives the writers.
struct Diary {
    std::mutex mutex;
    std::string events;
    Gate gate;
    std::atomic<bool> freeze_hangs{false};
    std::atomic<bool> freeze_returned{false};

    void note(const char* event) {
        const std::lock_guard lock(mutex);
        events += (events.empty() ? "" : " ") + std::string(event);
    }
    [[nodiscard]] std::string read() {
        const std::lock_guard lock(mutex);
        return events;
    }
    // Events come from threads of their own.
    [[nodiscard]] bool ends_soon_with(const std::string& event) {
        for (int i = 0; i < 400; ++i) {
            if (read().ends_with(event)) return true;
            std::this_thread::sleep_for(std::chrono::milliseconds(5));
        }
        return false;
    }
};

class BlockingTestWriter final : public BlockingWriter {
public:
    explicit BlockingTestWriter(std::shared_ptr<Diary> diary) : diary_(std::move(diary)) {
        options_.writer_id = Uuid::from_words(1, 1);
        options_.instance_id = Uuid::from_words(1, 2);
        options_.name = "Blocking";
        options_.freeze_limit = 300;
    }
    [[nodiscard]] const WriterOptions& options() const override { return options_; }
    Result<WriterMetadata> identify(WriterCall&) override { return WriterMetadata{}; }
    WriterAnswer on_prepare_backup(WriterCall&) override { return noted("prepare_backup"); }
    WriterAnswer on_prepare_snapshot(WriterCall&) override { return noted("prepare_snapshot"); }
    WriterAnswer on_freeze(WriterCall& call) override {
        diary_->note("freeze");
        if (diary_->freeze_hangs) {
            diary_->gate.wait();
            abandoned_ = call.abandoned();  // the call is still there, though nobody waits for it
        }
        diary_->freeze_returned = true;
        return WriterAnswer::ok();
    }
    WriterAnswer on_thaw(WriterCall&) override { return noted("thaw"); }
    WriterAnswer on_abort(WriterCall&) override { return noted("abort"); }
    WriterAnswer on_post_snapshot(WriterCall&) override { return noted("post_snapshot"); }
    WriterAnswer on_backup_complete(WriterCall&) override { return noted("backup_complete"); }
    WriterAnswer on_backup_shutdown(WriterCall&) override { return noted("backup_shutdown"); }

private:
    WriterAnswer noted(const char* event) {
        diary_->note(event);
        return WriterAnswer::ok();
    }
    const std::shared_ptr<Diary> diary_;
    WriterOptions options_;
    std::atomic<bool> abandoned_{false};
};

class BlockingTestProvider final : public BlockingProvider {
public:
    explicit BlockingTestProvider(std::shared_ptr<Diary> diary) : diary_(std::move(diary)) {
        facts_.properties.provider_id = Uuid::from_words(2, 1);
        facts_.properties.name = "Blocking maker";
        facts_.properties.type = ProviderType::software;
    }
    [[nodiscard]] const ProviderFacts& facts() const override { return facts_; }
    Result<bool> is_volume_supported(const std::string& volume, SnapshotAttributes) override {
        return volume == "V";
    }
    Status begin_prepare_snapshot(const SnapshotRequest& request) override {
        made_.snapshot_id = request.snapshot_id;
        made_.set_id = request.set_id;
        made_.attributes = request.attributes;
        return {};
    }
    Status end_prepare_snapshots(const Uuid&) override {
        if (hangs) diary_->gate.wait();
        return {};
    }
    Status pre_commit_snapshots(const Uuid&) override { return {}; }
    Status commit_snapshots(const Uuid&) override { return {}; }
    Status post_commit_snapshots(const Uuid&, std::int32_t) override { return {}; }
    Status pre_final_commit_snapshots(const Uuid&) override { return {}; }
    Status post_final_commit_snapshots(const Uuid&) override {
        exists_ = true;
        return {};
    }
    Status abort_snapshots(const Uuid&) override {
        aborted = true;
        return {};
    }
    Result<std::vector<SnapshotProperties>> query() override {
        ++queries;
        if (hanging_queries.fetch_sub(1) > 0) diary_->gate.wait();
        return exists_ ? std::vector{made_} : std::vector<SnapshotProperties>{};
    }
    Status delete_snapshot(const Uuid&, bool) override {
        exists_ = false;
        return {};
    }

    std::atomic<bool> hangs{false};
    std::atomic<bool> aborted{false};
    std::atomic<int> hanging_queries{0};
    std::atomic<int> queries{0};

private:
    const std::shared_ptr<Diary> diary_;
    ProviderFacts facts_;
    SnapshotProperties made_;
    std::atomic<bool> exists_{false};
};

struct House {
    explicit House(CoordinatorLimits limits = {}) {
        CoordinatorOptions options;
        options.limits = limits;
        host = std::make_unique<CoordinatorHost>(std::move(options));
        REQUIRE(host->register_writer(std::make_shared<BlockingTestWriter>(diary)).ok());
        provider = std::make_shared<BlockingTestProvider>(diary);
        REQUIRE(host->register_provider(std::shared_ptr<BlockingProvider>(provider)).ok());
    }
    std::shared_ptr<Diary> diary = std::make_shared<Diary>();
    std::shared_ptr<BlockingTestProvider> provider;
    std::unique_ptr<CoordinatorHost> host;
};

Result<HResult> ended(Result<Step> step, std::string_view what) {
    if (!step.ok()) return step.error();
    WaitLimits limits;
    limits.slice = 20;
    return finish(**step, what, limits);
}

// Up to and with PrepareForBackup.
std::unique_ptr<Requestor> prepared(House& house) {
    auto requestor = house.host->new_requestor();
    REQUIRE(requestor->initialize_for_backup("").ok());
    REQUIRE(requestor->set_backup_state({false, false, BackupType::full, false}).ok());
    REQUIRE(ended(requestor->gather_writer_metadata(), "gather").ok());
    REQUIRE(requestor->start_snapshot_set().ok());
    REQUIRE(requestor->add_to_snapshot_set("V", Uuid{}).ok());
    REQUIRE(ended(requestor->prepare_for_backup(), "PrepareForBackup").ok());
    return requestor;
}

constexpr auto begun = "prepare_backup prepare_snapshot freeze";

}  // namespace

TEST_CASE("a backup from another thread, with a writer and a provider that block") {
    House house;
    {
        const auto requestor = prepared(house);
        CHECK(*ended(requestor->do_snapshot_set(), "DoSnapshotSet") == HResult::vss_s_async_finished);
        CHECK(requestor->query_snapshots()->size() == 1);
        CHECK(ended(requestor->backup_complete(), "BackupComplete").ok());
        CHECK(ended(requestor->gather_writer_status(), "status").ok());
        const auto statuses = requestor->writer_status();
        REQUIRE(statuses.ok());
        CHECK(statuses->at(0).state == WriterState::stable);
        CHECK(requestor->save_as_xml()->find("snapshotSetId") != std::string::npos);
        CHECK(hresult_of(requestor->prepare_for_backup().error()) == HResult::vss_e_bad_state);
    }
    CHECK(house.diary->read() == std::string(begun) + " thaw post_snapshot backup_complete backup_shutdown");
    const auto other = house.host->new_requestor();
    REQUIRE(other->initialize_for_backup("").ok());
    CHECK(other->query_snapshots()->empty());
}

TEST_CASE("a writer that hangs in Freeze is cut off, gets Abort, and its late answer harms nobody") {
    House house;
    house.diary->freeze_hangs = true;
    const auto started = std::chrono::steady_clock::now();
    {
        const auto requestor = prepared(house);
        const auto failed = ended(requestor->do_snapshot_set(), "DoSnapshotSet");
        REQUIRE(!failed.ok());
        CHECK(hresult_of(failed.error()) == HResult::vss_e_writererror_timeout);
        CHECK(failed.error().message().find("writer 'Blocking' did not answer Freeze") != std::string::npos);
        CHECK(!failed.error().hint().empty());
    }
    CHECK(std::chrono::steady_clock::now() - started < std::chrono::seconds(10));
    CHECK(house.diary->read() == std::string(begun) + " abort backup_shutdown");
    CHECK(house.provider->aborted);
    CHECK_FALSE(house.diary->freeze_returned);
    house.host.reset();  // the call is still under way
    house.diary->gate.open();
    for (int i = 0; i < 400 && !house.diary->freeze_returned; ++i)
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
    CHECK(house.diary->freeze_returned);
}

TEST_CASE("a provider that hangs is left, told to abort, and the next set is not behind it") {
    CoordinatorLimits limits;
    limits.provider = 200;
    House house(limits);
    house.provider->hangs = true;
    {
        const auto requestor = prepared(house);
        const auto failed = ended(requestor->do_snapshot_set(), "DoSnapshotSet");
        REQUIRE(!failed.ok());
        CHECK(hresult_of(failed.error()) == HResult::vss_e_unexpected_provider_error);
        CHECK(failed.error().message().find("'Blocking maker'") != std::string::npos);
        CHECK(house.provider->aborted);
        CHECK(requestor->abort_backup().ok());
    }
    house.provider->hangs = false;
    const auto requestor = prepared(house);
    CHECK(ended(requestor->do_snapshot_set(), "DoSnapshotSet").ok());
    house.diary->gate.open();
}

TEST_CASE("a call that is given up does not take another session's with it") {
    CoordinatorLimits limits;
    limits.provider = 600;
    House house(limits);
    house.provider->hanging_queries = 1;
    const auto patient = [&] {
        auto requestor = house.host->new_requestor();
        REQUIRE(requestor->initialize_for_backup("").ok());
        return requestor;
    };
    const auto first = patient();
    const auto second = patient();
    std::thread asking([&] { CHECK_FALSE(first->query_snapshots().ok()); });  // hangs, until its limit
    while (house.provider->queries == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    CHECK(second->query_snapshots().ok());  // behind it for the first half of its own
    asking.join();
    house.diary->gate.open();
}

TEST_CASE("AbortSnapshots waits behind nobody's call") {
    CoordinatorLimits limits;
    limits.provider = 800;
    House house(limits);
    house.provider->hangs = true;
    house.provider->hanging_queries = 2;
    const auto requestor = prepared(house);
    const auto step = requestor->do_snapshot_set();
    REQUIRE(step.ok());
    std::this_thread::sleep_for(std::chrono::milliseconds(600));
    std::atomic<int> ended_queries{0};
    std::vector<std::thread> others;
    for (int i = 0; i < 2; ++i) {
        others.emplace_back([&] {
            const auto other = house.host->new_requestor();
            static_cast<void>(other->initialize_for_backup(""));
            static_cast<void>(other->query_snapshots());
            ++ended_queries;
        });
    }
    while (!house.provider->aborted && ended_queries == 0)
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    CHECK(house.provider->aborted);
    CHECK(ended_queries == 0);
    house.diary->gate.open();
    for (auto& one : others) one.join();
    CHECK((*step)->wait(10'000).ok());
}

TEST_CASE("dropping the requestor while writers are frozen thaws them by Abort at once") {
    House house;
    house.diary->freeze_hangs = true;
    {
        const auto requestor = prepared(house);
        const auto step = requestor->do_snapshot_set();
        REQUIRE(step.ok());
        CHECK(house.diary->ends_soon_with("freeze"));
        CHECK(requestor->start_snapshot_set().error().message().find("another call runs") !=
              std::string::npos);
    }
    CHECK(house.diary->read() == std::string(begun) + " abort backup_shutdown");
    house.diary->gate.open();
}

TEST_CASE("a step is cancelled from another thread; what comes too late is said") {
    House house;
    house.diary->freeze_hangs = true;
    const auto requestor = prepared(house);
    auto step = requestor->do_snapshot_set();
    REQUIRE(step.ok());
    CHECK((*step)->query_status()->state == StepState::pending);
    CHECK((*step)->wait(1).ok());
    CHECK(*(*step)->cancel() == HResult::s_ok);
    WaitLimits limits;
    const auto cancelled = finish(**step, "DoSnapshotSet", limits);
    REQUIRE(!cancelled.ok());
    CHECK((*step)->query_status()->state == StepState::cancelled);
    CHECK(*(*step)->cancel() == HResult::vss_s_async_cancelled);
    CHECK(house.diary->read() == std::string(begun) + " abort");
    CHECK(requestor->abort_backup().ok());
    auto gathered = requestor->gather_writer_status();
    CHECK(hresult_of(gathered.error()) == HResult::vss_e_bad_state);  // closed
    house.diary->gate.open();
}

TEST_CASE("abort_backup stops a step that runs") {
    House house;
    house.diary->freeze_hangs = true;
    const auto requestor = prepared(house);
    const auto step = requestor->do_snapshot_set();
    REQUIRE(step.ok());
    CHECK(house.diary->ends_soon_with("freeze"));
    CHECK(requestor->abort_backup().ok());
    CHECK((*step)->query_status()->state == StepState::cancelled);
    CHECK(house.diary->read() == std::string(begun) + " abort");
    house.diary->gate.open();
}

TEST_CASE("the host's end aborts what is open, and requestors that are left answer that it is over") {
    House house;
    house.diary->freeze_hangs = true;
    const auto requestor = prepared(house);
    const auto step = requestor->do_snapshot_set();
    REQUIRE(step.ok());
    CHECK(house.diary->ends_soon_with("freeze"));
    house.host.reset();
    CHECK(house.diary->read() == std::string(begun) + " abort backup_shutdown");
    CHECK(hresult_of(requestor->start_snapshot_set().error()) == HResult::vss_e_bad_state);
    CHECK((*step)->query_status()->state == StepState::cancelled);
    CHECK(*(*step)->cancel() == HResult::vss_s_async_finished);
    house.diary->gate.open();
}

TEST_CASE("many requestors at once: one set at a time, and nobody is left waiting") {
    House house;
    std::atomic<int> made{0};
    std::atomic<int> busy{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 8; ++i) {
        threads.emplace_back([&] {
            for (int round = 0; round < 20; ++round) {
                const auto requestor = house.host->new_requestor();
                if (!requestor->initialize_for_backup("").ok()) continue;
                static_cast<void>(requestor->set_context(context::file_share_backup));
                const auto set = requestor->start_snapshot_set();
                if (!set.ok()) {
                    if (hresult_of(set.error()) == HResult::vss_e_snapshot_set_in_progress) ++busy;
                    continue;
                }
                if (!requestor->add_to_snapshot_set("V", Uuid{}).ok()) continue;
                if (round % 3 == 0) continue;  // dropped in the middle
                if (ended(requestor->do_snapshot_set(), "DoSnapshotSet").ok()) ++made;
            }
        });
    }
    for (auto& thread : threads) thread.join();
    CHECK(made > 0);
    CHECK(made + busy <= 160);
    const auto last = house.host->new_requestor();
    REQUIRE(last->initialize_for_backup("").ok());
    CHECK(last->start_snapshot_set().ok());
}
