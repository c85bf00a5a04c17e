// Random documents, from printed seeds: what is written reads back as the same value, and damaged text is
// refused or reads as something that can be written again.
#include <doctest/doctest.h>

#include <random>

#include "vss/document_names.h"
#include "vss/documents.h"

using namespace exshadow;
using namespace exshadow::vss;

namespace {

class Maker {
public:
    explicit Maker(unsigned seed) : random_(seed) {}

    WriterMetadata metadata() {
        WriterMetadata writer;
        writer.writer_id = id();
        writer.instance_id = id();
        writer.name = text();
        writer.instance_name = text();
        writer.major_version = number();
        writer.minor_version = number();
        writer.usage = pick(words::usage);
        writer.source = pick(words::data_source);
        writer.schema = BackupSchema{number()};
        fill(writer.components, [&] { return component(); });
        fill(writer.excluded, [&] { return file_set(); });
        fill(writer.excluded_from_snapshot, [&] { return file_set(); });
        if (yes()) writer.restore_method = restore_method();
        writer.unknown = unknown();
        writer.unknown_identity = unknown();
        writer.unknown_locations = unknown();
        return writer;
    }

    BackupDocument document() {
        BackupDocument made;
        made.bootable_system_state = yes();
        made.select_components = yes();
        made.partial_files = yes();
        made.type = pick(words::backup_type);
        if (yes()) made.snapshot_set_id = id();
        fill(made.writers, [&] {
            BackupWriter writer;
            writer.writer_id = id();
            writer.instance_id = id();
            writer.instance_name = text();
            writer.schema = BackupSchema{number()};
            fill(writer.components, [&] { return backup_component(); });
            writer.unknown = unknown();
            return writer;
        });
        fill(made.snapshots, [&] { return snapshot(); });
        made.unknown = unknown();
        return made;
    }

    std::size_t below(std::size_t limit) { return random_() % limit; }

private:
    bool yes() { return random_() % 2 == 0; }
    std::uint32_t number() {
        return yes() ? static_cast<std::uint32_t>(random_() % 3) : static_cast<std::uint32_t>(random_());
    }
    Uuid id() { return random_() % 8 == 0 ? Uuid{} : Uuid::from_words(random_(), random_()); }
    std::string text() {
        static constexpr auto pieces = std::to_array<std::string_view>({"",
                                                                        " ",
                                                                        "a",
                                                                        "%SystemRoot%\\x",
                                                                        "\t",
                                                                        "\n",
                                                                        "\r",
                                                                        "\r\n",
                                                                        "&",
                                                                        "&amp;",
                                                                        "<",
                                                                        ">",
                                                                        "\"",
                                                                        "'",
                                                                        "]]>",
                                                                        "--",
                                                                        "\xC3\xA9",
                                                                        "\xE2\x82\xAC",
                                                                        "\xF0\x9F\x98\x80",
                                                                        "\x7F",
                                                                        "\xEF\xBF\xBD",
                                                                        "xmlns",
                                                                        "  b  "});
        std::string out;
        for (auto count = random_() % 4; count != 0; --count) out += pieces[random_() % pieces.size()];
        return out;
    }
    std::string filled() { return "x" + text(); }
    template <class E, std::size_t n>
    E pick(const std::array<DocumentWord<E>, n>& words) {
        const auto index = random_() % (n + 1);
        return index == n ? E::undefined : words[index].value;
    }
    template <class T, class Make>
    void fill(std::vector<T>& list, const Make& make) {
        for (auto count = random_() % 3; count != 0; --count) list.push_back(make());
    }
    UnknownXml unknown() {
        UnknownXml made;
        if (random_() % 4 != 0) return made;
        if (yes()) made.attributes = {{"unknown", text()}, {"xmlns:p", "urn:p"}, {"p:path", text()}};
        if (yes())
            made.elements = {"text &amp; more", "<UNKNOWN a=\"&lt;\"><FILE_LIST/>in</UNKNOWN>",
                             "<o xmlns=\"urn:o\"/>"};
        return made;
    }
    FileSet file_set() {
        FileSet set;
        set.path = text();
        set.spec = text();
        set.recursive = yes();
        if (yes()) set.backup_type = FileSpecBackupType{number()};
        set.alternate_path = text();
        set.unknown = unknown();
        return set;
    }
    LocationMapping mapping() {
        LocationMapping made{file_set(), text()};
        made.files.alternate_path.clear();
        return made;
    }
    RestoreMethodMetadata restore_method() {
        RestoreMethodMetadata made{
            pick(words::method), text(), text(), pick(words::writer_restore), yes(), {}, unknown()};
        fill(made.mappings, [&] { return mapping(); });
        return made;
    }
    ComponentMetadata component() {
        ComponentMetadata made;
        made.type = yes() ? ComponentType::database : ComponentType::file_group;
        made.logical_path = text();
        made.name = text();
        made.caption = text();
        made.icon = text();
        made.restore_metadata = yes();
        made.notify_on_backup_complete = yes();
        made.selectable = yes();
        made.selectable_for_restore = yes();
        made.flags = ComponentFlags{number()};
        fill(made.files, [&] { return file_set(); });
        fill(made.database_files, [&] { return file_set(); });
        fill(made.database_logs, [&] { return file_set(); });
        fill(made.dependencies, [&] { return Dependency{id(), text(), text(), unknown()}; });
        made.unknown = unknown();
        return made;
    }
    BackupComponent backup_component() {
        BackupComponent made;
        made.type = yes() ? ComponentType::database : ComponentType::file_group;
        made.logical_path = text();
        made.name = text();
        if (yes()) made.succeeded = yes();
        made.backup_options = text();
        made.backup_stamp = text();
        made.previous_backup_stamp = text();
        if (yes()) made.backup_metadata = filled();
        if (!made.backup_metadata.empty()) made.unknown_metadata = unknown();
        if (yes()) made.restore_metadata = filled();
        fill(made.partial_files, [&] { return PartialFile{text(), text(), text(), text(), unknown()}; });
        fill(made.differenced_files, [&] {
            return DifferencedFile{file_set(), static_cast<std::int64_t>(random_())};
        });
        made.restore = restore();
        if (yes()) made.failure = ComponentFailure{HResult{number()}, HResult{number()}, text(), unknown()};
        made.unknown = unknown();
        return made;
    }
    RestoreChoice restore() {
        RestoreChoice made;
        made.selected = yes();
        made.additional_restores = yes();
        made.authoritative = yes();
        made.options = text();
        made.new_name = text();
        made.roll_forward = pick(words::roll_forward);
        made.roll_forward_point = text();
        made.target = pick(words::restore_target);
        made.status = pick(words::file_restore_status);
        fill(made.subcomponents, [&] { return RestoreSubcomponent{text(), text(), unknown()}; });
        fill(made.new_targets, [&] { return mapping(); });
        fill(made.alternate_mappings, [&] { return mapping(); });
        fill(made.directed_targets,
             [&] { return DirectedTarget{text(), text(), text(), text(), text(), text(), unknown()}; });
        made.pre_restore_failure = text();
        made.post_restore_failure = text();
        return made;
    }
    RecordedSnapshot snapshot() {
        RecordedSnapshot made;
        auto& facts = made.properties;
        facts = {id(),
                 id(),
                 static_cast<std::int32_t>(number()),
                 text(),
                 text(),
                 text(),
                 text(),
                 text(),
                 text(),
                 id(),
                 SnapshotAttributes{number()},
                 static_cast<std::int64_t>(random_()),
                 SnapshotState{static_cast<std::uint8_t>(random_() % 16)}};
        made.unknown = unknown();
        return made;
    }

