#include "vss/report_json.h"

#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>

namespace exshadow::vss {

std::string filetime_text(std::int64_t filetime) {
    if (filetime == 0) return {};
    using namespace std::chrono;
    constexpr std::int64_t units_per_second = 10'000'000;
    constexpr std::int64_t to_unix = 11'644'473'600;  // seconds from 1601 to 1970
    const auto since = seconds(filetime / units_per_second - to_unix);
    const auto day = floor<days>(sys_seconds(since));
    const year_month_day date(day);
    const hh_mm_ss time(sys_seconds(since) - day);
    char text[48];
    std::snprintf(text, sizeof text, "%04d-%02u-%02uT%02d:%02d:%02dZ", static_cast<int>(date.year()),
                  static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                  static_cast<int>(time.hours().count()), static_cast<int>(time.minutes().count()),
                  static_cast<int>(time.seconds().count()));
    return text;
}

namespace {

std::uint32_t number(HResult value) {
    return static_cast<std::uint32_t>(value);
}

template <class Range, class Make>
Json list(const Range& range, Make make) {
    Json out = Json::array();
    for (const auto& one : range) out.push_back(make(one));
    return out;
}

Json file_set(const FileSet& files) {
    return {{"path", files.path},
            {"spec", files.spec},
            {"recursive", files.recursive},
            {"backup_type", word(files.backup_type)},
            {"alternate_path", files.alternate_path}};
}

Json mapping(const LocationMapping& one) {
    return {{"files", file_set(one.files)}, {"destination", one.destination}};
}

Json dependency(const Dependency& one) {
    return {{"writer_id", one.writer_id.text()}, {"logical_path", one.logical_path}, {"name", one.name}};
}

Json component(const ComponentMetadata& one) {
    return {{"type", word(one.type)},
            {"logical_path", one.logical_path},
            {"name", one.name},
            {"caption", one.caption},
            {"restore_metadata", one.restore_metadata},
            {"notify_on_backup_complete", one.notify_on_backup_complete},
            {"selectable", one.selectable},
            {"selectable_for_restore", one.selectable_for_restore},
            {"flags", word(one.flags)},
            {"files", list(one.files, file_set)},
            {"database_files", list(one.database_files, file_set)},
            {"database_logs", list(one.database_logs, file_set)},
            {"dependencies", list(one.dependencies, dependency)}};
}

Json restore_method(const std::optional<RestoreMethodMetadata>& method) {
    if (!method) return nullptr;
    return {{"method", word(method->method)},
            {"service", method->service},
            {"user_procedure", method->user_procedure},
            {"writer_restore", word(method->writer_restore)},
            {"reboot_required", method->reboot_required},
            {"mappings", list(method->mappings, mapping)}};
}

Json failure(const std::optional<ComponentFailure>& one) {
    if (!one) return nullptr;
    return {{"failure", number(one->failure)},
            {"failure_name", hresult_text(one->failure)},
            {"application_failure", number(one->application_failure)},
            {"application_message", one->application_message}};
}

Json key(const ComponentKey& one) {
    return {{"writer_id", one.writer_id.text()},
            {"instance_id", one.instance_id.text()},
            {"type", word(one.type)},
            {"logical_path", one.logical_path},
            {"name", one.name}};
}

Json component_report(const ComponentReport& one) {
    return {{"key", key(one.key)},
            {"writer_name", one.writer_name},
            {"included", one.included},
            {"explicitly", one.explicitly},
            {"reason", one.reason},
            {"succeeded", one.succeeded ? Json(*one.succeeded) : Json(nullptr)},
            {"failure", failure(one.failure)}};
}

Json writer_report(const WriterReport& one) {
    return {{"status", to_json(one.status)}, {"wanted", one.wanted}, {"seen_after", one.seen_after}};
}

Json partial_file(const PartialFile& one) {
    return {
        {"path", one.path}, {"file_name", one.file_name}, {"ranges", one.ranges}, {"metadata", one.metadata}};
}

Json differenced_file(const DifferencedFile& one) {
    return {{"files", file_set(one.files)}, {"last_modified", one.last_modified}};
}

Json directed_target(const DirectedTarget& one) {
    return {{"source_path", one.source_path},     {"source_name", one.source_name},
            {"source_ranges", one.source_ranges}, {"target_path", one.target_path},
            {"target_name", one.target_name},     {"target_ranges", one.target_ranges}};
}

Json subcomponent(const RestoreSubcomponent& one) {
    return {{"logical_path", one.logical_path}, {"name", one.name}};
}

Json restore_choice(const RestoreChoice& one) {
    return {{"selected", one.selected},
            {"additional_restores", one.additional_restores},
            {"authoritative", one.authoritative},
            {"options", one.options},
            {"new_name", one.new_name},
            {"roll_forward", word(one.roll_forward)},
            {"roll_forward_point", one.roll_forward_point},
            {"target", word(one.target)},
            {"status", word(one.status)},
            {"subcomponents", list(one.subcomponents, subcomponent)},
            {"new_targets", list(one.new_targets, mapping)},
            {"alternate_mappings", list(one.alternate_mappings, mapping)},
            {"directed_targets", list(one.directed_targets, directed_target)},
            {"pre_restore_failure", one.pre_restore_failure},
            {"post_restore_failure", one.post_restore_failure}};
}

Json backup_component(const BackupComponent& one) {
    return {{"type", word(one.type)},
            {"logical_path", one.logical_path},
            {"name", one.name},
            {"succeeded", one.succeeded ? Json(*one.succeeded) : Json(nullptr)},
            {"backup_options", one.backup_options},
            {"backup_stamp", one.backup_stamp},
            {"previous_backup_stamp", one.previous_backup_stamp},
            {"backup_metadata", one.backup_metadata},
            {"restore_metadata", one.restore_metadata},
            {"partial_files", list(one.partial_files, partial_file)},
            {"differenced_files", list(one.differenced_files, differenced_file)},
            {"restore", restore_choice(one.restore)},
            {"failure", failure(one.failure)}};
}

}  // namespace

Json to_json(const SnapshotProperties& one) {
    return {{"snapshot_id", one.snapshot_id.text()},
            {"set_id", one.set_id.text()},
            {"set_size", one.set_size},
            {"device", one.device},
            {"original_volume", one.original_volume},
            {"originating_machine", one.originating_machine},
            {"service_machine", one.service_machine},
            {"exposed_name", one.exposed_name},
            {"exposed_path", one.exposed_path},
            {"provider_id", one.provider_id.text()},
            {"attributes", word(one.attributes)},
            {"created", one.created},
            {"created_at", filetime_text(one.created)},
            {"state", word(one.state)}};
}

Json to_json(const ProviderProperties& one) {
    return {{"provider_id", one.provider_id.text()},
            {"name", one.name},
            {"type", word(one.type)},
            {"version", one.version},
            {"version_id", one.version_id.text()},
            {"class_id", one.class_id.text()}};
}

Json to_json(const WriterStatus& one) {
    return {{"instance_id", one.instance_id.text()},
            {"writer_id", one.writer_id.text()},
            {"name", one.name},
            {"state", word(one.state)},
            {"failure", number(one.failure)},
            {"failure_name", hresult_text(one.failure)},
            {"application_failure", number(one.application_failure)},
            {"application_message", one.application_message}};
}

Json to_json(const WriterEntry& entry, bool with_document) {
    const auto& one = entry.metadata;
    Json out = {{"writer_id", one.writer_id.text()},
                {"instance_id", one.instance_id.text()},
                {"name", one.name},
                {"instance_name", one.instance_name},
                {"major_version", one.major_version},
                {"minor_version", one.minor_version},
                {"usage", word(one.usage)},
                {"source", word(one.source)},
                {"schema", word(one.schema)},
                {"components", list(one.components, component)},
                {"excluded", list(one.excluded, file_set)},
                {"excluded_from_snapshot", list(one.excluded_from_snapshot, file_set)},
                {"restore_method", restore_method(one.restore_method)},
                {"status", entry.status ? to_json(*entry.status) : Json(nullptr)}};
    if (with_document) out["document"] = entry.document;
    return out;
}

Json to_json(const BackupWriter& one) {
    return {{"writer_id", one.writer_id.text()},
            {"instance_id", one.instance_id.text()},
            {"instance_name", one.instance_name},
            {"schema", word(one.schema)},
            {"components", list(one.components, backup_component)}};
}

Json to_json(const DeleteOutcome& one) {
    return {{"deleted", one.deleted},
            {"failed_snapshot", one.failed_snapshot ? Json(one.failed_snapshot->text()) : Json(nullptr)},
            {"failure", number(one.failure)},
            {"failure_name", hresult_text(one.failure)}};
}

Json to_json(const BackupReport& one) {
    const auto snapshot = [](const SnapshotProperties& each) { return to_json(each); };
    return {
        {"snapshot_set_id", one.snapshot_set_id.is_nil() ? Json(nullptr) : Json(one.snapshot_set_id.text())},
        {"snapshots", list(one.snapshots, snapshot)},
        {"writers", list(one.writers, writer_report)},
        {"components", list(one.components, component_report)},
        {"tries", one.tries},
        {"completed", one.completed},
        {"notes", one.notes}};
}

Json to_json(const RestoreReport& one) {
    const auto writer = [](const BackupWriter& each) { return to_json(each); };
    return {{"writers", list(one.writers, writer_report)},
            {"components", list(one.components, component_report)},
            {"chosen", list(one.chosen, writer)},
            {"completed", one.completed},
            {"notes", one.notes}};
}

Json error_json(const Error& error) {
    Json inner = {{"code", code_name(error.code())},
                  {"message", error.message()},
                  {"hint", error.hint()},
                  {"hresult", nullptr},
                  {"name", nullptr}};
    if (error.os_error() != 0) {
        const auto value = static_cast<HResult>(static_cast<std::uint32_t>(error.os_error()));
        inner["hresult"] = number(value);
        const auto* facts = find_hresult(value);
        if (facts != nullptr) inner["name"] = facts->name;
    }
    return {{"error", inner}};
}

std::string dump(const Json& json) {
    return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace exshadow::vss
