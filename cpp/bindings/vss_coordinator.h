// A coordinator as Python holds it.
#pragma once

#include <atomic>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bindings/engine_host.h"
#include "bindings/vss_session.h"
#include "provider/native_provider.h"
#include "vss/coordinator/host.h"

namespace exshadow::python {

// The callbacks as they were made, the last so many. Written on the loop, read from any thread.
class CallbackRecord {
public:
    void add(const vss::Callback& callback) {
        const std::lock_guard lock(mutex_);
        if (callbacks_.size() == capacity) callbacks_.pop_front();
        callbacks_.push_back(callback);
    }
    std::vector<vss::Callback> all() {
        const std::lock_guard lock(mutex_);
        return {callbacks_.begin(), callbacks_.end()};
    }

private:
    static constexpr std::size_t capacity = 10'000;
    std::mutex mutex_;
    std::deque<vss::Callback> callbacks_;
};

// What the coordinator could not undo, as it was told; the last so many. The same thread rule.
class TroubleRecord {
public:
    void add(const Error& trouble) {
        const std::lock_guard lock(mutex_);
        if (troubles_.size() == capacity) troubles_.pop_front();
        troubles_.push_back(trouble.message());
    }
    std::vector<std::string> all() {
        const std::lock_guard lock(mutex_);
        return {troubles_.begin(), troubles_.end()};
    }

private:
    static constexpr std::size_t capacity = 1'000;
    std::mutex mutex_;
    std::deque<std::string> troubles_;
};

// Where volumes are mounted: (path, volume). The longest path that leads to a file decides; a volume's own
// name is one of its paths. Empty: nothing is known of paths.
using PathTable = std::vector<std::pair<std::string, std::string>>;
[[nodiscard]] std::optional<std::string> volume_of(const PathTable& table, std::string_view path);

// A coordinator, on a loop of its own or beside the volumes of an engine; then it splits them as a provider
// and ends before they are closed. Any thread, the GIL free.
class CoordinatorHome : public std::enable_shared_from_this<CoordinatorHome>, public OfOneProcess {
public:
    explicit CoordinatorHome(std::shared_ptr<EngineHost> engine) : engine_(std::move(engine)) {}
    CoordinatorHome(const CoordinatorHome&) = delete;
    CoordinatorHome& operator=(const CoordinatorHome&) = delete;
    ~CoordinatorHome() = default;

    // Once, before all else. What fails is closed again.
    Status begin(vss::CoordinatorOptions options);
    [[nodiscard]] vss::CoordinatorHost& host() { return *host_; }
    // Aborts what is open. May be repeated, also side by side.
    void close();
    [[nodiscard]] bool closed() const { return closed_; }

private:
    Status add_engine();

    const std::shared_ptr<EngineHost> engine_;  // or null
    std::shared_ptr<NativeProvider> provider_;
    std::unique_ptr<vss::CoordinatorHost> host_;
    std::mutex closing_;
    std::atomic<bool> closed_{false};  // set under closing_
};

// What Python holds. Any thread; all waiting is done with the GIL free.
class CoordinatorHandle {
public:
    // Raises when the engine is closed, or has a coordinator already.
    CoordinatorHandle(vss::CoordinatorOptions options, const std::shared_ptr<EngineHost>& engine,
                      PathTable paths);
    CoordinatorHandle(const CoordinatorHandle&) = delete;
    CoordinatorHandle& operator=(const CoordinatorHandle&) = delete;
    ~CoordinatorHandle() { close(); }

    void close();

    template <class Function>
    auto call(Function function) {
        if (home_->closed() || !home_->usable()) raise_vss(closed_error());
        const py::gil_scoped_release release;
        return function(home_->host());
    }
    // The GIL free or held.
    Result<std::unique_ptr<vss::Requestor>> new_requestor(std::function<bool()> interrupted);
    std::vector<vss::Callback> callbacks() { return record_->all(); }
    std::vector<std::string> troubles() { return troubles_->all(); }
    [[nodiscard]] const std::shared_ptr<const PathTable>& paths() const { return paths_; }

private:
    [[nodiscard]] Error closed_error() const;

    std::shared_ptr<CallbackRecord> record_ = std::make_shared<CallbackRecord>();
    std::shared_ptr<TroubleRecord> troubles_ = std::make_shared<TroubleRecord>();
    const std::shared_ptr<const PathTable> paths_;
    std::shared_ptr<CoordinatorHome> home_;
};

}  // namespace exshadow::python
