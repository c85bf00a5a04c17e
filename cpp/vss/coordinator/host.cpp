#include "vss/coordinator/host.h"

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <tuple>
#include <utility>

#include "runtime/plain_loop.h"
#include "vss/coordinator/blocking.h"
#include "vss/coordinator/session.h"

namespace exshadow::vss {

namespace {

// An answer on its way from the loop to the thread that waits for it.
template <class R>
class Box {
public:
    void put(R answer) {
        const std::lock_guard lock(mutex_);
        answer_.emplace(std::move(answer));
        filled_.notify_one();
    }
    R get() {
        std::unique_lock lock(mutex_);
        filled_.wait(lock, [this] { return answer_.has_value(); });
        return std::move(*answer_);
    }
    // The same, with a look at `interrupted` now and then, until it once says yes.
    R get(const std::function<bool()>& interrupted, const std::function<void()>& stop) {
        constexpr std::chrono::milliseconds slice(100);
        std::unique_lock lock(mutex_);
        while (!filled_.wait_for(lock, slice, [this] { return answer_.has_value(); })) {
            lock.unlock();
            const bool now = interrupted();
            if (now) stop();
            if (now) return get();
            lock.lock();
        }
        return std::move(*answer_);
    }

private:
    std::mutex mutex_;
    std::condition_variable filled_;
    std::optional<R> answer_;
};

template <class R>
Task<void> fill(std::shared_ptr<Box<R>> box, Task<R> task) {
    auto answer = co_await std::move(task);
    box->put(std::move(answer));
}

template <class R>
Task<R> at_once(R value) {
    co_return value;
}

Error ended() {
    return vss_error(HResult::vss_e_bad_state, "the coordinator has ended");
}

}  // namespace

class CoordinatorHost::State {
public:
    State(Loop* running, CoordinatorOptions options)
        : own_loop_(running == nullptr ? std::make_unique<PlainLoop>() : nullptr),
          loop_(running == nullptr ? own_loop_.get() : running),
          coordinator_(std::in_place, *loop_, std::move(options)) {
        if (own_loop_) thread_ = std::thread([this] { own_loop_->run(); });
    }
    State(const State&) = delete;
    State& operator=(const State&) = delete;
    ~State() { EXSHADOW_CHECK(!thread_.joinable()); }

    // Runs `make`'s task on the loop and waits for its answer.
    template <class R>
    R run(std::function<Task<R>(Coordinator&)> make) {
        const auto box = post<R>(std::move(make));
        return box ? box->get() : R(ended());
    }
    // As above; once `interrupted` says so, `session` stops to wait for providers.
    template <class R>
    R run(std::function<Task<R>(Coordinator&)> make, const std::shared_ptr<Session>& session,
          const std::function<bool()>& interrupted) {
        const auto box = post<R>(std::move(make));
        if (!box) return ended();
        if (!interrupted) return box->get();
        return box->get(interrupted, [&] {
            const std::lock_guard lock(gate_);
            if (!closed_) loop_->post([session] { session->stop_waiting(); });
        });
    }

    void close() {
        EXSHADOW_CHECK(Loop::current() != loop_);
        auto box = std::make_shared<Box<Status>>();
        {
            const std::lock_guard lock(gate_);
            if (closed_) return;
            closed_ = true;  // the last message is ours
            loop_->post([this, box] { spawn(fill<Status>(box, end_coordinator())); });
        }
        static_cast<void>(box->get());
        if (!own_loop_) return;
        own_loop_->stop();
        thread_.join();
    }

private:
    // Null when the coordinator has ended.
    template <class R>
    std::shared_ptr<Box<R>> post(std::function<Task<R>(Coordinator&)> make) {
        EXSHADOW_CHECK(Loop::current() != loop_);
        auto box = std::make_shared<Box<R>>();
        const std::lock_guard lock(gate_);
        if (closed_) return nullptr;
        loop_->post([this, box, make = std::move(make)] { spawn(fill<R>(box, make(*coordinator_))); });
        return box;
    }

    Task<Status> end_coordinator() {
        auto closing = coordinator_->close();
        co_await std::move(closing);
        coordinator_.reset();
        co_return Status{};
    }

