#include <exception>
#include <tuple>

#include "bindings/vss_actors.h"
#include "bindings/vss_session.h"
#include "bindings/vss_values.h"

namespace exshadow::python {

namespace {

using vss::HResult;

// Each call is one call of the Python function `answer`, which never lets an exception of the provider out.
class PythonProvider final : public vss::BlockingProvider {
public:
    PythonProvider(vss::ProviderFacts facts, py::object actor, py::object answer)
        : facts_(std::move(facts)), actor_(std::move(actor)), answer_(std::move(answer)) {}

    const vss::ProviderFacts& facts() const override { return facts_; }

    Result<bool> is_volume_supported(const std::string& volume, vss::SnapshotAttributes attributes) override {
        return ask<bool>("is_volume_supported", volume, attributes);
    }
    Result<Uuid> snapshot_id(const Uuid& set, const std::string& volume, const Uuid& proposed) override {
        return ask<Uuid>("snapshot_id", set, volume, proposed);
    }
    Status begin_prepare_snapshot(const vss::SnapshotRequest& request) override {
        return tell("begin_prepare_snapshot", request);
    }
    Status end_prepare_snapshots(const Uuid& set) override { return tell("end_prepare_snapshots", set); }
    Status pre_commit_snapshots(const Uuid& set) override { return tell("pre_commit_snapshots", set); }
    Status commit_snapshots(const Uuid& set) override { return tell("commit_snapshots", set); }
    Status post_commit_snapshots(const Uuid& set, std::int32_t count) override {
        return tell("post_commit_snapshots", set, count);
    }
    Status pre_final_commit_snapshots(const Uuid& set) override {
        return tell("pre_final_commit_snapshots", set);
    }
    Status post_final_commit_snapshots(const Uuid& set) override {
        return tell("post_final_commit_snapshots", set);
    }
    Status abort_snapshots(const Uuid& set) override { return tell("abort_snapshots", set); }
    Result<std::vector<vss::SnapshotProperties>> query() override {
        return ask<std::vector<vss::SnapshotProperties>>("query");
    }
    Status delete_snapshot(const Uuid& snapshot, bool force) override {
        return tell("delete_snapshot", snapshot, force);
    }
    Status break_snapshot_set(const Uuid& set, vss::BreakFlags flags) override {
        return tell("break_snapshot_set", set, flags);
    }
    Result<vss::SnapshotProperties> import_snapshot(const vss::RecordedSnapshot& recorded) override {
        return ask<vss::SnapshotProperties>("import_snapshot", recorded);
    }
    Result<std::string> expose_snapshot(const Uuid& snapshot, const std::string& path_from_root,
                                        vss::Exposure how, const std::string& name) override {
        return ask<std::string>("expose_snapshot", snapshot, path_from_root, how, name);
    }
    Status unexpose_snapshot(const Uuid& snapshot) override { return tell("unexpose_snapshot", snapshot); }
    Status revert_to_snapshot(const Uuid& snapshot, bool force_dismount) override {
        return tell("revert_to_snapshot", snapshot, force_dismount);
    }
    Status query_revert_status(const std::string& volume) override {
        return tell("query_revert_status", volume);
    }
    Status resync(const std::vector<vss::ResyncPair>& pairs, vss::RecoveryFlags flags) override {
        return tell("resync", pairs, flags);
    }

private:
    template <class T, class... A>
    Result<T> ask(const char* method, const A&... arguments) {
        const py::gil_scoped_acquire acquire;
        try {
            py::object value;
            EXSHADOW_TRY(asked(method, py::make_tuple(to_python(arguments)...), value));
            return value_from<T>(value);
        } catch (const std::exception& failure) {
            return wrong_answer(method, failure);
        }
    }
    template <class... A>
    Status tell(const char* method, const A&... arguments) {
        const py::gil_scoped_acquire acquire;
        try {
            py::object value;
            return asked(method, py::make_tuple(to_python(arguments)...), value);
        } catch (const std::exception& failure) {
            return wrong_answer(method, failure);
        }
    }

    Status asked(const char* method, const py::tuple& arguments, py::object& value) {
        const auto given = answer_.get()(actor_.get(), method, arguments).cast<py::tuple>();
        const auto result = value_from<HResult>(given[0]);
        if (vss::failed(result)) return vss::vss_error(result, value_from<std::string>(given[1]));
        value = given[2];
        return {};
    }
    // Python's exception, or pybind11's for a value of another type.
    Error wrong_answer(const char* method, const std::exception& failure) {
        return vss::vss_error(HResult::vss_e_unexpected_provider_error,
                              "provider '" + facts_.properties.name + "', " + method + ": " + failure.what());
    }

    const vss::ProviderFacts facts_;
    const KeptObject actor_;
    const KeptObject answer_;
};

}  // namespace

std::shared_ptr<vss::BlockingProvider> python_provider(vss::ProviderFacts facts, py::object actor,
                                                       py::object answer) {
    return std::make_shared<PythonProvider>(std::move(facts), std::move(actor), std::move(answer));
}

}  // namespace exshadow::python
