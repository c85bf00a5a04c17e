// What the procedures share: waiting for steps, looking at the writers after each, telling their failures,
// trying again.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "vss/procedures.h"

namespace exshadow::vss {

void say(const Host& host, std::string_view line);
[[nodiscard]] bool is_cancelled(const Host& host);
// Sleeps in short pieces; the error is Code::cancelled when the host says so.
[[nodiscard]] Status pause(const Host& host, Milliseconds time);
[[nodiscard]] WaitLimits with_cancel(const Host& host, WaitLimits limits);

// Waits for a step that was begun; gives its success code.
[[nodiscard]] Result<HResult> run(Result<Step> begun, std::string_view what, const WaitLimits& limits);

// Is `one` the component that a caller named? A name without instance means it in every instance.
[[nodiscard]] bool is_meant(const ComponentKey& named, const ComponentKey& one);

// GatherWriterMetadata, and what it says: in the order of writer_metadata_documents().
[[nodiscard]] Result<std::vector<WriterMetadata>> ask_writers(Requestor& requestor, const WaitLimits& limits);

// GatherWriterStatus, and what it says.
[[nodiscard]] Result<std::vector<WriterStatus>> look_at_writers(Requestor& requestor,
                                                                const WaitLimits& limits);

// "VSS_E_WRITERERROR_RETRYABLE (0x800423F3): writer 'X' ... (failed_at_freeze, after DoSnapshotSet): ...";
// the hint says what to do. `failed` are its components that failed on their own.
[[nodiscard]] Error writer_error(const WriterStatus& status, std::string_view after,
                                 const std::vector<ComponentReport>& failed);
[[nodiscard]] bool has_failed(const WriterStatus& status);

// May the same be tried again with a new object?
[[nodiscard]] bool is_transient(const Error& error);

// A nil id for an empty text; an error that lists the providers when there is no such one.
[[nodiscard]] Result<Uuid> find_provider(Requestor& requestor, std::string_view id_or_name);

}  // namespace exshadow::vss