    std::unique_ptr<PlainLoop> own_loop_;
    Loop* const loop_;
    std::optional<Coordinator> coordinator_;  // loop thread
    std::thread thread_;
    std::mutex gate_;
    bool closed_ = false;  // guarded by gate_
};

namespace {

using StatePtr = std::shared_ptr<CoordinatorHost::State>;

class StepOnLoop final : public AsyncStep {
public:
    StepOnLoop(StatePtr state, StepPtr run) : state_(std::move(state)), run_(std::move(run)) {}

    Status wait(Milliseconds limit) override {
        run_->wait_from_outside(limit);
        return {};
    }
    Result<StepStatus> query_status() override { return run_->status(); }
    Result<HResult> cancel() override {
        auto asked = state_->run<Result<HResult>>(
            [run = run_](Coordinator&) { return at_once<Result<HResult>>(run->ask_to_stop()); });
        return asked.ok() ? std::move(asked) : Result<HResult>(HResult::vss_s_async_finished);
    }

private:
    const StatePtr state_;
    const StepPtr run_;
};

// Each call goes to the loop and is waited for; so what it is given may be passed on by reference.
class CoordinatorRequestor final : public Requestor {
public:
    CoordinatorRequestor(StatePtr state, Result<std::shared_ptr<Session>> session,
                         std::function<bool()> interrupted)
        : state_(std::move(state)), session_(std::move(session)), interrupted_(std::move(interrupted)) {}
    ~CoordinatorRequestor() override {
        if (!session_.ok()) return;
        // The session's last owner but the coordinator ends on the loop's thread.
        static_cast<void>(state_->run<Status>(
            [session = std::exchange(*session_, nullptr)](Coordinator&) { return close(session); }));
    }

    Status initialize_for_backup(std::string_view document) override {
        return call(&Session::initialize_for_backup, document);
    }
    Status initialize_for_restore(std::string_view document) override {
        return call(&Session::initialize_for_restore, document);
    }
    Status set_context(SnapshotAttributes context) override { return call(&Session::set_context, context); }
    Status set_backup_state(BackupState state) override { return call(&Session::set_backup_state, state); }
    Status set_restore_state(RestoreType type) override { return call(&Session::set_restore_state, type); }
    Status enable_writer_classes(std::span<const Uuid> classes) override {
        return call(&Session::enable_writer_classes, classes);
    }
    Status disable_writer_classes(std::span<const Uuid> classes) override {
        return call(&Session::disable_writer_classes, classes);
    }
    Status disable_writer_instances(std::span<const Uuid> instances) override {
        return call(&Session::disable_writer_instances, instances);
    }
    Result<Uuid> session_id() override { return call(&Session::session_id); }

    Result<Step> gather_writer_metadata() override { return step(&Session::gather_writer_metadata); }
    Result<std::vector<WriterMetadata>> writer_metadata() override { return call(&Session::writer_metadata); }
    Result<std::vector<std::string>> writer_metadata_documents() override {
        return call(&Session::writer_metadata_documents);
    }
    Status free_writer_metadata() override { return call(&Session::free_writer_metadata); }
    Result<Step> gather_writer_status() override { return step(&Session::gather_writer_status); }
    Result<std::vector<WriterStatus>> writer_status() override { return call(&Session::writer_status); }
    Result<std::vector<BackupWriter>> writer_components() override {
        return call(&Session::writer_components);
    }

    Status add_component(const ComponentKey& component) override {
        return call(&Session::add_component, component);
    }
    Status set_previous_backup_stamp(const ComponentKey& component, std::string_view stamp) override {
        return call(&Session::set_previous_backup_stamp, component, stamp);
    }
    Status set_backup_options(const ComponentKey& component, std::string_view options) override {
        return call(&Session::set_backup_options, component, options);
    }

