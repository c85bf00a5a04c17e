#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>

#include "vss/documents.h"
#include "vss/hresult.h"
#include "vss/xml.h"

namespace exshadow::vss {

namespace {

constexpr bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

constexpr bool xml_permits(char32_t c) {
    if (c < 0x20) return c == '\t' || c == '\n' || c == '\r';
    return c < 0xD800 || (c > 0xDFFF && c < 0xFFFE) || (c > 0xFFFF && c <= 0x10FFFF);
}

// The length of the valid UTF-8 character at `at` that XML permits; 0 when there is none.
std::size_t character_length(std::string_view text, std::size_t at) {
    const auto first = static_cast<unsigned char>(text[at]);
    if (first < 0x80) return xml_permits(first) ? 1 : 0;
    const std::size_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
    if (first < 0xC2 || first > 0xF4 || at + length > text.size()) return 0;
    char32_t c = first & (0x7FU >> length);
    for (std::size_t i = 1; i < length; ++i) {
        const auto next = static_cast<unsigned char>(text[at + i]);
        if ((next & 0xC0U) != 0x80) return 0;
        c = (c << 6) | (next & 0x3FU);
    }
    const char32_t least = length == 4 ? 0x10000 : length == 3 ? 0x800 : 0x80;
    return c >= least && xml_permits(c) ? length : 0;
}

// The first byte that cannot stand in XML.
std::optional<std::size_t> first_unfit(std::string_view text) {
    std::size_t at = 0;
    while (at < text.size()) {
        const std::size_t length = character_length(text, at);
        if (length == 0) return at;
        at += length;
    }
    return std::nullopt;
}

Error too_large(std::size_t bytes) {
    return document_error("the document has " + std::to_string(bytes) + " bytes, more than the limit of " +
                          std::to_string(document_bytes_limit));
}

void append_utf8(std::string& out, char32_t c) {
    const auto put = [&](char32_t byte) { out += static_cast<char>(byte); };
    if (c < 0x80) return put(c);
    if (c < 0x800) {
        put(0xC0 | (c >> 6));
    } else {
        if (c < 0x10000) {
            put(0xE0 | (c >> 12));
        } else {
            put(0xF0 | (c >> 18));
            put(0x80 | ((c >> 12) & 0x3F));
        }
        put(0x80 | ((c >> 6) & 0x3F));
    }
    put(0x80 | (c & 0x3F));
}

Result<std::string> from_utf16(std::string_view text, bool big_endian) {
    if (text.size() % 2 != 0) return document_error("the UTF-16 text has an odd number of bytes");
    const auto unit = [&](std::size_t at) {
        const auto one = static_cast<unsigned char>(text[at]);
        const auto two = static_cast<unsigned char>(text[at + 1]);
        return static_cast<char32_t>(big_endian ? one << 8 | two : two << 8 | one);
    };
    std::string out;
    out.reserve(text.size() / 2);
    for (std::size_t at = 0; at < text.size(); at += 2) {
        char32_t c = unit(at);
        if (c >= 0xD800 && c <= 0xDFFF) {
            const char32_t low = c < 0xDC00 && at + 4 <= text.size() ? unit(at + 2) : 0;
            if (low < 0xDC00 || low > 0xDFFF)
                return document_error("half a UTF-16 character at byte " + std::to_string(at));
            c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
            at += 2;
        }
        append_utf8(out, c);
    }
    return out;
}

Result<std::string> in_utf8(std::string_view text) {
    using namespace std::string_view_literals;
    if (text.size() > document_bytes_limit) return too_large(text.size());
    if (text.starts_with("\xEF\xBB\xBF")) return std::string(text.substr(3));
    if (text.starts_with("\xFF\xFE")) return from_utf16(text.substr(2), false);
    if (text.starts_with("\xFE\xFF")) return from_utf16(text.substr(2), true);
    if (text.starts_with("<\0"sv)) return from_utf16(text, false);
    if (text.starts_with("\0<"sv)) return from_utf16(text, true);
    return std::string(text);
}

// Programs in C save a string with the zero that ends it.
Result<std::string> decode(std::string_view text) {
    auto decoded = in_utf8(text);
    if (decoded.ok()) decoded->erase(decoded->find_last_not_of('\0') + 1);
    return decoded;
}

// Walks over decoded text once and writes down what the parser shall see.
class Scanner {
public:
    explicit Scanner(std::string_view text) : in_(text) { out_.reserve(text.size() + 1); }

