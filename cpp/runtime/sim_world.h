// SimWorld: the simulated machine, which survives crashes: files, disk faults, capacity, locks, clock.
// A SimLoop runs the engine on it; after a crash a new SimLoop continues on the same world.
//
// What a crash leaves (E35): power_cut(): every unflushed write of every file survives, is lost or is
// torn, by seed. process_kill(): completed writes stay in the page cache, still unflushed: a later
// power cut can lose them. Operations in flight are decided by the loop (SimLoop::crash).
// Attributes and sizes follow the same rule as data: volatile until a flush() that was started later.
// Creation, removal and renaming of files are durable at once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/error.h"
#include "base/units.h"
#include "runtime/file.h"
#include "runtime/loop.h"
#include "runtime/sim_random.h"
#include "runtime/sim_store.h"

namespace exshadow {

inline constexpr std::uint64_t sim_unlimited = std::numeric_limits<std::uint64_t>::max();

// How one file behaves. Probabilities are per operation.
struct SimBehaviour {
    Nanoseconds latency_min = 5 * microsecond_ns;
    Nanoseconds latency_max = 300 * microsecond_ns;  // equal to latency_min: fixed latency
    double slow = 0.002;                             // takes slow_latency instead
    Nanoseconds slow_latency = 50 * millisecond_ns;
    double inline_answer = 0.1;     // start() answers on the spot
    double short_transfer = 0.02;   // moves a part and says so
    double interrupted = 0.002;     // -EINTR or -EAGAIN, nothing moved
    double read_error = 0;          // -EIO
    double write_error = 0;         // -EIO; the range holds old bytes, new ones, or a mix
    double flush_error = 0;         // -EIO, and what it covered is lost; the next flush succeeds
    bool dropped_shows_old = true;  // ... and reads may show the old bytes at once, before the error is known
    double late_write = 0;          // -EIO, and the bytes land up to late_delay afterwards
    Nanoseconds late_delay = 20 * millisecond_ns;
    std::uint64_t space = sim_unlimited;  // bytes it may still allocate, then -ENOSPC

    Backing backing = Backing::page_cache;
    std::uint32_t sector_size = 512;  // unit of tearing; alignment of direct I/O
    bool direct = true;               // O_DIRECT can be had
    bool can_punch = true;            // else punch answers -EOPNOTSUPP
    bool can_zero = true;             // the same for zero
    bool attributes = true;           // else attribute() answers Code::unsupported
    bool block_device = false;
    bool writable = true;  // else opening for writing is Code::permission
};

// A fault that strikes certain operations: those of its kind that touch `range`, after skipping the
// first `skip` of them, `count` times.
struct SimFault {
    enum class Kind : std::uint8_t {
        read_error,   // until the range is rewritten when `heals`
        write_error,  // writes, zeroes, punches
        late_write,   // answered with an error; lands `delay` later, over whatever is there then
        flush_error,  // drops the dirty data; the next one succeeds
        slow,         // any operation takes `delay`
    };
    Kind kind = Kind::read_error;
    Range range{0, sim_unlimited};
    std::uint64_t skip = 0;
    std::uint64_t count = 1;
    Nanoseconds delay = 0;
    bool heals = true;
    int error_number = 5;  // EIO
};

struct SimCounters {
    std::uint64_t reads = 0;
    std::uint64_t writes = 0;
    std::uint64_t flushes = 0;
    std::uint64_t zeroes = 0;  // zero and punch
    std::uint64_t bytes_read = 0;
    std::uint64_t bytes_written = 0;
};

// One file or device; named by paths, kept alive by whoever has it open.
struct SimInode {
    struct Attribute {
        std::optional<std::string> value;
        std::optional<std::string> durable;
        std::uint64_t sequence = 0;
    };
    std::uint64_t number = 0;
    SimStore store;
    SimSpace space;
    std::map<std::string, Attribute> attributes;
    SimBehaviour behaviour;
    std::vector<SimFault> faults;
    SimCounters counters;
    std::int64_t modified_ns = 0;
    std::int64_t changed_ns = 0;
    std::int64_t durable_modified_ns = 0;
    std::uint64_t lock_holder = 0;  // 0: nobody
    bool held = false;              // SimLoop::hold
    std::optional<FileOperation::Kind> held_kind;
};
using SimInodePtr = std::shared_ptr<SimInode>;

// What was decided about an operation when it started.
struct SimPlan {
    enum class Landing : std::uint8_t { none, part, whole };
    std::int64_t error = 0;           // -errno to answer, or 0
    Landing landing = Landing::none;  // what a failing write moves all the same
    std::uint64_t length = 0;         // bytes to move (short transfers)
    Nanoseconds latency = 0;
    Nanoseconds late_delay = -1;  // >= 0: lands so much after the answer
    bool answer_inline = false;
    bool early = false;            // takes effect when it starts, not when it is answered
    bool dropped_visible = false;  // failed flush: reads still show the lost bytes
    std::uint64_t mark = 0;        // flush: the last change it covers
};

struct SimOptions {
    std::uint64_t capacity = sim_unlimited;  // of the whole disk, in allocated bytes
    SimBehaviour behaviour;                  // of new files
};

enum class SimStamp : std::uint8_t { touch, keep };  // whether mtime and ctime move

class SimWorld {
public:
    explicit SimWorld(std::uint64_t seed, const SimOptions& options = {});

