#include "vss/coordinator/blocking.h"

#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "runtime/loop.h"

namespace exshadow::vss {

namespace {

// A call between the loop and a thread. Whichever comes first, the answer or the abandoning, resumes the
// waiter; the other finds nobody. After that the loop is not touched any more: it may be gone.
class AnyTicket {
public:
    AnyTicket() = default;
    AnyTicket(const AnyTicket&) = delete;
    AnyTicket& operator=(const AnyTicket&) = delete;
    virtual ~AnyTicket() = default;
    // By the loop. True: a thread is in the call; else it has ended, or will not begin.
    virtual bool abandon() = 0;
};

template <class R>
class Ticket final : public AnyTicket {
public:
    explicit Ticket(Loop& loop) : loop_(&loop) {}

    struct Awaiter {
        Ticket& ticket;
        [[nodiscard]] bool await_ready() const { return false; }
        // False: it has ended already.
        [[nodiscard]] bool await_suspend(std::coroutine_handle<> waiter) const {
            const std::lock_guard lock(ticket.mutex_);
            if (ticket.loop_ == nullptr) return false;
            ticket.waiter_ = waiter;
            return true;
        }
        // Empty: abandoned.
        [[nodiscard]] std::optional<R> await_resume() const { return std::move(ticket.answer_); }
    };
    [[nodiscard]] Awaiter wait() { return {*this}; }

    [[nodiscard]] bool begin() {  // by the thread; false: nobody waits any more
        const std::lock_guard lock(mutex_);
        begun_ = loop_ != nullptr;
        return begun_;
    }
    void deliver(R answer) {  // by the thread
        const std::lock_guard lock(mutex_);
        if (loop_ == nullptr) return;
        answer_.emplace(std::move(answer));
        end();
    }
    bool abandon() override {
        const std::lock_guard lock(mutex_);
        if (loop_ == nullptr) return false;
        end();
        return begun_;
    }

private:
    void end() {  // with mutex_ held
        Loop* const loop = std::exchange(loop_, nullptr);
        if (waiter_) loop->post([loop, waiter = waiter_] { loop->enqueue(waiter); });
    }

    std::mutex mutex_;
    Loop* loop_;  // null: ended
    bool begun_ = false;
    std::coroutine_handle<> waiter_;
    std::optional<R> answer_;  // written before the end, read after it
};

// A thread and its queue. The thread shares it, so that it may be left alone with a call that hangs.
class Worker : public std::enable_shared_from_this<Worker> {
public:
    void add(std::function<void()> work) {
        const std::lock_guard lock(mutex_);
        queue_.push_back(std::move(work));
        if (!started_) {
            started_ = true;
            std::thread([self = shared_from_this()] { self->serve(); }).detach();
        }
        wake_.notify_one();
    }
    // No more work: the thread ends when it has done what it has.
    void finish() {
        const std::lock_guard lock(mutex_);
        finishing_ = true;
        wake_.notify_one();
    }
    // What has not begun; the thread ends when its present call returns.
    std::deque<std::function<void()>> leave() {
        const std::lock_guard lock(mutex_);
        finishing_ = true;
        wake_.notify_one();
        return std::exchange(queue_, {});
    }

private:
    void serve() {
        std::unique_lock lock(mutex_);
        for (;;) {
            wake_.wait(lock, [this] { return finishing_ || !queue_.empty(); });
            if (queue_.empty()) return;
            auto work = std::move(queue_.front());
            queue_.pop_front();
            lock.unlock();
            work();
            work = nullptr;
            lock.lock();
        }
    }

    std::mutex mutex_;
    std::condition_variable wake_;
    std::deque<std::function<void()>> queue_;  // guarded by mutex_
    bool started_ = false;                     // guarded by mutex_
    bool finishing_ = false;                   // guarded by mutex_
};

// Runs functions one after the other, on a thread that is left alone when one of them hangs. Loop thread
// only.
class CallThread {
public:
    CallThread() = default;
    CallThread(const CallThread&) = delete;
    CallThread& operator=(const CallThread&) = delete;
    ~CallThread() { worker_->finish(); }

    template <class R>
    std::shared_ptr<Ticket<R>> start(std::function<R()> function) {
        return give(*worker_, std::move(function));
    }
    // On a thread for this call alone, whatever runs or waits.
    template <class R>
    std::shared_ptr<Ticket<R>> start_beside(std::function<R()> function) {
        const auto alone = std::make_shared<Worker>();
        auto ticket = give(*alone, std::move(function));
        alone->finish();
        return ticket;
    }

