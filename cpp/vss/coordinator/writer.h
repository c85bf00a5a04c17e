// Writer: an application whose data is to be quiet for the moment of the snapshot. VSS's callbacks
// (CVssWriter) in snake_case; fact sheet, section 4.
//
// A Writer is asynchronous and runs on the coordinator's loop. Most are written as a BlockingWriter and
// given to on_own_thread() (blocking.h).
//
// The coordinator waits for an answer only as long as the event's limit; after that it calls abandon(), goes
// on without it and drops the answer. The writer stays alive until its calls have returned (shared
// ownership): an asynchronous writer must heed abandon() and let its task end, else the coroutine and what it
// holds stay for as long as the process lives.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "runtime/task.h"
#include "vss/component_index.h"
#include "vss/metadata.h"
#include "vss/requestor.h"
#include "vss/types.h"

namespace exshadow::vss {

// In the order of a backup, then of a restore.
enum class WriterEvent : std::uint8_t {
    identify,
    prepare_backup,
    prepare_snapshot,
    freeze,
    thaw,
    abort,
    post_snapshot,
    backup_complete,
    backup_shutdown,
    pre_restore,
    post_restore,
};
inline constexpr std::size_t writer_event_count = static_cast<std::size_t>(WriterEvent::post_restore) + 1;
[[nodiscard]] std::string_view word(WriterEvent event);      // "prepare_backup"
[[nodiscard]] std::string_view sdk_name(WriterEvent event);  // "PrepareForBackup"

// What CVssWriter::Initialize and Subscribe are told.
struct WriterOptions {
    Uuid writer_id;
    Uuid instance_id;  // nil: the coordinator makes one
    std::string name;
    std::string instance_name;
    UsageType usage = UsageType::user_data;
    SourceType source = SourceType::other;
    ApplicationLevel level = ApplicationLevel::front_end;
    Milliseconds freeze_limit = 60'000;  // Freeze to Thaw; Exchange-like writers have 20 s
    SubscribeMask subscribe =
        SubscribeMask::post_snapshot | SubscribeMask::backup_events | SubscribeMask::restore_events;
    AlternateWriterState alternate = AlternateWriterState::no_alternate_writer;
};

// How a callback ended. `noted`: the failure is recorded and the event goes on (SetWriterFailure and
// `return true`); else a failure is fatal. SetWriterFailure takes a WRITERERROR_* code.
struct WriterAnswer {
    HResult failure = HResult::s_ok;
    bool noted = false;
    HResult application_failure = HResult::s_ok;
    std::string application_message;

    [[nodiscard]] bool fatal() const { return failed(failure) && !noted; }
    [[nodiscard]] static WriterAnswer ok() { return {}; }
    [[nodiscard]] static WriterAnswer fail(HResult code, std::string message = {}) {
        return {code, false, HResult::s_ok, std::move(message)};
    }
    [[nodiscard]] static WriterAnswer note(HResult code, std::string message = {}) {
        return {code, true, HResult::s_ok, std::move(message)};
    }
};

// What every writer may know of the session that an event belongs to.
struct SessionFacts {
    Uuid session_id;
    Uuid set_id;  // nil: no set
    SnapshotAttributes context = context::backup;
    BackupState state;
    RestoreType restore_type = RestoreType::undefined;
    std::vector<std::string> volumes;  // of the set, as the requestor named them
    // The volume that a path lies on, when the coordinator was told how to find it (CoordinatorOptions).
    std::function<std::string(std::string_view path)> volume_of_path;
};

// One event sent to one writer: what it may know and, in the events that permit it, its part of the Backup
// Components Document, read and edited in a copy that the coordinator takes over when the answer came in
// time. Used by one callback, on its thread; abandoned() from any.
class WriterCall {
public:
    WriterCall(WriterEvent event, std::shared_ptr<const SessionFacts> facts, BackupWriter own)
        : event_(event), facts_(std::move(facts)), own_(std::move(own)) {}

    [[nodiscard]] WriterEvent event() const { return event_; }
    [[nodiscard]] const SessionFacts& facts() const { return *facts_; }
    // AreComponentsSelected: the requestor chooses components; else writers decide by volume.
    [[nodiscard]] bool components_selected() const { return facts_->state.select_components; }
    // IsPathAffected: does the path lie on a volume of the set?
    [[nodiscard]] bool is_path_affected(std::string_view path) const;
    // The coordinator has stopped waiting; whatever is answered is dropped.
    [[nodiscard]] bool abandoned() const { return abandoned_.load(std::memory_order_relaxed); }

    // The writer's components; empty in events where the document is closed (PrepareForSnapshot, Freeze,
    // Thaw, Abort, BackupShutdown).
    [[nodiscard]] const BackupWriter& components() const { return own_; }