    // Files, from the test's side: behind the engine's back, durable at once, no operation counted.
    SimInode& create(const std::string& path, std::uint64_t size);
    void remove(const std::string& path);
    [[nodiscard]] bool exists(const std::string& path) const;
    void swap(const std::string& a, const std::string& b);  // like three renames: inodes move
    void copy(const std::string& from, const std::string& to, bool with_attributes = true);
    [[nodiscard]] std::vector<std::byte> peek(const std::string& path, Range range) const;
    [[nodiscard]] std::vector<std::byte> peek_durable(const std::string& path, Range range) const;
    void poke(const std::string& path, std::uint64_t offset, std::span<const std::byte> data,
              SimStamp stamp = SimStamp::touch);
    void poke_zeroes(const std::string& path, Range range, SimStamp stamp = SimStamp::keep);
    [[nodiscard]] bool same_content(const std::string& a, const std::string& b) const;
    [[nodiscard]] SimInode& file(const std::string& path);  // checked to exist
    [[nodiscard]] const SimInode& file(const std::string& path) const;

    // Faults. behaviour(path) is read at every operation and may be changed at any time.
    [[nodiscard]] SimBehaviour& behaviour(const std::string& path) { return file(path).behaviour; }
    void inject(const std::string& path, const SimFault& fault) { file(path).faults.push_back(fault); }
    void heal(const std::string& path) { file(path).faults.clear(); }
    void set_missing(const std::string& path, bool missing);  // open says not_found; content kept
    void land_late_writes();                                  // all of them, now

    void power_cut();
    void process_kill();

    [[nodiscard]] SimRandom& random() { return random_; }
    [[nodiscard]] SimOptions& options() { return options_; }
    [[nodiscard]] std::uint64_t used() const { return used_; }  // allocated bytes of all files
    [[nodiscard]] Nanoseconds now() const { return now_; }      // goes on over crashes
    [[nodiscard]] std::int64_t wall_clock_ns() const;

    // For SimLoop and SimFile.
    [[nodiscard]] Result<SimInodePtr> find(const std::string& path, const OpenOptions& options);
    void advance(Nanoseconds to);  // moves the clock; late writes that are due land
    [[nodiscard]] SimPlan plan(SimInode& inode, const FileOperation& operation, SimRandom& random) const;
    // Takes effect now; the answer.
    [[nodiscard]] std::int64_t perform(const SimInodePtr& inode, const FileOperation& operation,
                                       const SimPlan& plan);
    // An operation in flight at a crash: lands, lands in part, or not.
    void abandon(SimInode& inode, const FileOperation& operation, const SimPlan& plan);
    [[nodiscard]] bool reserve(SimInode& inode, Range range);  // false: no space
    void give_back(SimInode& inode, Range range);
    void touch(SimInode& inode, SimStamp stamp = SimStamp::touch);
    [[nodiscard]] std::uint64_t next_lock() { return ++last_lock_; }

private:
    struct LateWrite {
        SimInodePtr inode;
        FileOperation::Kind kind;
        Range range;
        std::vector<std::byte> data;
    };
    [[nodiscard]] SimInodePtr make_inode(std::uint64_t size);
    std::int64_t transfer_error(const SimInodePtr& inode, const FileOperation& operation,
                                const SimPlan& plan);
    std::int64_t modify(SimInode& inode, const FileOperation& operation, std::uint64_t length);
    void land_torn(SimInode& inode, const FileOperation& operation);
    void land_late(LateWrite& late);
    void flush(SimInode& inode, std::uint64_t mark);
    void drop_locks();

    SimOptions options_;
    SimRandom random_;
    std::map<std::string, SimInodePtr> files_;
    std::map<std::string, bool> missing_;
    std::multimap<Nanoseconds, LateWrite> late_;
    std::uint64_t used_ = 0;
    std::uint64_t last_inode_ = 100;
    std::uint64_t last_lock_ = 0;
    std::int64_t last_stamp_ = 0;
    Nanoseconds now_ = second_ns;
};

}  // namespace exshadow
