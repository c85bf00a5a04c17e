// EngineHost: a loop on a thread of its own, the volumes open on it, and the way for other threads to have
// something done there. Knows nothing of Python; the loop's thread never takes the GIL (E34).
//
// Life: begin_close() refuses new operations, lets the clients of its servers go, closes every volume (jobs
// pause resumably) and waits for what is under way; finish_close() then joins the thread. The destructor does
// both. A host is kept by whoever shows it to people (engine, volumes, snapshots, jobs), never by an
// operation: so it ends on their threads.
//
// After fork() the child's calls are refused with Code::closed, and nothing is closed or freed there: the
// parent still uses it (E34).
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "bindings/pending.h"
#include "nbd/server.h"
#include "runtime/loop.h"
#include "runtime/sync.h"
#include "volume/group.h"
#include "volume/volume.h"
#include "volume/volume_device.h"

namespace exshadow {

// A snapshot as the caller named it: by label, or one and no other of that label.
struct SnapshotName {
    std::string label;
    std::optional<Uuid> set_id;
};

// A volume of a host. What is constant may be read by any thread, the rest belongs to the loop.
class OpenVolume final : public VolumeSource {
public:
    OpenVolume(Loop& loop, std::unique_ptr<Volume> opened);

    // For whoever serves it: the volume while its memory is there, though it may be closing. Loop only.
    [[nodiscard]] Volume* enter() override;
    void leave() override;

    const std::string path;
    const std::string name;
    const std::string group;
    const Uuid uuid;
    const std::uint64_t size;
    const std::uint32_t region_size;

    [[nodiscard]] bool closed() const { return closed_; }  // any thread

    std::weak_ptr<void> handle;  // who shows it; set and read under the GIL only

private:
    friend class EngineHost;

    // Keeps the volume's memory until an operation on it has ended.
    class User {
    public:
        explicit User(std::shared_ptr<OpenVolume> open) : open_(std::move(open)) { ++open_->users_; }
        User(User&&) noexcept = default;
        User(const User&) = delete;
        User& operator=(const User&) = delete;
        User& operator=(User&&) = delete;
        ~User();

    private:
        std::shared_ptr<OpenVolume> open_;
    };

    [[nodiscard]] Status check() const;
    [[nodiscard]] Status check(const SnapshotName& snapshot) const;

    std::unique_ptr<Volume> volume_;
    std::atomic<bool> closed_{false};
    bool gone_ = false;  // closed and its memory given back
    std::uint32_t users_ = 0;
    Signal changed_;
};

using OpenVolumePointer = std::shared_ptr<OpenVolume>;

class EngineHost {
public:
    template <class T>
    using PendingPointer = std::shared_ptr<Pending<T>>;
    using ServerPointer = std::shared_ptr<nbd::Server>;

    struct OpenRequest {
        std::string path;
        std::string metadata_copy;
        bool force = false;
        Nanoseconds lock_wait = 5 * second_ns;
        // Set by whoever stops waiting: the wait for the lock ends then. Any thread.
        std::shared_ptr<std::atomic<bool>> given_up = std::make_shared<std::atomic<bool>>(false);
    };
    struct SplitWish {
        std::vector<OpenVolumePointer> volumes;
        std::string label;
        std::map<std::string, std::string> plexes;
        std::string consistency;
        Uuid set_id;
    };

    struct RestoreWishes {
        std::vector<OpenVolumePointer> volumes;
        std::vector<SnapshotName> snapshots;  // one for each
    };

    // latency_limit: VolumeOptions::latency_limit of every volume.
    [[nodiscard]] static Result<std::unique_ptr<EngineHost>> make(
        LoopKind kind, Nanoseconds latency_limit = VolumeOptions{}.latency_limit);
    ~EngineHost();
    EngineHost(const EngineHost&) = delete;
    EngineHost& operator=(const EngineHost&) = delete;

    // --- any thread ---
    [[nodiscard]] bool usable() const { return loop_->usable(); }  // false in a child of fork()
    [[nodiscard]] std::string loop_name() const { return loop_->name(); }
    [[nodiscard]] Nanoseconds last_turn_ns() const {
        return last_turn_ns_;
    }  // of the last split; 0: none yet
    // Code::closed after begin_close(), and in a child of fork().
    [[nodiscard]] Status check() const;

    // Run a task on the loop. `make` is called there and lives until the task has ended.
    template <class T>
    [[nodiscard]] PendingPointer<T> start(std::function<Task<T>()> make) {
        auto pending = std::make_shared<Pending<T>>();
        const Status posted = post([this, make = std::move(make), pending]() mutable {
            spawn(run<T>(this, std::move(make), pending));
        });
        if (!posted.ok()) pending->settle(posted.error());
        return pending;
    }
    // The same for a task of one volume; Code::closed when that is closed. The volume lives until it ends.
    template <class T>
    [[nodiscard]] PendingPointer<T> start_on(OpenVolumePointer open,
                                             std::function<Task<T>(Volume&)> operation) {
        return start<T>([open = std::move(open), operation = std::move(operation)] {
            return run_on<T>(open, std::nullopt, operation);
        });
    }
    // And for one of its snapshots: Code::not_found when there is none of that name.
    template <class T>
    [[nodiscard]] PendingPointer<T> start_on(OpenVolumePointer open, SnapshotName snapshot,
                                             std::function<Task<T>(Volume&)> operation) {
        return start<T>([open = std::move(open), snapshot = std::move(snapshot),
                         operation = std::move(operation)] { return run_on<T>(open, snapshot, operation); });
    }

