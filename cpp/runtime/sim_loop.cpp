#include "runtime/sim_loop.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "runtime/sim_file.h"
#include "runtime/sync.h"

namespace exshadow {

namespace {

constexpr Nanoseconds step_cost_ns = 2 * microsecond_ns;
constexpr std::uint64_t crash_step_limit = 1'000'000;  // what still runs then retries for ever

Task<void> then_stop(SimLoop& loop, Task<void> task) {
    co_await std::move(task);
    loop.stop();
}

}  // namespace

SimLoop::SimLoop(SimWorld& world, std::uint64_t seed, SimSchedule schedule) : world_(world), random_(seed) {
    const bool seeded_in_order = random_.below(4) == 0;
    in_order_ = schedule == SimSchedule::in_order || (schedule == SimSchedule::seeded && seeded_in_order);
}

SimLoop::~SimLoop() {
    EXSHADOW_CHECK(in_flight_ == 0 || hung_);
}  // E32

Uuid SimLoop::new_uuid() {
    const std::uint64_t high = random_.next();
    return Uuid::from_words(high, random_.next());
}

Result<std::unique_ptr<File>> SimLoop::open(const std::string& path, const OpenOptions& options) {
    if (crashed_) return os_error(ECANCELED, "open", path);
    Result<SimInodePtr> found = world_.find(path, options);
    if (!found) return found.error();
    SimInode& inode = **found;
    std::uint64_t lock = 0;
    if (options.lock == FileLock::exclusive) {
        // Nobody can let go while this thread waits, so there is no point in waiting.
        if (inode.lock_holder != 0) {
            return Error(Code::busy, path + " is in use by somebody else", {}, EWOULDBLOCK);
        }
        lock = inode.lock_holder = world_.next_lock();
    }
    trace("open", inode.number, lock, 0, 0);
    return std::unique_ptr<File>(std::make_unique<SimFile>(*this, *found, path, options, lock));
}

void SimLoop::run() {
    const Scope scope(*this);
    while (step()) {
    }
    stopping_ = false;
}

bool SimLoop::run_task(Task<void> task) {
    // On the heap and known to a static list when it hangs, so that leak checkers stay quiet.
    auto group = std::make_unique<TaskGroup>(*this);
    {
        const Scope scope(*this);
        group->spawn(then_stop(*this, std::move(task)));
    }
    run();
    if (group->running() == 0) return true;
    hung_ = true;
    static std::vector<TaskGroup*> hung_groups;
    hung_groups.push_back(group.release());
    return false;
}

bool SimLoop::step() {
    if (++steps_ > step_limit_) {
        hung_ = true;
        return false;
    }
    while (!events_.empty() && events_.begin()->first.first <= now()) fire_first();
    if (!ready_.empty() || !posted_.empty()) {
        resume_one();
        const Nanoseconds stall = random_.below(64) == 0 ? random_.between(0, millisecond_ns) : 0;
        world_.advance(now() + random_.between(0, step_cost_ns) + stall);
        return true;
    }
    if (stopping_ || events_.empty()) return false;
    world_.advance(events_.begin()->first.first);
    return true;
}

void SimLoop::resume_one() {
    const std::uint64_t count = ready_.size() + posted_.size();
    const std::uint64_t pick = in_order_ ? (posted_.empty() ? 0 : ready_.size()) : random_.below(count);
    trace("run", pick, count, 0, 0);
    if (pick >= ready_.size()) {  // posted functions keep their order
        const auto function = std::move(posted_.front());
        posted_.pop_front();
        function();
        return;
    }
    std::swap(ready_[pick], ready_.front());
    const auto waiter = ready_.front();
    ready_.pop_front();
    waiter.resume();
}

bool SimLoop::is_held(const Event& event) const {
    if (event.kind != Event::Kind::operation || crashed_) return false;
    const SimInode& inode = *event.file->inode();
    return inode.held && (!inode.held_kind || *inode.held_kind == event.operation->kind);
}

void SimLoop::fire_first() {
    Event event = std::move(events_.begin()->second);
    events_.erase(events_.begin());
    if (is_held(event)) {
        held_.push_back(std::move(event));
        return;
    }
    if (event.kind == Event::Kind::operation) {
        finish(event);
        return;
    }
    if (event.work) event.work();
    enqueue(event.waiter);
}

void SimLoop::finish(Event& event) {
    FileOperation& operation = *event.operation;
    if (!event.performed) operation.result = world_.perform(event.file->inode(), operation, event.plan);
    trace("done", event.file->inode()->number, operation.offset, operation.length, operation.result);
    event.file->count_in_flight(-1);
    --in_flight_;
    enqueue(operation.waiter);
}

// Ties are broken by chance, or by order of arrival in an in-order loop.
void SimLoop::schedule(Nanoseconds delay, Event event) {
    const std::uint64_t order = in_order_ ? ++next_order_ : random_.next();
    events_.emplace(When{now() + delay, order}, std::move(event));
}

void SimLoop::start_timer(Nanoseconds duration, std::coroutine_handle<> waiter) {
    Event event;
    event.waiter = waiter;
    schedule(crashed_ ? 0 : duration + random_.between(0, 50 * microsecond_ns), std::move(event));
}

void SimLoop::wake_sleepers() {
    for (auto at = events_.begin(); at != events_.end();) {
        if (at->second.kind != Event::Kind::timer) {
            ++at;
            continue;
        }
        enqueue(at->second.waiter);
        at = events_.erase(at);
    }
}

void SimLoop::start_work(std::function<void()> work, std::coroutine_handle<> waiter) {
    Event event;
    event.kind = Event::Kind::work;
    event.work = std::move(work);
    event.waiter = waiter;
    schedule(crashed_ ? 0 : random_.between(0, 2 * millisecond_ns), std::move(event));
}

bool SimLoop::start_operation(SimFile& file, FileOperation& operation, int refused) {
    const bool nothing = operation.length == 0 && operation.kind != FileOperation::Kind::flush;
    if (!crashed_ && (refused != 0 || nothing)) {
        operation.result = refused;
        return true;
    }
    Event event;
    event.kind = Event::Kind::operation;
    event.file = &file;
    event.operation = &operation;
    if (crashed_) {
        operation.result = -ECANCELED;
        event.performed = true;
    } else {
        event.plan = world_.plan(*file.inode(), operation, random_);
        ++operations_;
    }
    const bool crashes = !crashed_ && operations_ == crash_at_;
    trace("start", static_cast<std::uint64_t>(operation.kind), operation.offset, operation.length, 0);
    const bool at_once = !crashed_ && !crashes && !is_held(event);
    if (at_once && (event.plan.answer_inline || event.plan.early)) {
        operation.result = world_.perform(file.inode(), operation, event.plan);
        event.performed = true;
        if (event.plan.answer_inline) return true;
    }
    ++in_flight_;
    file.count_in_flight(1);
    const Nanoseconds latency = event.plan.latency;
    schedule(latency, std::move(event));
    if (crashes) crash(crash_kind_);
    return false;
}

SimLoop::Verb SimLoop::begin_verb() {
    if (crashed_) return Verb::dead;
    trace("verb", ++operations_, 0, 0, 0);
    if (operations_ != crash_at_) return Verb::go;
    return random_.chance(0.5) ? Verb::crash_before : Verb::crash_after;
}

void SimLoop::crash_at(std::uint64_t operation_count, CrashKind kind) {
    crash_at_ = operation_count;
    crash_kind_ = kind;
}

// The waiter of the operation that is being started right now is not known yet, so nothing is enqueued
// here: everything becomes an event that is due at once.
void SimLoop::crash(CrashKind kind) {
    if (crashed_) return;
    crashed_ = true;
    step_limit_ = std::min(step_limit_, steps_ + crash_step_limit);
    trace("crash", operations_, static_cast<std::uint64_t>(kind), in_flight_, 0);
    auto events = std::exchange(events_, {});
    for (Event& event : held_) events.emplace(When{now(), 0}, std::move(event));
    held_.clear();
    for (auto& [when, event] : events) {
        if (event.kind == Event::Kind::operation) {
            if (!event.performed) world_.abandon(*event.file->inode(), *event.operation, event.plan);
            event.operation->result = -ECANCELED;
            event.performed = true;
        }
        schedule(0, std::move(event));
    }
    if (kind == CrashKind::power_cut) {
        world_.power_cut();
    } else {
        world_.process_kill();
    }
    if (on_crash_) post(std::exchange(on_crash_, nullptr));
}

void SimLoop::hold(const std::string& path, std::optional<FileOperation::Kind> kind) {
    SimInode& inode = world_.file(path);
    inode.held = true;
    inode.held_kind = kind;
}

void SimLoop::release(const std::string& path) {
    SimInode& inode = world_.file(path);
    inode.held = false;
    for (Event& event : std::exchange(held_, {})) {
        if (is_held(event)) {
            held_.push_back(std::move(event));
        } else {
            schedule(random_.between(0, millisecond_ns), std::move(event));
        }
    }
}

void SimLoop::trace(const char* what, std::uint64_t a, std::uint64_t b, std::uint64_t c,
                    std::int64_t result) {
    for (const std::uint64_t value :
         {static_cast<std::uint64_t>(now()), a, b, c, static_cast<std::uint64_t>(result)}) {
        trace_ = (trace_ ^ value) * 0x9E3779B97F4A7C15ULL;
        trace_ ^= trace_ >> 29;
    }
    if (log_ == nullptr) return;
    std::fprintf(log_, "%12lld %-5s %llu %llu %llu = %lld\n", static_cast<long long>(now()), what,
                 static_cast<unsigned long long>(a), static_cast<unsigned long long>(b),
                 static_cast<unsigned long long>(c), static_cast<long long>(result));
}

}  // namespace exshadow
