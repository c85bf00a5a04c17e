// The shape of both documents, said once: shape(visitor, value) names every attribute and child element of a
// value. The reader (document_reader.h) and the writer (document_writer.h) are the two visitors, so what one
// writes the other reads. In every shape attributes come first, then keep_unknown(), then elements.
#pragma once

#include <concepts>
#include <type_traits>

#include "vss/document_names.h"
#include "vss/metadata.h"

namespace exshadow::vss {

enum class Need {
    required,  // refused when missing
    written,   // always written; when missing, the default counts
    when_set,  // left out at its default
};

// T or const T: the reader fills values, the writer has constant ones.
template <class T, class Value>
concept Shaped = std::same_as<std::remove_const_t<T>, Value>;

// What `files` and the like have in common: path, specification, recursion.
template <class V, Shaped<FileSet> T>
void shape_location(V& v, T& set) {
    v.text(names::path, set.path, Need::required);
    v.text(names::file_spec, set.spec, Need::required);
    v.flag(names::recursive, set.recursive, Need::when_set);
}

// FILE_LIST, DATABASE_FILES, DATABASE_LOGFILES
template <class V, Shaped<FileSet> T>
void shape(V& v, T& set) {
    shape_location(v, set);
    v.number(names::file_spec_backup_type, set.backup_type, Need::written);
    v.text(names::alternate_path, set.alternate_path, Need::when_set);
    v.keep_unknown(set.unknown);
}

// EXCLUDE_FILES: as a FILE_LIST, but which backups need it is not usually said. `recursive` always is.
template <class V, Shaped<FileSet> T>
void shape_excluded(V& v, T& set) {
    v.text(names::path, set.path, Need::required);
    v.text(names::file_spec, set.spec, Need::required);
    v.flag(names::recursive, set.recursive, Need::written);
    v.number(names::file_spec_backup_type, set.backup_type, Need::when_set, standard_backup_type);
    v.text(names::alternate_path, set.alternate_path, Need::when_set);
    v.keep_unknown(set.unknown);
}

// ALTERNATE_LOCATION_MAPPING, NEW_TARGET: the destination takes the alternate path's place.
template <class V, Shaped<LocationMapping> T>
void shape(V& v, T& mapping) {
    v.demand(mapping.files.alternate_path.empty(),
             "a mapping's files lie at their path, not at an alternate one");
    shape_location(v, mapping.files);
    v.number(names::file_spec_backup_type, mapping.files.backup_type, Need::when_set, standard_backup_type);
    v.text(names::alternate_path, mapping.destination, Need::required);
    v.keep_unknown(mapping.files.unknown);
}

template <class V, Shaped<Dependency> T>
void shape(V& v, T& dependency) {
    v.id(names::writer_id, dependency.writer_id, Need::required);
    v.text(names::logical_path, dependency.logical_path, Need::when_set);
    v.text(names::component_name, dependency.name, Need::required);
    v.keep_unknown(dependency.unknown);
}

// FILE_GROUP or DATABASE, by the component's type.
template <class V, Shaped<ComponentMetadata> T>
void shape(V& v, T& component) {
    v.text(names::logical_path, component.logical_path, Need::when_set);
    v.text(names::component_name, component.name, Need::required);
    v.text(names::caption, component.caption, Need::when_set);
    v.text(names::icon, component.icon, Need::when_set);
    v.flag(names::restores_metadata, component.restore_metadata, Need::written);
    v.flag(names::notify_on_backup_complete, component.notify_on_backup_complete, Need::written);
    v.flag(names::selectable, component.selectable, Need::written);
    v.flag(names::selectable_for_restore, component.selectable_for_restore, Need::written);
    v.number(names::component_flags, component.flags, Need::written);
    v.keep_unknown(component.unknown);
    v.list(names::file_list, component.files);
    v.list(names::database_files, component.database_files);
    v.list(names::database_logs, component.database_logs);
    v.list(names::dependency, component.dependencies);
}

template <class V, Shaped<RestoreMethodMetadata> T>
void shape(V& v, T& restore) {
    v.word(names::method, restore.method, words::method, Need::written);
    v.text(names::service, restore.service, Need::when_set);
    v.text(names::user_procedure, restore.user_procedure, Need::when_set);
    v.word(names::writer_restore, restore.writer_restore, words::writer_restore, Need::written);
    v.flag(names::reboot_required, restore.reboot_required, Need::written);
    v.keep_unknown(restore.unknown);
    v.list(names::location_mapping, restore.mappings);
}

template <class V, Shaped<WriterMetadata> T>
void shape_identification(V& v, T& writer) {
    v.id(names::writer_id, writer.writer_id, Need::required);
    v.id(names::instance_id, writer.instance_id, Need::required);
    v.text(names::instance_name, writer.instance_name, Need::when_set);
    v.text(names::friendly_name, writer.name, Need::required);
    v.word(names::usage, writer.usage, words::usage, Need::written);
    v.word(names::data_source, writer.source, words::data_source, Need::written);
    v.number(names::major_version, writer.major_version, Need::written);
    v.number(names::minor_version, writer.minor_version, Need::written);
    v.keep_unknown(writer.unknown_identity);
}

template <class V, Shaped<WriterMetadata> T>
void shape_locations(V& v, T& writer) {
    v.keep_unknown(writer.unknown_locations);
    v.components(writer.components);
    const auto excluded = [](auto& inner, auto& set) { shape_excluded(inner, set); };
    v.list(names::exclude_files, writer.excluded, excluded);
    v.list(names::exclude_from_snapshot, writer.excluded_from_snapshot, excluded);
}

// WRITER_METADATA
template <class V, Shaped<WriterMetadata> T>
void shape(V& v, T& writer) {
    v.text(names::version, writer.version, Need::required);
    v.number(names::backup_schema, writer.schema, Need::when_set);
    v.keep_unknown(writer.unknown);
    v.one(names::identification, Need::required, [&](auto& inner) { shape_identification(inner, writer); });
    v.maybe(names::restore_method, writer.restore_method);
    v.one(names::backup_locations, Need::written, [&](auto& inner) { shape_locations(inner, writer); });
}

template <class V, Shaped<PartialFile> T>
void shape(V& v, T& file) {
    v.text(names::path, file.path, Need::required);
    v.text(names::file_name, file.file_name, Need::required);
    v.text(names::ranges, file.ranges, Need::when_set);
    v.text(names::metadata, file.metadata, Need::when_set);
    v.keep_unknown(file.unknown);
}

template <class V, Shaped<DifferencedFile> T>
void shape(V& v, T& file) {
    shape_location(v, file.files);
    v.number(names::file_spec_backup_type, file.files.backup_type, Need::when_set, standard_backup_type);
    v.text(names::alternate_path, file.files.alternate_path, Need::when_set);
    v.number(names::last_modify_time, file.last_modified, Need::when_set);
    v.keep_unknown(file.files.unknown);
}

template <class V, Shaped<DirectedTarget> T>
void shape(V& v, T& target) {
    v.text(names::source_path, target.source_path, Need::required);
    v.text(names::source_file_name, target.source_name, Need::required);
    v.text(names::source_ranges, target.source_ranges, Need::when_set);
    v.text(names::target_path, target.target_path, Need::required);
    v.text(names::target_file_name, target.target_name, Need::required);
    v.text(names::target_ranges, target.target_ranges, Need::when_set);
    v.keep_unknown(target.unknown);
}

template <class V, Shaped<RestoreSubcomponent> T>
void shape(V& v, T& part) {
    v.text(names::logical_path, part.logical_path, Need::when_set);
    v.text(names::component_name, part.name, Need::required);
    v.keep_unknown(part.unknown);
}

template <class V, Shaped<ComponentFailure> T>
void shape(V& v, T& failure) {
    v.number(names::failure, failure.failure, Need::required);
    v.number(names::application_failure, failure.application_failure, Need::when_set);
    v.text(names::application_message, failure.application_message, Need::when_set);
    v.keep_unknown(failure.unknown);
}

template <class V, Shaped<RestoreChoice> T>
void shape_restore_attributes(V& v, T& restore) {
    v.flag(names::selected_for_restore, restore.selected, Need::when_set);
    v.flag(names::additional_restores, restore.additional_restores, Need::when_set);
    v.flag(names::authoritative_restore, restore.authoritative, Need::when_set);
    v.text(names::restore_options, restore.options, Need::when_set);
    v.text(names::restore_name, restore.new_name, Need::when_set);
    v.word(names::roll_forward_type, restore.roll_forward, words::roll_forward, Need::when_set);
    v.text(names::roll_forward_point, restore.roll_forward_point, Need::when_set);
    v.word(names::restore_target, restore.target, words::restore_target, Need::when_set);
    v.word(names::file_restore_status, restore.status, words::file_restore_status, Need::when_set);
    v.text(names::pre_restore_failure, restore.pre_restore_failure, Need::when_set);
    v.text(names::post_restore_failure, restore.post_restore_failure, Need::when_set);
}

// COMPONENT
template <class V, Shaped<BackupComponent> T>
void shape(V& v, T& component) {
    v.text(names::logical_path, component.logical_path, Need::when_set);
    v.text(names::component_name, component.name, Need::required);
    v.word(names::component_type, component.type, words::component_type, Need::required);
    v.text(names::backup_stamp, component.backup_stamp, Need::when_set);
    v.text(names::previous_backup_stamp, component.previous_backup_stamp, Need::when_set);
    v.text(names::backup_options, component.backup_options, Need::when_set);
    v.flag(names::backup_succeeded, component.succeeded);
    shape_restore_attributes(v, component.restore);
    v.keep_unknown(component.unknown);
    v.metadata(names::backup_metadata, component.backup_metadata, component.unknown_metadata);
    v.metadata(names::restore_metadata, component.restore_metadata);
    v.list(names::partial_file, component.partial_files);
    v.list(names::differenced_file, component.differenced_files);
    v.list(names::restore_subcomponent, component.restore.subcomponents);
    v.list(names::new_target, component.restore.new_targets);
    v.list(names::location_mapping, component.restore.alternate_mappings);
    v.list(names::directed_target, component.restore.directed_targets);
    v.maybe(names::component_failure, component.failure);
}

// WRITER_COMPONENTS
template <class V, Shaped<BackupWriter> T>
void shape(V& v, T& writer) {
    v.id(names::instance_id, writer.instance_id, Need::required);
    v.id(names::writer_id, writer.writer_id, Need::required);
    v.text(names::instance_name, writer.instance_name, Need::when_set);
    v.number(names::backup_schema, writer.schema, Need::written);
    v.keep_unknown(writer.unknown);
    v.list(names::component, writer.components);
}

template <class V, Shaped<RecordedSnapshot> T>
void shape(V& v, T& recorded) {
    auto& snapshot = recorded.properties;
    v.id(names::snapshot_id, snapshot.snapshot_id, Need::required);
    v.id(names::snapshot_set_id, snapshot.set_id, Need::required);
    v.number(names::snapshots_count, snapshot.set_size, Need::written);
    v.text(names::device_object, snapshot.device, Need::when_set);
    v.text(names::original_volume, snapshot.original_volume, Need::required);
    v.text(names::originating_machine, snapshot.originating_machine, Need::when_set);
    v.text(names::service_machine, snapshot.service_machine, Need::when_set);
    v.text(names::exposed_name, snapshot.exposed_name, Need::when_set);
    v.text(names::exposed_path, snapshot.exposed_path, Need::when_set);
    v.id(names::provider_id, snapshot.provider_id, Need::required);
    v.number(names::snapshot_attributes, snapshot.attributes, Need::written);
    v.number(names::creation_timestamp, snapshot.created, Need::written);
    v.number(names::status, snapshot.state, Need::written);
    v.keep_unknown(recorded.unknown);
}

// BACKUP_COMPONENTS
template <class V, Shaped<BackupDocument> T>
void shape(V& v, T& document) {
    v.text(names::version, document.version, Need::required);
    v.flag(names::bootable_system_state, document.bootable_system_state, Need::written);
    v.flag(names::select_components, document.select_components, Need::written);
    v.word(names::backup_type, document.type, words::backup_type, Need::written);
    v.flag(names::partial_file_support, document.partial_files, Need::written);
    v.id(names::snapshot_set_id, document.snapshot_set_id, Need::when_set);
    v.keep_unknown(document.unknown);
    v.list(names::writer_components, document.writers);
    v.list(names::snapshot, document.snapshots);
}

}  // namespace exshadow::vss
