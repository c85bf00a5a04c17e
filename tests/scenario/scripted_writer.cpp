#include "scenario/scripted_writer.h"

namespace exshadow::scenario {

using vss::WriterAnswer;
using vss::WriterCallPtr;

namespace {

constexpr auto default_events = vss::SubscribeMask::post_snapshot | vss::SubscribeMask::backup_events |
                                vss::SubscribeMask::restore_events;

std::vector<std::string_view> event_names() {
    std::vector<std::string_view> names;
    for (std::size_t i = 0; i < vss::writer_event_count; ++i) {
        names.push_back(vss::word(static_cast<vss::WriterEvent>(i)));
    }
    return names;
}

vss::FileSet file_set(const Json& object) {
    check_keys(object, {"path", "spec", "recursive", "backup_type", "alternate"}, "files");
    vss::FileSet set;
    set.path = text_of(object, "path");
    set.spec = text_of(object, "spec", "*");
    set.recursive = object.value("recursive", false);
    set.backup_type = enum_of(object, "backup_type", vss::standard_backup_type);
    set.alternate_path = text_of(object, "alternate");
    return set;
}

std::vector<vss::FileSet> file_sets(const Json& object, const char* key) {
    std::vector<vss::FileSet> sets;
    if (object.contains(key)) {
        for (const auto& set : object[key]) sets.push_back(file_set(set));
    }
    return sets;
}

vss::ComponentMetadata component(const Json& object) {
    check_keys(object,
               {"type", "path", "name", "caption", "selectable", "selectable_for_restore", "notify", "flags",
                "restore_metadata", "files", "database_files", "logs", "dependencies"},
               "component");
    vss::ComponentMetadata result;
    result.type = enum_of(object, "type", vss::ComponentType::file_group);
    result.logical_path = text_of(object, "path");
    result.name = text_of(object, "name");
    result.caption = text_of(object, "caption");
    result.selectable = object.value("selectable", true);
    result.selectable_for_restore = object.value("selectable_for_restore", false);
    result.notify_on_backup_complete = object.value("notify", true);
    result.restore_metadata = object.value("restore_metadata", false);
    result.flags = enum_of(object, "flags", vss::ComponentFlags::no_flags);
    result.files = file_sets(object, "files");
    result.database_files = file_sets(object, "database_files");
    result.database_logs = file_sets(object, "logs");
    for (const auto& dependency : object.value("dependencies", Json::array())) {
        result.dependencies.push_back(
            {id_of(dependency, "writer"), text_of(dependency, "path"), text_of(dependency, "name")});
    }
    return result;
}

vss::RestoreMethodMetadata restore_method(const Json& object) {
    check_keys(object, {"method", "service", "procedure", "writer_restore", "reboot", "mappings"},
               "restore_method");
    vss::RestoreMethodMetadata result;
    result.method = enum_of(object, "method", vss::RestoreMethod::undefined);
    result.service = text_of(object, "service");
    result.user_procedure = text_of(object, "procedure");
    result.writer_restore = enum_of(object, "writer_restore", vss::WriterRestore::never);
    result.reboot_required = object.value("reboot", false);
    for (const auto& mapping : object.value("mappings", Json::array())) {
        check_keys(mapping, {"files", "destination"}, "mappings");
        vss::LocationMapping one;
        one.files = file_set(mapping.at("files"));
        one.destination = text_of(mapping, "destination");
        result.mappings.push_back(std::move(one));
    }
    return result;
}

DocumentEdits document_edits(const Json& object) {
    check_keys(object,
               {"stamp", "backup_metadata", "partial_files", "differenced_files", "restore_target",
                "pre_restore_failure", "component_failure"},
               "document");
    DocumentEdits edits;
    edits.stamp = text_of(object, "stamp");
    edits.backup_metadata = text_of(object, "backup_metadata");
    for (const auto& file : object.value("partial_files", Json::array())) {
        vss::PartialFile partial;
        partial.path = text_of(file, "path");
        partial.file_name = text_of(file, "name");
        partial.ranges = text_of(file, "ranges");
        partial.metadata = text_of(file, "metadata");
        edits.partial_files.push_back(std::move(partial));
    }
    for (const auto& file : object.value("differenced_files", Json::array())) {
        vss::DifferencedFile differenced;
        differenced.files = file_set(file.at("files"));
        differenced.last_modified = file.value("last_modified", std::int64_t{0});
        edits.differenced_files.push_back(std::move(differenced));
    }
    edits.restore_target = enum_of(object, "restore_target", vss::RestoreTarget::undefined);
    edits.pre_restore_failure = text_of(object, "pre_restore_failure");
    if (object.contains("component_failure")) {
        vss::ComponentFailure failure;
        failure.failure = hresult_named(text_of(object["component_failure"], "fail"));
        failure.application_message = text_of(object["component_failure"], "message");
        edits.component_failure = std::move(failure);
    }
    return edits;
}

WriterAnswer refusal(const Error& error) {
    return WriterAnswer::fail(vss::hresult_of(error), error.message());
}

}  // namespace

ScriptedWriter::ScriptedWriter(const Json& description) {
    check_keys(description,
               {"id", "instance", "name", "instance_name", "usage", "source", "schema", "level",
                "freeze_limit", "version", "subscribe", "components", "excluded", "excluded_from_snapshot",
                "restore_method", "document", "events", "checks_volumes"},
               "writer");
    options_.writer_id = id_of(description, "id");
    options_.instance_id = id_of(description, "instance");
    options_.name = text_of(description, "name");
    options_.instance_name = text_of(description, "instance_name");
    options_.usage = enum_of(description, "usage", vss::UsageType::user_data);
    options_.source = enum_of(description, "source", vss::SourceType::other);
    options_.level = enum_of(description, "level", vss::ApplicationLevel::front_end);
    options_.freeze_limit = description.value("freeze_limit", options_.freeze_limit);
    options_.subscribe = enum_of(description, "subscribe", default_events);
    checks_volumes_ = description.value("checks_volumes", false);

    metadata_.schema = enum_of(description, "schema", vss::BackupSchema::no_flags);
    if (description.contains("version")) {
        metadata_.major_version = description["version"].at(0).get<std::uint32_t>();
        metadata_.minor_version = description["version"].at(1).get<std::uint32_t>();
    }
    for (const auto& one : description.value("components", Json::array())) {
        metadata_.components.push_back(component(one));
    }
    metadata_.excluded = file_sets(description, "excluded");
    metadata_.excluded_from_snapshot = file_sets(description, "excluded_from_snapshot");
    if (description.contains("restore_method")) {
        metadata_.restore_method = restore_method(description["restore_method"]);
    }
    if (description.contains("document")) edits_ = document_edits(description["document"]);
    if (description.contains("events")) script_ = Script(description["events"], event_names());
}

Task<WriterAnswer> ScriptedWriter::scripted(WriterCallPtr call) {
    const auto script = script_.take(vss::word(call->event()));
    if (!script) co_return WriterAnswer::ok();
    auto acting = act(*script, [call] { return call->abandoned(); });
    co_await std::move(acting);
    co_return WriterAnswer{script->fail, script->noted, script->application, script->message};
}

bool ScriptedWriter::lacks_volumes(const vss::WriterCall& call) const {
    for (const auto& one : metadata_.components) {
        for (const auto* sets : {&one.files, &one.database_files, &one.database_logs}) {
            for (const auto& set : *sets) {
                if (!call.is_path_affected(set.path)) return true;
            }
        }
    }
    return false;
}

Task<Result<vss::WriterMetadata>> ScriptedWriter::identify(WriterCallPtr call) {
    auto task = scripted(call);
    const auto answer = co_await std::move(task);
    if (answer.fatal()) co_return vss::vss_error(answer.failure, options_.name);
    co_return metadata_;
}

Task<WriterAnswer> ScriptedWriter::on_prepare_backup(WriterCallPtr call) {
    stamps_seen_.clear();
    for (const auto& one : call->components().components) {
        stamps_seen_.push_back(one.previous_backup_stamp);
        const auto path = one.logical_path;
        const auto name = one.name;
        auto status = Status();
        if (!edits_.backup_metadata.empty()) {
            status = call->set_backup_metadata(path, name, edits_.backup_metadata);
        }
        for (const auto& file : edits_.partial_files) {
            if (status.ok()) status = call->add_partial_file(path, name, file);
        }
        if (!status.ok()) co_return refusal(status.error());
    }
    auto task = scripted(call);
    co_return co_await std::move(task);
}

Task<WriterAnswer> ScriptedWriter::on_prepare_snapshot(WriterCallPtr call) {
    if (checks_volumes_ && lacks_volumes(*call)) {
        co_return WriterAnswer::fail(vss::HResult::vss_e_writererror_inconsistentsnapshot);
    }
    auto task = scripted(call);
    co_return co_await std::move(task);
}

Task<WriterAnswer> ScriptedWriter::on_freeze(WriterCallPtr call) {
    return scripted(std::move(call));
}
Task<WriterAnswer> ScriptedWriter::on_thaw(WriterCallPtr call) {
    return scripted(std::move(call));
}
Task<WriterAnswer> ScriptedWriter::on_abort(WriterCallPtr call) {
    return scripted(std::move(call));
}

Task<WriterAnswer> ScriptedWriter::on_post_snapshot(WriterCallPtr call) {
    for (const auto& one : call->components().components) {
        const auto path = one.logical_path;
        const auto name = one.name;
        auto status = Status();
        if (!edits_.stamp.empty()) status = call->set_backup_stamp(path, name, edits_.stamp);
        for (const auto& file : edits_.differenced_files) {
            if (status.ok()) status = call->add_differenced_file(path, name, file);
        }
        if (status.ok() && edits_.component_failure) {
            status = call->set_component_failure(path, name, *edits_.component_failure);
        }
        if (!status.ok()) co_return refusal(status.error());
    }
    auto task = scripted(call);
    co_return co_await std::move(task);
}

Task<WriterAnswer> ScriptedWriter::on_backup_complete(WriterCallPtr call) {
    return scripted(std::move(call));
}
Task<WriterAnswer> ScriptedWriter::on_backup_shutdown(WriterCallPtr call) {
    return scripted(std::move(call));
}

Task<WriterAnswer> ScriptedWriter::on_pre_restore(WriterCallPtr call) {
    for (const auto& one : call->components().components) {
        const auto path = one.logical_path;
        const auto name = one.name;
        auto status = Status();
        if (edits_.restore_target != vss::RestoreTarget::undefined) {
            status = call->set_restore_target(path, name, edits_.restore_target);
        }
        if (status.ok() && !edits_.pre_restore_failure.empty()) {
            status = call->set_pre_restore_failure(path, name, edits_.pre_restore_failure);
        }
        if (!status.ok()) co_return refusal(status.error());
    }
    auto task = scripted(call);
    co_return co_await std::move(task);
}

Task<WriterAnswer> ScriptedWriter::on_post_restore(WriterCallPtr call) {
    return scripted(std::move(call));
}

}  // namespace exshadow::scenario
