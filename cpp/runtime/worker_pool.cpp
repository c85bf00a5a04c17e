#include "runtime/worker_pool.h"

#include <csignal>
#include <utility>

#include "runtime/posix_file.h"

namespace exshadow {

WorkerPool::WorkerPool(std::size_t thread_limit, Done done)
    : thread_limit_(thread_limit), done_(std::move(done)) {}

WorkerPool::~WorkerPool() {
    {
        const std::lock_guard lock(mutex_);
        closing_ = true;
    }
    wake_.notify_all();
    for (auto& thread : threads_) thread.join();
}

void WorkerPool::add(WorkItem item) {
    bool need_thread = false;
    {
        const std::lock_guard lock(mutex_);
        items_.push_back(std::move(item));
        need_thread = items_.size() > idle_ && threads_.size() < thread_limit_;
    }
    if (need_thread) start_thread();
    wake_.notify_one();
}

void WorkerPool::start_thread() {
    // Signals belong to the threads of the application: a worker starts with all of them blocked.
    sigset_t all;
    sigset_t previous;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &previous);
    threads_.emplace_back([this] { serve(); });
    pthread_sigmask(SIG_SETMASK, &previous, nullptr);
}

void WorkerPool::serve() {
    std::unique_lock lock(mutex_);
    for (;;) {
        while (items_.empty()) {
            if (closing_) return;
            ++idle_;
            wake_.wait(lock);
            --idle_;
        }
        WorkItem item = std::move(items_.front());
        items_.pop_front();
        lock.unlock();
        if (item.operation != nullptr) {
            item.operation->result = perform(item.fd, *item.operation);
        } else {
            item.work();
            item.work = nullptr;  // what the function holds is released before its waiter goes on
        }
        done_(item);
        lock.lock();
    }
}

}  // namespace exshadow
