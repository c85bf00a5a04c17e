#include "nbd/handshake.h"

#include <algorithm>
#include <array>
#include <utility>

#include "nbd/fields.h"

namespace exshadow::nbd {

namespace {

constexpr std::size_t receive_bytes = 4 * KiB;
constexpr std::uint64_t longest_skip = MiB;  // of a refused option; behind that the client is let go
constexpr std::size_t longest_reply_batch = MiB;

}  // namespace

Task<std::optional<Agreement>> Handshake::run() {
    auto greeting = greet();
    if (!co_await std::move(greeting)) co_return std::nullopt;
    for (;;) {
        auto option = next_option();
        const Next next = co_await std::move(option);
        auto sending = send();
        if (!co_await std::move(sending) || next == Next::end) co_return std::nullopt;
        if (next == Next::transmission) break;
    }
    const auto rest = received();
    co_return Agreement{std::move(export_), std::move(negotiated_), {rest.begin(), rest.end()}};
}

Task<bool> Handshake::greet() {
    append(replies_, init_magic);
    append(replies_, option_magic);
    append(replies_, static_cast<std::uint16_t>(flag_fixed_newstyle | flag_no_zeroes));
    auto sending = send();
    if (!co_await std::move(sending)) co_return false;
    auto receiving = receive(sizeof(std::uint32_t));
    if (!co_await std::move(receiving)) co_return false;
    const auto flags = load<std::uint32_t>(received());
    taken_ += sizeof(flags);
    fixed_ = (flags & flag_fixed_newstyle) != 0;
    no_zeroes_ = (flags & flag_no_zeroes) != 0;
    co_return (flags & ~std::uint32_t{flag_fixed_newstyle | flag_no_zeroes}) == 0;
}

Task<Handshake::Next> Handshake::next_option() {
    auto receiving = receive(sizeof(WireOption));
    if (!co_await std::move(receiving)) co_return Next::end;
    Fields head(received().first(sizeof(WireOption)));
    const auto magic = head.number<std::uint64_t>();
    const auto option = head.number<std::uint32_t>();
    const auto length = head.number<std::uint32_t>();
    taken_ += sizeof(WireOption);
    if (magic != option_magic || ++options_ > limits_.options) co_return Next::end;
    if (length > limits_.option_bytes) {
        auto refusing = refuse_length(option, length);
        co_return co_await std::move(refusing);
    }
    auto body = receive(length);
    if (!co_await std::move(body)) co_return Next::end;
    const auto bytes = received().first(length);
    std::vector<std::byte> data(bytes.begin(), bytes.end());
    taken_ += length;
    auto carrying = carry_out(option, std::move(data));
    co_return co_await std::move(carrying);
}

Task<Handshake::Next> Handshake::refuse_length(std::uint32_t option, std::uint64_t length) {
    if (!fixed_ || length > longest_skip || option == static_cast<std::uint32_t>(Option::export_name)) {
        co_return Next::end;
    }
    auto skipping = skip(length);
    if (!co_await std::move(skipping)) co_return Next::end;
    reply(option, OptionReply::err_too_big, "the option is too long");
    co_return Next::option;
}

Task<Handshake::Next> Handshake::carry_out(std::uint32_t option, std::vector<std::byte> data) {
    const auto known = static_cast<Option>(option);
    if (known == Option::export_name) {
        auto exporting = export_name(std::move(data));
        co_return co_await std::move(exporting);
    }
    if (!fixed_) co_return Next::end;  // an old client would not understand a reply
    switch (known) {
        case Option::abort: reply(option, OptionReply::ack); co_return Next::end;
        case Option::structured_reply: structured_reply(data); co_return Next::option;
        case Option::list: {
            auto listing = list(std::move(data));
            co_return co_await std::move(listing);
        }
        case Option::info:
        case Option::go: {
            auto going = go(option, std::move(data));
            co_return co_await std::move(going);
        }
        case Option::list_meta_context:
        case Option::set_meta_context: {
            auto answering = meta_context(option, std::move(data));
            co_return co_await std::move(answering);
        }
        default: break;  // STARTTLS and EXTENDED_HEADERS among them
    }
    reply(option, OptionReply::err_unsup, "this server does not have the option");
    co_return Next::option;
}

// Until `count` bytes behind taken_ are here. The caller has bounded `count`.
Task<bool> Handshake::receive(std::size_t count) {
    buffer_.erase(buffer_.begin(), buffer_.begin() + static_cast<std::ptrdiff_t>(std::exchange(taken_, 0)));
    while (buffer_.size() < count) {
        const std::size_t before = buffer_.size();
        buffer_.resize(std::max(count, before + receive_bytes));
        iovec buffer{buffer_.data() + before, buffer_.size() - before};
        const std::int64_t answer = co_await stream_.receive(std::span(&buffer, 1));
        buffer_.resize(before + static_cast<std::size_t>(std::max<std::int64_t>(answer, 0)));
        if (answer <= 0) co_return false;
    }
    co_return true;
}

Task<bool> Handshake::skip(std::uint64_t count) {
    while (count != 0) {
        auto receiving = receive(1);
        if (!co_await std::move(receiving)) co_return false;
        const auto part = std::min<std::uint64_t>(received().size(), count);
        taken_ += part;
        count -= part;
    }
    co_return true;
}

Task<bool> Handshake::send() {
    std::size_t done = 0;
    while (done < replies_.size()) {
        iovec buffer{replies_.data() + done, replies_.size() - done};
        const std::int64_t answer = co_await stream_.send(std::span(&buffer, 1));
        if (answer <= 0) co_return false;
        done += static_cast<std::size_t>(answer);
    }
    replies_.clear();
    co_return true;
}

void Handshake::reply(std::uint32_t option, OptionReply type, std::span<const std::byte> data) {
    append(replies_, option_reply_magic);
    append(replies_, option);
    append(replies_, static_cast<std::uint32_t>(type));
    append(replies_, static_cast<std::uint32_t>(data.size()));
    append_bytes(replies_, data);
}

void Handshake::reply(std::uint32_t option, OptionReply type, std::string_view text) {
    reply(option, type, std::as_bytes(std::span(text.substr(0, longest_name))));
}

}  // namespace exshadow::nbd
