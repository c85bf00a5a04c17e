// A coordinator as Python holds it.
#pragma once

#include <deque>
#include <memory>
#include <mutex>
#include <vector>

#include "bindings/vss_session.h"
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

// Any thread. Closing it waits with the GIL free.
class CoordinatorHandle {
public:
    explicit CoordinatorHandle(vss::CoordinatorOptions options) {
        options.observe = [record = record_](const vss::Callback& callback) { record->add(callback); };
        host_ = std::make_shared<vss::CoordinatorHost>(std::move(options));
    }
    CoordinatorHandle(const CoordinatorHandle&) = delete;
    CoordinatorHandle& operator=(const CoordinatorHandle&) = delete;
    ~CoordinatorHandle() { close(); }

    void close() {
        std::shared_ptr<vss::CoordinatorHost> last;
        {
            const std::lock_guard lock(mutex_);
            last.swap(host_);
        }
        if (PyGILState_Check() == 0) return last.reset();
        const py::gil_scoped_release release;
        last.reset();
    }

    template <class Function>
    auto call(Function function) {
        const auto host = open_host();
        const py::gil_scoped_release release;
        return function(*host);
    }
    // The GIL free or held.
    Result<std::unique_ptr<vss::Requestor>> new_requestor() {
        const std::lock_guard lock(mutex_);
        if (!host_) return Error(Code::closed, "the coordinator is closed");
        return host_->new_requestor();
    }
    std::vector<vss::Callback> callbacks() { return record_->all(); }

private:
    std::shared_ptr<vss::CoordinatorHost> open_host() {
        const std::lock_guard lock(mutex_);
        if (!host_) raise_vss(Error(Code::closed, "the coordinator is closed"));
        return host_;
    }

    std::mutex mutex_;
    std::shared_ptr<CallbackRecord> record_ = std::make_shared<CallbackRecord>();
    std::shared_ptr<vss::CoordinatorHost> host_;
};

}  // namespace exshadow::python
