// WorkerPool: a bounded set of threads for work that would block the loop. Threads start when first
// needed. Each finished item is handed to `done` on the worker's thread; `done` only enqueues (E30).
//
// add() from the loop's thread; the destructor runs every queued item and joins. After fork() the child
// has no workers: the owner abandons the pool instead of destroying it (E34).
#pragma once

#include <condition_variable>
#include <coroutine>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "runtime/file.h"

namespace exshadow {

// Either a file operation (fd and operation set) or a function; then `waiter` is resumed by the loop.
struct WorkItem {
    int fd = -1;
    FileOperation* operation = nullptr;
    std::function<void()> work;
    std::coroutine_handle<> waiter;
};

class WorkerPool {
public:
    using Done = std::function<void(WorkItem& item)>;

    WorkerPool(std::size_t thread_limit, Done done);
    WorkerPool(const WorkerPool&) = delete;
    WorkerPool& operator=(const WorkerPool&) = delete;
    ~WorkerPool();

    void add(WorkItem item);

private:
    void start_thread();
    void serve();

    const std::size_t thread_limit_;
    const Done done_;
    std::mutex mutex_;
    std::condition_variable wake_;
    std::deque<WorkItem> items_;        // guarded by mutex_
    std::size_t idle_ = 0;              // guarded by mutex_
    bool closing_ = false;              // guarded by mutex_
    std::vector<std::thread> threads_;  // loop thread only
};

}  // namespace exshadow
