// Strict XML for text that strangers wrote: read into a small tree, written from one. Namespaces are
// resolved; comments and processing instructions are dropped; everything that could cost more than the text's
// own size is bounded (documents.h). rapidxml does the parsing proper; what it lets through is refused before
// and after.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"

namespace exshadow::vss {

// The views point into the tree's own text.
struct XmlAttribute {
    std::string_view prefix;  // empty for most; "xml" needs no declaration
    std::string_view space;   // the namespace that the prefix stands for
    std::string_view name;    // without the prefix
    std::string_view value;   // references resolved
};

// An element, or, with an empty name, a run of text.
struct XmlNode {
    std::string_view space;
    std::string_view name;  // without a prefix
    std::string text;
    std::vector<XmlAttribute> attributes;  // without namespace declarations
    std::vector<XmlNode> children;         // adjacent text is one run, white space alone is left out

    [[nodiscard]] bool is_text() const { return name.empty(); }
};

// Movable; moving does not move the text.
class XmlTree {
public:
    XmlTree(std::vector<char> text, XmlNode root) : text_(std::move(text)), root_(std::move(root)) {}
    [[nodiscard]] const XmlNode& root() const { return root_; }

private:
    std::vector<char> text_;
    XmlNode root_;
};

[[nodiscard]] Result<XmlTree> parse_xml(std::string_view text);

// The text made ready for the parser (xml_text.cpp): UTF-8 without a byte order mark, line ends normalised,
// without prolog, comments and processing instructions, and with a zero byte at its end. Refuses what the
// parser would let through: other encodings, characters that XML forbids, document types, references to
// anything but the five named characters and valid numbers, and more than the limits.
[[nodiscard]] Result<std::vector<char>> prepare_xml(std::string_view text);

// Valid UTF-8 of characters that XML can hold.
[[nodiscard]] bool xml_can_hold(std::string_view text);
// A name without a prefix. Only ASCII: the vocabulary of VSS is.
[[nodiscard]] bool is_xml_name(std::string_view text);

// A text of strangers for an error message: in quotes, made valid and cut where it is long.
[[nodiscard]] std::string shown(std::string_view text);

// vss_e_invalid_xml_document
[[nodiscard]] Error document_error(std::string_view what);

// Writes one element after the other, as one line. The first error stays and is given by finish().
class XmlWriter {
public:
    // Of an attribute's name with its prefix.
    [[nodiscard]] bool has_attribute(std::string_view name) const;
    void open(std::string_view name, std::string_view space);
    void attribute(std::string_view name, std::string_view value);
    void close();
    // An element with all below it, or a run of text.
    void node(const XmlNode& piece);
    void fail(std::string_view what);
    [[nodiscard]] Result<std::string> finish();

private:
    struct Open {
        std::string name, space;
    };
    void end_tag();
    void escaped(std::string_view value);

    std::string text_;
    std::string error_;
    std::vector<Open> open_;
    std::vector<std::string> attributes_;  // of the tag that is still open
    std::size_t elements_ = 0, all_attributes_ = 0;
    bool in_tag_ = false;
};

// The text of one node that stands on its own inside a document of namespace `outer`; always the same for
// equal nodes: every prefix is declared where it is used. An error when that makes it too large.
[[nodiscard]] Result<std::string> xml_text(const XmlNode& node, std::string_view outer);
// The opposite: what is not exactly one node is refused. The tree's root is an element around it.
[[nodiscard]] Result<XmlTree> parse_xml_piece(std::string_view text, std::string_view outer);

}  // namespace exshadow::vss
