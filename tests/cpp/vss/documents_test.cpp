// Documents in the shape that Windows gives them: what is read, and what is written.
#include "vss/documents.h"

#include <doctest/doctest.h>

using namespace exshadow;
using namespace exshadow::vss;

namespace {

constexpr std::string_view writer_id = "afbab4a2-367d-4d15-a586-71dbb18f8485";
constexpr std::string_view instance_id = "0123ABCD-0000-4000-8000-00000000000F";

std::string replaced(std::string text, std::string_view from, std::string_view to) {
    const auto at = text.find(from);
    REQUIRE(at != std::string::npos);
    return text.replace(at, from.size(), to);
}

std::string metadata_text() {
    return R"(<WRITER_METADATA xmlns="x-schema:#VssWriterMetadataInfo" version="1.2" backupSchema="881">)"
           R"(<IDENTIFICATION writerId=")" +
           std::string(writer_id) + R"(" instanceId=")" + std::string(instance_id) +
           R"(" instanceName="host:one" friendlyName="Demo &amp; Co" usage="USER_DATA" )"
           R"(dataSource="TRANSACTION_DB" majorVersion="0" minorVersion="3"/>)"
           R"(<RESTORE_METHOD method="REPLACE_AT_REBOOT_IF_CANNOT_REPLACE" writerRestore="always" rebootRequired="yes"/>)"
           R"(<BACKUP_LOCATIONS><FILE_GROUP logicalPath="store" componentName="one" caption="First" )"
           R"(restoreMetadata="no" notifyOnBackupComplete="yes" selectable="no" selectableForRestore="yes" )"
           R"(componentFlags="6"><FILE_LIST path="%ProgramData%\demo" filespec="*.dat" recursive="yes" )"
           R"(filespecBackupType="3855"/><FILE_LIST path="C:\x" filespec="a" filespecBackupType="257"/></FILE_GROUP>)"
           R"(<EXCLUDE_FILES path="%ProgramData%\demo" filespec="*.tmp" recursive="no"/>)"
           R"(<EXCLUDE_FILES_FROM_SNAPSHOT path="$UserProfile$" filespec="*.ost" recursive="yes"/>)"
           R"(</BACKUP_LOCATIONS></WRITER_METADATA>)";
}

std::string backup_text() {
    return R"(<BACKUP_COMPONENTS xmlns="x-schema:#VssComponentMetadata" version="1.2" bootableSystemStateBackup="no" )"
           R"(selectComponents="yes" backupType="full" partialFileSupport="no" )"
           R"(snapshotSetId="e109943b-232e-4b52-8dc4-62b7de000001"><WRITER_COMPONENTS instanceId=")" +
           std::string(instance_id) + R"(" writerId=")" + std::string(writer_id) +
           R"(" backupSchema="881"><COMPONENT logicalPath="store" componentName="one" componentType="filegroup" )"
           R"(backupStamp="AAEC"><BACKUP_METADATA xmlns="" metadata="c29tZSB0ZXh0"/></COMPONENT></WRITER_COMPONENTS>)"
           R"(</BACKUP_COMPONENTS>)";
}

std::string lower(std::string text) {
    for (char& c : text) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    return text;
}

// Reads, writes and reads again.
WriterMetadata read_metadata(std::string_view text) {
    const auto read = parse_writer_metadata(text);
    REQUIRE_MESSAGE(read.ok(), read.error().message());
    const auto written = serialise(*read);
    REQUIRE_MESSAGE(written.ok(), written.error().message());
    const auto again = parse_writer_metadata(*written);
    REQUIRE_MESSAGE(again.ok(), again.error().message());
    CHECK(*again == *read);
    return *read;
}
BackupDocument read_backup(std::string_view text) {
    const auto read = parse_backup_document(text);
    REQUIRE_MESSAGE(read.ok(), read.error().message());
    const auto written = serialise(*read);
    REQUIRE_MESSAGE(written.ok(), written.error().message());
    const auto again = parse_backup_document(*written);
    REQUIRE_MESSAGE(again.ok(), again.error().message());
    CHECK(*again == *read);
    return *read;
}

std::string utf16(std::string_view ascii, bool big_endian, bool mark) {
    std::string out;
    const auto put = [&](unsigned unit) {
        const char low = static_cast<char>(unit & 0xFFU), high = static_cast<char>(unit >> 8);
        out += big_endian ? high : low;
        out += big_endian ? low : high;
    };
    if (mark) put(0xFEFF);
    for (const char c : ascii) put(static_cast<unsigned char>(c));
    return out;
}

}  // namespace