    Result<std::vector<char>> run() {
        if (in_.starts_with("<?xml") && in_.size() > 5 && is_space(in_[5])) EXSHADOW_TRY(prolog());
        while (at_ < in_.size()) EXSHADOW_TRY(piece());
        if (depth_ != 0) return fail("the text ends before its elements do");
        out_.push_back('\0');
        return std::move(out_);
    }

private:
    Error fail(std::string_view what) const {
        return document_error("not XML at byte " + std::to_string(at_) + ": " + std::string(what));
    }
    bool next_is(std::string_view what) const { return in_.substr(at_).starts_with(what); }

    Status piece() {
        if (next_is("<!--")) return skip("<!--", "-->", "a comment does not end");
        if (next_is("<![CDATA[")) return character_section();
        if (next_is("<!")) return fail("document types and entities are not accepted");
        if (next_is("<?xml") && at_ + 5 < in_.size() && (is_space(in_[at_ + 5]) || in_[at_ + 5] == '?'))
            return fail("an XML declaration that is not at the beginning");
        if (next_is("<?")) return skip("<?", "?>", "a processing instruction does not end");
        if (next_is("</")) return closing_tag();
        if (next_is("<")) return opening_tag();
        if (next_is("&")) return reference();
        copy();
        return {};
    }

    // Line ends as XML wants them.
    void copy() {
        char c = in_[at_++];
        if (c == '\r') {
            if (next_is("\n")) ++at_;
            c = '\n';
        }
        out_.push_back(c);
    }

    Status skip(std::string_view begin, std::string_view end, std::string_view message) {
        const auto found = in_.find(end, at_ + begin.size());
        if (found == std::string_view::npos) return fail(message);
        at_ = found + end.size();
        return {};
    }

    Status character_section() {
        const auto end = in_.find("]]>", at_);
        if (end == std::string_view::npos) return fail("a CDATA section does not end");
        if (depth_ == 0) return fail("text outside the root element");
        while (at_ < end + 3) copy();
        return {};
    }

    Status closing_tag() {
        if (depth_ == 0) return fail("an end tag without its element");
        --depth_;
        const auto end = in_.find('>', at_);
        if (end == std::string_view::npos) return fail("a tag does not end");
        if (in_.substr(at_ + 1, end - at_ - 1).find_first_of("<&\"'") != std::string_view::npos)
            return fail("an end tag holds more than a name");
        while (at_ <= end) copy();
        return {};
    }

    Status opening_tag() {
        if (++elements_ > document_elements_limit) return fail("too many elements");
        std::size_t attributes = 0;
        do {
            const char c = in_[at_];
            if (c == '&') return fail("a reference outside a value");
            if (c == '"' || c == '\'') {
                // Namespace declarations count here as well: twice the limit; the tree's builder is exact.
                if (++attributes > 2 * element_attributes_limit)
                    return fail("too many attributes in one element");
                EXSHADOW_TRY(quoted(c));
            } else {
                copy();
            }
            if (at_ == in_.size()) return fail("a tag does not end");
            if (in_[at_] == '<') return fail("'<' inside a tag");
        } while (in_[at_] != '>');
        attributes_ += attributes;
        if (attributes_ > document_attributes_limit) return fail("too many attributes");
        if (out_.back() != '/' && ++depth_ > document_depth_limit)
            return fail("elements are nested too deeply");
        copy();
        return {};
    }

    Status quoted(char quote) {
        out_.push_back(in_[at_++]);
        while (at_ < in_.size() && in_[at_] != quote) {
            if (in_[at_] == '<') return fail("'<' inside a value");
            if (in_[at_] == '&') {
                EXSHADOW_TRY(reference());
                continue;
            }
            copy();
            if (is_space(out_.back())) out_.back() = ' ';
        }
        if (at_ == in_.size()) return fail("a value does not end");
        copy();
        constexpr std::string_view after = " \t\r\n/>";
        if (at_ < in_.size() && after.find(in_[at_]) == std::string_view::npos)
            return fail("a value is not followed by a space");
        return {};
    }

