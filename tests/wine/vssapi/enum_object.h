// IVssEnumObject over a list of snapshots or providers.
#pragma once

#include <windows.h>

#include <vss.h>

#include <variant>
#include <vector>

#include "com_object.h"
#include "vss/types.h"

namespace exshadow::test_double {

using Found = std::variant<vss::SnapshotProperties, vss::ProviderProperties>;

class EnumObject final : public ComObject<IVssEnumObject, IVssEnumObject> {
public:
    explicit EnumObject(std::vector<Found> found, std::size_t next = 0)
        : ComObject("IVssEnumObject"), found_(std::move(found)), next_(next) {}

    STDMETHODIMP Next(ULONG wanted, VSS_OBJECT_PROP* out, ULONG* fetched) override;
    STDMETHODIMP Skip(ULONG count) override;
    STDMETHODIMP Reset() override;
    STDMETHODIMP Clone(IVssEnumObject** out) override;

private:
    const std::vector<Found> found_;
    std::size_t next_;
};

// The strings are the client's (VssFreeSnapshotProperties, CoTaskMemFree).
void fill(VSS_SNAPSHOT_PROP& out, const vss::SnapshotProperties& properties);
void fill(VSS_PROVIDER_PROP& out, const vss::ProviderProperties& properties);
void free_strings(VSS_SNAPSHOT_PROP& properties);

}  // namespace exshadow::test_double