TEST_CASE("writer metadata is read as the interface shows it") {
    const auto writer = read_metadata(metadata_text());
    CHECK(writer.writer_id.text() == writer_id);
    CHECK(writer.instance_id.text() == lower(std::string(instance_id)));
    CHECK(writer.name == "Demo & Co");
    CHECK(writer.instance_name == "host:one");
    CHECK(writer.usage == UsageType::user_data);
    CHECK(writer.source == SourceType::transacted_db);
    CHECK(writer.minor_version == 3);
    CHECK(static_cast<unsigned>(writer.schema) == 0x371);
    REQUIRE(writer.restore_method.has_value());
    CHECK(writer.restore_method->method == RestoreMethod::restore_at_reboot_if_cannot_replace);
    CHECK(writer.restore_method->writer_restore == WriterRestore::always);
    CHECK(writer.restore_method->reboot_required);
    REQUIRE(writer.components.size() == 1);
    const auto& component = *writer.find("store", "one");
    CHECK(component.caption == "First");
    CHECK_FALSE(component.selectable);
    CHECK(component.selectable_for_restore);
    CHECK(component.notify_on_backup_complete);
    CHECK(component.flags == (ComponentFlags::app_rollback_recovery | ComponentFlags::not_system_state));
    REQUIRE(component.files.size() == 2);
    CHECK(component.files[0].path == "%ProgramData%\\demo");
    CHECK(component.files[0].recursive);
    CHECK(component.files[0].backup_type == standard_backup_type);
    CHECK(static_cast<unsigned>(component.files[1].backup_type) == 257);
    REQUIRE(writer.excluded.size() == 1);
    CHECK(writer.excluded[0].spec == "*.tmp");
    REQUIRE(writer.excluded_from_snapshot.size() == 1);
    CHECK(writer.excluded_from_snapshot[0].recursive);
    CHECK(writer.unknown.empty());
}

TEST_CASE("a backup's document is read as the interface shows it") {
    const auto document = read_backup(backup_text());
    CHECK(document.select_components);
    CHECK_FALSE(document.bootable_system_state);
    CHECK(document.type == BackupType::full);
    CHECK(document.snapshot_set_id.text() == "e109943b-232e-4b52-8dc4-62b7de000001");
    REQUIRE(document.writers.size() == 1);
    REQUIRE(document.writers[0].components.size() == 1);
    const auto& component = document.writers[0].components[0];
    CHECK(component.type == ComponentType::file_group);
    CHECK(component.backup_stamp == "AAEC");
    CHECK(component.backup_metadata == "c29tZSB0ZXh0");
    CHECK_FALSE(component.succeeded.has_value());
}

TEST_CASE("what is written has the very form that Windows writes") {
    CHECK(*serialise(*parse_backup_document(backup_text())) ==
          replaced(backup_text(), instance_id, lower(std::string(instance_id))));
    CHECK(*serialise(*parse_writer_metadata(metadata_text())) ==
          replaced(metadata_text(), instance_id, lower(std::string(instance_id))));
}

TEST_CASE("other encodings, layouts and prefixes of the same document read the same") {
    const auto expected = read_metadata(metadata_text());
    const auto same = [&](const std::string& text) { CHECK(read_metadata(text) == expected); };
    same("\xEF\xBB\xBF" + metadata_text());
    same("<?xml version=\"1.0\" encoding=\"utf-16\"?>\r\n<!-- saved -->" + metadata_text() + "\r\n");
    same(utf16("<?xml version='1.0' encoding='UTF-16'?>" + metadata_text(), false, true));
    same(utf16(metadata_text(), true, true));
    same(utf16(metadata_text(), false, false));
    same(utf16(metadata_text(), true, false));
    same(metadata_text() + '\0');
    same(utf16(metadata_text(), false, true) + std::string(2, '\0'));
    std::string spaced;
    for (const char c : metadata_text()) spaced += c == '<' ? "\r\n\t<" : std::string(1, c);
    same(spaced);
    same(replaced(metadata_text(), "<BACKUP_LOCATIONS>", "<BACKUP_LOCATIONS ><!-- > < & --><?pi x?>"));
    same(replaced(metadata_text(), "caption=\"First\"", "caption='&#x46;irst'"));
    std::string prefixed;
    for (const char c : metadata_text()) prefixed += c == '<' ? "<v:" : std::string(1, c);
    for (auto at = prefixed.find("<v:/"); at != std::string::npos; at = prefixed.find("<v:/"))
        prefixed.replace(at, 4, "</v:");
    same(replaced(prefixed, "xmlns=", "xmlns:v="));
}

