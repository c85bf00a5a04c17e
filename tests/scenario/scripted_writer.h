// A Writer that is what a scenario says, and fails, waits or hangs where it says so.
#pragma once

#include <memory>

#include "scenario/json.h"
#include "scenario/script.h"
#include "vss/coordinator/writer.h"

namespace exshadow::scenario {

// What the writer does to each of its components' parts of the document.
struct DocumentEdits {
    std::string stamp;            // at PostSnapshot
    std::string backup_metadata;  // at PrepareForBackup
    std::vector<vss::PartialFile> partial_files;
    std::vector<vss::DifferencedFile> differenced_files;
    vss::RestoreTarget restore_target = vss::RestoreTarget::undefined;
    std::string pre_restore_failure;
    std::optional<vss::ComponentFailure> component_failure;  // at PostSnapshot
};

class ScriptedWriter final : public vss::Writer {
public:
    explicit ScriptedWriter(const Json& description);  // throws BadScenario

    [[nodiscard]] const vss::WriterOptions& options() const override { return options_; }
    Task<Result<vss::WriterMetadata>> identify(vss::WriterCallPtr call) override;
    Task<vss::WriterAnswer> on_prepare_backup(vss::WriterCallPtr call) override;
    Task<vss::WriterAnswer> on_prepare_snapshot(vss::WriterCallPtr call) override;
    Task<vss::WriterAnswer> on_freeze(vss::WriterCallPtr call) override;
    Task<vss::WriterAnswer> on_thaw(vss::WriterCallPtr call) override;
    Task<vss::WriterAnswer> on_abort(vss::WriterCallPtr call) override;
    Task<vss::WriterAnswer> on_post_snapshot(vss::WriterCallPtr call) override;
    Task<vss::WriterAnswer> on_backup_complete(vss::WriterCallPtr call) override;
    Task<vss::WriterAnswer> on_backup_shutdown(vss::WriterCallPtr call) override;
    Task<vss::WriterAnswer> on_pre_restore(vss::WriterCallPtr call) override;
    Task<vss::WriterAnswer> on_post_restore(vss::WriterCallPtr call) override;

    // The stamps of the base that the last PrepareForBackup showed, by component. Not while one runs.
    [[nodiscard]] const std::vector<std::string>& stamps_seen() const { return stamps_seen_; }

private:
    Task<vss::WriterAnswer> scripted(vss::WriterCallPtr call);
    [[nodiscard]] bool lacks_volumes(const vss::WriterCall& call) const;

    vss::WriterOptions options_;
    vss::WriterMetadata metadata_;
    DocumentEdits edits_;
    Script script_;
    bool checks_volumes_ = false;
    std::vector<std::string> stamps_seen_;
};

}  // namespace exshadow::scenario