    // The thread is left to the call that hangs in it; what waited behind moves to a new one.
    void replace() {
        auto waiting = worker_->leave();
        worker_ = std::make_shared<Worker>();
        for (auto& work : waiting) worker_->add(std::move(work));
    }

private:
    template <class R>
    static std::shared_ptr<Ticket<R>> give(Worker& worker, std::function<R()> function) {
        auto ticket = std::make_shared<Ticket<R>>(*Loop::current());
        worker.add([ticket, function = std::move(function)]() mutable {
            if (!ticket->begin()) return;
            auto answer = function();
            function = nullptr;  // what the call used is let go before anybody hears that it is done
            ticket->deliver(std::move(answer));
        });
        return ticket;
    }

    std::shared_ptr<Worker> worker_ = std::make_shared<Worker>();
};

template <class R>
Task<R> answer_of(std::shared_ptr<Ticket<R>> ticket, R otherwise) {
    auto answer = co_await ticket->wait();
    co_return answer.has_value() ? std::move(*answer) : std::move(otherwise);
}

Error abandoned() {
    return Error(Code::timed_out, "the call was abandoned");
}

class WriterOnThread final : public Writer {
public:
    explicit WriterOnThread(std::shared_ptr<BlockingWriter> writer) : writer_(std::move(writer)) {}

    [[nodiscard]] const WriterOptions& options() const override { return writer_->options(); }

    Task<Result<WriterMetadata>> identify(WriterCallPtr call) override {
        return run<Result<WriterMetadata>>(std::move(call), &BlockingWriter::identify, abandoned());
    }
    Task<WriterAnswer> on_prepare_backup(WriterCallPtr call) override {
        return send(std::move(call), &BlockingWriter::on_prepare_backup);
    }
    Task<WriterAnswer> on_prepare_snapshot(WriterCallPtr call) override {
        return send(std::move(call), &BlockingWriter::on_prepare_snapshot);
    }
    Task<WriterAnswer> on_freeze(WriterCallPtr call) override {
        return send(std::move(call), &BlockingWriter::on_freeze);
    }
    Task<WriterAnswer> on_thaw(WriterCallPtr call) override {
        return send(std::move(call), &BlockingWriter::on_thaw);
    }
    Task<WriterAnswer> on_abort(WriterCallPtr call) override {
        return send(std::move(call), &BlockingWriter::on_abort);
    }
    Task<WriterAnswer> on_post_snapshot(WriterCallPtr call) override {
        return send(std::move(call), &BlockingWriter::on_post_snapshot);
    }
    Task<WriterAnswer> on_backup_complete(WriterCallPtr call) override {
        return send(std::move(call), &BlockingWriter::on_backup_complete);
    }
    Task<WriterAnswer> on_backup_shutdown(WriterCallPtr call) override {
        return send(std::move(call), &BlockingWriter::on_backup_shutdown);
    }
    Task<WriterAnswer> on_pre_restore(WriterCallPtr call) override {
        return send(std::move(call), &BlockingWriter::on_pre_restore);
    }
    Task<WriterAnswer> on_post_restore(WriterCallPtr call) override {
        return send(std::move(call), &BlockingWriter::on_post_restore);
    }

    void abandon(const WriterCallPtr& call) override {
        const auto found = running_.find(call.get());
        if (found == running_.end()) return;
        const auto ticket = std::move(found->second);
        running_.erase(found);
        if (ticket->abandon()) thread_.replace();
    }

private:
    template <class R, class Method>
    Task<R> run(WriterCallPtr call, Method method, R otherwise) {
        auto ticket = thread_.start<R>([writer = writer_, call, method] { return (*writer.*method)(*call); });
        running_[call.get()] = ticket;
        return finish<R>(std::move(call), std::move(ticket), std::move(otherwise));
    }
    template <class R>
    Task<R> finish(WriterCallPtr call, std::shared_ptr<Ticket<R>> ticket, R otherwise) {
        auto task = answer_of<R>(std::move(ticket), std::move(otherwise));
        auto answer = co_await std::move(task);
        running_.erase(call.get());
        co_return answer;
    }
    Task<WriterAnswer> send(WriterCallPtr call, WriterAnswer (BlockingWriter::*method)(WriterCall&)) {
        return run<WriterAnswer>(std::move(call), method, WriterAnswer::ok());
    }

    const std::shared_ptr<BlockingWriter> writer_;
    CallThread thread_;
    std::map<const WriterCall*, std::shared_ptr<AnyTicket>> running_;
};

class ProviderOnThread final : public Provider {
public:
    explicit ProviderOnThread(std::shared_ptr<BlockingProvider> provider) : provider_(std::move(provider)) {}

    [[nodiscard]] const ProviderFacts& facts() const override { return provider_->facts(); }

