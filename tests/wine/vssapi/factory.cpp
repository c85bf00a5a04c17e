// The machine behind the double: one coordinator for the process, with the writers and providers of the
// scenario that EXSHADOW_VSS_SCENARIO names (a file with its "world"). EXSHADOW_VSS_STATE names the file that
// stands for the machine's disks and its creation slot, shared by all processes that name it.
#include "factory.h"

#include <windows.h>

#include <cstdlib>
#include <memory>
#include <string>

#include "ledger.h"
#include "memory.h"
#include "scenario/world.h"
#include "vss/coordinator/host.h"

namespace exshadow::test_double {

namespace {

std::string from_environment(const wchar_t* name) {
    return narrow(_wgetenv(name));
}

// Of all processes that name the same file: it is open without sharing as long as the slot is held, and
// Windows closes it when its holder dies.
class OpenFileSlot final : public vss::CreationSlot {
public:
    explicit OpenFileSlot(const std::string& path) : path_(wide(path)) {}
    ~OpenFileSlot() override { give_back(); }

    Result<bool> try_take() override {
        if (file_ != INVALID_HANDLE_VALUE) return false;
        file_ = CreateFileW(path_.c_str(), GENERIC_READ | GENERIC_WRITE, 0, nullptr, OPEN_ALWAYS,
                            FILE_ATTRIBUTE_NORMAL, nullptr);
        if (file_ != INVALID_HANDLE_VALUE) return true;
        if (GetLastError() == ERROR_SHARING_VIOLATION) return false;
        return Error(Code::io, "the slot's file cannot be opened");
    }
    void give_back() override {
        if (file_ != INVALID_HANDLE_VALUE) CloseHandle(file_);
        file_ = INVALID_HANDLE_VALUE;
    }

private:
    const std::wstring path_;
    HANDLE file_ = INVALID_HANDLE_VALUE;
};

// Requestors on Windows name volumes by the mount manager's GUID paths.
void add_system_names(Json& world) {
    for (auto& volume : world["volumes"]) {
        auto paths = volume.value("paths", std::vector<std::string>{});
        auto all = paths;
        all.push_back(volume.value("name", std::string()));
        for (const auto& path : all) {
            wchar_t name[MAX_PATH] = {};
            if (GetVolumeNameForVolumeMountPointW(wide(path).c_str(), name, MAX_PATH) != 0) {
                paths.push_back(narrow(name));
            }
        }
        volume["paths"] = paths;
    }
}

void log_callback(const vss::Callback& callback) {
    Ledger::instance().write({{"callback", callback.event},
                              {"actor", callback.actor},
                              {"of", callback.of_writer ? "writer" : "provider"},
                              {"at_ms", callback.at / millisecond_ns}});
}

struct Machine {
    scenario::World world;
    std::unique_ptr<vss::CoordinatorHost> host;
};

Result<std::unique_ptr<Machine>> make_machine() {
    const auto path = from_environment(L"EXSHADOW_VSS_SCENARIO");
    if (path.empty()) return Error(Code::not_found, "EXSHADOW_VSS_SCENARIO names no scenario");
    auto description = scenario::read_json(path);
    if (!description.ok()) return description.error();
    add_system_names(*description);
    const auto state = from_environment(L"EXSHADOW_VSS_STATE");
    auto world = scenario::make_world(*description, state);
    if (!world.ok()) return world.error();

    auto machine = std::make_unique<Machine>();
    machine->world = std::move(world).value();
    auto options = machine->world.options();
    options.observe = log_callback;
    if (!state.empty()) options.slot = std::make_shared<OpenFileSlot>(state + ".slot");
    machine->host = std::make_unique<vss::CoordinatorHost>(std::move(options));
    for (const auto& writer : machine->world.writers) {
        const auto id = machine->host->register_writer(std::shared_ptr<vss::Writer>(writer));
        if (!id.ok()) return id.error();
    }
    for (const auto& provider : machine->world.providers) {
        EXSHADOW_TRY(machine->host->register_provider(std::shared_ptr<vss::Provider>(provider)));
    }
    return machine;
}

// Never destroyed: when the process ends its threads are gone already, and with them the loop's.
Machine* machine() {
    static Machine* const made = []() -> Machine* {
        auto result = make_machine();
        if (result.ok()) return std::move(result).value().release();
        Ledger::instance().write({{"error", result.error().message()}});
        return nullptr;
    }();
    return made;
}

}  // namespace

std::unique_ptr<vss::Requestor> make_requestor() {
    auto* here = machine();
    if (here == nullptr) return nullptr;
    return scenario::scripted(here->host->new_requestor(), here->world.scripts);
}

}  // namespace exshadow::test_double
