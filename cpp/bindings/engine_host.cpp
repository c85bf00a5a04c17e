#include "bindings/engine_host.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <csignal>

#include "bindings/engine_exports.h"
#include "runtime/posix_file.h"
#include "volume/inspect.h"
#include "volume/instant.h"

namespace exshadow {

namespace {

constexpr Nanoseconds lock_poll = 10 * millisecond_ns;
constexpr Nanoseconds inspection_time = 50 * millisecond_ns;  // inspect() tries the lock for a moment

Error closed_error(const std::string& what) {
    return Error(Code::closed, what + " is closed");
}

// Signals belong to the threads of the host program, not to ours.
class SignalsBlocked {
public:
    SignalsBlocked() {
        sigset_t all;
        ::sigfillset(&all);
        ::pthread_sigmask(SIG_SETMASK, &all, &before_);
    }
    SignalsBlocked(const SignalsBlocked&) = delete;
    SignalsBlocked& operator=(const SignalsBlocked&) = delete;
    ~SignalsBlocked() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

private:
    sigset_t before_{};
};

bool same_file(const std::string& left, const std::string& right) {
    struct stat one {};
    struct stat other {};
    if (::stat(left.c_str(), &one) != 0 || ::stat(right.c_str(), &other) != 0) return left == right;
    return one.st_dev == other.st_dev && one.st_ino == other.st_ino;
}

// True unless somebody holds the lock of the volume file now.
bool lock_is_free(const std::string& path) {
    const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
    return !file.valid() || ::flock(file.get(), LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK;
}

}  // namespace

OpenVolume::OpenVolume(Loop& loop, std::unique_ptr<Volume> opened)
    : path(opened->path()),
      name(opened->state().name),
      group(opened->state().group),
      uuid(opened->state().uuid),
      size(opened->size()),
      region_size(opened->state().region_size),
      volume_(std::move(opened)),
      changed_(loop) {}

OpenVolume::User::~User() {
    if (open_ != nullptr) open_->leave();
}

Volume* OpenVolume::enter() {
    if (volume_ == nullptr) return nullptr;
    ++users_;
    return volume_.get();
}

void OpenVolume::leave() {
    if (--users_ == 0) changed_.notify();
}

Status OpenVolume::check() const {
    if (closed_) return closed_error("volume " + name);
    return {};
}

Status OpenVolume::check(const SnapshotName& snapshot) const {
    EXSHADOW_TRY(check());
    const SnapshotRecord* const found = volume_->state().find_snapshot(snapshot.label);
    if (found != nullptr && (!snapshot.set_id || found->set_id == *snapshot.set_id)) return {};
    return Error(Code::not_found, "volume " + name + " has no snapshot '" + snapshot.label + "'" +
                                      (found == nullptr ? "" : " of that set any more"));
}

Result<std::unique_ptr<EngineHost>> EngineHost::make(LoopKind kind, Nanoseconds latency_limit) {
    const SignalsBlocked blocked;
    auto loop = make_loop(kind);
    if (!loop.ok()) return loop.error();
    return std::unique_ptr<EngineHost>(new EngineHost(std::move(loop).value(), latency_limit));
}

EngineHost::EngineHost(std::unique_ptr<Loop> loop, Nanoseconds latency_limit)
    : loop_(std::move(loop)),
      latency_limit_(latency_limit),
      idle_(*loop_),
      decided_(*loop_),
      decisions_(*loop_) {
    thread_ = std::make_unique<std::thread>([&running = *loop_] { running.run(); });
    ::pthread_setname_np(thread_->native_handle(), "exshadow");
}

EngineHost::~EngineHost() {
    if (!loop_->usable()) {
        // The parent's volumes and thread: left as they are, for ever.
        static_cast<void>(thread_.release());
        static_cast<void>(loop_.release());
        static_cast<void>(std::make_unique<std::vector<OpenVolumePointer>>(std::move(open_)).release());
        return;
    }
    const auto end = begin_close();
    while (!end->wait_for(std::chrono::seconds(1))) continue;
    finish_close();
}

Status EngineHost::check() const {
    if (!loop_->usable()) {
        return Error(Code::closed, "the engine belongs to the parent process", "open it anew after fork");
    }
    if (closing_) return closed_error("the engine");
    return {};
}

Status EngineHost::post(std::function<void()> function) {
    EXSHADOW_TRY(check());
    const std::lock_guard lock(mutex_);
    EXSHADOW_TRY(check());
    ++operations_;
    loop_->post(std::move(function));
    return {};
}

void EngineHost::ended() {
    if (--operations_ == 0) idle_.notify();
}

Status EngineHost::attach(std::function<void()> end) {
    EXSHADOW_TRY(check());
    const std::lock_guard lock(mutex_);
    EXSHADOW_TRY(check());
    if (attached_) return Error(Code::refused, "the engine has a coordinator", "use that one, or close it");
    attached_ = std::move(end);
    return {};
}

void EngineHost::detach() {
    std::function<void()> dropped;  // not under the lock: it may own us
    const std::lock_guard lock(mutex_);
    dropped.swap(attached_);
}

EngineHost::PendingPointer<Result<OpenVolumePointer>> EngineHost::open(OpenRequest request) {
    return start<Result<OpenVolumePointer>>(
        [this, request = std::move(request)] { return run_open(request); });
}

EngineHost::PendingPointer<Result<OpenVolumePointer>> EngineHost::create(OpenRequest request,
                                                                         CreateOptions options) {
    return start<Result<OpenVolumePointer>>(
        [this, request = std::move(request), options = std::move(options)] {
            return run_create(request, options);
        });
}

EngineHost::PendingPointer<Status> EngineHost::close(OpenVolumePointer open) {
    return start<Status>([this, open = std::move(open)] { return run_close(open); });
}

EngineHost::PendingPointer<Result<SplitResult>> EngineHost::split(SplitWish wish) {
    return start<Result<SplitResult>>([this, wish = std::move(wish)] { return run_split(wish); });
}

EngineHost::PendingPointer<Status> EngineHost::restore_instant(RestoreWishes wishes) {
    return start<Status>([this, wishes = std::move(wishes)] { return run_restore(*loop_, wishes); });
}

EngineHost::PendingPointer<Result<std::vector<OpenVolumePointer>>> EngineHost::volumes() {
    return start<Result<std::vector<OpenVolumePointer>>>([this] { return run_volumes(); });
}

void EngineHost::discard(PendingPointer<Result<OpenVolumePointer>> opening) {
    // When the engine is closing, the volume goes with it.
    static_cast<void>(post([this, opening = std::move(opening)] {
        opening->then([this, opening] {
            if (opening->result().ok()) static_cast<void>(close(*opening->result()));
        });
        ended();
    }));
}

EngineHost::PendingPointer<Result<EngineHost::ServerPointer>> EngineHost::serve(ServeWish wish) {
    auto shared = std::make_shared<ServeWish>(std::move(wish));
    return start<Result<ServerPointer>>([this, shared = std::move(shared)] { return run_serve(shared); });
}

EngineHost::PendingPointer<Status> EngineHost::close(ServerPointer server) {
    return start<Status>([this, server = std::move(server)] { return run_close_server(server); });
}

EngineHost::PendingPointer<Result<EngineHost::ServerFacts>> EngineHost::facts_of(ServerPointer server) {
    return start<Result<ServerFacts>>([this, server = std::move(server)] { return run_facts(server); });
}

EngineHost::PendingPointer<Status> EngineHost::begin_close() {
    if (!loop_->usable()) {
        auto nothing = std::make_shared<Pending<Status>>();
        nothing->settle(Status{});
        return nothing;
    }
    const std::lock_guard ending(ending_);
    std::unique_lock lock(mutex_);
    while (attached_) {
        auto end = attached_;
        lock.unlock();
        end();  // and detaches
        end = nullptr;
        lock.lock();
    }
    if (end_ != nullptr) return end_;
    end_ = std::make_shared<Pending<Status>>();
    closing_ = true;
    loop_->post([this] { spawn(close_all()); });
    return end_;
}

void EngineHost::finish_close() {
    if (!loop_->usable()) return;
    const std::lock_guard lock(join_mutex_);
    if (!thread_->joinable()) return;
    loop_->stop();
    thread_->join();
}

// --- on the loop ---

template <class T>
Task<void> EngineHost::run(EngineHost* host, std::function<Task<T>()> make, PendingPointer<T> pending) {
    std::optional<T> result;
    {
        auto task = make();
        result.emplace(co_await std::move(task));
    }
    make = nullptr;  // what it held goes before the answer
    pending->settle(std::move(*result));
    host->ended();
}

template <class T>
Task<T> EngineHost::run_on(OpenVolumePointer open, std::optional<SnapshotName> snapshot,
                           std::function<Task<T>(Volume&)> operation) {
    const Status found = snapshot ? open->check(*snapshot) : open->check();
    if (!found.ok()) co_return found.error();
    const OpenVolume::User user(open);
    auto task = operation(*open->volume_);
    co_return co_await std::move(task);
}

Task<Result<OpenVolumePointer>> EngineHost::run_open(OpenRequest request) {
    EXSHADOW_CO_TRY(refuse_open(request.path));
    auto waiting = wait_for_lock(request);
    EXSHADOW_CO_TRY(co_await std::move(waiting));
    VolumeOptions options;
    options.force = request.force;
    options.lock_wait = std::max(request.lock_wait, inspection_time);
    options.latency_limit = latency_limit_;
    auto opening = Volume::open(*loop_, request.path, request.metadata_copy, options);
    auto volume = co_await std::move(opening);
    if (!volume.ok()) co_return volume.error();
    auto admitting = admit(std::move(volume).value());
    co_return co_await std::move(admitting);
}

Task<Result<OpenVolumePointer>> EngineHost::run_create(OpenRequest request, CreateOptions create_options) {
    VolumeOptions options;
    options.force = request.force;
    options.lock_wait = request.lock_wait;
    options.latency_limit = latency_limit_;
    auto creating = Volume::create(*loop_, request.path, create_options, options);
    auto volume = co_await std::move(creating);
    if (!volume.ok()) co_return volume.error();
    auto admitting = admit(std::move(volume).value());
    co_return co_await std::move(admitting);
}

Status EngineHost::refuse_open(const std::string& path) const {
    for (const auto& open : open_) {
        if (!same_file(open->path, path)) continue;
        return Error(Code::busy, path + " is open in this engine already",
                     "use the volume that is open, or close it");
    }
    return {};
}

// Opening waits for a lock with the whole thread; here the other volumes go on meanwhile.
Task<Status> EngineHost::wait_for_lock(OpenRequest request) {
    const std::string& path = request.path;
    const Nanoseconds deadline = loop_->now() + request.lock_wait;
    while (!lock_is_free(path)) {
        if (closing_) co_return closed_error("the engine");
        if (*request.given_up) co_return Error(Code::cancelled, "nobody waits for " + path + " any more");
        if (loop_->now() >= deadline) {
            co_return Error(Code::busy, path + " is locked", "another exshadow process has this volume open",
                            EWOULDBLOCK);
        }
        co_await loop_->sleep(lock_poll);
    }
    co_return Status{};
}

Task<Result<OpenVolumePointer>> EngineHost::admit(std::unique_ptr<Volume> volume) {
    const auto open = std::make_shared<OpenVolume>(*loop_, std::move(volume));
    open_.push_back(open);
    auto deciding = decide_sets();
    co_await std::move(deciding);
    if (!closing_) co_return open;
    auto closing = run_close(open);
    static_cast<void>(co_await std::move(closing));
    co_return closed_error("the engine");
}

// Sets whose volumes are all here are decided now (E24). No volume is closed meanwhile.
Task<void> EngineHost::decide_sets() {
    const auto guard = co_await decisions_.lock();
    std::vector<OpenVolume::User> users;
    std::vector<Volume*> volumes;
    for (const auto& open : open_) {
        if (open->closed_) continue;
        users.emplace_back(open);
        volumes.push_back(open->volume_.get());
    }
    deciding_ = true;
    auto resolving = resolve_sets(volumes);
    static_cast<void>(co_await std::move(resolving));  // what failed stays in doubt and is shown so
    deciding_ = false;
    decided_.notify();
}

Task<Status> EngineHost::run_close(OpenVolumePointer open) {
    if (open->closed_.exchange(true)) {
        while (!open->gone_) co_await open->changed_.wait();
        co_return Status{};
    }
    while (deciding_) co_await decided_.wait();
    const auto servers = servers_;
    for (const auto& server : servers) {
        auto dropping =
            server->drop([name = open->name](const std::string& served) { return belongs_to(served, name); });
        co_await std::move(dropping);
    }
    auto closing = open->volume_->close();
    const Status status = co_await std::move(closing);
    while (open->users_ != 0) co_await open->changed_.wait();
    open->volume_.reset();
    open->gone_ = true;
    open->changed_.notify();
    std::erase(open_, open);
    co_return status;
}

Task<void> EngineHost::close_one(OpenVolumePointer open, std::optional<Error>& first_error) {
    const std::string name = open->name;
    auto closing = run_close(std::move(open));
    const Status status = co_await std::move(closing);
    if (!status.ok() && !first_error) first_error = status.error().within("volume " + name);
}

Task<void> EngineHost::close_all() {
    std::optional<Error> first_error;
    auto serving = close_servers();
    co_await std::move(serving);
    TaskGroup group(*loop_);
    const auto volumes = open_;
    for (const auto& open : volumes) group.spawn(close_one(open, first_error));
    auto waiting = group.wait();
    co_await std::move(waiting);
    // A volume that was being opened closes itself.
    while (operations_ != 0) co_await idle_.wait();
    end_->settle(first_error ? Status(*first_error) : Status{});
}

Task<Result<SplitResult>> EngineHost::run_split(SplitWish wish) {
    SplitRequest request;
    request.label = wish.label;
    request.plexes = wish.plexes;
    request.consistency = wish.consistency;
    request.set_id = wish.set_id;
    std::vector<OpenVolume::User> users;
    for (const auto& open : wish.volumes) {
        EXSHADOW_CO_TRY(open->check());
        users.emplace_back(open);
        request.volumes.push_back(open->volume_.get());
    }
    auto splitting = exshadow::split(*loop_, std::move(request));
    auto result = co_await std::move(splitting);
    if (result.ok()) last_turn_ns_ = result->turn_ns;
    co_return result;
}

Task<Status> EngineHost::run_restore(Loop& loop, RestoreWishes wishes) {
    std::vector<RestoreWish> members;
    std::vector<OpenVolume::User> users;
    for (std::size_t i = 0; i < wishes.volumes.size(); ++i) {
        const OpenVolumePointer& open = wishes.volumes[i];
        EXSHADOW_CO_TRY(open->check(wishes.snapshots[i]));
        users.emplace_back(open);
        members.push_back({open->volume_.get(), wishes.snapshots[i].label});
    }
    auto restoring = exshadow::restore_instant(loop, std::move(members));
    co_return co_await std::move(restoring);
}

Task<Result<std::vector<OpenVolumePointer>>> EngineHost::run_volumes() {
    std::vector<OpenVolumePointer> list;
    for (const auto& open : open_) {
        if (!open->closed_) list.push_back(open);
    }
    co_return list;
}

Task<Result<EngineHost::ServerPointer>> EngineHost::run_serve(std::shared_ptr<ServeWish> wish) {
    if (closing_) {
        for (const auto& listener : wish->listeners) nbd::remove_socket_file(listener);
        co_return closed_error("the engine");
    }
    auto exports =
        std::make_shared<EngineExports>(*loop_, open_, ViewOptions{wish->view_folder, wish->view_limit});
    const auto server = std::make_shared<nbd::Server>(*loop_, std::move(exports), wish->limits);
    for (auto& listener : wish->listeners) server->listen(std::move(listener));
    servers_.push_back(server);
    co_return server;
}

Task<Status> EngineHost::run_close_server(ServerPointer server) {
    auto closing = server->close();
    co_await std::move(closing);
    std::erase(servers_, server);
    co_return Status{};
}

Task<void> EngineHost::close_servers() {
    const auto servers = servers_;
    for (const auto& server : servers) {
        auto closing = run_close_server(server);
        static_cast<void>(co_await std::move(closing));
    }
}

Task<Result<EngineHost::ServerFacts>> EngineHost::run_facts(ServerPointer server) {
    ServerFacts facts;
    facts.connections = server->connections();
    facts.exports = server->totals();
    facts.refused = server->refused();
    auto listing = server->exports();
    const auto names = co_await std::move(listing);
    for (const auto& one : names) facts.exports.try_emplace(one.name);
    co_return facts;
}

template Task<void> EngineHost::run(EngineHost*, std::function<Task<Status>()>, PendingPointer<Status>);
template Task<Status> EngineHost::run_on(OpenVolumePointer, std::optional<SnapshotName>,
                                         std::function<Task<Status>(Volume&)>);
template Task<void> EngineHost::run(EngineHost*, std::function<Task<Result<VolumeFacts>>()>,
                                    PendingPointer<Result<VolumeFacts>>);
template Task<Result<VolumeFacts>> EngineHost::run_on(OpenVolumePointer, std::optional<SnapshotName>,
                                                      std::function<Task<Result<VolumeFacts>>(Volume&)>);
template Task<void> EngineHost::run(EngineHost*, std::function<Task<Result<std::string>>()>,
                                    PendingPointer<Result<std::string>>);
template Task<Result<std::string>> EngineHost::run_on(OpenVolumePointer, std::optional<SnapshotName>,
                                                      std::function<Task<Result<std::string>>(Volume&)>);
template Task<void> EngineHost::run(EngineHost*, std::function<Task<Result<Ranges>>()>,
                                    PendingPointer<Result<Ranges>>);
template Task<Result<Ranges>> EngineHost::run_on(OpenVolumePointer, std::optional<SnapshotName>,
                                                 std::function<Task<Result<Ranges>>(Volume&)>);

}  // namespace exshadow