    Task<Result<bool>> is_volume_supported(std::string volume, SnapshotAttributes attributes) override {
        return run(&BlockingProvider::is_volume_supported, volume, attributes);
    }
    Task<Result<Uuid>> snapshot_id(Uuid set, std::string volume, Uuid proposed) override {
        return run(&BlockingProvider::snapshot_id, set, volume, proposed);
    }
    Task<Status> begin_prepare_snapshot(SnapshotRequest request) override {
        return run(&BlockingProvider::begin_prepare_snapshot, request);
    }
    Task<Status> end_prepare_snapshots(Uuid set) override {
        return run(&BlockingProvider::end_prepare_snapshots, set);
    }
    Task<Status> pre_commit_snapshots(Uuid set) override {
        return run(&BlockingProvider::pre_commit_snapshots, set);
    }
    Task<Status> commit_snapshots(Uuid set) override { return run(&BlockingProvider::commit_snapshots, set); }
    Task<Status> post_commit_snapshots(Uuid set, std::int32_t count) override {
        return run(&BlockingProvider::post_commit_snapshots, set, count);
    }
    Task<Status> pre_final_commit_snapshots(Uuid set) override {
        return run(&BlockingProvider::pre_final_commit_snapshots, set);
    }
    Task<Status> post_final_commit_snapshots(Uuid set) override {
        return run(&BlockingProvider::post_final_commit_snapshots, set);
    }
    Task<Status> abort_snapshots(Uuid set) override {
        // At any moment: behind nobody's call.
        auto ticket = thread_.start_beside<Status>(
            [provider = provider_, set] { return provider->abort_snapshots(set); });
        return keep(std::move(ticket), Where::beside);
    }
    Task<Result<std::vector<SnapshotProperties>>> query() override { return run(&BlockingProvider::query); }
    Task<Status> delete_snapshot(Uuid snapshot, bool force) override {
        return run(&BlockingProvider::delete_snapshot, snapshot, force);
    }
    Task<Status> break_snapshot_set(Uuid set, BreakFlags flags) override {
        return run(&BlockingProvider::break_snapshot_set, set, flags);
    }
    Task<Result<SnapshotProperties>> import_snapshot(RecordedSnapshot recorded) override {
        return run(&BlockingProvider::import_snapshot, recorded);
    }
    Task<Result<std::string>> expose_snapshot(Uuid snapshot, std::string path_from_root, Exposure how,
                                              std::string name) override {
        return run(&BlockingProvider::expose_snapshot, snapshot, path_from_root, how, name);
    }
    Task<Status> unexpose_snapshot(Uuid snapshot) override {
        return run(&BlockingProvider::unexpose_snapshot, snapshot);
    }
    Task<Status> revert_to_snapshot(Uuid snapshot, bool force_dismount) override {
        return run(&BlockingProvider::revert_to_snapshot, snapshot, force_dismount);
    }
    Task<Status> query_revert_status(std::string volume) override {
        return run(&BlockingProvider::query_revert_status, volume);
    }
    Task<Status> resync(std::vector<ResyncPair> pairs, RecoveryFlags flags) override {
        return run(&BlockingProvider::resync, pairs, flags);
    }

    void abandon(ProviderCall /*call*/, CallNumber number) override {
        const auto found = running_.find(number);
        if (found == running_.end()) return;
        const auto [ticket, where] = found->second;
        running_.erase(found);
        const auto still_there = ticket.lock();
        if (still_there && still_there->abandon() && where == Where::in_turn) thread_.replace();
    }

private:
    enum class Where : std::uint8_t { in_turn, beside };
    struct Running {
        std::weak_ptr<AnyTicket> ticket;
        Where where;
    };

    template <class R, class... Parameters, class... Values>
    Task<R> run(R (BlockingProvider::*method)(Parameters...), Values... values) {
        auto ticket = thread_.start<R>([provider = provider_, method, ... held = std::move(values)] {
            return (*provider.*method)(held...);
        });
        return keep(std::move(ticket), Where::in_turn);
    }
    template <class R>
    Task<R> keep(std::shared_ptr<Ticket<R>> ticket, Where where) {
        std::erase_if(running_, [](const auto& one) { return one.second.ticket.expired(); });
        running_[count_call()] = {ticket, where};
        return answer_of<R>(std::move(ticket), abandoned());
    }

    const std::shared_ptr<BlockingProvider> provider_;
    CallThread thread_;
    std::map<CallNumber, Running> running_;
};

}  // namespace

std::shared_ptr<Writer> on_own_thread(std::shared_ptr<BlockingWriter> writer) {
    return std::make_shared<WriterOnThread>(std::move(writer));
}

std::shared_ptr<Provider> on_own_thread(std::shared_ptr<BlockingProvider> provider) {
    return std::make_shared<ProviderOnThread>(std::move(provider));
}

}  // namespace exshadow::vss
