// The visitor of document_shape.h that reads.
#pragma once

#include <algorithm>
#include <charconv>
#include <optional>
#include <string>
#include <type_traits>

#include "vss/document_shape.h"
#include "vss/xml.h"

namespace exshadow::vss {

// One element. What the shape asks for is taken from it; finish() gives the rest to keep_unknown()'s place.
// The first failure stays.
class ElementReader {
public:
    ElementReader(const XmlNode& node, std::string_view space)
        : node_(node),
          space_(space),
          attribute_taken_(node.attributes.size()),
          child_taken_(node.children.size()) {}

    void text(DocumentName name, std::string& value, Need need);
    void flag(DocumentName name, bool& value, Need need);
    void flag(DocumentName name, std::optional<bool>& value);
    void id(DocumentName name, Uuid& value, Need need);

    template <class T>
    void number(DocumentName name, T& value, Need need, T omitted = T{}) {
        const auto at = find(name, need);
        if (!at) {
            if (need == Need::when_set) value = omitted;
            return;
        }
        const auto& written = node_.attributes[*at].value;
        Underlying<T> number{};
        const auto [end, error] = std::from_chars(written.data(), written.data() + written.size(), number);
        if (error != std::errc{} || end != written.data() + written.size())
            return refuse(name, need, "is no number, or one that is too large");
        value = static_cast<T>(number);
        attribute_taken_[*at] = need != Need::when_set || value != omitted;
    }
    // A word that is not in the list is kept among the unknown attributes; the value is then undefined.
    template <class E, std::size_t n>
    void word(DocumentName name, E& value, const std::array<DocumentWord<E>, n>& words, Need need) {
        value = E::undefined;
        const auto at = find(name, need);
        if (!at) return;
        const auto& written = node_.attributes[*at].value;
        const auto found =
            std::ranges::find_if(words, [&](const DocumentWord<E>& one) { return one.name.text == written; });
        if (found == words.end()) {
            if (need == Need::required) refuse(name, need, "has a value that is not known");
            return;
        }
        value = found->value;
        attribute_taken_[*at] = true;
    }
    void keep_unknown(UnknownXml& unknown) { unknown_ = &unknown; }
    void demand(bool, std::string_view) {}  // only what is written can be wrong

    template <class T, class How>
    void list(DocumentName name, std::vector<T>& items, const How& how) {
        for (std::size_t i = 0; i < node_.children.size(); ++i) {
            if (!is(node_.children[i], name)) continue;
            T item;
            if (child(i, name, items.size(), [&](ElementReader& inner) { how(inner, item); }))
                items.push_back(std::move(item));
        }
    }
    template <class T>
    void list(DocumentName name, std::vector<T>& items) {
        list(name, items, [](ElementReader& inner, T& item) { shape(inner, item); });
    }
    template <class How>
    void one(DocumentName name, Need need, const How& how) {
        const auto at = only(name);
        if (!at && need == Need::required) fail("element '" + std::string(name.text) + "' is missing");
        if (at) child(*at, name, 0, how);
    }
    template <class T>
    void maybe(DocumentName name, std::optional<T>& item) {
        const auto at = only(name);
        if (!at) return;
        T value;
        if (child(*at, name, 0, [&](ElementReader& inner) { shape(inner, value); })) item = std::move(value);
    }
    void components(std::vector<ComponentMetadata>& items);
    void metadata(DocumentName name, std::string& value, UnknownXml& unknown);
    void metadata(DocumentName name, std::string& value);

    void finish();
    [[nodiscard]] const std::optional<std::string>& failure() const { return failure_; }

private:
    template <class T>
    struct Plain {
        using type = T;
    };
    template <class T>
    requires std::is_enum_v<T>
    struct Plain<T> {
        using type = std::underlying_type_t<T>;
    };
    template <class T>
    using Underlying = typename Plain<T>::type;

    // The attribute's index, when it is there; a required one that is not is a failure.
    std::optional<std::size_t> find(DocumentName name, Need need);
    // The value does not fit: a failure, or kept as unknown when the name is unconfirmed and may be missing.
    void refuse(DocumentName name, Need need, std::string_view what);
    void fail(std::string what);
    [[nodiscard]] bool is(const XmlNode& child, DocumentName name) const;
    // The index of the only child of that name.
    std::optional<std::size_t> only(DocumentName name);
    void give_attributes();
    void give_children();

    // Reads a child; false when it failed and is left among the unknown or has become our failure.
    template <class How>
    bool child(std::size_t index, DocumentName name, std::size_t number, const How& how) {
        ElementReader inner(node_.children[index], space_);
        how(inner);
        inner.finish();
        child_taken_[index] = !inner.failure_;
        if (inner.failure_ && name.confirmed)
            fail(std::string(name.text) + "[" + std::to_string(number + 1) + "]/" + *inner.failure_);
        return !inner.failure_;
    }

    const XmlNode& node_;
    std::string_view space_;  // the document's
    std::vector<bool> attribute_taken_, child_taken_;
    UnknownXml* unknown_ = nullptr;
    std::optional<std::string> failure_;
};

}  // namespace exshadow::vss
