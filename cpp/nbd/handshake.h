// Handshake: the server's side of fixed newstyle negotiation, from the greeting to an export to serve.
//
// Lengths are judged before anything is kept (options and names are bounded); every option that is understood
// gets exactly one final reply, whatever the order they come in. What was agreed before counts until the same
// thing is negotiated again. An export is asked for to be served only when the client goes into transmission.
// Loop thread of the server; borrows stream and exports.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "nbd/export.h"
#include "nbd/limits.h"
#include "nbd/protocol.h"
#include "nbd/session.h"
#include "runtime/socket.h"

namespace exshadow::nbd {

struct Agreement {
    ExportPointer exported;
    Negotiated negotiated;
    std::vector<std::byte> received;  // requests that came along
};

class Handshake {
public:
    Handshake(Stream& stream, Exports& exports, const Limits& limits)
        : stream_(stream), exports_(exports), limits_(limits) {}

    // Nothing when the client left, gave up or broke the protocol.
    [[nodiscard]] Task<std::optional<Agreement>> run();

private:
    enum class Next : std::uint8_t { option, transmission, end };

    // handshake.cpp
    [[nodiscard]] Task<bool> receive(std::size_t count);
    [[nodiscard]] Task<bool> skip(std::uint64_t count);
    [[nodiscard]] Task<bool> send();
    [[nodiscard]] std::span<const std::byte> received() const { return std::span(buffer_).subspan(taken_); }
    [[nodiscard]] Task<bool> greet();
    [[nodiscard]] Task<Next> next_option();
    [[nodiscard]] Task<Next> carry_out(std::uint32_t option, std::vector<std::byte> data);
    [[nodiscard]] Task<Next> refuse_length(std::uint32_t option, std::uint64_t length);
    void reply(std::uint32_t option, OptionReply type, std::span<const std::byte> data = {});
    void reply(std::uint32_t option, OptionReply type, std::string_view text);

    // options.cpp
    [[nodiscard]] Task<Next> export_name(std::vector<std::byte> data);
    [[nodiscard]] Task<Next> list(std::vector<std::byte> data);
    [[nodiscard]] Task<Next> go(std::uint32_t option, std::vector<std::byte> data);
    [[nodiscard]] Task<Next> meta_context(std::uint32_t option, std::vector<std::byte> data);
    void structured_reply(std::span<const std::byte> data);
    void refuse_export(std::uint32_t option, const Error& error);
    void send_info(std::uint32_t option, Info info, const ExportFacts& facts, const std::string& name);
    void answer_queries(std::uint32_t option, const ExportFacts& facts,
                        const std::vector<std::string>& queries);
    [[nodiscard]] std::uint16_t flags_of(const ExportFacts& facts) const;

    Stream& stream_;
    Exports& exports_;
    const Limits& limits_;

    std::vector<std::byte> buffer_;  // received; the first taken_ bytes are done with
    std::size_t taken_ = 0;
    std::vector<std::byte> replies_;
    bool no_zeroes_ = false;
    bool fixed_ = false;
    std::size_t options_ = 0;
    Negotiated negotiated_;
    std::string contexts_of_;  // the export that negotiated_.contexts belong to
    ExportPointer export_;
};

}  // namespace exshadow::nbd
