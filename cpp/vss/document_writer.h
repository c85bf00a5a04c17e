// The visitor of document_shape.h that writes.
#pragma once

#include <algorithm>
#include <charconv>
#include <optional>
#include <string>

#include "vss/document_shape.h"
#include "vss/xml.h"

namespace exshadow::vss {

// One element that is open in `out`. finish() comes after its shape and before it is closed.
class ElementWriter {
public:
    explicit ElementWriter(XmlWriter& out, std::string_view space) : out_(out), space_(space) {}

    void text(DocumentName name, const std::string& value, Need need) {
        if (need == Need::when_set && value.empty()) return;
        out_.attribute(name.text, value);
    }
    void flag(DocumentName name, bool value, Need need) {
        if (need == Need::when_set && !value) return;
        out_.attribute(name.text, value ? "yes" : "no");
    }
    void flag(DocumentName name, std::optional<bool> value) {
        if (value) out_.attribute(name.text, *value ? "yes" : "no");
    }
    void id(DocumentName name, const Uuid& value, Need need) {
        if (need == Need::when_set && value.is_nil()) return;
        out_.attribute(name.text, value.text());
    }
    template <class T>
    void number(DocumentName name, T value, Need need, T omitted = T{}) {
        if (need == Need::when_set && value == omitted) return;
        out_.attribute(name.text, std::to_string(static_cast<std::int64_t>(value)));
    }
    template <class E, std::size_t n>
    void word(DocumentName name, E value, const std::array<DocumentWord<E>, n>& words, Need need) {
        if (value == E::undefined && need != Need::required) return;
        const auto found = std::ranges::find(words, value, &DocumentWord<E>::value);
        if (found == words.end())
            return out_.fail("attribute '" + std::string(name.text) + "' has the value " + vss::word(value) +
                             ", which the documents cannot say");
        out_.attribute(name.text, found->name.text);
    }
    // Attributes whose name a field has taken give way to it.
    void keep_unknown(const UnknownXml& unknown);
    void demand(bool fulfilled, std::string_view what) {
        if (!fulfilled) out_.fail(what);
    }

    template <class T, class How>
    void list(DocumentName name, const std::vector<T>& items, const How& how) {
        for (const auto& item : items) element(name, [&](ElementWriter& inner) { how(inner, item); });
    }
    template <class T>
    void list(DocumentName name, const std::vector<T>& items) {
        list(name, items, [](ElementWriter& inner, const T& item) { shape(inner, item); });
    }
    template <class How>
    void one(DocumentName name, Need, const How& how) {
        element(name, how);
    }
    template <class T>
    void maybe(DocumentName name, const std::optional<T>& item) {
        if (item) element(name, [&](ElementWriter& inner) { shape(inner, *item); });
    }
    void components(const std::vector<ComponentMetadata>& items);
    void metadata(DocumentName name, const std::string& value, const UnknownXml& unknown = {});

    void finish();

private:
    template <class How>
    void element(DocumentName name, const How& how) {
        out_.open(name.text, space_);
        ElementWriter inner(out_, space_);
        how(inner);
        inner.finish();
        out_.close();
    }
    void pieces(const UnknownXml& unknown);

    XmlWriter& out_;
    std::string_view space_;  // the document's
    const UnknownXml* unknown_ = nullptr;
};

}  // namespace exshadow::vss