    Result<bool> is_volume_supported(const Uuid& provider, std::string_view volume) override {
        return call(&Session::is_volume_supported, provider, volume);
    }
    Result<Uuid> start_snapshot_set() override { return call(&Session::start_snapshot_set); }
    Result<Uuid> add_to_snapshot_set(std::string_view volume, const Uuid& provider) override {
        return call(&Session::add_to_snapshot_set, volume, provider);
    }
    Result<Step> prepare_for_backup() override { return step(&Session::prepare_for_backup); }
    Result<Step> do_snapshot_set() override { return step(&Session::do_snapshot_set); }
    Status set_backup_succeeded(const ComponentKey& component, bool succeeded) override {
        return call(&Session::set_backup_succeeded, component, succeeded);
    }
    Result<Step> backup_complete() override { return step(&Session::backup_complete); }
    Status abort_backup() override { return call(&Session::abort_backup); }
    Result<std::string> save_as_xml() override { return call(&Session::save_as_xml); }

    Result<SnapshotProperties> snapshot_properties(const Uuid& snapshot) override {
        return call(&Session::snapshot_properties, snapshot);
    }
    Result<std::vector<SnapshotProperties>> query_snapshots() override {
        return call(&Session::query_snapshots);
    }
    Result<std::vector<ProviderProperties>> query_providers() override {
        return call(&Session::query_providers);
    }
    Result<DeleteOutcome> delete_snapshots(const Uuid& id, ObjectType type, bool force) override {
        return call(&Session::delete_snapshots, id, type, force);
    }
    Status break_snapshot_set(const Uuid& set) override { return call(&Session::break_snapshot_set, set); }
    Result<Step> break_snapshot_set_ex(const Uuid& set, BreakFlags flags) override {
        return step(&Session::break_snapshot_set_ex, set, flags);
    }
    Result<Step> import_snapshots() override { return step(&Session::import_snapshots); }
    Result<std::string> expose_snapshot(const Uuid& snapshot, std::string_view path_from_root, Exposure how,
                                        std::string_view name) override {
        return call(&Session::expose_snapshot, snapshot, path_from_root, how, name);
    }
    Status unexpose_snapshot(const Uuid& snapshot) override {
        return call(&Session::unexpose_snapshot, snapshot);
    }
    Status revert_to_snapshot(const Uuid& snapshot, bool force_dismount) override {
        return call(&Session::revert_to_snapshot, snapshot, force_dismount);
    }
    Result<Step> query_revert_status(std::string_view volume) override {
        return step(&Session::query_revert_status, volume);
    }
    Result<RootAndPrefix> root_and_logical_prefix_paths(std::string_view path, bool normalize_fqdn) override {
        return call(&Session::root_and_logical_prefix_paths, path, normalize_fqdn);
    }

    Status set_selected_for_restore(const ComponentKey& component, bool selected) override {
        return call(&Session::set_selected_for_restore, component, selected);
    }
    Status set_restore_options(const ComponentKey& component, std::string_view options) override {
        return call(&Session::set_restore_options, component, options);
    }
    Status set_additional_restores(const ComponentKey& component, bool more) override {
        return call(&Session::set_additional_restores, component, more);
    }
    Status set_authoritative_restore(const ComponentKey& component, bool authoritative) override {
        return call(&Session::set_authoritative_restore, component, authoritative);
    }
    Status set_roll_forward(const ComponentKey& component, RollForward kind,
                            std::string_view point) override {
        return call(&Session::set_roll_forward, component, kind, point);
    }
    Status set_restore_name(const ComponentKey& component, std::string_view name) override {
        return call(&Session::set_restore_name, component, name);
    }
    Status add_restore_subcomponent(const ComponentKey& component, const RestoreSubcomponent& part) override {
        return call(&Session::add_restore_subcomponent, component, part);
    }
    Status add_new_target(const ComponentKey& component, const LocationMapping& target) override {
        return call(&Session::add_new_target, component, target);
    }
    Status set_ranges_file_path(const ComponentKey& component, std::uint32_t partial_file,
                                std::string_view path) override {
        return call(&Session::set_ranges_file_path, component, partial_file, path);
    }
    Result<Step> pre_restore() override { return step(&Session::pre_restore); }
    Status add_alternative_location_mapping(const ComponentKey& component,
                                            const LocationMapping& mapping) override {
        return call(&Session::add_alternative_location_mapping, component, mapping);
    }
    Status set_file_restore_status(const ComponentKey& component, FileRestoreStatus status) override {
        return call(&Session::set_file_restore_status, component, status);
    }
    Result<Step> post_restore() override { return step(&Session::post_restore); }
    Status add_snapshot_to_recovery_set(const Uuid& snapshot, std::string_view destination) override {
        return call(&Session::add_snapshot_to_recovery_set, snapshot, destination);
    }
    Result<Step> recover_set(RecoveryFlags flags) override { return step(&Session::recover_set, flags); }

private:
    static Task<Status> close(std::shared_ptr<Session> session) {
        auto closing = session->close();
        co_await std::move(closing);
        co_return Status{};
    }

