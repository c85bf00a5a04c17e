// Disks: what the scripted providers of one world have made, shared by all of them, and kept in a file when
// it is to outlive the process: persistent snapshots, exposed names, disks of transportable sets.
//
// Snapshots of auto-release contexts are held in memory only: they go with the process, as with the object.
// Thread rule: one thread at a time. Other processes may use the same file; a change that one of them makes
// between this one's read() and save() is lost, a file that is being written is waited for.
#pragma once

#include <string>
#include <vector>

#include "scenario/json.h"
#include "vss/types.h"

namespace exshadow::scenario {

class Disks {
public:
    explicit Disks(std::string state_file);  // empty: memory only

    void read();
    void save() const;

    std::vector<vss::SnapshotProperties> snapshots;
    std::vector<vss::SnapshotProperties> transported;  // disks of transportable sets, waiting for import
    std::vector<std::string> broken;                   // volumes that were snapshots
    [[nodiscard]] int next_device() { return ++devices_; }

private:
    std::string state_file_;
    int devices_ = 0;
};

[[nodiscard]] Json to_json(const vss::SnapshotProperties& snapshot);
[[nodiscard]] vss::SnapshotProperties snapshot_from(const Json& object);

}  // namespace exshadow::scenario
