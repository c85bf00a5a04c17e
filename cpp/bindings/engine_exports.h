// EngineExports: what an engine serves over NBD. Every open volume is an export of its name; each of its
// snapshots is NAME@LABEL, read-only; NAME@LABEL+view is a throw-away writable view of one, kept in a file of
// the view folder that has no name and goes with its last client. Loop only.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "bindings/engine_host.h"
#include "disk/cow_disk.h"
#include "nbd/export.h"
#include "volume/volume_device.h"

namespace exshadow {

struct ViewOptions {
    std::string folder;             // empty: no views
    std::uint64_t limit = 1 * GiB;  // bytes that one view may take
};

// True for the exports of one volume.
[[nodiscard]] bool belongs_to(const std::string& export_name, const std::string& volume);

class EngineExports final : public nbd::Exports {
public:
    // `volumes` is the engine's list; the engine outlives this.
    EngineExports(Loop& loop, const std::vector<OpenVolumePointer>& volumes, ViewOptions views)
        : loop_(loop), volumes_(volumes), views_(std::move(views)) {}

    [[nodiscard]] Task<std::vector<nbd::ExportName>> list() override;
    [[nodiscard]] Task<Result<nbd::ExportPointer>> find(std::string name, nbd::Purpose purpose) override;

private:
    class ViewExport;

    [[nodiscard]] OpenVolumePointer find_volume(const std::string& name) const;
    [[nodiscard]] Result<nbd::ExportPointer> find_snapshot(const OpenVolumePointer& open,
                                                           const std::string& label, bool as_view,
                                                           nbd::Purpose purpose);
    [[nodiscard]] Result<nbd::ExportPointer> find_view(const std::string& name,
                                                       std::unique_ptr<SnapshotDevice> base,
                                                       const Uuid& set_id, nbd::Purpose purpose);
    [[nodiscard]] Result<std::unique_ptr<BlockDevice>> make_store();

    Loop& loop_;
    const std::vector<OpenVolumePointer>& volumes_;
    const ViewOptions views_;
    std::map<std::string, std::weak_ptr<ViewExport>> living_views_;  // by name and set
};

}  // namespace exshadow