TEST_CASE("line ends and tabs in values are spaces when literal, and themselves when written as numbers") {
    const auto text =
        replaced(metadata_text(), "caption=\"First\"", "caption=\"a\r\nb\tc&#10;d&#13;e&#9;f\"");
    CHECK(read_metadata(text).components[0].caption == "a b c\nd\re\tf");
}

TEST_CASE("text beyond ASCII survives in both encodings") {
    const auto text =
        replaced(metadata_text(), "caption=\"First\"", "caption=\"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\"");
    CHECK(read_metadata(text).components[0].caption == "\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80");
    auto wide = utf16(replaced(metadata_text(), "caption=\"First\"", "caption=\"@@\""), false, true);
    const auto at = wide.find(std::string_view("@\0@\0", 4));
    wide.replace(at, 4, "\x3D\xD8\x00\xDE", 4);
    CHECK(read_metadata(wide).components[0].caption == "\xF0\x9F\x98\x80");
}

TEST_CASE("what is not known is kept and written again") {
    auto text = replaced(metadata_text(), "<BACKUP_LOCATIONS>",
                         "<BACKUP_LOCATIONS q:odd=\"1\" xmlns:q=\"urn:q\">before <NEW a='1'><DEEP "
                         "q:x=\"2\">t &amp; u</DEEP></NEW>"
                         "<other xmlns=\"urn:o\" xml:lang=\"de\"/>");
    text = replaced(text, "componentFlags=\"6\"", "componentFlags=\"6\" later=\"x &lt; y\"");
    text = replaced(text, "<RESTORE_METHOD ", "<RESTORE_METHOD novel=\"yes\" ");
    const auto writer = read_metadata(text);
    CHECK(writer.unknown_locations.attributes ==
          std::vector<std::pair<std::string, std::string>>{{"xmlns:q", "urn:q"}, {"q:odd", "1"}});
    REQUIRE(writer.unknown_locations.elements.size() == 3);
    CHECK(writer.unknown_locations.elements[0] == "before ");
    CHECK(writer.unknown_locations.elements[1] ==
          "<NEW a=\"1\"><DEEP xmlns:q=\"urn:q\" q:x=\"2\">t &amp; u</DEEP></NEW>");
    CHECK(writer.unknown_locations.elements[2] == "<other xmlns=\"urn:o\" xml:lang=\"de\"/>");
    CHECK(writer.components[0].unknown.attributes.at(0).second == "x < y");
    CHECK(writer.restore_method->unknown.attributes.at(0).first == "novel");
    const auto written = *serialise(writer);
    for (const auto* part : {"<NEW a=\"1\">", "q:odd=\"1\"", "later=\"x &lt; y\"", "xml:lang=\"de\""})
        CHECK(written.find(part) != std::string::npos);
}

TEST_CASE("prefixes that are declared once and used deeper are declared anew where they are used") {
    std::string declared, used;
    for (int i = 0; i < 40; ++i) {
        const auto prefix = "p" + std::to_string(i);
        declared += " xmlns:" + prefix + "=\"urn:" + prefix + "\"";
        used += " " + prefix + ":a=\"\"";
    }
    const auto element = "<X" + used + ">";
    const auto writer = read_metadata(replaced(
        metadata_text(), "<BACKUP_LOCATIONS>",
        "<BACKUP_LOCATIONS" + declared + ">" + element + element + element + element + "</X></X></X></X>"));
    CHECK(writer.unknown_locations.attributes.empty());
    CHECK(writer.unknown_locations.elements.size() == 1);
}

