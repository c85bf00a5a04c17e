#include "vss/procedure_steps.h"

#include <algorithm>
#include <chrono>
#include <thread>

#include "vss/component_names.h"

namespace exshadow::vss {

void say(const Host& host, std::string_view line) {
    if (host.progress) host.progress(line);
}

bool is_cancelled(const Host& host) {
    return host.cancelled && host.cancelled();
}

Status pause(const Host& host, Milliseconds time) {
    constexpr Milliseconds piece = 200;
    for (Milliseconds slept = 0;; slept += piece) {
        if (is_cancelled(host)) return Error(Code::cancelled, "stopped on request");
        if (slept >= time) return {};
        const auto turn = std::min(piece, time - slept);
        if (host.sleep) {
            host.sleep(turn);
        } else {
            std::this_thread::sleep_for(std::chrono::milliseconds(turn));
        }
    }
}

WaitLimits with_cancel(const Host& host, WaitLimits limits) {
    limits.cancelled = host.cancelled;
    return limits;
}

Result<HResult> run(Result<Step> begun, std::string_view what, const WaitLimits& limits) {
    if (!begun.ok()) return begun.error();
    return finish(**begun, what, limits);
}

bool is_meant(const ComponentKey& named, const ComponentKey& one) {
    return named.writer_id == one.writer_id && named.logical_path == one.logical_path &&
           named.name == one.name && (named.instance_id.is_nil() || named.instance_id == one.instance_id);
}

Result<std::vector<WriterMetadata>> ask_writers(Requestor& requestor, const WaitLimits& limits) {
    const auto gathered = run(requestor.gather_writer_metadata(), "GatherWriterMetadata", limits);
    if (!gathered.ok()) return gathered.error();
    return requestor.writer_metadata();
}

Result<std::vector<WriterStatus>> look_at_writers(Requestor& requestor, const WaitLimits& limits) {
    const auto gathered = run(requestor.gather_writer_status(), "GatherWriterStatus", limits);
    if (!gathered.ok()) return gathered.error();
    return requestor.writer_status();
}

bool has_failed(const WriterStatus& status) {
    return failed(status.failure) || (status.state >= WriterState::failed_at_identify &&
                                      status.state <= WriterState::failed_at_backupshutdown);
}

namespace {

std::string application_text(HResult code, const std::string& message) {
    if (code == HResult::s_ok && message.empty()) return {};
    std::string text = "; its application says";
    if (!message.empty()) text += " '" + message + "'";
    if (code != HResult::s_ok) text += " " + hresult_text(code);
    return text;
}

}  // namespace

Error writer_error(const WriterStatus& status, std::string_view after,
                   const std::vector<ComponentReport>& failed_components) {
    // A writer that refused without a reason has a failed state and no code.
    const auto code = failed(status.failure) ? status.failure : HResult::vss_e_unexpected_writer_error;
    const auto* facts = find_hresult(code);
    const auto plain = vss_error(code, "");
    std::string message = hresult_text(code) + ": writer '" + status.name + "' (" + word(status.state) +
                          ", seen after " + std::string(after) + "): ";
    message += failed(status.failure) ? (facts != nullptr ? std::string(facts->meaning) : "unknown code")
                                      : "refused and gave no reason";
    message += application_text(status.application_failure, status.application_message);
    for (const auto& one : failed_components) {
        message += "; component '" + full_name(one.key.logical_path, one.key.name) +
                   "': " + hresult_text(one.failure->failure) +
                   application_text(one.failure->application_failure, one.failure->application_message);
    }
    std::string hint = plain.hint();
    if (is_transient(plain))
        hint += "; if it stays, restart the service that writer '" + status.name +
                "' belongs to, or exclude the writer when its data is not wanted";
    return {Code::writer_failed, std::move(message), std::move(hint), plain.os_error()};
}

bool is_transient(const Error& error) {
    if (error.code() == Code::cancelled || error.code() == Code::timed_out || error.os_error() == 0)
        return false;
    const auto* facts = find_hresult(hresult_of(error));
    return facts != nullptr && facts->retry == Retry::transient;
}

Result<Uuid> find_provider(Requestor& requestor, std::string_view id_or_name) {
    if (id_or_name.empty()) return Uuid{};
    if (const auto id = Uuid::parse(id_or_name)) return *id;
    const auto providers = requestor.query_providers();
    if (!providers.ok()) return providers.error();
    std::string known;
    for (const auto& one : *providers) {
        if (same_name(one.name, id_or_name)) return one.provider_id;
        known += (known.empty() ? "'" : ", '") + one.name + "'";
    }
    return Error(Code::not_found, "there is no provider '" + std::string(id_or_name) + "'",
                 known.empty() ? "no provider is registered" : "there are " + known);
}

}  // namespace exshadow::vss
