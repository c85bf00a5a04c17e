// IVssExamineWriterMetadata through ..Ex2 over one Writer Metadata Document.
#pragma once

#include <windows.h>

#include <vsbackup.h>
#include <vss.h>
#include <vswriter.h>

#include <string>

#include "com_object.h"
#include "vss/metadata.h"

namespace exshadow::test_double {

class ExamineMetadata final : public ComObject<IVssExamineWriterMetadataEx2, IVssExamineWriterMetadata,
                                               IVssExamineWriterMetadataEx, IVssExamineWriterMetadataEx2> {
public:
    ExamineMetadata(vss::WriterMetadata metadata, std::string document)
        : ComObject("IVssExamineWriterMetadata"),
          metadata_(std::move(metadata)),
          document_(std::move(document)) {}

    STDMETHODIMP GetIdentity(VSS_ID* instance, VSS_ID* writer, BSTR* name, VSS_USAGE_TYPE* usage,
                             VSS_SOURCE_TYPE* source) override;
    STDMETHODIMP GetFileCounts(UINT* included, UINT* excluded, UINT* components) override;
    STDMETHODIMP GetIncludeFile(UINT i, IVssWMFiledesc** out) override;
    STDMETHODIMP GetExcludeFile(UINT i, IVssWMFiledesc** out) override;
    STDMETHODIMP GetComponent(UINT i, IVssWMComponent** out) override;
    STDMETHODIMP GetRestoreMethod(VSS_RESTOREMETHOD_ENUM* method, BSTR* service, BSTR* procedure,
                                  VSS_WRITERRESTORE_ENUM* writer_restore, boolean* reboot,
                                  UINT* mappings) override;
    STDMETHODIMP GetAlternateLocationMapping(UINT i, IVssWMFiledesc** out) override;
    STDMETHODIMP GetBackupSchema(DWORD* out) override;
    STDMETHODIMP GetDocument(IXMLDOMDocument** out) override;
    STDMETHODIMP SaveAsXML(BSTR* out) override;
    STDMETHODIMP LoadFromXML(BSTR text) override;
    STDMETHODIMP GetIdentityEx(VSS_ID* instance, VSS_ID* writer, BSTR* name, BSTR* instance_name,
                               VSS_USAGE_TYPE* usage, VSS_SOURCE_TYPE* source) override;
    STDMETHODIMP GetVersion(DWORD* major, DWORD* minor) override;
    STDMETHODIMP GetExcludeFromSnapshotCount(UINT* out) override;
    STDMETHODIMP GetExcludeFromSnapshotFile(UINT i, IVssWMFiledesc** out) override;

private:
    vss::WriterMetadata metadata_;
    std::string document_;
};

// CreateVssExamineWriterMetadata: from a document's text.
[[nodiscard]] HRESULT examine(BSTR text, IVssExamineWriterMetadata** out);

}  // namespace exshadow::test_double
