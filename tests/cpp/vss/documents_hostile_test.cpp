// Documents that are refused, and values that cannot be written.
#include <doctest/doctest.h>

#include <string>

#include "vss/documents.h"

using namespace exshadow;
using namespace exshadow::vss;

namespace {

constexpr std::string_view identity =
    R"(<IDENTIFICATION writerId="afbab4a2-367d-4d15-a586-71dbb18f8485" )"
    R"(instanceId="0123abcd-0000-4000-8000-00000000000f" friendlyName="w" majorVersion="0"/>)";
constexpr std::string_view head =
    R"(<WRITER_METADATA xmlns="x-schema:#VssWriterMetadataInfo" version="1.2">)";

std::string document(std::string_view inside) {
    return std::string(head) + std::string(identity) + std::string(inside) + "</WRITER_METADATA>";
}
std::string backup(std::string_view inside) {
    return R"(<BACKUP_COMPONENTS xmlns="x-schema:#VssComponentMetadata" version="1.2">)" +
           std::string(inside) + "</BACKUP_COMPONENTS>";
}
std::string locations(std::string_view inside) {
    return document("<BACKUP_LOCATIONS>" + std::string(inside) + "</BACKUP_LOCATIONS>");
}

template <class Document>
void check_refused(const Result<Document>& read, std::string_view why) {
    REQUIRE_FALSE(read.ok());
    CHECK(hresult_of(read.error()) == HResult::vss_e_invalid_xml_document);
    INFO(read.error().message());
    CHECK(read.error().message().find(why) != std::string::npos);
}
void refused(std::string_view text, std::string_view why) {
    check_refused(parse_writer_metadata(text), why);
}

std::string repeated(std::string_view text, std::size_t count) {
    std::string out;
    for (std::size_t i = 0; i < count; ++i) out += text;
    return out;
}

}  // namespace

TEST_CASE("the plain document of these tests is good") {
    CHECK(parse_writer_metadata(document("")).ok());
    CHECK(parse_backup_document(backup("")).ok());
}

TEST_CASE("document types and entities are refused") {
    refused("<!DOCTYPE x [<!ENTITY a \"b\">]>" + document(""), "document types");
    refused(document("<!ENTITY a \"b\">"), "document types");
    refused(document("<X y=\"&lol;\"/>"), "an entity");
    refused(document("&nbsp;"), "an entity");
    refused(document("<X y=\"&amp\"/>"), "does not end");
    for (const auto* number :
         {"&#0;", "&#x1F;", "&#xD800;", "&#x110000;", "&#99999999999999999999;", "&#;", "&#x;", "&#xFFFE;"})
        refused(document("<X y=\"" + std::string(number) + "\"/>"), "no character");
}