    // Edits. VSS_E_BAD_STATE where the event does not permit it, VSS_E_OBJECT_NOT_FOUND for a component that
    // is not in the document. PrepareForBackup and PostSnapshot: metadata, stamps, partial and differenced
    // files. PreRestore: targets and its message. PostRestore: its message. A component's own failure: all
    // four.
    Status set_backup_metadata(std::string_view path, std::string_view name, std::string text);
    Status set_restore_metadata(std::string_view path, std::string_view name, std::string text);
    Status set_backup_stamp(std::string_view path, std::string_view name, std::string text);
    Status add_partial_file(std::string_view path, std::string_view name, PartialFile file);
    Status add_differenced_file(std::string_view path, std::string_view name, DifferencedFile file);
    Status set_restore_target(std::string_view path, std::string_view name, RestoreTarget target);
    Status add_directed_target(std::string_view path, std::string_view name, DirectedTarget target);
    Status set_pre_restore_failure(std::string_view path, std::string_view name, std::string text);
    Status set_post_restore_failure(std::string_view path, std::string_view name, std::string text);
    Status set_component_failure(std::string_view path, std::string_view name, ComponentFailure failure);

    // For the coordinator.
    void mark_abandoned() { abandoned_.store(true, std::memory_order_relaxed); }
    [[nodiscard]] bool edited() const { return edited_; }

private:
    [[nodiscard]] Result<BackupComponent*> editable(std::string_view what, bool permitted,
                                                    std::string_view path, std::string_view name);
    [[nodiscard]] bool backup_part_open() const;

    const WriterEvent event_;
    const std::shared_ptr<const SessionFacts> facts_;
    BackupWriter own_;
    ComponentIndex index_;  // of own_
    bool edited_ = false;
    std::atomic<bool> abandoned_{false};
};
using WriterCallPtr = std::shared_ptr<WriterCall>;

class Writer {
public:
    Writer() = default;
    Writer(const Writer&) = delete;
    Writer& operator=(const Writer&) = delete;
    virtual ~Writer() = default;

    [[nodiscard]] virtual const WriterOptions& options() const = 0;

    // Ids, names, usage and source of the answer are taken from options(), whatever it says.
    virtual Task<Result<WriterMetadata>> identify(WriterCallPtr call) = 0;
    virtual Task<WriterAnswer> on_prepare_backup(WriterCallPtr call);
    virtual Task<WriterAnswer> on_prepare_snapshot(WriterCallPtr call) = 0;
    virtual Task<WriterAnswer> on_freeze(WriterCallPtr call) = 0;
    virtual Task<WriterAnswer> on_thaw(WriterCallPtr call) = 0;
    // Instead of Thaw or after it; may come while a callback that was cut off still runs.
    virtual Task<WriterAnswer> on_abort(WriterCallPtr call) = 0;
    virtual Task<WriterAnswer> on_post_snapshot(WriterCallPtr call);
    virtual Task<WriterAnswer> on_backup_complete(WriterCallPtr call);
    virtual Task<WriterAnswer> on_backup_shutdown(WriterCallPtr call);
    virtual Task<WriterAnswer> on_pre_restore(WriterCallPtr call);
    virtual Task<WriterAnswer> on_post_restore(WriterCallPtr call);

    // The coordinator no longer waits for this call: let its task end soon. What waits for ever leaks.
    virtual void abandon(const WriterCallPtr& call) { static_cast<void>(call); }
};

// The same callbacks as plain functions that may block. on_own_thread() makes a Writer of one.
class BlockingWriter {
public:
    BlockingWriter() = default;
    BlockingWriter(const BlockingWriter&) = delete;
    BlockingWriter& operator=(const BlockingWriter&) = delete;
    virtual ~BlockingWriter() = default;

    [[nodiscard]] virtual const WriterOptions& options() const = 0;

    virtual Result<WriterMetadata> identify(WriterCall& call) = 0;
    virtual WriterAnswer on_prepare_backup(WriterCall& call);
    virtual WriterAnswer on_prepare_snapshot(WriterCall& call) = 0;
    virtual WriterAnswer on_freeze(WriterCall& call) = 0;
    virtual WriterAnswer on_thaw(WriterCall& call) = 0;
    virtual WriterAnswer on_abort(WriterCall& call) = 0;
    virtual WriterAnswer on_post_snapshot(WriterCall& call);
    virtual WriterAnswer on_backup_complete(WriterCall& call);
    virtual WriterAnswer on_backup_shutdown(WriterCall& call);
    virtual WriterAnswer on_pre_restore(WriterCall& call);
    virtual WriterAnswer on_post_restore(WriterCall& call);
};

}  // namespace exshadow::vss
