// The XML of the two VSS documents, read and written. Microsoft keeps the schema private: names and values
// are those of documents that Windows saved, the others are marked unconfirmed (document_names.h).
//
// Reading accepts UTF-8 and UTF-16, with or without a prolog, prefixes, comments and white space between
// elements. What we do not know is kept (UnknownXml) and written again; comments and processing instructions
// are not. An attribute that we could not bring back from a field, such as recursive="no", is kept there too.
// Reading refuses what is not well formed or too large (limits below), document types and entities, a wrong
// root or namespace, missing attributes, ids and numbers that are none. Only what stands under an unconfirmed
// name and does not look as we write it is kept as unknown instead of being refused.
//
// All errors are vss_error(vss_e_invalid_xml_document, "..."), saying where and what was wrong.
#pragma once

#include <cstddef>
#include <initializer_list>
#include <string>
#include <string_view>

#include "base/error.h"
#include "vss/metadata.h"

namespace exshadow::vss {

// The bounds of documents, for reading and for writing.
inline constexpr std::size_t document_bytes_limit = std::size_t{64} << 20;
inline constexpr std::size_t document_depth_limit = 64;
inline constexpr std::size_t document_elements_limit = 500'000;
inline constexpr std::size_t document_attributes_limit = 2'000'000;
inline constexpr std::size_t element_attributes_limit = 100;

[[nodiscard]] Result<WriterMetadata> parse_writer_metadata(std::string_view xml);
[[nodiscard]] Result<BackupDocument> parse_backup_document(std::string_view xml);

// One line of UTF-8 without a prolog. What parses again as the same value, or an error: a value that XML
// cannot hold (control characters, text that is not UTF-8) is refused, and so is an unknown element that is
// not a whole one. An unknown attribute gives way to a field of the same name.
[[nodiscard]] Result<std::string> serialise(const WriterMetadata& metadata);
[[nodiscard]] Result<std::string> serialise(const BackupDocument& document);

// Texts that a document is to hold: E_INVALIDARG for `what` when XML cannot, said when they are set rather
// than when the document is saved and the backup is made.
[[nodiscard]] Status fit_for_xml(std::string_view what, std::initializer_list<std::string_view> texts);

}  // namespace exshadow::vss
