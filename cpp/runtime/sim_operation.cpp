// SimWorld's operations: what is decided when one starts, and what it does when it takes effect.
#include <algorithm>
#include <cerrno>
#include <utility>

#include "runtime/sim_world.h"

namespace exshadow {

namespace {

using Kind = FileOperation::Kind;

bool is_change(Kind kind) {
    return kind == Kind::write || kind == Kind::zero || kind == Kind::punch;
}

bool strikes(const SimFault& fault, const FileOperation& operation) {
    switch (fault.kind) {
        case SimFault::Kind::read_error:
            if (operation.kind != Kind::read) return false;
            break;
        case SimFault::Kind::write_error:
        case SimFault::Kind::late_write:
            if (!is_change(operation.kind)) return false;
            break;
        case SimFault::Kind::flush_error: return operation.kind == Kind::flush;
        case SimFault::Kind::slow:
            if (operation.kind == Kind::flush) return true;
            break;
    }
    const Range& range = fault.range;  // its length may be sim_unlimited
    return operation.offset + operation.length > range.offset &&
           (operation.offset < range.offset || operation.offset - range.offset < range.length);
}

SimPlan::Landing any_landing(SimRandom& random) {
    return static_cast<SimPlan::Landing>(random.below(3));
}

void apply_fault(const SimFault& fault, SimRandom& random, SimPlan& plan) {
    if (fault.kind == SimFault::Kind::slow) {
        plan.latency = fault.delay;
        plan.answer_inline = plan.early = false;
        return;
    }
    plan.error = -fault.error_number;
    plan.landing = any_landing(random);
    if (fault.kind == SimFault::Kind::late_write) plan.late_delay = fault.delay;
}

void roll_errors(const SimBehaviour& how, Kind kind, SimRandom& random, SimPlan& plan) {
    if (kind == Kind::read && random.chance(how.read_error)) plan.error = -EIO;
    if (kind == Kind::flush && random.chance(how.flush_error)) plan.error = -EIO;
    if (!is_change(kind)) return;
    if (random.chance(how.write_error)) {
        plan.error = -EIO;
        plan.landing = any_landing(random);
    }
    if (random.chance(how.late_write)) {
        plan.error = -EIO;
        plan.late_delay = random.between(0, how.late_delay);
    }
}

Nanoseconds roll_latency(const SimBehaviour& how, SimRandom& random) {
    if (random.chance(how.slow)) return how.slow_latency;
    const Nanoseconds latency = random.between(how.latency_min, how.latency_max);
    return how.latency_min != how.latency_max && random.chance(0.03) ? latency * 10 : latency;
}

void count(SimCounters& counters, Kind kind) {
    switch (kind) {
        case Kind::read: ++counters.reads; break;
        case Kind::write: ++counters.writes; break;
        case Kind::flush: ++counters.flushes; break;
        case Kind::zero:
        case Kind::punch: ++counters.zeroes; break;
    }
}

// A rewritten sector is good again: what is left of the fault's range stays bad.
void heal_range(std::vector<SimFault>& faults, Range written) {
    std::vector<SimFault> left;
    for (const SimFault& fault : faults) {
        const bool heals = fault.heals && fault.kind == SimFault::Kind::read_error;
        if (!heals || fault.range.length == sim_unlimited || !fault.range.overlaps(written)) {
            left.push_back(fault);
            continue;
        }
        SimFault part = fault;
        if (fault.range.offset < written.offset) {
            part.range = {fault.range.offset, written.offset - fault.range.offset};
            left.push_back(part);
        }
        if (fault.range.end() > written.end()) {
            part.range = {written.end(), fault.range.end() - written.end()};
            left.push_back(part);
        }
    }
    faults = std::move(left);
}

}  // namespace

SimPlan SimWorld::plan(SimInode& inode, const FileOperation& operation, SimRandom& random) const {
    const SimBehaviour& how = inode.behaviour;
    count(inode.counters, operation.kind);
    SimPlan plan;
    plan.length = operation.length;
    plan.mark = inode.store.mark();
    plan.latency = roll_latency(how, random);
    plan.answer_inline = how.backing == Backing::memory || random.chance(how.inline_answer);
    plan.early = random.chance(0.25);
    plan.dropped_visible = random.chance(0.5) || !how.dropped_shows_old;
    roll_errors(how, operation.kind, random, plan);
    const bool transfer = operation.kind == Kind::read || operation.kind == Kind::write;
    if (transfer && operation.length > how.sector_size && random.chance(how.short_transfer)) {
        plan.length = (1 + random.below(operation.length / how.sector_size)) * how.sector_size;
        plan.length = std::min(plan.length, operation.length);
    }
    if (plan.error == 0 && random.chance(how.interrupted)) {
        plan.error = random.chance(0.5) ? -EINTR : -EAGAIN;
    }
    for (SimFault& fault : inode.faults) {
        if (!strikes(fault, operation) || fault.count == 0) continue;
        if (fault.skip != 0) {
            --fault.skip;
            continue;
        }
        if (fault.count != sim_unlimited) --fault.count;
        apply_fault(fault, random, plan);
    }
    return plan;
}

void SimWorld::flush(SimInode& inode, std::uint64_t mark) {
    inode.store.flush(mark);
    for (auto& [name, attribute] : inode.attributes) {
        if (attribute.sequence <= mark) attribute.durable = attribute.value;
    }
    inode.durable_modified_ns = inode.modified_ns;
}

void SimWorld::land_torn(SimInode& inode, const FileOperation& operation) {
    const Range range{operation.offset, operation.length};
    for (const Range& part : tear(range, inode.behaviour.sector_size, random_, 1024)) {
        FileOperation piece = operation;
        piece.offset = part.offset;
        piece.length = part.length;
        if (operation.data != nullptr) piece.data = operation.data + (part.offset - range.offset);
        (void)modify(inode, piece, part.length);
    }
}

void SimWorld::land_late(LateWrite& late) {
    FileOperation operation;
    operation.kind = late.kind;
    operation.offset = late.range.offset;
    operation.length = late.range.length;
    operation.data = late.data.data();
    (void)modify(*late.inode, operation, operation.length);
}

// Zeroes never make a file longer (FALLOC_FL_KEEP_SIZE); writes do, but not a device.
std::int64_t SimWorld::modify(SimInode& inode, const FileOperation& operation, std::uint64_t length) {
    const bool is_write = operation.kind == Kind::write;
    const std::uint64_t size = inode.store.size();
    if (!is_write || inode.behaviour.block_device) {
        length = operation.offset >= size ? 0 : std::min(length, size - operation.offset);
        if (length == 0) return is_write ? -ENOSPC : 0;
    }
    const Range range{operation.offset, length};
    if (operation.kind != Kind::punch && !reserve(inode, range)) return -ENOSPC;
    if (is_write) {
        inode.store.write(range.offset, {operation.data, length});
    } else {
        inode.store.zero(range);
        if (operation.kind == Kind::punch) give_back(inode, range);
    }
    touch(inode);
    heal_range(inode.faults, range);
    return is_write ? static_cast<std::int64_t>(length) : 0;
}

std::int64_t SimWorld::transfer_error(const SimInodePtr& inode, const FileOperation& operation,
                                      const SimPlan& plan) {
    if (operation.kind == Kind::flush) {
        if (plan.error != -EINTR && plan.error != -EAGAIN) inode->store.drop(plan.mark, plan.dropped_visible);
        return plan.error;
    }
    if (!is_change(operation.kind)) return plan.error;
    if (plan.late_delay >= 0) {
        LateWrite late{inode, operation.kind, {operation.offset, operation.length}, {}};
        if (operation.kind == Kind::write)
            late.data.assign(operation.data, operation.data + operation.length);
        late_.emplace(now_ + plan.late_delay, std::move(late));
    } else if (plan.landing == SimPlan::Landing::part) {
        land_torn(*inode, operation);
    } else if (plan.landing == SimPlan::Landing::whole) {
        (void)modify(*inode, operation, operation.length);
    }
    return plan.error;
}

std::int64_t SimWorld::perform(const SimInodePtr& inode, const FileOperation& operation,
                               const SimPlan& plan) {
    if (plan.error != 0) return transfer_error(inode, operation, plan);
    SimCounters& counters = inode->counters;
    switch (operation.kind) {
        case Kind::read: {
            const std::uint64_t size = inode->store.size();
            if (operation.offset >= size) return 0;
            const std::uint64_t length = std::min(plan.length, size - operation.offset);
            inode->store.read(operation.offset, {operation.data, length});
            counters.bytes_read += length;
            return static_cast<std::int64_t>(length);
        }
        case Kind::flush: flush(*inode, plan.mark); return 0;
        case Kind::write: {
            const std::int64_t result = modify(*inode, operation, plan.length);
            if (result > 0) counters.bytes_written += static_cast<std::uint64_t>(result);
            return result;
        }
        case Kind::zero:
        case Kind::punch: break;
    }
    return modify(*inode, operation, plan.length);
}

void SimWorld::abandon(SimInode& inode, const FileOperation& operation, const SimPlan& plan) {
    const SimPlan::Landing landing = any_landing(random_);
    if (operation.kind == Kind::flush) {
        if (landing == SimPlan::Landing::whole && plan.error == 0) flush(inode, plan.mark);
    } else if (is_change(operation.kind)) {
        if (landing == SimPlan::Landing::part) land_torn(inode, operation);
        if (landing == SimPlan::Landing::whole) (void)modify(inode, operation, operation.length);
    }
}

}  // namespace exshadow