    std::mt19937_64 random_;
};

template <class Document, class Parse>
void check_round_trip(const Document& made, const Parse& parse) {
    const auto text = serialise(made);
    REQUIRE_MESSAGE(text.ok(), text.error().message());
    const auto read = parse(*text);
    REQUIRE_MESSAGE(read.ok(), (read.error().message() + "\n" + *text));
    INFO(*text);
    CHECK(*read == made);
}

// A few bytes changed, cut out or doubled.
std::string damaged(std::string text, Maker& maker) {
    static constexpr std::string_view bytes = "<>\"'&;/= :xan01\t\n\r\x01\x80!-[]?";
    for (auto count = 1 + maker.below(3); count != 0; --count) {
        const auto at = maker.below(text.size());
        const auto kind = maker.below(4);
        if (kind == 0) text[at] = bytes[maker.below(bytes.size())];
        if (kind == 1) text.insert(at, 1, bytes[maker.below(bytes.size())]);
        if (kind == 2) text.erase(at, 1 + maker.below(20));
        if (kind == 3) text.insert(at, text.substr(maker.below(text.size()), maker.below(60)));
        if (text.empty()) text = "<";
    }
    return text;
}

template <class Parse>
bool check_damaged(const std::string& text, const Parse& parse) {
    const auto read = parse(text);
    if (!read.ok()) {
        CHECK(hresult_of(read.error()) == HResult::vss_e_invalid_xml_document);
        return false;
    }
    INFO(text);
    check_round_trip(*read, parse);
    return true;
}

}  // namespace

TEST_CASE("random documents read back as what was written") {
    for (unsigned seed = 0; seed < 2000; ++seed) {
        INFO("seed " << seed);
        Maker maker(seed);
        check_round_trip(maker.metadata(), parse_writer_metadata);
        check_round_trip(maker.document(), parse_backup_document);
    }
}

TEST_CASE("damaged documents are refused or can be written again") {
    int read = 0;
    for (unsigned seed = 0; seed < 1000; ++seed) {
        INFO("seed " << seed);
        Maker maker(seed);
        const auto metadata = *serialise(maker.metadata());
        const auto document = *serialise(maker.document());
        for (int i = 0; i < 8; ++i) {
            read += check_damaged(damaged(metadata, maker), parse_writer_metadata);
            read += check_damaged(damaged(document, maker), parse_backup_document);
        }
    }
    CHECK(read > 500);  // else the damage says nothing about what is read
    CHECK(read < 15'000);
}
