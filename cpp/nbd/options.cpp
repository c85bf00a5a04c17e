// Options: what a client may ask for during the handshake, one function each.
#include <algorithm>
#include <array>
#include <utility>

#include "nbd/fields.h"
#include "nbd/handshake.h"

namespace exshadow::nbd {

namespace {

constexpr std::size_t queries_limit = 256;
constexpr std::size_t old_padding = 124;  // zeroes behind an EXPORT_NAME reply, unless agreed away

std::string text_of(std::span<const std::byte> bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// In a list, a query may name a whole namespace ("base:") or the beginning of names ("exshadow:changed/").
bool lists(const std::string& query, std::string_view context) {
    if (query == context) return true;
    const bool is_prefix = query.ends_with(':') || query.ends_with('/');
    return is_prefix && context.starts_with(query);
}

}  // namespace

std::uint16_t Handshake::flags_of(const ExportFacts& facts) const {
    std::uint16_t flags = transmits_flags | transmits_flush | transmits_fua | transmits_cache;
    if (facts.multi_conn) flags |= transmits_multi_conn;
    if (negotiated_.structured) flags |= transmits_df;
    if (facts.read_only) return flags | transmits_read_only;
    return flags | transmits_trim | transmits_write_zeroes | transmits_fast_zero;
}

// There is no way to say no: a client that asks for what is not there is let go.
Task<Handshake::Next> Handshake::export_name(std::vector<std::byte> data) {
    if (data.size() > longest_name) co_return Next::end;
    auto finding = exports_.find(text_of(data), Purpose::serve);
    auto found = co_await std::move(finding);
    if (!found.ok()) co_return Next::end;
    export_ = std::move(found).value();
    const ExportFacts& facts = export_->facts();
    if (contexts_of_ != facts.name) negotiated_.contexts.clear();
    append(replies_, facts.size);
    append(replies_, flags_of(facts));
    if (!no_zeroes_) replies_.resize(replies_.size() + old_padding);
    co_return Next::transmission;
}

Task<Handshake::Next> Handshake::list(std::vector<std::byte> data) {
    constexpr auto option = static_cast<std::uint32_t>(Option::list);
    if (!data.empty()) {
        reply(option, OptionReply::err_invalid, "LIST has no data");
        co_return Next::option;
    }
    auto listing = exports_.list();
    const auto names = co_await std::move(listing);
    for (const ExportName& one : names) {
        std::vector<std::byte> body;
        append(body, static_cast<std::uint32_t>(one.name.size()));
        append_text(body, one.name);
        append_text(body, std::string_view(one.description).substr(0, longest_name));
        reply(option, OptionReply::server, body);
    }
    reply(option, OptionReply::ack);
    co_return Next::option;
}

void Handshake::structured_reply(std::span<const std::byte> data) {
    constexpr auto option = static_cast<std::uint32_t>(Option::structured_reply);
    if (!data.empty()) return reply(option, OptionReply::err_invalid, "STRUCTURED_REPLY has no data");
    negotiated_.structured = true;
    reply(option, OptionReply::ack);
}

void Handshake::refuse_export(std::uint32_t option, const Error& error) {
    switch (error.code()) {
        case Code::not_found: return reply(option, OptionReply::err_unknown, error.message());
        case Code::closed: return reply(option, OptionReply::err_shutdown, error.message());
        default: return reply(option, OptionReply::err_policy, error.message());
    }
}

void Handshake::send_info(std::uint32_t option, Info info, const ExportFacts& facts,
                          const std::string& name) {
    std::vector<std::byte> body;
    append(body, static_cast<std::uint16_t>(info));
    switch (info) {
        case Info::exported:
            append(body, facts.size);
            append(body, flags_of(facts));
            break;
        case Info::name: append_text(body, name); break;
        case Info::description:
            if (facts.description.empty()) return;
            append_text(body, std::string_view(facts.description).substr(0, longest_name));
            break;
        case Info::block_size:
            append(body, std::uint32_t{1});
            append(body, facts.preferred_block);
            append(body, longest_payload);
            break;
    }
    reply(option, OptionReply::info, body);
}

Task<Handshake::Next> Handshake::go(std::uint32_t option, std::vector<std::byte> data) {
    Fields fields(data);
    const std::string name = fields.text();
    const auto count = fields.number<std::uint16_t>();
    std::array<bool, 4> wanted{};
    for (std::uint16_t i = 0; i < count && fields.ok(); ++i) {
        const auto info = fields.number<std::uint16_t>();
        if (info < wanted.size()) wanted[info] = true;  // others are for other servers
    }
    if (!fields.at_end()) {
        reply(option, OptionReply::err_invalid, "the option's lengths do not fit together");
        co_return Next::option;
    }
    const bool goes = option == static_cast<std::uint32_t>(Option::go);
    auto finding = exports_.find(name, goes ? Purpose::serve : Purpose::inform);
    auto found = co_await std::move(finding);
    if (!found.ok()) {
        refuse_export(option, found.error());
        co_return Next::option;
    }
    const ExportFacts& facts = (*found)->facts();
    send_info(option, Info::exported, facts, facts.name);
    for (const Info info : {Info::name, Info::description, Info::block_size}) {
        if (wanted[static_cast<std::size_t>(info)]) send_info(option, info, facts, facts.name);
    }
    reply(option, OptionReply::ack);
    if (!goes) co_return Next::option;
    if (contexts_of_ != facts.name) negotiated_.contexts.clear();
    export_ = std::move(found).value();
    co_return Next::transmission;
}

Task<Handshake::Next> Handshake::meta_context(std::uint32_t option, std::vector<std::byte> data) {
    const bool sets = option == static_cast<std::uint32_t>(Option::set_meta_context);
    if (sets) negotiated_.contexts.clear();  // also when it fails: it replaces what was selected before
    Fields fields(data);
    const std::string name = fields.text();
    const auto count = fields.number<std::uint32_t>();
    std::vector<std::string> queries;
    for (std::uint32_t i = 0; i < count && fields.ok() && queries.size() <= queries_limit; ++i) {
        queries.push_back(fields.text());
    }
    if (queries.size() > queries_limit) {
        reply(option, OptionReply::err_too_big, "too many queries");
        co_return Next::option;
    }
    if (!fields.at_end() || !negotiated_.structured) {
        reply(option, OptionReply::err_invalid,
              fields.at_end() ? "structured replies were not negotiated"
                              : "the option's lengths do not fit together");
        co_return Next::option;
    }
    auto finding = exports_.find(name, Purpose::inform);
    const auto found = co_await std::move(finding);
    if (!found.ok()) {
        refuse_export(option, found.error());
        co_return Next::option;
    }
    const ExportFacts& facts = found.value()->facts();
    if (sets) contexts_of_ = facts.name;
    answer_queries(option, facts, queries);
    reply(option, OptionReply::ack);
    co_return Next::option;
}

void Handshake::answer_queries(std::uint32_t option, const ExportFacts& facts,
                               const std::vector<std::string>& queries) {
    const bool sets = option == static_cast<std::uint32_t>(Option::set_meta_context);
    std::vector<std::string> names{allocation_context};
    names.insert(names.end(), facts.contexts.begin(), facts.contexts.end());
    for (const std::string& name : names) {
        const bool wanted = std::any_of(queries.begin(), queries.end(), [&](const std::string& query) {
            return sets ? query == name : lists(query, name);
        });
        if (!wanted && (sets || !queries.empty())) continue;
        std::uint32_t id = 0;  // means nothing in a list
        if (sets) {
            if (negotiated_.contexts.size() == limits_.contexts) break;
            id = static_cast<std::uint32_t>(negotiated_.contexts.size()) + 1;
            negotiated_.contexts.push_back({id, name});
        }
        std::vector<std::byte> body;
        append(body, id);
        append_text(body, name);
        reply(option, OptionReply::meta_context, body);
    }
}

}  // namespace exshadow::nbd
