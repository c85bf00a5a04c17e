// Our lists of enumerators and HRESULTs, the interface ids and the layouts that the fact sheet notes, against
// the SDK's headers. Compiling this file is the test; test_headers.py asks the other way round (names that we
// lack).
#include <windows.h>

#include <vsbackup.h>
#include <vsprov.h>
#include <vss.h>
#include <vsserror.h>
#include <vswriter.h>

#include <array>
#include <cstddef>
#include <cstdint>

#include "vss/enum_list.h"
#include "vss/hresult_list.h"
#include "vss/types.h"

namespace {

#define EXSHADOW_SAME_VALUE(enumerator, sdk_name, value)                                               \
    static_assert(static_cast<std::int64_t>(sdk_name) == static_cast<std::int64_t>(value), #sdk_name); \
    static_assert(static_cast<std::int64_t>(Ours::enumerator) == static_cast<std::int64_t>(value), #sdk_name);
#define EXSHADOW_SAME_VALUES(type, underlying, list) \
    namespace same_##type {                          \
        using Ours = exshadow::vss::type;            \
        list(EXSHADOW_SAME_VALUE)                    \
    }
EXSHADOW_VSS_ENUMS(EXSHADOW_SAME_VALUES)
EXSHADOW_VSS_FLAG_SETS(EXSHADOW_SAME_VALUES)

#define EXSHADOW_SAME_HRESULT(enumerator, name, value, retry, meaning, advice) \
    static_assert(static_cast<std::uint32_t>(name) == (value), #name);
EXSHADOW_VSS_HRESULTS(EXSHADOW_SAME_HRESULT)

namespace context = exshadow::vss::context;
#define EXSHADOW_SAME_CONTEXT(ours, sdk_name)                                                        \
    static_assert(static_cast<std::uint32_t>(context::ours) == static_cast<std::uint32_t>(sdk_name), \
                  #sdk_name)
EXSHADOW_SAME_CONTEXT(backup, VSS_CTX_BACKUP);
EXSHADOW_SAME_CONTEXT(file_share_backup, VSS_CTX_FILE_SHARE_BACKUP);
EXSHADOW_SAME_CONTEXT(nas_rollback, VSS_CTX_NAS_ROLLBACK);
EXSHADOW_SAME_CONTEXT(app_rollback, VSS_CTX_APP_ROLLBACK);
EXSHADOW_SAME_CONTEXT(client_accessible, VSS_CTX_CLIENT_ACCESSIBLE);
EXSHADOW_SAME_CONTEXT(client_accessible_writers, VSS_CTX_CLIENT_ACCESSIBLE_WRITERS);
EXSHADOW_SAME_CONTEXT(all, VSS_CTX_ALL);

// GUIDs by their text, so that the sheet's spelling can be read beside them.
constexpr unsigned hex(char c) {
    return static_cast<unsigned>(c <= '9' ? c - '0' : c - 'a' + 10);
}
constexpr bool is_guid(const GUID& id, const char (&text)[37]) {
    std::array<unsigned, 16> bytes{};
    std::size_t at = 0;
    for (std::size_t i = 0; text[i] != '\0';) {
        if (text[i] == '-') {
            ++i;
            continue;
        }
        bytes[at++] = hex(text[i]) * 16 + hex(text[i + 1]);
        i += 2;
    }
    const auto first = bytes[0] << 24U | bytes[1] << 16U | bytes[2] << 8U | bytes[3];
    if (id.Data1 != first || id.Data2 != (bytes[4] << 8U | bytes[5]) ||
        id.Data3 != (bytes[6] << 8U | bytes[7]))
        return false;
    for (std::size_t i = 0; i < 8; ++i) {
        if (id.Data4[i] != bytes[8 + i]) return false;
    }
    return true;
}
#define EXSHADOW_IID(interface_name, text) \
    static_assert(is_guid(__uuidof(interface_name), text), #interface_name)
EXSHADOW_IID(IVssBackupComponents, "665c1d5f-c218-414d-a05d-7fef5f9d5c86");
EXSHADOW_IID(IVssBackupComponentsEx, "963f03ad-9e4c-4a34-ac15-e4b6174e5036");
EXSHADOW_IID(IVssBackupComponentsEx2, "acfe2b3a-22c9-4ef8-bd03-2f9ca230084e");
EXSHADOW_IID(IVssBackupComponentsEx3, "c191bfbc-b602-4675-8bd1-67d642f529d5");
EXSHADOW_IID(IVssBackupComponentsEx4, "f434c2fd-b553-4961-a9f9-a8e90b673e53");
EXSHADOW_IID(IVssAsync, "507c37b4-cf5b-4e95-b0af-14eb9767467e");
EXSHADOW_IID(IVssEnumObject, "ae1c7110-2f60-11d3-8a39-00c04f72d8e3");
EXSHADOW_IID(IVssExamineWriterMetadata, "902fcf7f-b7fd-42f8-81f1-b2e400b1e5bd");
EXSHADOW_IID(IVssExamineWriterMetadataEx, "0c0e5ec0-ca44-472b-b702-e652db1c0451");
EXSHADOW_IID(IVssExamineWriterMetadataEx2, "ce115780-a611-431b-b57f-c38303ab6aee");
EXSHADOW_IID(IVssComponent, "d2c72c96-c121-4518-b627-e5a93d010ead");
EXSHADOW_IID(IVssComponentEx, "156c8b5e-f131-4bd7-9c97-d1923be7e1fa");
EXSHADOW_IID(IVssComponentEx2, "3b5be0f2-07a9-4e4b-bdd3-cfdc8e2c0d2d");
EXSHADOW_IID(IVssSoftwareSnapshotProvider, "609e123e-2c5a-44d3-8f01-0b1d9a47d1ff");
EXSHADOW_IID(IVssProviderCreateSnapshotSet, "5f894e5b-1e39-4778-8e23-9abad9f0e08c");
EXSHADOW_IID(IVssProviderNotifications, "e561901f-03a5-4afe-86d0-72baeece7004");
EXSHADOW_IID(IVssHardwareSnapshotProvider, "9593a157-44e9-4344-bbeb-44fbf9b06b10");
EXSHADOW_IID(IVssHardwareSnapshotProviderEx, "7f5ba925-cdb1-4d11-a71f-339eb7e709fd");

// Layouts on x64.
static_assert(sizeof(VSS_SNAPSHOT_PROP) == 128);
static_assert(offsetof(VSS_SNAPSHOT_PROP, m_SnapshotSetId) == 16);
static_assert(offsetof(VSS_SNAPSHOT_PROP, m_lSnapshotsCount) == 32);
static_assert(offsetof(VSS_SNAPSHOT_PROP, m_pwszSnapshotDeviceObject) == 40);
static_assert(offsetof(VSS_SNAPSHOT_PROP, m_pwszOriginalVolumeName) == 48);
static_assert(offsetof(VSS_SNAPSHOT_PROP, m_pwszOriginatingMachine) == 56);
static_assert(offsetof(VSS_SNAPSHOT_PROP, m_pwszServiceMachine) == 64);
static_assert(offsetof(VSS_SNAPSHOT_PROP, m_pwszExposedName) == 72);
static_assert(offsetof(VSS_SNAPSHOT_PROP, m_pwszExposedPath) == 80);
static_assert(offsetof(VSS_SNAPSHOT_PROP, m_ProviderId) == 88);
static_assert(offsetof(VSS_SNAPSHOT_PROP, m_lSnapshotAttributes) == 104);
static_assert(offsetof(VSS_SNAPSHOT_PROP, m_tsCreationTimestamp) == 112);
static_assert(offsetof(VSS_SNAPSHOT_PROP, m_eStatus) == 120);
static_assert(sizeof(VSS_PROVIDER_PROP) == 72);
static_assert(offsetof(VSS_PROVIDER_PROP, m_pwszProviderName) == 16);
static_assert(offsetof(VSS_PROVIDER_PROP, m_eProviderType) == 24);
static_assert(offsetof(VSS_PROVIDER_PROP, m_pwszProviderVersion) == 32);
static_assert(offsetof(VSS_PROVIDER_PROP, m_ProviderVersionId) == 40);
static_assert(offsetof(VSS_PROVIDER_PROP, m_ClassId) == 56);
static_assert(sizeof(VSS_OBJECT_PROP) == 136);
static_assert(offsetof(VSS_OBJECT_PROP, Obj) == 8);
static_assert(sizeof(VSS_COMPONENTINFO) == 72);
static_assert(offsetof(VSS_COMPONENTINFO, bRestoreMetadata) == 44);
static_assert(offsetof(VSS_COMPONENTINFO, dwComponentFlags) == 48);
static_assert(offsetof(VSS_COMPONENTINFO, cFileCount) == 52);

}  // namespace
