#include "vss/document_writer.h"

namespace exshadow::vss {

void ElementWriter::keep_unknown(const UnknownXml& unknown) {
    unknown_ = &unknown;
    const auto is_declared = [&](std::string_view prefix) {
        return prefix == "xml" || std::ranges::any_of(unknown.attributes, [&](const auto& one) {
                   return one.first == "xmlns:" + std::string(prefix);
               });
    };
    for (const auto& [name, value] : unknown.attributes) {
        const auto colon = name.find(':');
        const bool declares = name.starts_with("xmlns:");
        if (name == "xmlns" || (declares && value.empty()))
            return out_.fail(shown(name) + " cannot be an unknown attribute");
        if (out_.has_attribute(name)) continue;
        if (colon != std::string::npos && !declares && !is_declared(std::string_view(name).substr(0, colon)))
            return out_.fail("the prefix of the unknown attribute " + shown(name) + " is not declared");
        out_.attribute(name, value);
    }
}

void ElementWriter::pieces(const UnknownXml& unknown) {
    for (const auto& text : unknown.elements) {
        const auto piece = parse_xml_piece(text, space_);
        if (!piece.ok())
            return out_.fail("the unknown piece " + shown(text) + " is not one element or one run of text");
        out_.node(piece->root().children.front());
    }
}

void ElementWriter::finish() {
    if (unknown_ != nullptr) pieces(*unknown_);
}

void ElementWriter::components(const std::vector<ComponentMetadata>& items) {
    for (const auto& item : items) {
        const bool database = item.type == ComponentType::database;
        if (!database && item.type != ComponentType::file_group)
            return out_.fail("component " + shown(item.name) + " is neither a file group nor a database");
        element(database ? names::database : names::file_group,
                [&](ElementWriter& inner) { shape(inner, item); });
    }
}

// In no namespace, as documents saved by Windows have it.
void ElementWriter::metadata(DocumentName name, const std::string& value, const UnknownXml& unknown) {
    if (value.empty() && unknown.empty()) return;
    if (value.empty())
        return out_.fail("there is unknown XML of '" + std::string(name.text) + "' but no value");
    out_.open(name.text, {});
    ElementWriter inner(out_, space_);
    inner.text(names::metadata, value, Need::required);
    inner.keep_unknown(unknown);
    inner.finish();
    out_.close();
}

}  // namespace exshadow::vss
