#include "bindings/engine_exports.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "disk/file_disk.h"

namespace exshadow {

namespace {

constexpr const char* changed_prefix = "exshadow:changed/";
constexpr const char* view_suffix = "+view";

// A volume that changes hands while it is served.
class VolumeExport final : public nbd::Export {
public:
    VolumeExport(Loop& loop, const OpenVolumePointer& open)
        : loop_(loop), device_(open, open->name, open->size) {
        facts_.name = open->name;
        facts_.description = "volume of group " + open->group;
        facts_.size = open->size;
        const VolumeUse volume(*open);
        if (!volume) return;
        for (const SnapshotRecord& snapshot : volume->state().snapshots) {
            if (snapshot.state == SetState::committed) {
                facts_.contexts.push_back(changed_prefix + snapshot.label);
            }
        }
    }

    [[nodiscard]] const nbd::ExportFacts& facts() const override { return facts_; }
    [[nodiscard]] Loop& loop() override { return loop_; }
    [[nodiscard]] BlockDevice& device() override { return device_; }
    [[nodiscard]] std::uint32_t memory_alignment() override { return device_.memory_alignment(); }
    [[nodiscard]] bool zeroes_fast(ZeroMode mode) override {
        return mode == ZeroMode::may_unmap && device_.punches();
    }
    [[nodiscard]] Task<Status> write(std::uint64_t offset, nbd::WriteData data, bool fua) override {
        return device_.write(offset, Payload{std::move(data.owner), data.bytes}, fua);
    }
    [[nodiscard]] Task<Result<std::vector<nbd::StatusExtent>>> status(std::string context, Range range,
                                                                      std::size_t limit) override;

private:
    Loop& loop_;
    VolumeDevice device_;
    nbd::ExportFacts facts_;
};

Task<Result<std::vector<nbd::StatusExtent>>> VolumeExport::status(std::string context, Range range,
                                                                  std::size_t limit) {
    if (!context.starts_with(changed_prefix)) {
        co_return Error(Code::invalid, "there is no metadata context " + context);
    }
    auto asking = device_.changed(context.substr(std::string(changed_prefix).size()), range);
    auto changed = co_await std::move(asking);
    if (!changed.ok()) co_return changed.error();
    std::vector<nbd::StatusExtent> list;
    std::uint64_t at = range.offset;
    for (const Range& one : *changed) {
        if (one.offset > at) list.push_back({one.offset - at, 0});
        list.push_back({one.length, 1});
        at = one.end();
        if (list.size() >= limit) break;
    }
    if (at < range.end() && list.size() < limit) list.push_back({range.end() - at, 0});
    if (list.size() > limit) list.resize(limit);
    co_return list;
}

class SnapshotExport final : public nbd::Export {
public:
    SnapshotExport(Loop& loop, std::string name, std::unique_ptr<SnapshotDevice> device)
        : loop_(loop), device_(std::move(device)) {
        facts_.name = std::move(name);
        facts_.description = "snapshot, read-only";
        facts_.size = device_->size();
        facts_.read_only = true;
    }

    [[nodiscard]] const nbd::ExportFacts& facts() const override { return facts_; }
    [[nodiscard]] Loop& loop() override { return loop_; }
    [[nodiscard]] BlockDevice& device() override { return *device_; }

private:
    Loop& loop_;
    const std::unique_ptr<SnapshotDevice> device_;
    nbd::ExportFacts facts_;
};

}  // namespace

// All clients of one view share it. Without a store it only tells its facts.
class EngineExports::ViewExport final : public nbd::Export {
public:
    ViewExport(Loop& loop, std::string name, std::unique_ptr<SnapshotDevice> base,
               std::unique_ptr<BlockDevice> store)
        : loop_(loop), base_(std::move(base)) {
        facts_.name = std::move(name);
        facts_.description = "throw-away writable view of a snapshot";
        facts_.size = base_->size();
        if (store) view_ = std::make_unique<CowDisk>(loop_, *base_, std::move(store));
    }