    Status reference() {
        const auto name = in_.substr(at_ + 1, in_.substr(at_, 32).find(';') - 1);
        if (at_ + name.size() + 1 >= in_.size() || in_[at_ + name.size() + 1] != ';')
            return fail("a reference does not end");
        constexpr auto known = std::to_array<std::string_view>({"amp", "lt", "gt", "quot", "apos"});
        if (!name.starts_with('#') && std::ranges::find(known, name) == known.end())
            return fail("an entity that XML does not define");
        if (name.starts_with('#') && !is_character_number(name.substr(1)))
            return fail("a reference to no character that XML permits");
        for (std::size_t i = 0; i < name.size() + 2; ++i) out_.push_back(in_[at_++]);
        return {};
    }

    static bool is_character_number(std::string_view digits) {
        const bool hexadecimal = digits.starts_with('x');
        if (hexadecimal) digits.remove_prefix(1);
        char32_t value = 0;
        for (const char c : digits) {
            const int digit = c >= '0' && c <= '9'                  ? c - '0'
                              : hexadecimal && c >= 'a' && c <= 'f' ? c - 'a' + 10
                              : hexadecimal && c >= 'A' && c <= 'F' ? c - 'A' + 10
                                                                    : -1;
            if (digit < 0) return false;
            value = value * (hexadecimal ? 16 : 10) + static_cast<char32_t>(digit);
            if (value > 0x10FFFF) return false;
        }
        return !digits.empty() && xml_permits(value);
    }

    // What a prolog says of the encoding is only checked for what we never read: the bytes decided already.
    Status prolog() {
        const auto end = in_.find("?>");
        if (end == std::string_view::npos) return fail("the XML declaration does not end");
        const auto declaration = in_.substr(0, end);
        if (const auto found = declaration.find("encoding"); found != std::string_view::npos) {
            const auto begin = declaration.find_first_of("\"'", found);
            if (begin == std::string_view::npos) return fail("the encoding has no value");
            const auto length = declaration.substr(begin + 1).find(declaration[begin]);
            std::string name(declaration.substr(begin + 1, length));
            std::ranges::transform(name, name.begin(), [](char c) {
                return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
            });
            if (name != "utf-8" && name != "utf-16" && name != "us-ascii" && name != "ascii")
                return fail("encoding " + shown(name) + " is not read; save the document as UTF-8 or UTF-16");
        }
        at_ = end + 2;
        return {};
    }

    std::string_view in_;
    std::size_t at_ = 0;
    std::vector<char> out_;
    std::size_t depth_ = 0, elements_ = 0, attributes_ = 0;
};

}  // namespace

Error document_error(std::string_view what) {
    return vss_error(HResult::vss_e_invalid_xml_document, what);
}

std::string shown(std::string_view text) {
    constexpr std::size_t limit = 60;
    std::string out = "'";
    std::size_t at = 0;
    while (at < text.size() && out.size() < limit) {
        const std::size_t length = character_length(text, at);
        out += length == 0 ? "?" : text.substr(at, length);
        at += std::max<std::size_t>(length, 1);
    }
    return out + (at < text.size() ? "...'" : "'");
}

bool xml_can_hold(std::string_view text) {
    return !first_unfit(text).has_value();
}

bool is_xml_name(std::string_view text) {
    const auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; };
    const auto rest = [&](char c) { return letter(c) || (c >= '0' && c <= '9') || c == '-' || c == '.'; };
    return !text.empty() && letter(text.front()) && std::ranges::all_of(text, rest);
}

Result<std::vector<char>> prepare_xml(std::string_view text) {
    const auto decoded = decode(text);
    if (!decoded.ok()) return decoded.error();
    if (decoded->size() > document_bytes_limit) return too_large(decoded->size());
    if (const auto unfit = first_unfit(*decoded))
        return document_error("byte " + std::to_string(*unfit) +
                              " is no UTF-8 or a character that XML does not permit");
    return Scanner(*decoded).run();
}

}  // namespace exshadow::vss