    // One thing that lives on the loop beside the volumes (a coordinator): `end` is called before anything is
    // closed, by whoever closes the host, and returns when it has called detach(). Code::refused when there
    // is one.
    [[nodiscard]] Status attach(std::function<void()> end);
    void detach();

    [[nodiscard]] PendingPointer<Result<OpenVolumePointer>> open(OpenRequest request);
    [[nodiscard]] PendingPointer<Result<OpenVolumePointer>> create(OpenRequest request,
                                                                   CreateOptions options);
    // Nobody waits for it any more: close the volume if it is opened all the same.
    void discard(PendingPointer<Result<OpenVolumePointer>> opening);
    [[nodiscard]] PendingPointer<Status> close(OpenVolumePointer open);
    [[nodiscard]] PendingPointer<Result<SplitResult>> split(SplitWish wish);
    [[nodiscard]] PendingPointer<Status> restore_instant(RestoreWishes wishes);
    [[nodiscard]] PendingPointer<Result<std::vector<OpenVolumePointer>>> volumes();

    struct ServeWish {
        std::vector<nbd::Listener> listeners;
        std::string view_folder;
        std::uint64_t view_limit = 0;
        nbd::Limits limits;
    };
    struct ServerFacts {
        std::vector<nbd::ConnectionFacts> connections;
        std::map<std::string, nbd::Totals> exports;  // those to be had now, and those served before
        std::uint64_t refused = 0;
    };
    // Serve every volume of the host over NBD, those opened later too.
    [[nodiscard]] PendingPointer<Result<ServerPointer>> serve(ServeWish wish);
    [[nodiscard]] PendingPointer<Status> close(ServerPointer server);
    [[nodiscard]] PendingPointer<Result<ServerFacts>> facts_of(ServerPointer server);

    // --- the loop's thread; the loop itself lives as long as the host ---
    [[nodiscard]] Loop& loop() { return *loop_; }
    [[nodiscard]] const std::vector<OpenVolumePointer>& volumes_now() const { return open_; }

    // --- any thread ---
    // Ends what is attached and waits for that. Every call answers the same end. Settled with the first error
    // of a volume that did not close cleanly.
    [[nodiscard]] PendingPointer<Status> begin_close();
    // Joins the thread. After begin_close() was settled; does nothing in a child of fork().
    void finish_close();

private:
    EngineHost(std::unique_ptr<Loop> loop, Nanoseconds latency_limit);

    [[nodiscard]] Status post(std::function<void()> function);
    void ended();

    // Defined in engine_host.cpp for the types that are used: a coroutine has one home.
    template <class T>
    static Task<void> run(EngineHost* host, std::function<Task<T>()> make, PendingPointer<T> pending);
    template <class T>
    static Task<T> run_on(OpenVolumePointer open, std::optional<SnapshotName> snapshot,
                          std::function<Task<T>(Volume&)> operation);

    [[nodiscard]] Task<Result<OpenVolumePointer>> run_open(OpenRequest request);
    [[nodiscard]] Task<Result<OpenVolumePointer>> run_create(OpenRequest request, CreateOptions options);
    [[nodiscard]] Status refuse_open(const std::string& path) const;
    [[nodiscard]] Task<Status> wait_for_lock(OpenRequest request);
    [[nodiscard]] Task<Result<OpenVolumePointer>> admit(std::unique_ptr<Volume> volume);
    [[nodiscard]] Task<void> decide_sets();
    [[nodiscard]] Task<Status> run_close(OpenVolumePointer open);
    [[nodiscard]] Task<void> close_one(OpenVolumePointer open, std::optional<Error>& first_error);
    [[nodiscard]] Task<void> close_all();
    [[nodiscard]] Task<Result<SplitResult>> run_split(SplitWish wish);
    [[nodiscard]] static Task<Status> run_restore(Loop& loop, RestoreWishes wishes);
    [[nodiscard]] Task<Result<std::vector<OpenVolumePointer>>> run_volumes();
    [[nodiscard]] Task<Result<ServerPointer>> run_serve(std::shared_ptr<ServeWish> wish);
    [[nodiscard]] Task<Status> run_close_server(ServerPointer server);
    [[nodiscard]] Task<void> close_servers();
    [[nodiscard]] Task<Result<ServerFacts>> run_facts(ServerPointer server);

    std::unique_ptr<Loop> loop_;
    const Nanoseconds latency_limit_;
    std::unique_ptr<std::thread> thread_;

    std::mutex ending_;  // held while what is attached ends; before mutex_
    std::mutex mutex_;
    PendingPointer<Status> end_;      // guarded by mutex_; set by begin_close()
    std::function<void()> attached_;  // guarded by mutex_; empty: nothing
    std::atomic<bool> closing_{false};
    std::mutex join_mutex_;
    std::atomic<std::uint64_t> operations_{0};  // posted and not ended
    std::atomic<Nanoseconds> last_turn_ns_{0};

    // The loop's.
    std::vector<OpenVolumePointer> open_;
    std::vector<ServerPointer> servers_;
    Signal idle_;
    Signal decided_;
    Mutex decisions_;
    bool deciding_ = false;
};

}  // namespace exshadow
