#include "vss/document_reader.h"

namespace exshadow::vss {

void ElementReader::fail(std::string what) {
    if (!failure_) failure_ = std::move(what);
}

void ElementReader::refuse(DocumentName name, Need need, std::string_view what) {
    if (name.confirmed || need != Need::when_set)
        fail("attribute '" + std::string(name.text) + "' " + std::string(what));
}

std::optional<std::size_t> ElementReader::find(DocumentName name, Need need) {
    for (std::size_t i = 0; i < node_.attributes.size(); ++i) {
        if (node_.attributes[i].prefix.empty() && node_.attributes[i].name == name.text) return i;
    }
    if (need == Need::required) fail("attribute '" + std::string(name.text) + "' is missing");
    return std::nullopt;
}

void ElementReader::text(DocumentName name, std::string& value, Need need) {
    const auto at = find(name, need);
    if (!at) return;
    value = node_.attributes[*at].value;
    attribute_taken_[*at] = need != Need::when_set || !value.empty();
}

namespace {

std::optional<bool> yes_or_no(std::string_view text) {
    if (text == "yes" || text == "true" || text == "1") return true;
    if (text == "no" || text == "false" || text == "0") return false;
    return std::nullopt;
}

}  // namespace

void ElementReader::flag(DocumentName name, bool& value, Need need) {
    const auto at = find(name, need);
    if (!at) return;
    const auto read = yes_or_no(node_.attributes[*at].value);
    if (!read) return refuse(name, need, "is neither yes nor no");
    value = *read;
    attribute_taken_[*at] = need != Need::when_set || value;
}

void ElementReader::flag(DocumentName name, std::optional<bool>& value) {
    const auto at = find(name, Need::when_set);
    if (!at) return;
    value = yes_or_no(node_.attributes[*at].value);
    if (!value) return refuse(name, Need::when_set, "is neither yes nor no");
    attribute_taken_[*at] = true;
}

void ElementReader::id(DocumentName name, Uuid& value, Need need) {
    const auto at = find(name, need);
    if (!at) return;
    auto written = node_.attributes[*at].value;
    if (written.starts_with('{') && written.ends_with('}')) written = written.substr(1, written.size() - 2);
    const auto read = Uuid::parse(written);
    if (!read) return refuse(name, need, "is no GUID");
    value = *read;
    attribute_taken_[*at] = need != Need::when_set || !value.is_nil();
}

// The children that Microsoft's components made carry xmlns="" now and then, so no namespace is ours as well.
bool ElementReader::is(const XmlNode& child, DocumentName name) const {
    return child.name == name.text && (child.space == space_ || child.space.empty());
}

std::optional<std::size_t> ElementReader::only(DocumentName name) {
    std::optional<std::size_t> found;
    for (std::size_t i = 0; i < node_.children.size(); ++i) {
        if (!is(node_.children[i], name)) continue;
        if (found && name.confirmed) fail("element '" + std::string(name.text) + "' is there twice");
        if (!found) found = i;
    }
    return found;
}

void ElementReader::components(std::vector<ComponentMetadata>& items) {
    for (std::size_t i = 0; i < node_.children.size(); ++i) {
        const bool database = is(node_.children[i], names::database);
        if (!database && !is(node_.children[i], names::file_group)) continue;
        ComponentMetadata item;
        item.type = database ? ComponentType::database : ComponentType::file_group;
        const auto name = database ? names::database : names::file_group;
        if (child(i, name, items.size(), [&](ElementReader& inner) { shape(inner, item); }))
            items.push_back(std::move(item));
    }
}

// The first one that holds anything; every other stays among the unknown.
void ElementReader::metadata(DocumentName name, std::string& value, UnknownXml& unknown) {
    for (std::size_t i = 0; i < node_.children.size() && value.empty(); ++i) {
        if (!is(node_.children[i], name)) continue;
        std::string text;
        UnknownXml rest;
        const bool read = child(i, name, 0, [&](ElementReader& inner) {
            inner.text(names::metadata, text, Need::required);
            inner.keep_unknown(rest);
        });
        if (!read || text.empty()) {
            child_taken_[i] = false;
            continue;
        }
        value = std::move(text);
        unknown = std::move(rest);
    }
}

void ElementReader::metadata(DocumentName name, std::string& value) {
    UnknownXml unknown;
    const auto before = child_taken_;
    metadata(name, value, unknown);
    if (unknown.empty()) return;
    child_taken_ = before;
    value.clear();
}

void ElementReader::finish() {
    give_attributes();
    give_children();
}

void ElementReader::give_attributes() {
    std::vector<std::string> declared;
    for (std::size_t i = 0; i < node_.attributes.size(); ++i) {
        const auto& one = node_.attributes[i];
        if (attribute_taken_[i]) continue;
        if (unknown_ == nullptr) return fail("attribute " + shown(one.name) + " is not known");
        std::string name(one.name);
        if (!one.prefix.empty()) {
            const auto declaration = "xmlns:" + std::string(one.prefix);
            if (one.prefix != "xml" && std::ranges::find(declared, declaration) == declared.end()) {
                unknown_->attributes.emplace_back(declaration, one.space);
                declared.push_back(declaration);
            }
            name = std::string(one.prefix) + ":" + name;
        }
        unknown_->attributes.emplace_back(std::move(name), one.value);
    }
}

void ElementReader::give_children() {
    std::string* run = nullptr;  // text that known elements part becomes one run
    for (std::size_t i = 0; i < node_.children.size(); ++i) {
        if (child_taken_[i]) continue;
        if (unknown_ == nullptr) return fail("holds elements that are not known");
        const auto& piece = node_.children[i];
        const auto text = xml_text(piece, space_);
        if (!text.ok()) return fail("holds unknown elements that are too many to be kept");
        if (piece.is_text() && run != nullptr) {
            *run += *text;
            continue;
        }
        unknown_->elements.push_back(*text);
        run = piece.is_text() ? &unknown_->elements.back() : nullptr;
    }
}

}  // namespace exshadow::vss
