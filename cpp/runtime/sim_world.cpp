#include "runtime/sim_world.h"

#include <algorithm>
#include <cerrno>
#include <utility>

namespace exshadow {

namespace {

constexpr std::int64_t wall_clock_base_ns = 1'767'225'600 * second_ns;  // 2026-01-01

Range space_of(Range range) {
    return round_out(range, SimStore::block_bytes, sim_unlimited);
}

}  // namespace

SimWorld::SimWorld(std::uint64_t seed, const SimOptions& options)
    : options_(options), random_(seed ^ 0x5157'4F52'4C44ULL) {}

std::int64_t SimWorld::wall_clock_ns() const {
    return wall_clock_base_ns + now_;
}

SimInodePtr SimWorld::make_inode(std::uint64_t size) {
    auto inode = std::make_shared<SimInode>();
    inode->number = ++last_inode_;
    inode->behaviour = options_.behaviour;
    inode->store.resize(size);
    inode->store.flush(inode->store.mark());
    touch(*inode);
    inode->durable_modified_ns = inode->modified_ns;
    return inode;
}

SimInode& SimWorld::create(const std::string& path, std::uint64_t size) {
    remove(path);
    return *(files_[path] = make_inode(size));
}

// The inode lives on for those who have it open, but its space counts as free at once.
void SimWorld::remove(const std::string& path) {
    const auto it = files_.find(path);
    if (it == files_.end()) return;
    used_ -= it->second->space.bytes();
    it->second->space = {};
    files_.erase(it);
}

bool SimWorld::exists(const std::string& path) const {
    return files_.contains(path);
}

SimInode& SimWorld::file(const std::string& path) {
    const auto it = files_.find(path);
    EXSHADOW_CHECK(it != files_.end());
    return *it->second;
}

const SimInode& SimWorld::file(const std::string& path) const {
    const auto it = files_.find(path);
    EXSHADOW_CHECK(it != files_.end());
    return *it->second;
}

void SimWorld::swap(const std::string& a, const std::string& b) {
    std::swap(files_.at(a), files_.at(b));
    for (const auto& path : {a, b}) {
        SimInode& inode = file(path);
        const std::int64_t modified = inode.modified_ns;
        touch(inode);  // a rename moves ctime only
        inode.modified_ns = modified;
    }
}

void SimWorld::copy(const std::string& from, const std::string& to, bool with_attributes) {
    if (from == to) return;
    const SimInode& source = file(from);
    remove(to);
    SimInodePtr inode = make_inode(source.store.size());
    inode->store = source.store;  // blocks are shared until written
    inode->store.flush(inode->store.mark());
    inode->space = source.space;
    inode->behaviour = source.behaviour;
    if (with_attributes) inode->attributes = source.attributes;
    for (auto& [name, attribute] : inode->attributes) attribute.durable = attribute.value;
    used_ += inode->space.bytes();
    files_[to] = std::move(inode);
}

std::vector<std::byte> SimWorld::peek(const std::string& path, Range range) const {
    std::vector<std::byte> out(range.length);
    file(path).store.read(range.offset, out);
    return out;
}

std::vector<std::byte> SimWorld::peek_durable(const std::string& path, Range range) const {
    std::vector<std::byte> out(range.length);
    file(path).store.read_durable(range.offset, out);
    return out;
}

void SimWorld::poke(const std::string& path, std::uint64_t offset, std::span<const std::byte> data,
                    SimStamp stamp) {
    SimInode& inode = file(path);
    const Range range = space_of({offset, data.size()});
    used_ += inode.space.missing(range);
    inode.space.add(range);
    inode.store.poke(offset, data);
    touch(inode, stamp);
    inode.durable_modified_ns = inode.modified_ns;
}

void SimWorld::poke_zeroes(const std::string& path, Range range, SimStamp stamp) {
    poke(path, range.offset, std::vector<std::byte>(range.length), stamp);
}

bool SimWorld::same_content(const std::string& a, const std::string& b) const {
    const SimStore& left = file(a).store;
    const SimStore& right = file(b).store;
    if (left.size() != right.size()) return false;
    std::vector<std::byte> one(SimStore::block_bytes);
    std::vector<std::byte> two(SimStore::block_bytes);
    for (const SimStore* store : {&left, &right}) {  // holes of both are not looked at
        for (const Extent& extent : store->extents({0, store->size()})) {
            if (extent.zero) continue;
            for (std::uint64_t at = extent.range.offset; at < extent.range.end(); at += one.size()) {
                left.read(at, one);
                right.read(at, two);
                if (one != two) return false;
            }
        }
    }
    return true;
}

void SimWorld::set_missing(const std::string& path, bool missing) {
    missing_[path] = missing;
}

Result<SimInodePtr> SimWorld::find(const std::string& path, const OpenOptions& options) {
    const auto missing = missing_.find(path);
    if (missing != missing_.end() && missing->second) return os_error(ENOENT, "open", path);
    const auto it = files_.find(path);
    if (it == files_.end()) {
        if (!options.create && !options.exclusive_create) return os_error(ENOENT, "open", path);
        return files_[path] = make_inode(0);
    }
    if (options.exclusive_create) return os_error(EEXIST, "create", path);
    if (options.writable && !it->second->behaviour.writable) return os_error(EACCES, "open", path);
    return it->second;
}

void SimWorld::advance(Nanoseconds to) {
    while (!late_.empty() && late_.begin()->first <= to) {
        LateWrite late = std::move(late_.begin()->second);
        late_.erase(late_.begin());
        land_late(late);
    }
    now_ = std::max(now_, to);
}

void SimWorld::land_late_writes() {
    if (!late_.empty()) advance(late_.rbegin()->first);
}

bool SimWorld::reserve(SimInode& inode, Range range) {
    range = space_of(range);
    const std::uint64_t bytes = inode.space.missing(range);
    if (bytes > inode.behaviour.space || bytes > options_.capacity - std::min(options_.capacity, used_)) {
        return false;
    }
    if (inode.behaviour.space != sim_unlimited) inode.behaviour.space -= bytes;
    used_ += bytes;
    inode.space.add(range);
    return true;
}

void SimWorld::give_back(SimInode& inode, Range range) {
    const std::uint64_t begin = round_up(range.offset, SimStore::block_bytes);
    const std::uint64_t end = round_down(range.end(), SimStore::block_bytes);
    if (begin >= end) return;
    const std::uint64_t before = inode.space.bytes();
    inode.space.remove({begin, end - begin});
    used_ -= before - inode.space.bytes();
}

// Time stamps never repeat, so that every change is seen by a comparison (E7).
void SimWorld::touch(SimInode& inode, SimStamp stamp) {
    if (stamp == SimStamp::keep) return;
    last_stamp_ = std::max(last_stamp_ + 1, wall_clock_ns());
    inode.modified_ns = last_stamp_;
    inode.changed_ns = last_stamp_;
}

void SimWorld::drop_locks() {
    for (auto& [path, inode] : files_) {
        inode->lock_holder = 0;
        inode->held = false;
    }
    // Writes that were answered with an error and are still under way: land now or never.
    auto late = std::exchange(late_, {});
    for (auto& [due, write] : late) {
        if (random_.chance(0.5)) land_late(write);
    }
}

void SimWorld::process_kill() {
    drop_locks();
}

void SimWorld::power_cut() {
    drop_locks();
    for (auto& [path, inode] : files_) {
        if (inode->store.unflushed() != 0) {
            inode->store.power_cut(random_, inode->behaviour.sector_size);
            if (random_.chance(0.5)) inode->modified_ns = inode->durable_modified_ns;
        }
        inode->durable_modified_ns = inode->modified_ns;
        for (auto& [name, attribute] : inode->attributes) {
            if (attribute.value != attribute.durable && random_.chance(0.5))
                attribute.value = attribute.durable;
            attribute.durable = attribute.value;
        }
    }
}

}  // namespace exshadow
