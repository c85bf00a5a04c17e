#include "vss/xml.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <rapidxml/rapidxml.hpp>

#include "vss/documents.h"

namespace exshadow::vss {

namespace {

constexpr std::string_view xml_space = "http://www.w3.org/XML/1998/namespace";
constexpr std::string_view declarations_space = "http://www.w3.org/2000/xmlns/";
constexpr std::ptrdiff_t prefixes_limit = 100;  // declared at one place of the text

using ParsedNode = rapidxml::xml_node<char>;
using ParsedAttribute = rapidxml::xml_attribute<char>;

// A prefix that is declared more than once stands for what it was declared as last.
struct Declared {
    std::string_view prefix, space;
};

struct QualifiedName {
    std::string_view prefix, name;
};

std::optional<QualifiedName> qualified(std::string_view text) {
    const auto colon = text.find(':');
    QualifiedName result{{}, text};
    if (colon != std::string_view::npos) {
        result = {text.substr(0, colon), text.substr(colon + 1)};
        if (!is_xml_name(result.prefix)) return std::nullopt;
    }
    if (!is_xml_name(result.name)) return std::nullopt;
    return result;
}

bool is_blank(std::string_view text) {
    return text.find_first_not_of(" \t\r\n") == std::string_view::npos;
}

// How many prefixes the canonical text of these attributes declares on their element.
std::size_t prefixes_of(std::span<const XmlAttribute> attributes) {
    std::vector<std::string_view> seen;
    for (const auto& one : attributes) {
        if (one.prefix.empty() || one.prefix == "xml") continue;
        if (std::ranges::find(seen, one.prefix) == seen.end()) seen.push_back(one.prefix);
    }
    return seen.size();
}

// Builds our tree from the parser's, as deep as the text was allowed to be.
class Builder {
public:
    Result<XmlNode> build(const ParsedNode& parsed) {
        XmlNode node;
        EXSHADOW_TRY(fill(parsed, node));
        return node;
    }

private:
    static Error fail(const ParsedNode& node, std::string_view what) {
        return document_error("element " + shown({node.name(), node.name_size()}) + ": " + std::string(what));
    }

    Status fill(const ParsedNode& parsed, XmlNode& node) {
        const auto outer = declared_.size();
        EXSHADOW_TRY(declare(parsed));
        const auto name = qualified({parsed.name(), parsed.name_size()});
        if (!name) return fail(parsed, "this is no name that can be read");
        const auto space = look_up(name->prefix);
        if (!space) return fail(parsed, "its prefix is not declared");
        node.name = name->name;
        node.space = *space;
        EXSHADOW_TRY(fill_attributes(parsed, node));
        std::string run;  // adjacent text and CDATA sections
        for (const auto* child = parsed.first_node(); child != nullptr; child = child->next_sibling()) {
            if (child->type() != rapidxml::node_element) {
                run.append(child->value(), child->value_size());
                continue;
            }
            add_text(run, node);
            node.children.emplace_back();
            EXSHADOW_TRY(fill(*child, node.children.back()));
        }
        add_text(run, node);
        declared_.resize(outer);
        return {};
    }

    static void add_text(std::string& run, XmlNode& node) {
        if (!is_blank(run)) node.children.emplace_back().text = std::move(run);
        run.clear();
    }

    Status declare(const ParsedNode& parsed) {
        for (const auto* one = parsed.first_attribute(); one != nullptr; one = one->next_attribute()) {
            const std::string_view name(one->name(), one->name_size());
            const std::string_view space(one->value(), one->value_size());
            if (name != "xmlns" && !name.starts_with("xmlns:")) continue;
            const auto prefix = name.size() > 6 ? name.substr(6) : std::string_view{};
            if (name != "xmlns" &&
                (!is_xml_name(prefix) || prefix == "xmlns" || prefix == "xml" || space.empty()))
                return fail(parsed, "prefix " + shown(prefix) + " cannot be declared so");
            if (space == xml_space || space == declarations_space)
                return fail(parsed, "a namespace of XML itself cannot be declared");
            if (look_up(prefix) == space) continue;
            const auto prefixes =
                std::ranges::count_if(declared_, [](const Declared& other) { return !other.prefix.empty(); });
            if (prefixes >= prefixes_limit) return fail(parsed, "too many namespaces");
            declared_.push_back({prefix, space});
        }
        return {};
    }

