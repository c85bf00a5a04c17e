// CoordinatorHost: a Coordinator with a thread, for callers that have no loop of their own: programs, tests,
// Python, the test double. Requestors made here may be used from any thread but the loop's.
#pragma once

#include <functional>
#include <memory>
#include <thread>

#include "base/error.h"
#include "runtime/loop.h"
#include "vss/coordinator/coordinator.h"
#include "vss/requestor.h"

namespace exshadow::vss {

class CoordinatorHost {
public:
    // On a plain loop (runtime/plain_loop.h) and thread of its own.
    explicit CoordinatorHost(CoordinatorOptions options);
    // On a loop that runs already and outlives the host (an engine's). Not called on that loop's thread.
    CoordinatorHost(Loop& running, CoordinatorOptions options);
    CoordinatorHost(const CoordinatorHost&) = delete;
    CoordinatorHost& operator=(const CoordinatorHost&) = delete;
    // Closes the coordinator: every open session is aborted, every frozen writer gets Abort. Requestors that
    // still exist answer VSS_E_BAD_STATE from then on.
    ~CoordinatorHost();

    void close();  // what the destructor does, earlier; once it is over, calls answer VSS_E_BAD_STATE

    // Any thread but the loop's.
    Result<Uuid> register_writer(std::shared_ptr<Writer> writer);
    Result<Uuid> register_writer(std::shared_ptr<BlockingWriter> writer);  // on_own_thread()
    Status unregister_writer(const Uuid& instance);
    Status register_provider(std::shared_ptr<Provider> provider);
    Status register_provider(std::shared_ptr<BlockingProvider> provider);
    Status unregister_provider(const Uuid& id);

    // One backup, restore or query session. It may outlive the host. `interrupted` is asked now and then, on
    // the caller's thread, while a call that is no step waits for providers; once it says yes that call ends
    // with Code::cancelled, and what the provider still does is left to it. Steps have finish().
    [[nodiscard]] std::unique_ptr<Requestor> new_requestor(std::function<bool()> interrupted = {});

    class State;  // known to host.cpp only

private:
    std::shared_ptr<State> state_;
};

}  // namespace exshadow::vss
