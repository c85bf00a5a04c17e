// The writers of one session: who takes part, how each stands (fact sheet, 4.3), and the events sent to them.
// Writers of one level get an event side by side, in the order of their registration; Freeze goes from front
// end to system, Thaw back.
//
// Frozen writers have a window. What is waited for while one is frozen ends at frozen_until() at the latest;
// then expire() says who was late. abort() is always possible and never waits longer than its limit.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "runtime/task.h"
#include "vss/coordinator/coordinator.h"
#include "vss/coordinator/timed.h"
#include "vss/coordinator/writer.h"
#include "vss/metadata.h"

namespace exshadow::vss {

struct Participant {
    std::shared_ptr<Writer> writer;
    WriterOptions options;
    WriterMetadata metadata;
    WriterStatus status;
    bool told = false;      // PrepareForBackup was sent to it
    bool left_out = false;  // component mode, and nothing of it was chosen: no events after PrepareForBackup
    bool frozen = false;    // Freeze was sent, and neither Thaw nor Abort was answered
    bool past_snapshot = false;  // OnPostSnapshot ran: no Abort any more
    bool aborted = false;        // no further events of the operation, but BackupShutdown
    bool failed = false;         // refused an event or did not answer
    Nanoseconds frozen_until = never;
};

// Why an operation cannot go on. The text names who is to blame.
struct Refusal {
    HResult code = HResult::vss_e_unexpected;
    std::string text;
};
// `stopped`: the session was told to stop meanwhile.
struct EventOutcome {
    std::optional<Refusal> refusal;
    bool stopped = false;
    [[nodiscard]] bool well() const { return !refusal.has_value() && !stopped; }
};

class WriterSet {
public:
    WriterSet(HubPtr hub, const CoordinatorOptions& options) : hub_(std::move(hub)), options_(options) {}

    // What later events tell, and the document whose parts they show. Both outlive the set's use of them.
    void set_facts(std::shared_ptr<const SessionFacts> facts) { facts_ = std::move(facts); }
    void set_document(BackupDocument& document) { document_ = &document; }

    // Those who answer Identify well become the participants. False: stopped.
    Task<bool> identify(std::vector<Participant> candidates);
    [[nodiscard]] const std::vector<Participant>& participants() const { return participants_; }
    [[nodiscard]] bool identified() const { return !participants_.empty(); }
    // The part of the document that belongs to this running instance (writer_match.h); null: none.
    [[nodiscard]] BackupWriter* part_of(const Uuid& instance) const;

    // Who has nothing in the document gets no events from now on (component mode only).
    void leave_out_unchosen();

    // An event of the backup or restore, to everyone who takes part and is subscribed to it.
    Task<EventOutcome> send(WriterEvent event);
    Task<EventOutcome> freeze();
    Task<EventOutcome> thaw();
    // To everyone who was told of the backup and has not had it, nor PostSnapshot.
    Task<void> abort();
    Task<void> shut_down();  // to all

    [[nodiscard]] Nanoseconds frozen_until() const;
    [[nodiscard]] bool any_frozen() const;
    // Marks writers whose window is over; `waiting_for` says what took so long.
    [[nodiscard]] std::optional<Refusal> expire(std::string_view waiting_for);

private:
    using Indices = std::vector<std::size_t>;

    [[nodiscard]] bool wants(const Participant& one, WriterEvent event) const;
    [[nodiscard]] Indices takers(WriterEvent event) const;
    Task<EventOutcome> send_to(WriterEvent event, Indices to, Stoppable stoppable);
    [[nodiscard]] WriterCallPtr prepare_call(WriterEvent event, Participant& one);
    [[nodiscard]] Nanoseconds due(WriterEvent event, std::size_t taker, const Indices& to) const;
    std::optional<Refusal> take(Participant& one, const WriterCall& call, const WriterAnswer& answer);
    Refusal cut_off(Participant& one, const WriterCallPtr& call);
    void note_well(Participant& one, WriterEvent event);
    void note_failed(Participant& one, WriterEvent event, HResult code);
    [[nodiscard]] BackupWriter* part_of(const Participant& one) const;
    void observe(const Participant& one, WriterEvent event) const;

    HubPtr hub_;
    const CoordinatorOptions& options_;
    std::shared_ptr<const SessionFacts> facts_;
    BackupDocument* document_ = nullptr;
    std::vector<Participant> participants_;
    Nanoseconds all_frozen_until_ = never;  // the window of the whole, from the first Freeze
};

}  // namespace exshadow::vss
