#include "enum_object.h"

#include <algorithm>
#include <cstring>

#include "memory.h"
#include "session.h"

namespace exshadow::test_double {

void fill(VSS_SNAPSHOT_PROP& out, const vss::SnapshotProperties& properties) {
    out = {};
    out.m_SnapshotId = guid(properties.snapshot_id);
    out.m_SnapshotSetId = guid(properties.set_id);
    out.m_lSnapshotsCount = properties.set_size;
    out.m_pwszSnapshotDeviceObject = new_task_text_or_null(properties.device);
    out.m_pwszOriginalVolumeName = new_task_text_or_null(properties.original_volume);
    out.m_pwszOriginatingMachine = new_task_text_or_null(properties.originating_machine);
    out.m_pwszServiceMachine = new_task_text_or_null(properties.service_machine);
    out.m_pwszExposedName = new_task_text_or_null(properties.exposed_name);
    out.m_pwszExposedPath = new_task_text_or_null(properties.exposed_path);
    out.m_ProviderId = guid(properties.provider_id);
    out.m_lSnapshotAttributes = static_cast<LONG>(properties.attributes);
    out.m_tsCreationTimestamp = properties.created;
    out.m_eStatus = static_cast<VSS_SNAPSHOT_STATE>(properties.state);
}

void fill(VSS_PROVIDER_PROP& out, const vss::ProviderProperties& properties) {
    out = {};
    out.m_ProviderId = guid(properties.provider_id);
    out.m_pwszProviderName = new_task_text_or_null(properties.name);
    out.m_eProviderType = static_cast<VSS_PROVIDER_TYPE>(properties.type);
    out.m_pwszProviderVersion = new_task_text_or_null(properties.version);
    out.m_ProviderVersionId = guid(properties.version_id);
    out.m_ClassId = guid(properties.class_id);
}

void free_strings(VSS_SNAPSHOT_PROP& properties) {
    for (auto* text : {&properties.m_pwszSnapshotDeviceObject, &properties.m_pwszOriginalVolumeName,
                       &properties.m_pwszOriginatingMachine, &properties.m_pwszServiceMachine,
                       &properties.m_pwszExposedName, &properties.m_pwszExposedPath}) {
        CoTaskMemFree(*text);
        *text = nullptr;
    }
}

STDMETHODIMP EnumObject::Next(ULONG wanted, VSS_OBJECT_PROP* out, ULONG* fetched) {
    LoggedCall call("IVssEnumObject", "Next", {{"wanted", wanted}});
    if (out == nullptr || fetched == nullptr || wanted == 0) return call.result(E_INVALIDARG);
    ULONG count = 0;
    for (; count < wanted && next_ < found_.size(); ++count, ++next_) {
        auto& slot = out[count];
        std::memset(&slot, 0, sizeof(slot));
        if (const auto* snapshot = std::get_if<vss::SnapshotProperties>(&found_[next_])) {
            slot.Type = VSS_OBJECT_SNAPSHOT;
            fill(slot.Obj.Snap, *snapshot);
        } else {
            slot.Type = VSS_OBJECT_PROVIDER;
            fill(slot.Obj.Prov, std::get<vss::ProviderProperties>(found_[next_]));
        }
    }
    *fetched = count;
    return call.result(count == wanted ? S_OK : S_FALSE);
}

STDMETHODIMP EnumObject::Skip(ULONG count) {
    LoggedCall call("IVssEnumObject", "Skip", {{"count", count}});
    const auto left = found_.size() - next_;
    next_ += std::min<std::size_t>(count, left);
    return call.result(count <= left ? S_OK : S_FALSE);
}

STDMETHODIMP EnumObject::Reset() {
    LoggedCall call("IVssEnumObject", "Reset", {});
    next_ = 0;
    return call.result(S_OK);
}

STDMETHODIMP EnumObject::Clone(IVssEnumObject** out) {
    LoggedCall call("IVssEnumObject", "Clone", {});
    if (out == nullptr) return call.result(E_INVALIDARG);
    *out = new EnumObject(found_, next_);
    return call.result(S_OK);
}

}  // namespace exshadow::test_double
