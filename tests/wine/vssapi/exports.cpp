// The entry points of vssapi.dll. vssapi.def gives them their names, the C++ ones included.
#include <windows.h>

#include <vsbackup.h>
#include <vss.h>
#include <vswriter.h>

#include <algorithm>
#include <string>

#include "arguments.h"
#include "backup_components.h"
#include "enum_object.h"
#include "examine_metadata.h"
#include "factory.h"
#include "ledger.h"
#include "memory.h"

using exshadow::test_double::LoggedCall;
namespace test_double = exshadow::test_double;
namespace vss = exshadow::vss;

extern "C" {

HRESULT WINAPI CreateVssBackupComponentsInternal(IVssBackupComponents** out) {
    LoggedCall call("vssapi", "CreateVssBackupComponents", {});
    if (out == nullptr) return call.result(E_INVALIDARG);
    *out = nullptr;
    test_double::watch_memory();
    auto requestor = test_double::make_requestor();
    if (requestor == nullptr) return call.result(test_double::hresult(vss::HResult::vss_e_unexpected));
    *out = new test_double::BackupComponents(std::move(requestor));
    return call.result(S_OK);
}

HRESULT WINAPI CreateVssExamineWriterMetadataInternal(BSTR document, IVssExamineWriterMetadata** out) {
    LoggedCall call("vssapi", "CreateVssExamineWriterMetadata", {});
    test_double::watch_memory();
    return call.result(test_double::examine(document, out));
}

void APIENTRY VssFreeSnapshotPropertiesInternal(VSS_SNAPSHOT_PROP* properties) {
    if (properties != nullptr) test_double::free_strings(*properties);
}

// By a session of its own, as a requestor would.
HRESULT APIENTRY IsVolumeSnapshottedInternal(VSS_PWSZ volume, WINBOOL* present, LONG* compatibility) {
    LoggedCall call("vssapi", "IsVolumeSnapshotted", {{"volume", test_double::narrow(volume)}});
    if (test_double::any_null(present, compatibility) || volume == nullptr) return call.result(E_INVALIDARG);
    *present = FALSE;
    *compatibility = 0;
    const auto requestor = test_double::make_requestor();
    if (requestor == nullptr) return call.result(test_double::hresult(vss::HResult::vss_e_unexpected));
    if (auto status = requestor->initialize_for_backup(""); !status.ok()) return call.result(status);
    if (auto status = requestor->set_context(vss::context::all); !status.ok()) return call.result(status);
    const auto supported = requestor->is_volume_supported(exshadow::Uuid{}, test_double::narrow(volume));
    if (!supported.ok()) return call.result(exshadow::Status(supported.error()));
    const auto found = requestor->query_snapshots();
    if (!found.ok()) return call.result(exshadow::Status(found.error()));
    const auto root = [&](const std::string& name) {
        const auto paths = requestor->root_and_logical_prefix_paths(name, false);
        return paths.ok() ? paths->root : name;
    };
    const auto asked = root(test_double::narrow(volume));  // under whichever of its names
    *present = std::any_of(found->begin(), found->end(), [&](const vss::SnapshotProperties& snapshot) {
        return root(snapshot.original_volume) == asked;
    });
    return call.result(S_OK);
}

// Provider management (diff areas, IVssDifferentialSoftwareSnapshotMgmt) is not part of the double.
HRESULT APIENTRY GetProviderMgmtInterfaceInternal(VSS_ID, IID, IUnknown** out) {
    LoggedCall call("vssapi", "GetProviderMgmtInterface", {});
    if (out == nullptr) return call.result(E_INVALIDARG);
    *out = nullptr;
    return call.result(E_NOINTERFACE);
}

HRESULT APIENTRY ShouldBlockRevertInternal(LPCWSTR volume, boolean* block) {
    LoggedCall call("vssapi", "ShouldBlockRevert", {{"volume", test_double::narrow(volume)}});
    if (volume == nullptr || block == nullptr) return call.result(E_INVALIDARG);
    *block = _wgetenv(L"EXSHADOW_VSS_BLOCK_REVERT") != nullptr;
    return call.result(S_OK);
}

// Writes the counts of objects and blocks to the log and says how many kinds have some left.
int WINAPI ExshadowVssReport() {
    auto& ledger = test_double::Ledger::instance();
    ledger.write({{"report", ledger.report()}});
    return ledger.clean() ? 0 : 1;
}

BOOL WINAPI DllMain(HINSTANCE, DWORD reason, void*) {
    if (reason == DLL_PROCESS_DETACH) ExshadowVssReport();
    return TRUE;
}
}
