// One try of a backup: one Requestor from its making to its end. procedure_backup.cpp tries again.
// backup_choice.cpp chooses components and volumes, backup_verdict.cpp judges what the writers say.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "vss/procedure_steps.h"
#include "vss/selection.h"

namespace exshadow::vss {

[[nodiscard]] inline bool with_writers(SnapshotAttributes context) {
    return !has(context, SnapshotAttributes::no_writers);
}

class BackupTry {
public:
    BackupTry(const Host& host, const BackupRequest& request, const std::vector<Uuid>& disabled,
              BackupReport& report)
        : host_(host),
          request_(request),
          limits_(with_cancel(host, request.limits)),
          disabled_(disabled),
          report_(report),
          writers_(with_writers(request.context)) {}

    Status run_through(const Between& between);
    [[nodiscard]] bool files_were_touched() const { return files_were_touched_; }

private:
    Status begin();
    Status learn_writers();
    Status choose();
    Result<Selection> select_components();
    Status check_asked(const Selection& selection) const;
    void narrow_volumes(const Selection& selection);
    [[nodiscard]] VolumeOf volume_function() const;
    [[nodiscard]] std::vector<std::string> volumes_of(const WriterMetadata& writer,
                                                      const ComponentMetadata& component) const;
    Status set_component_facts();
    Status set_stamps(const BackupDocument& base);
    Status open_set();
    Status add_volumes();
    Status prepare();
    Status snap();
    Status read_snapshots();
    Status tell_outcome(const Copied& copied);
    Status complete();
    Status check_writers(std::string_view after);
    Status step_failed(const Error& error, std::string_view after);
    std::optional<Error> judge(const std::vector<WriterStatus>& statuses, std::string_view after, bool note);
    std::vector<ComponentReport> failed_components(const WriterStatus& status);
    [[nodiscard]] std::string missing_volumes(const WriterStatus& status) const;
    [[nodiscard]] std::string shown(const std::string& volume) const;
    [[nodiscard]] Error about_volume(const Error& error, const std::string& volume) const;
    void discard();
    void sweep();
    [[nodiscard]] bool is_wanted(const WriterStatus& status) const;
    [[nodiscard]] std::vector<ComponentKey> explicit_keys() const;

    const Host& host_;
    const BackupRequest& request_;
    WaitLimits limits_;
    const std::vector<Uuid>& disabled_;
    BackupReport& report_;
    bool writers_;
    bool files_were_touched_ = false;
    bool snapping_ = false;  // DoSnapshotSet was begun
    bool snapped_ = false;   // and ended well
    bool snapshot_needed_ = true;
    std::unique_ptr<Requestor> requestor_;
    Uuid set_;
    std::vector<WriterMetadata> metadata_;
    std::vector<std::string> volumes_;
    std::vector<std::pair<Uuid, std::string>> added_;  // snapshot, volume
};

}  // namespace exshadow::vss