    std::optional<std::string_view> look_up(std::string_view prefix) const {
        if (prefix == "xml") return xml_space;
        for (auto at = declared_.rbegin(); at != declared_.rend(); ++at) {
            if (at->prefix == prefix) return at->space;
        }
        if (prefix.empty()) return std::string_view{};
        return std::nullopt;
    }

    Status fill_attributes(const ParsedNode& parsed, XmlNode& node) {
        for (const auto* one = parsed.first_attribute(); one != nullptr; one = one->next_attribute()) {
            const std::string_view full(one->name(), one->name_size());
            if (is_repeated(*one)) return fail(parsed, "attribute " + shown(full) + " is there twice");
            if (full == "xmlns" || full.starts_with("xmlns:")) continue;
            const auto name = qualified(full);
            if (!name) return fail(parsed, shown(full) + " is no name that can be read");
            const auto space = name->prefix.empty() ? std::string_view{} : look_up(name->prefix);
            if (!space) return fail(parsed, "the prefix of attribute " + shown(full) + " is not declared");
            for (const auto& other : node.attributes) {
                if (other.name == name->name && other.space == *space)
                    return fail(parsed, "attribute " + shown(full) + " is there twice");
            }
            node.attributes.push_back({name->prefix, *space, name->name, {one->value(), one->value_size()}});
        }
        if (node.attributes.size() + prefixes_of(node.attributes) + 1 > element_attributes_limit)
            return fail(parsed, "too many attributes");
        return {};
    }

    // Of two attributes with the same written name, the later one.
    static bool is_repeated(const ParsedAttribute& one) {
        const std::string_view name(one.name(), one.name_size());
        for (const auto* other = one.previous_attribute(); other != nullptr;
             other = other->previous_attribute()) {
            if (std::string_view(other->name(), other->name_size()) == name) return true;
        }
        return false;
    }

