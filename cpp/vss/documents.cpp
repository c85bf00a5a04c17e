#include "vss/documents.h"

#include "vss/document_reader.h"
#include "vss/document_writer.h"

namespace exshadow::vss {

namespace {

// The reader reads 1.0, 1.1, 1.2 and what may come after it; another first number is another format.
bool is_known_version(std::string_view text) {
    if (!text.starts_with("1.")) return false;
    text.remove_prefix(2);
    return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

template <class Document>
Result<Document> parse_document(std::string_view xml, DocumentName name, std::string_view space,
                                std::string_view what) {
    const auto tree = parse_xml(xml);
    if (!tree.ok()) return tree.error().within(what);
    const auto& root = tree->root();
    if (root.name != name.text)
        return document_error(std::string(what) + ": the root element is " + shown(root.name) + ", not " +
                              shown(name.text));
    if (root.space != space)
        return document_error(std::string(what) + ": the namespace is " + shown(root.space) + ", not " +
                              shown(space));
    Document document;
    ElementReader reader(root, space);
    shape(reader, document);
    reader.finish();
    if (const auto& failure = reader.failure()) return document_error(std::string(what) + ": " + *failure);
    if (!is_known_version(document.version))
        return document_error(std::string(what) + ": version " + shown(document.version) +
                              " is not one that can be read (1.x)");
    return document;
}

template <class Document>
Result<std::string> serialise_document(const Document& document, DocumentName name, std::string_view space,
                                       std::string_view what) {
    XmlWriter out;
    out.open(name.text, space);
    if (!is_known_version(document.version))
        out.fail("version " + shown(document.version) + " could not be read again");
    ElementWriter writer(out, space);
    shape(writer, document);
    writer.finish();
    out.close();
    auto text = out.finish();
    if (!text.ok()) return text.error().within(what);
    return text;
}

constexpr std::string_view metadata_document = "Writer Metadata Document";
constexpr std::string_view components_document = "Backup Components Document";

}  // namespace

Result<WriterMetadata> parse_writer_metadata(std::string_view xml) {
    return parse_document<WriterMetadata>(xml, names::writer_metadata, names::metadata_space,
                                          metadata_document);
}

Result<BackupDocument> parse_backup_document(std::string_view xml) {
    return parse_document<BackupDocument>(xml, names::backup_components, names::components_space,
                                          components_document);
}

Result<std::string> serialise(const WriterMetadata& metadata) {
    return serialise_document(metadata, names::writer_metadata, names::metadata_space, metadata_document);
}

Result<std::string> serialise(const BackupDocument& document) {
    return serialise_document(document, names::backup_components, names::components_space,
                              components_document);
}

Status fit_for_xml(std::string_view what, std::initializer_list<std::string_view> texts) {
    for (const auto text : texts) {
        if (!xml_can_hold(text)) {
            return vss_error(HResult::e_invalidarg, std::string(what) + ": " + shown(text) +
                                                        " is no UTF-8 or holds a character that XML cannot");
        }
    }
    return {};
}

}  // namespace exshadow::vss