    [[nodiscard]] const nbd::ExportFacts& facts() const override { return facts_; }
    [[nodiscard]] Loop& loop() override { return loop_; }
    [[nodiscard]] BlockDevice& device() override { return *view_; }

private:
    Loop& loop_;
    const std::unique_ptr<SnapshotDevice> base_;
    std::unique_ptr<CowDisk> view_;
    nbd::ExportFacts facts_;
};

bool belongs_to(const std::string& export_name, const std::string& volume) {
    return export_name == volume || export_name.starts_with(volume + '@');
}

Task<std::vector<nbd::ExportName>> EngineExports::list() {
    std::vector<nbd::ExportName> names;
    for (const auto& open : volumes_) {
        const VolumeUse volume(*open);
        if (open->closed() || !volume) continue;
        names.push_back({open->name, "volume of group " + open->group});
        for (const SnapshotRecord& snapshot : volume->state().snapshots) {
            if (snapshot.state != SetState::committed) continue;
            names.push_back({open->name + '@' + snapshot.label, "snapshot, read-only"});
        }
    }
    co_return names;
}

OpenVolumePointer EngineExports::find_volume(const std::string& name) const {
    OpenVolumePointer found;
    for (const auto& open : volumes_) {
        if (open->closed()) continue;
        if (open->name == name) return open;
        if (name.empty() && found) return nullptr;  // the default export: only where there is no choice
        if (name.empty()) found = open;
    }
    return found;
}

Task<Result<nbd::ExportPointer>> EngineExports::find(std::string name, nbd::Purpose purpose) {
    const auto at = name.find('@');
    const OpenVolumePointer open = find_volume(name.substr(0, at));
    if (!open) co_return Error(Code::not_found, "no export is named '" + name + "'");
    if (at == std::string::npos) {
        co_return nbd::ExportPointer(std::make_shared<VolumeExport>(loop_, open));
    }
    std::string label = name.substr(at + 1);
    const bool as_view = label.ends_with(view_suffix);
    if (as_view) label.resize(label.size() - std::string(view_suffix).size());
    co_return find_snapshot(open, label, as_view, purpose);
}

Result<nbd::ExportPointer> EngineExports::find_snapshot(const OpenVolumePointer& open,
                                                        const std::string& label, bool as_view,
                                                        nbd::Purpose purpose) {
    const VolumeUse volume(*open);
    const SnapshotRecord* const snapshot = volume ? volume->state().find_snapshot(label) : nullptr;
    const std::string name = open->name + '@' + label;
    if (snapshot == nullptr || snapshot->state != SetState::committed) {
        return Error(Code::not_found, "no export is named '" + name + "'");
    }
    auto device = std::make_unique<SnapshotDevice>(open, open->name, label, snapshot->set_id, volume->size());
    if (as_view) return find_view(name + view_suffix, std::move(device), snapshot->set_id, purpose);
    return nbd::ExportPointer(std::make_shared<SnapshotExport>(loop_, name, std::move(device)));
}

Result<nbd::ExportPointer> EngineExports::find_view(const std::string& name,
                                                    std::unique_ptr<SnapshotDevice> base, const Uuid& set_id,
                                                    nbd::Purpose purpose) {
    if (views_.folder.empty()) return Error(Code::refused, "this server makes no views");
    if (purpose == nbd::Purpose::inform) {
        return nbd::ExportPointer(std::make_shared<ViewExport>(loop_, name, std::move(base), nullptr));
    }
    std::erase_if(living_views_, [](const auto& view) { return view.second.expired(); });
    auto& living = living_views_[name + ' ' + set_id.text()];
    if (const auto found = living.lock()) return nbd::ExportPointer(found);
    auto store = make_store();
    if (!store.ok()) return store.error();
    const auto view = std::make_shared<ViewExport>(loop_, name, std::move(base), std::move(store).value());
    living = view;
    return nbd::ExportPointer(view);
}

// A file without a name: whatever becomes of this process, nothing is left behind.
Result<std::unique_ptr<BlockDevice>> EngineExports::make_store() {
    const std::string path = views_.folder + "/.view-" + loop_.new_uuid().text();
    OpenOptions options;
    options.writable = options.create = options.exclusive_create = true;
    auto file = loop_.open(path, options);
    if (!file.ok()) return file.error();
    ::unlink(path.c_str());
    EXSHADOW_TRY((*file)->resize(views_.limit));
    return std::unique_ptr<BlockDevice>(std::make_unique<FileDisk>(loop_, std::move(file).value()));
}

}  // namespace exshadow
