#include "examine_metadata.h"

#include <msxml.h>

#include <cstdlib>

#include "arguments.h"
#include "file_description.h"
#include "session.h"
#include "vss/documents.h"

namespace exshadow::test_double {

namespace {

const auto not_found = hresult(vss::HResult::vss_e_object_not_found);

class DependencyObject final : public ComObject<IVssWMDependency> {
public:
    explicit DependencyObject(vss::Dependency dependency)
        : ComObject("IVssWMDependency"), dependency_(std::move(dependency)) {}
    STDMETHODIMP GetWriterId(VSS_ID* out) override { return give_value(out, guid(dependency_.writer_id)); }
    STDMETHODIMP GetLogicalPath(BSTR* out) override { return give(out, dependency_.logical_path); }
    STDMETHODIMP GetComponentName(BSTR* out) override { return give_always(out, dependency_.name); }

private:
    const vss::Dependency dependency_;
};

class MetadataComponent final : public ComObject<IVssWMComponent> {
public:
    explicit MetadataComponent(vss::ComponentMetadata component)
        : ComObject("IVssWMComponent"), component_(std::move(component)) {}

    STDMETHODIMP GetComponentInfo(PVSSCOMPONENTINFO* out) override {
        if (const auto no = denied("GetComponentInfo"); FAILED(no)) return no;
        if (out == nullptr) return E_INVALIDARG;
        auto* info = new VSS_COMPONENTINFO{};
        Ledger::instance().object_made("VSS_COMPONENTINFO");
        info->type = static_cast<VSS_COMPONENT_TYPE>(component_.type);
        info->bstrLogicalPath = new_bstr_or_null(component_.logical_path);
        info->bstrComponentName = new_bstr(component_.name);
        info->bstrCaption = new_bstr_or_null(component_.caption);
        info->bRestoreMetadata = component_.restore_metadata;
        info->bNotifyOnBackupComplete = component_.notify_on_backup_complete;
        info->bSelectable = component_.selectable;
        info->bSelectableForRestore = component_.selectable_for_restore;
        info->dwComponentFlags = static_cast<DWORD>(component_.flags);
        info->cFileCount = static_cast<UINT>(component_.files.size());
        info->cDatabases = static_cast<UINT>(component_.database_files.size());
        info->cLogFiles = static_cast<UINT>(component_.database_logs.size());
        info->cDependencies = static_cast<UINT>(component_.dependencies.size());
        *out = info;
        return S_OK;
    }
    STDMETHODIMP FreeComponentInfo(PVSSCOMPONENTINFO info) override {
        if (info == nullptr) return S_OK;
        SysFreeString(info->bstrLogicalPath);
        SysFreeString(info->bstrComponentName);
        SysFreeString(info->bstrCaption);
        delete info;
        Ledger::instance().object_gone("VSS_COMPONENTINFO");
        return S_OK;
    }
    STDMETHODIMP GetFile(UINT i, IVssWMFiledesc** out) override {
        if (const auto no = denied("GetFile"); FAILED(no)) return no;
        return give_files(component_.files, i, out);
    }
    STDMETHODIMP GetDatabaseFile(UINT i, IVssWMFiledesc** out) override {
        if (const auto no = denied("GetDatabaseFile"); FAILED(no)) return no;
        return give_files(component_.database_files, i, out);
    }
    STDMETHODIMP GetDatabaseLogFile(UINT i, IVssWMFiledesc** out) override {
        return give_files(component_.database_logs, i, out);
    }
    STDMETHODIMP GetDependency(UINT i, IVssWMDependency** out) override {
        if (out == nullptr) return E_INVALIDARG;
        *out = nullptr;
        if (i >= component_.dependencies.size()) return not_found;
        *out = new DependencyObject(component_.dependencies[i]);
        return S_OK;
    }

private:
    const vss::ComponentMetadata component_;
};

}  // namespace

STDMETHODIMP ExamineMetadata::GetIdentity(VSS_ID* instance, VSS_ID* writer, BSTR* name, VSS_USAGE_TYPE* usage,
                                          VSS_SOURCE_TYPE* source) {
    if (const auto no = denied("GetIdentity"); FAILED(no)) return no;
    if (any_null(instance, writer, name, usage, source)) return E_INVALIDARG;
    *instance = guid(metadata_.instance_id);
    *writer = guid(metadata_.writer_id);
    *usage = static_cast<VSS_USAGE_TYPE>(metadata_.usage);
    *source = static_cast<VSS_SOURCE_TYPE>(metadata_.source);
    return give_always(name, metadata_.name);
}

STDMETHODIMP ExamineMetadata::GetIdentityEx(VSS_ID* instance, VSS_ID* writer, BSTR* name, BSTR* instance_name,
                                            VSS_USAGE_TYPE* usage, VSS_SOURCE_TYPE* source) {
    if (any_null(instance_name)) return E_INVALIDARG;
    const auto result = GetIdentity(instance, writer, name, usage, source);
    if (FAILED(result)) return result;
    *instance_name = new_bstr_or_null(metadata_.instance_name);
    return S_OK;
}

STDMETHODIMP ExamineMetadata::GetFileCounts(UINT* included, UINT* excluded, UINT* components) {
    if (const auto no = denied("GetFileCounts"); FAILED(no)) return no;
    if (any_null(included, excluded, components)) return E_INVALIDARG;
    *included = 0;  // include lists: their spelling in the document is not known
    *excluded = static_cast<UINT>(metadata_.excluded.size());
    *components = static_cast<UINT>(metadata_.components.size());
    return S_OK;
}

STDMETHODIMP ExamineMetadata::GetIncludeFile(UINT, IVssWMFiledesc** out) {
    return give_files(std::vector<vss::FileSet>{}, 0, out);
}

STDMETHODIMP ExamineMetadata::GetExcludeFile(UINT i, IVssWMFiledesc** out) {
    if (const auto no = denied("GetExcludeFile"); FAILED(no)) return no;
    return give_files(metadata_.excluded, i, out);
}

STDMETHODIMP ExamineMetadata::GetComponent(UINT i, IVssWMComponent** out) {
    if (const auto no = denied("GetMetadataComponent"); FAILED(no)) return no;
    if (out == nullptr) return E_INVALIDARG;
    *out = nullptr;
    if (i >= metadata_.components.size()) return not_found;
    *out = new MetadataComponent(metadata_.components[i]);
    return S_OK;
}

STDMETHODIMP ExamineMetadata::GetRestoreMethod(VSS_RESTOREMETHOD_ENUM* method, BSTR* service, BSTR* procedure,
                                               VSS_WRITERRESTORE_ENUM* writer_restore, boolean* reboot,
                                               UINT* mappings) {
    if (any_null(method, service, procedure, writer_restore, reboot, mappings)) return E_INVALIDARG;
    const auto found = metadata_.restore_method.value_or(vss::RestoreMethodMetadata{});
    *method = static_cast<VSS_RESTOREMETHOD_ENUM>(found.method);
    *service = new_bstr_or_null(found.service);
    *procedure = new_bstr_or_null(found.user_procedure);
    *writer_restore = static_cast<VSS_WRITERRESTORE_ENUM>(found.writer_restore);
    *reboot = found.reboot_required;
    *mappings = static_cast<UINT>(found.mappings.size());
    return metadata_.restore_method ? S_OK : S_FALSE;
}

STDMETHODIMP ExamineMetadata::GetAlternateLocationMapping(UINT i, IVssWMFiledesc** out) {
    if (!metadata_.restore_method) return give_files(std::vector<vss::FileSet>{}, i, out);
    return give_files(metadata_.restore_method->mappings, i, out);
}

STDMETHODIMP ExamineMetadata::GetBackupSchema(DWORD* out) {
    return give_value(out, metadata_.schema);
}

STDMETHODIMP ExamineMetadata::GetDocument(IXMLDOMDocument** out) {
    if (out == nullptr) return E_INVALIDARG;
    *out = nullptr;
    IXMLDOMDocument* parsed = nullptr;
    auto result = CoCreateInstance(CLSID_DOMDocument, nullptr, CLSCTX_INPROC_SERVER, IID_IXMLDOMDocument,
                                   reinterpret_cast<void**>(&parsed));
    if (FAILED(result)) return result;
    const auto text = wide(document_);
    const BSTR given = SysAllocStringLen(text.data(), static_cast<UINT>(text.size()));
    VARIANT_BOOL loaded = VARIANT_FALSE;
    parsed->put_async(VARIANT_FALSE);
    result = parsed->loadXML(given, &loaded);
    SysFreeString(given);
    if (result == S_OK && loaded == VARIANT_TRUE) {
        *out = parsed;
        return S_OK;
    }
    parsed->Release();
    return FAILED(result) ? result : hresult(vss::HResult::vss_e_invalid_xml_document);
}

STDMETHODIMP ExamineMetadata::SaveAsXML(BSTR* out) {
    return give_always(out, document_);
}

STDMETHODIMP ExamineMetadata::LoadFromXML(BSTR text) {
    if (text == nullptr) return E_INVALIDARG;
    auto document = narrow(text);
    auto parsed = vss::parse_writer_metadata(document);
    if (!parsed.ok()) return hresult(parsed.error());
    metadata_ = std::move(parsed).value();
    document_ = std::move(document);
    return S_OK;
}

STDMETHODIMP ExamineMetadata::GetVersion(DWORD* major, DWORD* minor) {
    if (any_null(major, minor)) return E_INVALIDARG;
    *major = metadata_.major_version;
    *minor = metadata_.minor_version;
    return S_OK;
}

STDMETHODIMP ExamineMetadata::GetExcludeFromSnapshotCount(UINT* out) {
    return give_value(out, metadata_.excluded_from_snapshot.size());
}

STDMETHODIMP ExamineMetadata::GetExcludeFromSnapshotFile(UINT i, IVssWMFiledesc** out) {
    return give_files(metadata_.excluded_from_snapshot, i, out);
}

HRESULT examine(BSTR text, IVssExamineWriterMetadata** out) {
    if (out == nullptr || text == nullptr) return E_INVALIDARG;
    *out = nullptr;
    auto document = narrow(text);
    auto parsed = vss::parse_writer_metadata(document);
    if (!parsed.ok()) return hresult(parsed.error());
    *out = new ExamineMetadata(std::move(parsed).value(), std::move(document));
    return S_OK;
}

}  // namespace exshadow::test_double
