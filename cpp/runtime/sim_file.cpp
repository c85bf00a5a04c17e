#include "runtime/sim_file.h"

#include <cerrno>
#include <cstdint>
#include <utility>

#include "runtime/sim_loop.h"

namespace exshadow {

namespace {

// A synchronous change: before a crash, at the moment of one (then it happens or not), or after.
template <class Change>
Status change(SimLoop& loop, const char* what, const std::string& path, Change make) {
    const SimLoop::Verb verb = loop.begin_verb();
    if (verb == SimLoop::Verb::go) return make();
    if (verb == SimLoop::Verb::crash_after) (void)make();
    if (verb != SimLoop::Verb::dead) loop.crash_as_planned();
    return os_error(ECANCELED, what, path);
}

}  // namespace

SimFile::SimFile(SimLoop& loop, SimInodePtr inode, const std::string& path, const OpenOptions& options,
                 std::uint64_t lock)
    : loop_(loop), inode_(std::move(inode)), writable_(options.writable), lock_(lock) {
    const SimBehaviour& how = inode_->behaviour;
    info_.size = inode_->store.size();
    info_.direct = options.direct && how.direct;
    info_.alignment = info_.direct ? how.sector_size : 1;
    info_.sector_size = how.sector_size;
    info_.is_block_device = how.block_device;
    info_.can_punch = how.can_punch;
    info_.backing = info_.direct ? Backing::direct : how.backing;
    info_.path = path;
}

SimFile::~SimFile() {
    EXSHADOW_CHECK(in_flight_ == 0 || loop_.hung());  // E32
    if (lock_ != 0 && inode_->lock_holder == lock_) inode_->lock_holder = 0;
}

Status SimFile::check_alive(const char* what) const {
    if (loop_.crashed()) return os_error(ECANCELED, what, info_.path);
    return {};
}

Result<FileIdentity> SimFile::identity() {
    EXSHADOW_TRY(check_alive("look at"));
    FileIdentity identity;
    identity.device = 1;
    identity.size = inode_->store.size();
    if (info_.is_block_device) {
        identity.serial = "SIM" + std::to_string(inode_->number);
        return identity;
    }
    identity.inode = inode_->number;
    identity.modified_ns = inode_->modified_ns;
    identity.changed_ns = inode_->changed_ns;
    return identity;
}

Result<std::optional<std::string>> SimFile::attribute(const std::string& name) {
    EXSHADOW_TRY(check_alive("read an attribute of"));
    if (!inode_->behaviour.attributes) return os_error(EOPNOTSUPP, "read an attribute of", info_.path);
    const auto it = inode_->attributes.find(name);
    return it == inode_->attributes.end() ? std::optional<std::string>() : it->second.value;
}

Status SimFile::set_attribute(const std::string& name, const std::string& value) {
    if (!inode_->behaviour.attributes) return os_error(EOPNOTSUPP, "set an attribute of", info_.path);
    if (!writable_) return os_error(EBADF, "set an attribute of", info_.path);
    return change(loop_, "set an attribute of", info_.path, [&]() -> Status {
        SimInode::Attribute& attribute = inode_->attributes[name];
        attribute.value = value;
        attribute.sequence = inode_->store.take_sequence();
        const std::int64_t modified = inode_->modified_ns;
        loop_.world().touch(*inode_);
        inode_->modified_ns = modified;  // ctime only
        return {};
    });
}

Status SimFile::allocate(Range range) {
    if (!writable_) return os_error(EBADF, "reserve space in", info_.path);
    if (info_.is_block_device) return {};
    return change(loop_, "reserve space in", info_.path, [&]() -> Status {
        if (loop_.world().reserve(*inode_, range)) return {};
        return os_error(ENOSPC, "reserve space in", info_.path);
    });
}

Status SimFile::resize(std::uint64_t size) {
    if (!writable_) return os_error(EBADF, "resize", info_.path);
    if (info_.is_block_device) return os_error(EINVAL, "resize", info_.path);
    return change(loop_, "resize", info_.path, [&]() -> Status {
        inode_->store.resize(size);
        loop_.world().give_back(*inode_, {size, sim_unlimited - size});
        loop_.world().touch(*inode_);
        info_.size = size;
        return {};
    });
}

Result<std::vector<Extent>> SimFile::extents(Range range) {
    EXSHADOW_TRY(check_alive("map"));
    if (range.empty()) return std::vector<Extent>();
    if (info_.is_block_device) return std::vector<Extent>{{range, false}};
    return inode_->store.extents(range);
}

int SimFile::refuse(const FileOperation& operation) const {
    using Kind = FileOperation::Kind;
    const bool transfer = operation.kind == Kind::read || operation.kind == Kind::write;
    if (!writable_ && operation.kind != Kind::read && operation.kind != Kind::flush) return -EBADF;
    if (operation.kind == Kind::punch && !inode_->behaviour.can_punch) return -EOPNOTSUPP;
    if (operation.kind == Kind::zero && !inode_->behaviour.can_zero) return -EOPNOTSUPP;
    if (!transfer && operation.kind != Kind::flush && operation.length == 0) return -EINVAL;
    if (!info_.direct || !transfer) return 0;
    const auto address = reinterpret_cast<std::uintptr_t>(operation.data);
    const bool aligned = operation.offset % info_.alignment == 0 && operation.length % info_.alignment == 0 &&
                         address % info_.alignment == 0;
    return aligned ? 0 : -EINVAL;
}

bool SimFile::start(FileOperation& operation) {
    return loop_.start_operation(*this, operation, refuse(operation));
}

}  // namespace exshadow
