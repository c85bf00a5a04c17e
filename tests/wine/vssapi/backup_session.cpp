// Beginning and ending a session, writers, components, documents.
#include "arguments.h"
#include "backup_components.h"
#include "component.h"
#include "examine_metadata.h"

namespace exshadow::test_double {

using vss::Call;

namespace {

constexpr auto object_name = "IVssBackupComponents";
const auto bad_state = hresult(vss::HResult::vss_e_bad_state);
const auto not_found = hresult(vss::HResult::vss_e_object_not_found);

}  // namespace

std::string text(const VSS_ID& id) {
    return uuid(id).text();
}

Json key_arguments(VSS_ID writer, VSS_COMPONENT_TYPE type, LPCWSTR path, LPCWSTR component) {
    return {{"writer", text(writer)},
            {"type", static_cast<int>(type)},
            {"path", narrow(path)},
            {"component", narrow(component)}};
}

BackupComponents::BackupComponents(std::unique_ptr<vss::Requestor> requestor)
    : ComObject(object_name), session_(std::make_shared<Session>(std::move(requestor))) {}

BackupComponents::~BackupComponents() {
    LoggedCall call(object_name, "last Release", {}, session_.get());
    session_->end();
    call.result(S_OK);
}

HRESULT BackupComponents::start(const char* name, Call what, Result<vss::Step> (vss::Requestor::*begin)(),
                                IVssAsync** out) {
    LoggedCall call(object_name, name, {}, session_.get());
    if (out == nullptr) return call.result(E_INVALIDARG);
    *out = nullptr;
    const auto held = session_->lock();
    auto step = (session_->requestor().*begin)();
    if (!step.ok()) call.note("error", step.error().message());
    return call.result(session_->begun(what, std::move(step), name, out));
}

STDMETHODIMP BackupComponents::InitializeForBackup(BSTR document) {
    LoggedCall call(object_name, "InitializeForBackup", {{"document", document != nullptr}}, session_.get());
    const auto held = session_->lock();
    const auto status = session_->requestor().initialize_for_backup(narrow(document));
    if (status.ok()) session_->order().set_from_document(document != nullptr);
    session_->done(Call::initialize_for_backup, hresult(status));
    return call.result(status);
}

STDMETHODIMP BackupComponents::InitializeForRestore(BSTR document) {
    LoggedCall call(object_name, "InitializeForRestore", {}, session_.get());
    if (document == nullptr) return call.result(E_INVALIDARG);
    const auto held = session_->lock();
    const auto status = session_->requestor().initialize_for_restore(narrow(document));
    session_->done(Call::initialize_for_restore, hresult(status));
    return call.result(status);
}

STDMETHODIMP BackupComponents::SetContext(LONG context) {
    const auto attributes = static_cast<vss::SnapshotAttributes>(context);
    LoggedCall call(object_name, "SetContext", {{"context", static_cast<std::uint32_t>(context)}},
                    session_.get());
    const auto held = session_->lock();
    const auto status = session_->requestor().set_context(attributes);
    if (status.ok()) session_->order().set_writers(!has(attributes, vss::SnapshotAttributes::no_writers));
    return call.result(status);
}

STDMETHODIMP BackupComponents::SetBackupState(boolean select, boolean bootable, VSS_BACKUP_TYPE type,
                                              boolean partial) {
    LoggedCall call(object_name, "SetBackupState",
                    {{"select", select != 0},
                     {"bootable", bootable != 0},
                     {"type", static_cast<int>(type)},
                     {"partial", partial != 0}},
                    session_.get());
    if (type < VSS_BT_FULL || type > VSS_BT_OTHER) return call.result(E_INVALIDARG);
    const auto held = session_->lock();
    return call.result(session_->requestor().set_backup_state(
        {select != 0, bootable != 0, static_cast<vss::BackupType>(type), partial != 0}));
}

HRESULT BackupComponents::filter(const char* name, const VSS_ID* ids, UINT count,
                                 Status (vss::Requestor::*choose)(std::span<const Uuid>)) {
    Json list = Json::array();
    std::vector<Uuid> chosen;
    for (UINT i = 0; ids != nullptr && i < count; ++i) {
        chosen.push_back(uuid(ids[i]));
        list.push_back(chosen.back().text());
    }
    LoggedCall call(object_name, name, {{"ids", list}}, session_.get());
    if (ids == nullptr || count == 0) return call.result(E_INVALIDARG);
    const auto held = session_->lock();
    return call.result((session_->requestor().*choose)(chosen));
}

STDMETHODIMP BackupComponents::DisableWriterClasses(const VSS_ID* ids, UINT count) {
    return filter("DisableWriterClasses", ids, count, &vss::Requestor::disable_writer_classes);
}
STDMETHODIMP BackupComponents::EnableWriterClasses(const VSS_ID* ids, UINT count) {
    return filter("EnableWriterClasses", ids, count, &vss::Requestor::enable_writer_classes);
}
STDMETHODIMP BackupComponents::DisableWriterInstances(const VSS_ID* ids, UINT count) {
    return filter("DisableWriterInstances", ids, count, &vss::Requestor::disable_writer_instances);
}

STDMETHODIMP BackupComponents::GetSessionId(VSS_ID* out) {
    LoggedCall call(object_name, "GetSessionId", {}, session_.get());
    if (out == nullptr) return call.result(E_INVALIDARG);
    const auto held = session_->lock();
    const auto id = session_->requestor().session_id();
    if (!id.ok()) return call.result(hresult(id.error()));
    *out = guid(*id);
    return call.result(S_OK);
}

STDMETHODIMP BackupComponents::GatherWriterMetadata(IVssAsync** out) {
    return start("GatherWriterMetadata", Call::gather_writer_metadata,
                 &vss::Requestor::gather_writer_metadata, out);
}

// Reads all documents once; under the session's lock.
HRESULT BackupComponents::load_metadata() {
    if (metadata_) return hresult(session_->order().permit(Call::read_writer_metadata));
    auto parsed = session_->requestor().writer_metadata();
    if (!parsed.ok()) return hresult(parsed.error());
    auto documents = session_->requestor().writer_metadata_documents();
    if (!documents.ok()) return hresult(documents.error());
    metadata_.emplace();
    for (std::size_t i = 0; i < parsed->size(); ++i) {
        metadata_->push_back({std::move((*parsed)[i]), std::move(documents->at(i))});
    }
    return S_OK;
}

STDMETHODIMP BackupComponents::GetWriterMetadataCount(UINT* out) {
    LoggedCall call(object_name, "GetWriterMetadataCount", {}, session_.get());
    if (out == nullptr) return call.result(E_INVALIDARG);
    const auto held = session_->lock();
    const auto loaded = load_metadata();
    if (FAILED(loaded)) return call.result(loaded);
    return call.result(give_value(out, metadata_->size()));
}

HRESULT BackupComponents::metadata_at(const char* name, UINT i, VSS_ID* instance,
                                      IVssExamineWriterMetadataEx** out) {
    LoggedCall call(object_name, name, {{"i", i}}, session_.get());
    if (any_null(instance, out)) return call.result(E_INVALIDARG);
    *out = nullptr;
    const auto held = session_->lock();
    const auto loaded = load_metadata();
    if (FAILED(loaded)) return call.result(loaded);
    if (i >= metadata_->size()) return call.result(not_found);
    const auto& found = (*metadata_)[i];
    *instance = guid(found.parsed.instance_id);
    *out = new ExamineMetadata(found.parsed, found.document);
    return call.result(S_OK);
}

STDMETHODIMP BackupComponents::GetWriterMetadata(UINT i, VSS_ID* instance, IVssExamineWriterMetadata** out) {
    IVssExamineWriterMetadataEx* found = nullptr;
    const auto result = metadata_at("GetWriterMetadata", i, instance, out == nullptr ? nullptr : &found);
    if (out != nullptr) *out = found;
    return result;
}

STDMETHODIMP BackupComponents::GetWriterMetadataEx(UINT i, VSS_ID* instance,
                                                   IVssExamineWriterMetadataEx** out) {
    return metadata_at("GetWriterMetadataEx", i, instance, out);
}

STDMETHODIMP BackupComponents::FreeWriterMetadata() {
    LoggedCall call(object_name, "FreeWriterMetadata", {}, session_.get());
    const auto held = session_->lock();
    const auto status = session_->requestor().free_writer_metadata();
    if (status.ok()) metadata_.reset();
    session_->done(Call::free_writer_metadata, hresult(status));
    return call.result(status);
}

// The status of before has to be freed first.
STDMETHODIMP BackupComponents::GatherWriterStatus(IVssAsync** out) {
    if (status_gathered_) {
        LoggedCall call(object_name, "GatherWriterStatus", {}, session_.get());
        call.note("error", "FreeWriterStatus comes first");
        return call.result(out == nullptr ? E_INVALIDARG : bad_state);
    }
    const auto result =
        start("GatherWriterStatus", Call::gather_writer_status, &vss::Requestor::gather_writer_status, out);
    status_gathered_ = SUCCEEDED(result);
    return result;
}

HRESULT BackupComponents::load_status() {
    if (status_) return hresult(session_->order().permit(Call::read_writer_status));
    auto status = session_->requestor().writer_status();
    if (!status.ok()) return hresult(status.error());
    status_ = std::move(status).value();
    return S_OK;
}

STDMETHODIMP BackupComponents::GetWriterStatusCount(UINT* out) {
    LoggedCall call(object_name, "GetWriterStatusCount", {}, session_.get());
    if (out == nullptr) return call.result(E_INVALIDARG);
    const auto held = session_->lock();
    const auto loaded = load_status();
    if (FAILED(loaded)) return call.result(loaded);
    return call.result(give_value(out, status_->size()));
}

STDMETHODIMP BackupComponents::FreeWriterStatus() {
    LoggedCall call(object_name, "FreeWriterStatus", {}, session_.get());
    const auto held = session_->lock();
    const auto loaded = load_status();  // reading is what frees it in the requestor
    if (FAILED(loaded)) return call.result(loaded);
    status_.reset();
    status_gathered_ = false;
    return call.result(session_->done(Call::read_writer_status, S_OK));
}

STDMETHODIMP BackupComponents::GetWriterStatus(UINT i, VSS_ID* instance, VSS_ID* writer, BSTR* name,
                                               VSS_WRITER_STATE* state, HRESULT* failure) {
    return GetWriterStatusEx(i, instance, writer, name, state, failure, nullptr, nullptr);
}

STDMETHODIMP BackupComponents::GetWriterStatusEx(UINT i, VSS_ID* instance, VSS_ID* writer, BSTR* name,
                                                 VSS_WRITER_STATE* state, HRESULT* failure,
                                                 HRESULT* application, BSTR* message) {
    LoggedCall call(object_name, application != nullptr ? "GetWriterStatusEx" : "GetWriterStatus", {{"i", i}},
                    session_.get());
    if (any_null(instance, writer, name, state, failure)) return call.result(E_INVALIDARG);
    const auto held = session_->lock();
    const auto loaded = load_status();
    if (FAILED(loaded)) return call.result(loaded);
    if (i >= status_->size()) return call.result(not_found);
    const auto& found = (*status_)[i];
    *instance = guid(found.instance_id);
    *writer = guid(found.writer_id);
    *name = new_bstr(found.name);
    *state = static_cast<VSS_WRITER_STATE>(found.state);
    *failure = hresult(found.failure);
    if (application != nullptr) *application = hresult(found.application_failure);
    if (message != nullptr) *message = new_bstr_or_null(found.application_message);
    call.note("state", vss::word(found.state));
    call.note("failure", vss::hresult_text(found.failure));
    return call.result(S_OK);
}

STDMETHODIMP BackupComponents::GetWriterComponentsCount(UINT* out) {
    LoggedCall call(object_name, "GetWriterComponentsCount", {}, session_.get());
    if (out == nullptr) return call.result(E_INVALIDARG);
    const auto held = session_->lock();
    const auto writers = session_->requestor().writer_components();
    if (!writers.ok()) return call.result(hresult(writers.error()));
    return call.result(give_value(out, writers->size()));
}

STDMETHODIMP BackupComponents::GetWriterComponents(UINT i, IVssWriterComponentsExt** out) {
    LoggedCall call(object_name, "GetWriterComponents", {{"i", i}}, session_.get());
    if (out == nullptr) return call.result(E_INVALIDARG);
    *out = nullptr;
    auto held = session_->lock();
    auto writers = session_->requestor().writer_components();
    if (!writers.ok()) return call.result(hresult(writers.error()));
    if (i >= writers->size()) return call.result(not_found);
    held.unlock();
    Freshness fresh(session_, session_->generation());
    *out = (new WriterComponentsObject(std::move((*writers)[i]), std::move(fresh)))->pointer();
    return call.result(S_OK);
}

STDMETHODIMP BackupComponents::AddComponent(VSS_ID instance, VSS_ID writer, VSS_COMPONENT_TYPE type,
                                            LPCWSTR path, LPCWSTR name) {
    return change("AddComponent", instance, writer, type, path, name, {{"instance", text(instance)}},
                  [](auto& requestor, const auto& key) { return requestor.add_component(key); });
}

STDMETHODIMP BackupComponents::SetBackupSucceeded(VSS_ID instance, VSS_ID writer, VSS_COMPONENT_TYPE type,
                                                  LPCWSTR path, LPCWSTR name, boolean succeeded) {
    return change("SetBackupSucceeded", instance, writer, type, path, name, {{"succeeded", succeeded != 0}},
                  [=](auto& requestor, const auto& key) {
                      return requestor.set_backup_succeeded(key, succeeded != 0);
                  });
}

STDMETHODIMP BackupComponents::SetBackupOptions(VSS_ID writer, VSS_COMPONENT_TYPE type, LPCWSTR path,
                                                LPCWSTR name, LPCWSTR options) {
    return change("SetBackupOptions", {}, writer, type, path, name, {{"options", narrow(options)}},
                  [=](auto& requestor, const auto& key) {
                      if (options == nullptr) return missing_argument();
                      return requestor.set_backup_options(key, narrow(options));
                  });
}

STDMETHODIMP BackupComponents::SetPreviousBackupStamp(VSS_ID writer, VSS_COMPONENT_TYPE type, LPCWSTR path,
                                                      LPCWSTR name, LPCWSTR stamp) {
    return change("SetPreviousBackupStamp", {}, writer, type, path, name, {{"stamp", narrow(stamp)}},
                  [=](auto& requestor, const auto& key) {
                      if (stamp == nullptr) return missing_argument();
                      return requestor.set_previous_backup_stamp(key, narrow(stamp));
                  });
}

STDMETHODIMP BackupComponents::SaveAsXML(BSTR* out) {
    LoggedCall call(object_name, "SaveAsXML", {}, session_.get());
    if (out == nullptr) return call.result(E_INVALIDARG);
    *out = nullptr;
    const auto held = session_->lock();
    const auto document = session_->requestor().save_as_xml();
    if (!document.ok()) return call.result(hresult(document.error()));
    return call.result(give_always(out, *document));
}

}  // namespace exshadow::test_double
