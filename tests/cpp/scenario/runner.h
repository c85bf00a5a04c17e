// Runs one scenario: its world on a coordinator with a thread of its own, its steps by the procedures that
// exshadow-vss.exe runs too.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "scenario/world.h"
#include "table.h"
#include "vss/coordinator/host.h"
#include "vss/procedures.h"

namespace exshadow::scenario {

// How a step ended.
struct Outcome {
    Status status;
    int count = -1;                // what query, delete and import found
    Json chosen = Json::object();  // restored components by full name
};

class Runner {
public:
    explicit Runner(const Scenario& scenario);  // throws BadScenario

    [[nodiscard]] Outcome step(const Json& step);

    // What came of the whole run.
    [[nodiscard]] std::vector<vss::Callback> callbacks();
    [[nodiscard]] std::vector<std::string> asked() { return world_.scripts->asked(); }
    [[nodiscard]] const std::map<std::string, vss::WriterStatus>& last_status() const { return statuses_; }
    [[nodiscard]] std::size_t snapshots() const { return world_.disks->snapshots.size(); }
    [[nodiscard]] bool set_open();

private:
    struct Made {  // what `as` names
        std::string document;
        std::vector<vss::SnapshotProperties> snapshots;
        Uuid set;
    };

    Outcome back_up(const Json& step);
    Outcome lose(const Json& step);
    Outcome restore(const Json& step);
    Outcome look(const Json& step);
    Outcome manage(const Json& step);
    Outcome import_set(const Json& step);
    void note(const std::vector<vss::WriterReport>& writers);
    [[nodiscard]] const Made& made(const Json& step, const char* key) const;
    [[nodiscard]] Uuid snapshot(const Json& step) const;
    [[nodiscard]] Uuid set(const Json& step) const;
    [[nodiscard]] vss::Host host();

    World world_;
    std::mutex mutex_;
    std::vector<vss::Callback> callbacks_;
    std::unique_ptr<vss::CoordinatorHost> coordinator_;
    std::map<std::string, Made> made_;
    std::map<std::string, vss::WriterStatus> statuses_;
};

}  // namespace exshadow::scenario
