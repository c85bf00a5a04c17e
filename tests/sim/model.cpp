#include "sim/model.h"

#include <algorithm>

#include "base/check.h"

namespace exshadow::sim {

namespace {

std::string when(Time time) {
    return time == never ? "-" : std::to_string(time);
}

}  // namespace

std::string Cut::problem() const {
    const std::string text = " (split " + when(begin) + ".." + when(end) + ", latest in " + when(latest_in) +
                             ", earliest out " + when(earliest_out) + ")";
    if (latest_in > end) return "a write issued after the split is in the snapshot" + text;
    if (earliest_out < begin) return "a write answered before the split is not in the snapshot" + text;
    if (latest_in > earliest_out) {
        return "a write is in the snapshot set and one answered before it was issued is not" + text;
    }
    return {};
}

void History::settle(std::span<const Value> content) {
    EXSHADOW_CHECK(content.size() == sectors_.size());
    const Time now = clock_.tick();
    operations_.push_back({{0, sectors_.size()}, now, now, true, false});
    const auto id = static_cast<OperationId>(operations_.size() - 1);
    for (std::size_t i = 0; i < sectors_.size(); ++i) {
        sectors_[i].assign(1, {content[i], id, now, never, never, false});
    }
    doubtful_.clear();
    loose_ = false;
}

OperationId History::begin_write(Range range, std::span<const Value> values) {
    operations_.push_back({range, clock_.tick(), never, false, false});
    const auto id = static_cast<OperationId>(operations_.size() - 1);
    for (std::uint64_t i = 0; i < range.length; ++i) {
        Entry entry;
        entry.value = values.size() == 1 ? values[0] : values[i];
        entry.operation = id;
        sectors_[range.offset + i].push_back(entry);
        doubtful_.insert(range.offset + i);
    }
    return id;
}

// From this moment on the write has had its effect, or never will have.
Time History::effective(const Entry& entry) const {
    return std::min(entry.observed, operations_[entry.operation].end);
}

void History::end_write(OperationId id, Result result) {
    Operation& operation = operations_[id];
    operation.end = clock_.tick();
    operation.done = result == Result::done || result == Result::durable;
    operation.failed = result == Result::failed;
    for (std::uint64_t sector = operation.range.offset; sector < operation.range.end(); ++sector) {
        Entries& entries = sectors_[sector];
        if (result == Result::not_tried) {
            std::erase_if(entries, [id](const Entry& entry) { return entry.operation == id; });
            continue;
        }
        if (!operation.done) continue;
        for (Entry& entry : entries) {
            if (entry.operation == id || !precedes(entry, operation.begin)) continue;
            entry.hidden = std::min(entry.hidden, operation.end);
            entry.superseded = std::min(entry.superseded, operation.end);
            entry.dead = entry.dead || result == Result::durable;
        }
        forget(sector);
    }
}

// Drops what can neither be seen any more nor come back.
void History::forget(std::uint64_t sector) {
    const Time horizon = looks_.empty() ? never : *looks_.begin();
    Entries& entries = sectors_[sector];
    std::erase_if(entries, [horizon](const Entry& entry) {
        return entry.dead && entry.hidden != never && entry.hidden < horizon;
    });
    if (entries.size() < 2) doubtful_.erase(sector);
}

Time History::begin_look() {
    const Time now = clock_.tick();
    looks_.insert(now);
    return now;
}

void History::end_look(Time begin) {
    looks_.erase(looks_.find(begin));
}

std::string History::check_read(Time begin, std::uint64_t first_sector, std::span<const Value> values) {
    const Time now = clock_.tick();
    for (std::size_t i = 0; i < values.size(); ++i) {
        Entries& entries = sectors_[first_sector + i];
        Entry* match = nullptr;
        std::size_t matches = 0;
        for (Entry& entry : entries) {
            const bool seen = loose_ ? !entry.dead || entry.hidden > begin : entry.hidden > begin;
            if (entry.value != values[i] || !seen) continue;
            match = &entry;
            ++matches;
        }
        if (matches == 0) {
            return wrong("a read answered", first_sector + i, values[i]) + ", read from " + when(begin);
        }
        if (loose_) continue;
        if (matches == 1) match->observed = std::min(match->observed, now);
        for (Entry& entry : entries) {
            if (entry.value != values[i] && precedes(entry, begin))
                entry.hidden = std::min(entry.hidden, now);
        }
    }
    return {};
}

void History::end_flush(Time begin) {
    for (auto at = doubtful_.begin(); at != doubtful_.end();) {
        const std::uint64_t sector = *at++;
        for (Entry& entry : sectors_[sector]) entry.dead = entry.dead || entry.superseded < begin;
        forget(sector);
    }
}

bool History::survives(const Entry& entry, Survival survival) const {
    if (entry.dead) return false;
    if (survival == Survival::power_cut || loose_) return true;
    if (survival == Survival::process_kill) return entry.superseded == never;
    return entry.hidden == never;
}

std::string History::check_survival(Survival survival, std::span<const Value> content,
                                    OperationId without) const {
    for (std::size_t sector = 0; sector < content.size(); ++sector) {
        bool found = false;
        for (const Entry& entry : sectors_[sector]) {
            found = found || (entry.value == content[sector] && entry.operation != without &&
                              survives(entry, survival));
        }
        if (found) continue;
        return wrong("after reopening", sector, content[sector]);
    }
    return {};
}

bool History::is_replaced_by(OperationId operation, std::span<const Value> content) const {
    const Time begin = operations_[operation].begin;
    for (std::size_t sector = 0; sector < content.size(); ++sector) {
        const auto& entries = sectors_[sector];
        const bool found = std::any_of(entries.begin(), entries.end(), [&](const Entry& entry) {
            return entry.value == content[sector] && operations_[entry.operation].begin >= begin;
        });
        if (!found) return false;
    }
    return true;
}

std::string History::check_cut(Cut& cut, std::span<const Value> content) const {
    enum : std::uint8_t { in = 1, out = 2 };
    std::vector<std::uint8_t> seen(operations_.size());
    for (std::size_t sector = 0; sector < content.size(); ++sector) {
        const Entries& entries = sectors_[sector];
        const Entry* match = nullptr;
        std::size_t matches = 0;
        Time begin = never;
        Time settled = 0;
        for (const Entry& entry : entries) {
            if (entry.value != content[sector] || entry.superseded < cut.begin) continue;
            match = &entry;
            ++matches;
            begin = std::min(begin, operations_[entry.operation].begin);
            settled = std::max(settled, effective(entry));
        }
        if (matches == 0) return wrong("the snapshot has", sector, content[sector]);
        cut.latest_in = std::max(cut.latest_in, begin);
        if (matches == 1) seen[match->operation] |= in;
        for (const Entry& entry : entries) {
            const Operation& operation = operations_[entry.operation];
            if (entry.value == content[sector] || settled >= operation.begin || operation.failed) continue;
            seen[entry.operation] |= out;
            if (operation.done) cut.earliest_out = std::min(cut.earliest_out, operation.end);
            if (seen[entry.operation] == (in | out)) {
                return wrong("the snapshot has a part of a write and not", sector, entry.value);
            }
        }
    }
    for (OperationId id = 0; id < seen.size(); ++id) {
        const Operation& operation = operations_[id];
        if (seen[id] == (in | out) && !operation.failed) {
            return "the snapshot has only a part of the write of sectors " +
                   std::to_string(operation.range.offset) + "+" + std::to_string(operation.range.length) +
                   " at " + when(operation.begin) + ".." + when(operation.end);
        }
    }
    return {};
}

Value History::certain(std::uint64_t sector, Time before) const {
    const Entry* only = nullptr;
    for (const Entry& entry : sectors_[sector]) {
        if (entry.hidden < before) continue;
        if (only != nullptr) return garbage;
        only = &entry;
    }
    return only != nullptr && effective(*only) < before ? only->value : garbage;
}

std::string History::describe(std::uint64_t sector) const {
    std::string text;
    for (const Entry& entry : sectors_[sector]) {
        const Operation& operation = operations_[entry.operation];
        text += " [" + std::to_string(entry.value) + ": op " + std::to_string(entry.operation) + " " +
                when(operation.begin) + ".." + when(operation.end) + (operation.failed ? " failed" : "") +
                " hidden " + when(entry.hidden) + " superseded " + when(entry.superseded) +
                (entry.dead ? " dead]" : "]");
    }
    return text;
}

std::string History::wrong(const char* what, std::uint64_t sector, Value value) const {
    const std::string found = value == garbage  ? "garbage"
                              : value == zeroes ? "zeroes"
                                                : std::to_string(value);
    return std::string(what) + " " + found + " at sector " + std::to_string(sector) +
           "; possible:" + describe(sector) + " now " + std::to_string(clock_.now);
}

}  // namespace exshadow::sim