TEST_CASE("words and flags that the fields cannot bring back are kept until the field is set") {
    auto text =
        replaced(metadata_text(), "method=\"REPLACE_AT_REBOOT_IF_CANNOT_REPLACE\"", "method=\"BY_MAGIC\"");
    text = replaced(text, "filespec=\"a\"", "filespec=\"a\" recursive=\"no\"");
    auto writer = read_metadata(text);
    CHECK(writer.restore_method->method == RestoreMethod::undefined);
    CHECK(serialise(writer)->find("method=\"BY_MAGIC\"") != std::string::npos);
    CHECK(serialise(writer)->find("filespec=\"a\" filespecBackupType=\"257\" recursive=\"no\"") !=
          std::string::npos);
    writer.restore_method->method = RestoreMethod::restore_at_reboot;
    writer.components[0].files[1].recursive = true;
    const auto changed = read_metadata(*serialise(writer));
    CHECK(changed.restore_method->method == RestoreMethod::restore_at_reboot);
    CHECK(changed.components[0].files[1].recursive);
}

TEST_CASE("what stands under an unconfirmed name and looks otherwise is kept as it is") {
    auto text = replaced(backup_text(), "backupStamp=", "backupSucceeded=\"perhaps\" backupStamp=");
    text = replaced(text, "<BACKUP_METADATA",
                    "<PARTIAL_FILE path=\"only\"/><FAILURE failure=\"many\"/><BACKUP_METADATA");
    const auto document = read_backup(text);
    const auto& component = document.writers[0].components[0];
    CHECK_FALSE(component.succeeded.has_value());
    CHECK(component.partial_files.empty());
    CHECK_FALSE(component.failure.has_value());
    CHECK(component.unknown.elements ==
          std::vector<std::string>{"<PARTIAL_FILE path=\"only\"/>", "<FAILURE failure=\"many\"/>"});
    CHECK(component.unknown.attributes.at(0) ==
          std::pair<std::string, std::string>("backupSucceeded", "perhaps"));
    CHECK(component.backup_metadata == "c29tZSB0ZXh0");
}

TEST_CASE("every field that a restore needs is stored") {
    auto document = read_backup(backup_text());
    auto& component = document.writers[0].components[0];
    component.succeeded = false;
    component.backup_options = "o\"<>&'";
    component.previous_backup_stamp = " p ";
    component.restore_metadata = "m\n";
    component.partial_files = {{"C:\\a", "b.dat", "0:10,20:5", "meta", {}}, {"C:\\a", "c", "", "", {}}};
    component.differenced_files.resize(1);
    component.differenced_files[0].files.path = "D:\\";
    component.differenced_files[0].last_modified = -7;
    auto& restore = component.restore;
    restore.selected = restore.additional_restores = restore.authoritative = true;
    restore.options = "x";
    restore.new_name = "y";
    restore.roll_forward = RollForward::partial;
    restore.roll_forward_point = "12:00";
    restore.target = RestoreTarget::original_location;
    restore.status = FileRestoreStatus::failed;
    restore.subcomponents = {{"store", "part", {}}};
    restore.new_targets.resize(1);
    restore.new_targets[0].files.path = "C:\\from";
    restore.new_targets[0].destination = "E:\\to";
    restore.alternate_mappings = restore.new_targets;
    restore.directed_targets = {{"a", "b", "c", "d", "e", "f", {}}};
    restore.pre_restore_failure = "bad";
    restore.post_restore_failure = "worse";
    component.failure =
        ComponentFailure{HResult::vss_e_writererror_retryable, HResult::e_accessdenied, "db off", {}};
    document.snapshots.resize(2);
    document.snapshots[0].properties.original_volume = "\\\\?\\Volume{1}\\";
    document.snapshots[1].properties.attributes = SnapshotAttributes{0xFFFFFFFF};
    document.snapshots[1].properties.created = 133'000'000'000'000'000;
    document.snapshots[1].properties.state = SnapshotState::created;
    const auto written = serialise(document);
    REQUIRE_MESSAGE(written.ok(), written.error().message());
    CHECK(read_backup(*written) == document);
}

TEST_CASE("databases, dependencies and mappings are stored") {
    auto writer = read_metadata(metadata_text());
    ComponentMetadata database;
    database.type = ComponentType::database;
    database.name = "db";
    database.database_files.resize(1);
    database.database_logs.resize(2);
    database.dependencies = {{Uuid::from_words(1, 2), "p", "n", {}}};
    writer.components.insert(writer.components.begin(), database);
    writer.restore_method->mappings.resize(1);
    writer.restore_method->mappings[0].destination = "F:\\";
    writer.restore_method->service = "demo";
    const auto written = serialise(writer);
    REQUIRE_MESSAGE(written.ok(), written.error().message());
    CHECK(written->find("<DATABASE componentName=\"db\"") != std::string::npos);
    CHECK(read_metadata(*written) == writer);
}