TEST_CASE("bytes that are no text are refused") {
    refused(document(std::string_view("<X y=\"\0\"/>", 10)), "does not permit");
    for (const auto* bytes :
         {"\x80", "\xC0\xAF", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xE2\x82", "\xFF", "\x01", "\xEF\xBF\xBF"})
        refused(document("<X y=\"" + std::string(bytes) + "\"/>"), "is no UTF-8");
    refused("<?xml version=\"1.0\" encoding=\"windows-1252\"?>" + document(""), "encoding 'windows-1252'");
    refused(std::string_view("\xFF\xFE<\0x", 5), "odd number");
    refused(std::string_view("\xFF\xFE<\0\x00\xD8", 6), "half a UTF-16");
    refused("", "no element");
    refused(std::string_view("\0", 1), "no element");
    refused(document("") + std::string("\0<X/>", 5), "does not permit");
}

TEST_CASE("what is not well formed is refused") {
    refused(document("<X>"), "not XML");
    refused(document("<X></Y>"), "closing tag");
    refused(document("") + "<X/>", "more than one root");
    refused(document("") + "text", "not XML");
    refused(document("") + "</X>", "end tag");
    refused("text" + document(""), "not XML");
    refused("<![CDATA[x]]>" + document(""), "outside");
    refused(document("<X a=\"1\"b=\"2\"/>"), "followed by a space");
    refused(document("<X a=1/>"), "not XML");
    refused(document("<X a/>"), "not XML");
    refused(document("<X a=\"<\"/>"), "inside a value");
    refused(document("<X <Y/>"), "inside a tag");
    refused(document("<1/>"), "no name");
    refused(document("<a:b:c/>"), "no name");
    refused(std::string(head) + "<X a=\"1", "does not end");
    refused(document("<!-- "), "comment");
    refused(document("<? "), "processing");
    refused(document("<![CDATA[ "), "CDATA");
    refused(" <?xml version=\"1.0\"?>" + document(""), "not at the beginning");
    refused(document("<></>"), "not XML");
    refused(document("</X b=\"1\">"), "more than a name");
}

TEST_CASE("attributes and prefixes are unique and declared") {
    refused(document("<X a=\"1\" a=\"2\"/>"), "twice");
    refused(document("<X xmlns:p=\"u\" xmlns:q=\"u\" p:a=\"1\" q:a=\"2\"/>"), "twice");
    refused(document("<X xmlns:p=\"u\" xmlns:p=\"v\"/>"), "twice");
    refused(document("<X xmlns=\"u\" xmlns=\"u\"/>"), "twice");
    refused(document("<p:X/>"), "not declared");
    refused(document("<X p:a=\"\"/>"), "not declared");
    refused(document("<X xmlns:p=\"\"/>"), "cannot be declared");
    refused(document("<X xmlns:xml=\"u\"/>"), "cannot be declared");
    refused(document("<X xmlns:xmlns=\"u\"/>"), "cannot be declared");
}

TEST_CASE("bounds are kept") {
    CHECK(parse_writer_metadata(document(repeated("<a>", 63) + repeated("</a>", 63))).ok());
    refused(document(repeated("<a>", 64) + repeated("</a>", 64)), "nested");
    refused(repeated("<a>", 1'000'000), "nested");
    refused(document(repeated("<a/>", document_elements_limit)), "too many elements");
    std::string attributes;
    for (int i = 0; i < 150; ++i) attributes += " a" + std::to_string(i) + "=\"\"";
    refused(document("<X" + attributes + "/>"), "too many attributes");
    refused(document("<X" + attributes + repeated(" b=\"\"", 100) + "/>"), "too many attributes");
    std::string prefixes;
    for (int i = 0; i < 150; ++i)
        prefixes += " xmlns:p" + std::to_string(i) + "=\"u" + std::to_string(i) + "\"";
    refused(document("<X" + prefixes + "/>"), "too many namespaces");
    refused(document("<!--" + std::string(document_bytes_limit, ' ') + "-->"), "limit");
}

TEST_CASE("another root, namespace or version is refused") {
    refused("<X/>", "root element is 'X'");
    refused(backup(""), "root element");
    check_refused(parse_backup_document(document("")), "root element");
    refused("<WRITER_METADATA version=\"1.2\"/>", "namespace is ''");
    refused("<WRITER_METADATA xmlns=\"x-schema:#VssComponentMetadata\" version=\"1.2\"/>", "namespace is");
    for (const auto* version : {"2.0", "1", "1.", "1.x", "", "1.2 "})
        refused(R"(<WRITER_METADATA xmlns="x-schema:#VssWriterMetadataInfo" version=")" +
                    std::string(version) + "\">" + std::string(identity) + "</WRITER_METADATA>",
                "version");
}

TEST_CASE("missing and wrong attributes are named with their place") {
    refused(R"(<WRITER_METADATA xmlns="x-schema:#VssWriterMetadataInfo"/>)", "'version' is missing");
    refused(std::string(head) + "</WRITER_METADATA>", "'IDENTIFICATION' is missing");
    refused(document(identity), "'IDENTIFICATION' is there twice");
    refused(document("<BACKUP_LOCATIONS/><BACKUP_LOCATIONS/>"), "there twice");
    refused(document("<RESTORE_METHOD/><RESTORE_METHOD/>"), "there twice");
    refused(locations("<FILE_GROUP/>"),
            "BACKUP_LOCATIONS[1]/FILE_GROUP[1]/attribute 'componentName' is missing");
    refused(locations("<FILE_GROUP componentName='a'/><FILE_GROUP componentName='b'><FILE_LIST "
                      "path='x'/></FILE_GROUP>"),
            "FILE_GROUP[2]/FILE_LIST[1]/attribute 'filespec' is missing");
    refused(locations("<FILE_GROUP componentName='a' selectable='maybe'/>"), "neither yes nor no");
    for (const auto* number : {"x", "", "-1", "4294967296", "1.5", " 1", "0x1"})
        refused(locations("<FILE_GROUP componentName='a' componentFlags='" + std::string(number) + "'/>"),
                "no number");
    for (const auto* id :
         {"", "afbab4a2", "afbab4a2-367d-4d15-a586-71dbb18f848", "afbab4a2-367d-4d15-a586-71dbb18f848g",
          "{afbab4a2-367d-4d15-a586-71dbb18f8485", "afbab4a2367d4d15a58671dbb18f8485"})
        refused(std::string(head) +
                    "<IDENTIFICATION friendlyName='' instanceId='0123abcd-0000-4000-8000-00000000000f' "
                    "writerId='" +
                    id + "'/></WRITER_METADATA>",
                "no GUID");
    check_refused(
        parse_backup_document(backup("<WRITER_COMPONENTS writerId='0123abcd-0000-4000-8000-00000000000f'/>")),
        "'instanceId' is missing");
}

TEST_CASE("a component must say what it is") {
    const auto with = [](std::string_view type) {
        return backup(
            "<WRITER_COMPONENTS writerId='0123abcd-0000-4000-8000-00000000000f' "
            "instanceId='0123abcd-0000-4000-8000-00000000000f'><COMPONENT componentName='a' " +
            std::string(type) + "/></WRITER_COMPONENTS>");
    };
    CHECK(parse_backup_document(with("componentType='database'")).ok());
    check_refused(parse_backup_document(with("")), "'componentType' is missing");
    check_refused(parse_backup_document(with("componentType='table'")), "not known");
}

TEST_CASE("values that XML cannot hold are not written") {
    auto writer = *parse_writer_metadata(locations("<FILE_GROUP componentName='a'/>"));
    for (const auto* text : {"\x01", "\xFF", "a\x1F", "\xED\xA0\x80", "\xEF\xBF\xBE"}) {
        writer.components[0].caption = text;
        check_refused(serialise(writer), "FILE_GROUP: the value of attribute 'caption'");
    }
    writer.components[0].caption = std::string(1, '\0');
    check_refused(serialise(writer), "caption");
    writer.components[0].caption.clear();
    writer.components[0].type = ComponentType::undefined;
    check_refused(serialise(writer), "neither a file group nor a database");
    writer.components[0].type = ComponentType::file_group;
    writer.usage = UsageType{9};
    check_refused(serialise(writer), "cannot say");
    writer.usage = UsageType::other;
    writer.version = "3";
    check_refused(serialise(writer), "version");
}

TEST_CASE("unknown pieces that would change the document around them are not written") {
    auto writer = *parse_writer_metadata(document(""));
    for (const auto* piece : {"</WRITER_METADATA>", "<X>", "<X/><Y/>", "", "  ", "<p:X/>", "</piece><piece>",
                              "<X/>text", "<!DOCTYPE x>", "<!-- x -->"}) {
        writer.unknown.elements = {piece};
        INFO(std::string(piece));
        CHECK_FALSE(serialise(writer).ok());
    }
    writer.unknown.elements.clear();
    for (const auto* name : {"xmlns", "a b", "", "p:q", "a=\"", "x:y:z", "<"}) {
        writer.unknown.attributes = {{name, "v"}};
        INFO(std::string(name));
        CHECK_FALSE(serialise(writer).ok());
    }
    writer.unknown.attributes = {{"a", "1"}, {"version", "9"}};
    CHECK(serialise(writer)->find("version=\"1.2\" a=\"1\">") != std::string::npos);
    RestoreMethodMetadata method;
    method.mappings.resize(1);
    method.mappings[0].files.alternate_path = "lost";
    writer.restore_method = method;
    CHECK_FALSE(serialise(writer).ok());
}
