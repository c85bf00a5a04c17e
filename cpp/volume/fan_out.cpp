#include "volume/fan_out.h"

namespace exshadow {

PlexOperation PlexOperation::slice(Range part) const {
    PlexOperation piece = *this;
    piece.range = part;
    if (kind == Kind::write) piece.data.bytes = data.bytes.subspan(part.offset - range.offset, part.length);
    return piece;
}

Task<Status> apply(BlockDevice& device, const PlexOperation& operation) {
    switch (operation.kind) {
        case PlexOperation::Kind::write: return device.write(operation.range.offset, operation.data.bytes);
        case PlexOperation::Kind::zero: return device.zero(operation.range, operation.zero_mode);
        case PlexOperation::Kind::read: return device.read(operation.range.offset, operation.buffer->span());
        case PlexOperation::Kind::flush: break;
    }
    return device.flush();
}

std::shared_ptr<FanOut> FanOut::start(Loop& loop, PlexOperation operation,
                                      const std::vector<std::shared_ptr<Plex>>& plexes, Signal& idle) {
    auto fan = std::make_shared<FanOut>(loop, std::move(operation));
    fan->targets.reserve(plexes.size());
    for (const auto& plex : plexes) fan->targets.push_back({plex, std::nullopt, false});
    fan->pending_ = plexes.size();
    for (std::size_t i = 0; i < plexes.size(); ++i) spawn(run(fan, i, idle));
    return fan;
}

Task<void> FanOut::run(std::shared_ptr<FanOut> self, std::size_t index, Signal& idle) {
    const std::shared_ptr<Plex> plex = self->targets[index].plex;
    ++plex->in_flight;
    auto applying = apply(*plex->device, self->operation_);
    Status status = co_await std::move(applying);
    if (--plex->in_flight == 0) idle.notify();
    Target& target = self->targets[index];
    target.result = std::move(status);
    if (!target.abandoned) self->finished();
}

void FanOut::finished() {
    if (--pending_ == 0) done_.notify();
}

Task<void> FanOut::wait() {
    while (pending_ != 0) co_await done_.wait();
}

bool FanOut::waits_for(const Plex& plex) const {
    for (const auto& target : targets) {
        if (target.plex.get() == &plex) return !target.result && !target.abandoned;
    }
    return false;
}

bool FanOut::abandon(const Plex& plex) {
    for (auto& target : targets) {
        if (target.plex.get() != &plex || target.result || target.abandoned) continue;
        target.abandoned = true;
        finished();
        return true;
    }
    return false;
}

}  // namespace exshadow
