// Coordinator: the part of the Volume Shadow Copy service, where there is no Windows: who the writers and
// providers are, and which sessions are open. session.h does what a requestor asks; host.h gives it a thread
// and makes Requestors of sessions.
//
// Thread rule: everything on the loop's thread. Ownership: writers and providers are shared with whoever made
// them. Close it before it is destroyed (checked): close() aborts every open session, so that no writer stays
// frozen.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "runtime/loop.h"
#include "runtime/sync.h"
#include "vss/coordinator/provider.h"
#include "vss/coordinator/slot.h"
#include "vss/coordinator/timed.h"
#include "vss/coordinator/writer.h"

namespace exshadow::vss {

class Session;

// How long the coordinator waits, in milliseconds. freeze and hold are VSS's; the others have no documented
// figure.
struct CoordinatorLimits {
    Milliseconds freeze = 60'000;  // first Freeze to last Thaw; a writer's own window may be shorter
    Milliseconds hold = 10'000;    // writes held, over flush and commit
    Milliseconds identify = 60'000;
    Milliseconds prepare_backup = 600'000;
    Milliseconds prepare_snapshot = 600'000;
    Milliseconds post_snapshot = 600'000;
    Milliseconds backup_complete = 600'000;
    Milliseconds restore = 600'000;   // PreRestore and PostRestore
    Milliseconds abort = 10'000;      // Abort and BackupShutdown: nobody may hold up the undoing
    Milliseconds provider = 600'000;  // a call; not one that moves a volume's data, nor an import
};

// Flushes file systems and holds writes around the commit, as volsnap does. None: nothing is held, which is
// right for providers whose commit is one instant for all volumes.
class WriteHolder {
public:
    WriteHolder() = default;
    WriteHolder(const WriteHolder&) = delete;
    WriteHolder& operator=(const WriteHolder&) = delete;
    virtual ~WriteHolder() = default;
    virtual Task<Status> flush_and_hold(std::vector<std::string> volumes) = 0;
    // Also after a failed hold, and while one that took too long still runs: that one must not hold any more.
    virtual Task<Status> release(std::vector<std::string> volumes) = 0;
};

// One callback or call, as it is made.
struct Callback {
    std::string actor;  // name of the writer or provider
    Uuid actor_id;      // instance of the writer, id of the provider
    bool of_writer = false;
    std::string_view event;  // word()
    Nanoseconds at = 0;      // the loop's clock
};

struct CoordinatorOptions {
    std::string machine = "localhost";
    CoordinatorLimits limits;
    // Who may make a set, and who may import one: one at a time among those who share the slot. Null: one
    // for this coordinator alone; file_slot() is shared by the processes of a machine.
    std::shared_ptr<CreationSlot> slot;
    std::shared_ptr<CreationSlot> import_slot;
    std::shared_ptr<WriteHolder> holder;                               // null: nothing is held
    std::function<std::string(std::string_view path)> volume_of_path;  // empty: by the volumes' names
    std::function<void(const Callback&)> observe;                      // empty: nobody listens
    // Snapshots that should be gone and could not be deleted, when nobody waits for the answer. Empty: nobody
    // listens.
    std::function<void(const Error&)> trouble;
    std::optional<WriterEvent> withheld;  // an event that no writer hears: only to try the tests themselves
};

class Coordinator {
public:
    Coordinator(Loop& loop, CoordinatorOptions options);
    Coordinator(const Coordinator&) = delete;
    Coordinator& operator=(const Coordinator&) = delete;
    ~Coordinator();

    // VSS_E_WRITER_ALREADY_SUBSCRIBED for an instance that is known. Gives the instance id. A session that is
    // open does not see writers that come later.
    Result<Uuid> register_writer(std::shared_ptr<Writer> writer);
    Status unregister_writer(const Uuid& instance);                // open sessions keep it
    Status register_provider(std::shared_ptr<Provider> provider);  // VSS_E_PROVIDER_ALREADY_REGISTERED
    Status unregister_provider(const Uuid& id);

    // VSS_E_BAD_STATE when the coordinator is being closed.
    [[nodiscard]] Result<std::shared_ptr<Session>> open();
    // Aborts and closes every session. Abandoned calls are not waited for.
    Task<void> close();

    // For Session.
    [[nodiscard]] Loop& loop() { return loop_; }
    [[nodiscard]] Alarms& alarms() { return alarms_; }
    [[nodiscard]] const CoordinatorOptions& options() const { return options_; }
    struct Subscription {
        std::shared_ptr<Writer> writer;
        WriterOptions options;  // with its instance id
    };
    [[nodiscard]] const std::vector<Subscription>& writers() const { return writers_; }
    [[nodiscard]] const std::vector<std::shared_ptr<Provider>>& providers() const { return providers_; }
    [[nodiscard]] CreationSlot& slot() { return *options_.slot; }
    [[nodiscard]] CreationSlot& import_slot() { return *options_.import_slot; }
    void forget(const Session& session);

private:
    Loop& loop_;
    CoordinatorOptions options_;
    Alarms alarms_;
    Signal changed_;
    std::vector<Subscription> writers_;
    std::vector<std::shared_ptr<Provider>> providers_;
    std::vector<std::shared_ptr<Session>> sessions_;
    bool closing_ = false;
    bool closed_ = false;
};

}  // namespace exshadow::vss