    // A call that waits for nobody.
    template <class T, class... Parameters, class... Values>
    Result<T> call(Result<T> (Session::*method)(Parameters...), Values&&... values) {
        if (!session_.ok()) return session_.error();
        return state_->run<Result<T>>([session = *session_, method, &values...](Coordinator&) {
            return at_once<Result<T>>(((*session).*method)(std::decay_t<Parameters>(values)...));
        });
    }
    template <class T, class... Parameters, class... Values>
    Result<T> call(Task<Result<T>> (Session::*method)(Parameters...), Values&&... values) {
        if (!session_.ok()) return session_.error();
        return state_->run<Result<T>>(
            [session = *session_, method, &values...](Coordinator&) {
                return ((*session).*method)(std::decay_t<Parameters>(values)...);
            },
            *session_, interrupted_);
    }
    template <class... Parameters, class... Values>
    Result<Step> step(Result<StepPtr> (Session::*method)(Parameters...), Values&&... values) {
        auto begun = call(method, std::forward<Values>(values)...);
        if (!begun.ok()) return begun.error();
        return Step(std::make_unique<StepOnLoop>(state_, std::move(*begun)));
    }

    const StatePtr state_;
    Result<std::shared_ptr<Session>> session_;
    const std::function<bool()> interrupted_;
};

}  // namespace

CoordinatorHost::CoordinatorHost(CoordinatorOptions options)
    : state_(std::make_shared<State>(nullptr, std::move(options))) {}

CoordinatorHost::CoordinatorHost(Loop& running, CoordinatorOptions options)
    : state_(std::make_shared<State>(&running, std::move(options))) {}

CoordinatorHost::~CoordinatorHost() {
    close();
}

void CoordinatorHost::close() {
    state_->close();
}

Result<Uuid> CoordinatorHost::register_writer(std::shared_ptr<Writer> writer) {
    return state_->run<Result<Uuid>>([writer = std::move(writer)](Coordinator& coordinator) {
        return at_once(coordinator.register_writer(writer));
    });
}
Result<Uuid> CoordinatorHost::register_writer(std::shared_ptr<BlockingWriter> writer) {
    return register_writer(on_own_thread(std::move(writer)));
}
Status CoordinatorHost::unregister_writer(const Uuid& instance) {
    return state_->run<Status>(
        [instance](Coordinator& coordinator) { return at_once(coordinator.unregister_writer(instance)); });
}
Status CoordinatorHost::register_provider(std::shared_ptr<Provider> provider) {
    return state_->run<Status>([provider = std::move(provider)](Coordinator& coordinator) {
        return at_once(coordinator.register_provider(provider));
    });
}
Status CoordinatorHost::register_provider(std::shared_ptr<BlockingProvider> provider) {
    return register_provider(on_own_thread(std::move(provider)));
}
Status CoordinatorHost::unregister_provider(const Uuid& id) {
    return state_->run<Status>(
        [id](Coordinator& coordinator) { return at_once(coordinator.unregister_provider(id)); });
}

std::unique_ptr<Requestor> CoordinatorHost::new_requestor(std::function<bool()> interrupted) {
    auto session = state_->run<Result<std::shared_ptr<Session>>>(
        [](Coordinator& coordinator) { return at_once(coordinator.open()); });
    return std::make_unique<CoordinatorRequestor>(state_, std::move(session), std::move(interrupted));
}

}  // namespace exshadow::vss