    std::vector<Declared> declared_;
};

// The prefix, for an attribute that has one.
std::string full_name(const XmlAttribute& attribute) {
    std::string name(attribute.prefix);
    if (!name.empty()) name += ':';
    name += attribute.name;
    return name;
}

}  // namespace

Result<XmlTree> parse_xml(std::string_view text) {
    auto prepared = prepare_xml(text);
    if (!prepared.ok()) return prepared.error();
    // Not cleared: the parser keeps a large buffer inside.
    const auto document = std::make_unique_for_overwrite<rapidxml::xml_document<char>>();
    try {
        constexpr int how = rapidxml::parse_validate_closing_tags | rapidxml::parse_no_element_values;
        document->parse<how>(prepared->data());
    } catch (const rapidxml::parse_error& error) {
        const auto near = error.where<char>() - prepared->data();
        return document_error("not XML near byte " + std::to_string(near) + ": " + error.what());
    }
    const auto* const root = document->first_node();
    if (root == nullptr) return document_error("not XML: there is no element");
    if (root->next_sibling() != nullptr) return document_error("not XML: more than one root element");
    auto node = Builder().build(*root);
    if (!node.ok()) return node.error();
    return XmlTree(std::move(*prepared), std::move(*node));
}

Result<XmlTree> parse_xml_piece(std::string_view text, std::string_view outer) {
    XmlWriter writer;
    writer.open("piece", outer);
    writer.close();
    auto around = writer.finish();
    if (!around.ok()) return around.error();
    around->replace(around->size() - 2, 2, ">");
    auto tree = parse_xml(*around + std::string(text) + "</piece>");
    if (tree.ok() && tree->root().children.size() != 1)
        return document_error("a kept piece of a document is not exactly one element or one run of text");
    return tree;
}

Result<std::string> xml_text(const XmlNode& node, std::string_view outer) {
    XmlWriter writer;
    writer.open("piece", outer);
    writer.node(node);
    writer.close();
    const auto whole = writer.finish();
    if (!whole.ok()) return whole.error();
    const auto begin = whole->find('>') + 1;
    return whole->substr(begin, whole->size() - begin - std::string_view("</piece>").size());
}

bool XmlWriter::has_attribute(std::string_view name) const {
    return std::ranges::find(attributes_, name) != attributes_.end();
}

void XmlWriter::fail(std::string_view what) {
    if (!error_.empty()) return;
    for (const auto& one : open_) error_ += one.name + "/";
    if (!error_.empty()) error_.back() = ':';
    error_ += error_.empty() ? "" : " ";
    error_ += what;
}

void XmlWriter::end_tag() {
    if (in_tag_) text_ += '>';
    in_tag_ = false;
}

void XmlWriter::open(std::string_view name, std::string_view space) {
    const bool declares = open_.empty() ? !space.empty() : open_.back().space != space;
    end_tag();
    if (!is_xml_name(name)) fail(shown(name) + " is no name of an element");
    open_.push_back({std::string(name), std::string(space)});
    if (open_.size() > document_depth_limit) fail("elements are nested too deeply");
    if (++elements_ > document_elements_limit) fail("the document has too many elements");
    text_ += '<';
    text_ += name;
    attributes_.clear();
    in_tag_ = true;
    if (declares) attribute("xmlns", space);
}

void XmlWriter::attribute(std::string_view name, std::string_view value) {
    const auto parts = qualified(name);
    if (!parts) return fail(shown(name) + " is no name of an attribute");
    if (has_attribute(name)) return fail("attribute " + shown(name) + " would be there twice");
    if (!xml_can_hold(value))
        return fail("the value of attribute " + shown(name) +
                    " is no UTF-8 or holds a character that XML cannot");
    attributes_.emplace_back(name);
    if (attributes_.size() > element_attributes_limit) return fail("the element has too many attributes");
    if (++all_attributes_ > document_attributes_limit) return fail("the document has too many attributes");
    text_ += ' ';
    text_ += name;
    text_ += "=\"";
    escaped(value);
    text_ += '"';
}

void XmlWriter::escaped(std::string_view value) {
    for (const char c : value) {
        switch (c) {
            case '&': text_ += "&amp;"; break;
            case '<': text_ += "&lt;"; break;
            case '>': text_ += "&gt;"; break;
            case '"': text_ += "&quot;"; break;
            case '\t': text_ += "&#9;"; break;
            case '\n': text_ += "&#10;"; break;
            case '\r': text_ += "&#13;"; break;
            default: text_ += c;
        }
    }
}

void XmlWriter::close() {
    if (in_tag_) {
        text_ += "/>";
        in_tag_ = false;
    } else {
        text_ += "</";
        text_ += open_.back().name;
        text_ += '>';
    }
    attributes_.clear();
    if (text_.size() > document_bytes_limit) {
        fail("the document is larger than " + std::to_string(document_bytes_limit) + " bytes");
        text_.clear();  // no more memory for what cannot be given
    }
    open_.pop_back();
}

void XmlWriter::node(const XmlNode& piece) {
    if (piece.is_text()) {
        end_tag();
        if (!xml_can_hold(piece.text)) fail("a text is no UTF-8 or holds a character that XML cannot");
        escaped(piece.text);
        return;
    }
    open(piece.name, piece.space);
    for (const auto& one : piece.attributes) {
        const auto declaration = "xmlns:" + std::string(one.prefix);
        if (!one.prefix.empty() && one.prefix != "xml" && !has_attribute(declaration))
            attribute(declaration, one.space);
    }
    for (const auto& one : piece.attributes) attribute(full_name(one), one.value);
    for (const auto& child : piece.children) node(child);
    close();
}

Result<std::string> XmlWriter::finish() {
    EXSHADOW_CHECK(open_.empty());
    if (!error_.empty()) return document_error("the document cannot be written: " + error_);
    return std::move(text_);
}

}  // namespace exshadow::vss
