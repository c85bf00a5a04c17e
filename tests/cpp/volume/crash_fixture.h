// A machine that can crash at any operation, and a client that remembers what may be read afterwards.
#pragma once

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "runtime/sync.h"
#include "volume_fixture.h"

namespace exshadow::test {

// What each sector may hold: the value of the last write that was flushed, or of any write issued since.
// Values are sequence numbers; a sector is made of one value repeated. Writers of one sector are not
// concurrent (clients keep to their own areas).
class Ledger {
public:
    static constexpr std::uint64_t sector = 512;

    explicit Ledger(std::uint64_t size) : sectors_(size / sector) {}

    // A write of `range` starts: the value to fill it with.
    std::uint64_t issue(Range range, bool zero = false) {
        const std::uint64_t value = zero ? 0 : ++last_value_;
        each(range, [&](Sector& at) { at.later.push_back(value); });
        return value;
    }
    void answer(Range range) {
        each(range, [&](Sector& at) { at.answered = at.dropped + at.later.size(); });
    }
    using Mark = std::vector<std::size_t>;
    [[nodiscard]] Mark flush_starts() const {
        Mark mark;
        mark.reserve(sectors_.size());
        for (const Sector& at : sectors_) mark.push_back(at.answered);
        return mark;
    }
    void flush_ends(const Mark& mark) {
        for (std::size_t i = 0; i < sectors_.size(); ++i) {
            Sector& at = sectors_[i];
            if (at.dropped >= mark[i]) continue;
            const auto count = static_cast<std::ptrdiff_t>(mark[i] - at.dropped);
            at.base = at.later[static_cast<std::size_t>(count) - 1];
            at.later.erase(at.later.begin(), at.later.begin() + count);
            at.dropped = mark[i];
        }
    }
    [[nodiscard]] static Payload bytes(std::uint64_t length, std::uint64_t value) {
        auto data = std::make_shared<std::vector<std::byte>>(length);
        for (std::uint64_t at = 0; at < length; at += sizeof(value)) {
            std::memcpy(data->data() + at, &value, sizeof(value));
        }
        return {data, *data};
    }
    // Sectors of `content` that hold what they may not; from then on what was found is what is.
    [[nodiscard]] std::size_t wrong(std::span<const std::byte> content) {
        std::size_t count = 0;
        for (std::size_t i = 0; i < sectors_.size(); ++i) {
            const auto found = value_of(content.subspan(i * sector, sector));
            Sector& at = sectors_[i];
            const bool known = found && (*found == at.base || std::find(at.later.begin(), at.later.end(),
                                                                        *found) != at.later.end());
            if (!known) ++count;
            at.base = found.value_or(0);
            at.later.clear();
            at.answered = at.dropped = 0;
        }
        return count;
    }

private:
    struct Sector {
        std::uint64_t base = 0;            // durable for certain
        std::vector<std::uint64_t> later;  // written since, any of which may have survived
        std::size_t answered = 0;          // writes answered, counted from the beginning
        std::size_t dropped = 0;           // writes no longer in `later`
    };
    static std::optional<std::uint64_t> value_of(std::span<const std::byte> bytes) {
        std::array<std::uint64_t, sector / sizeof(std::uint64_t)> words;
        std::memcpy(words.data(), bytes.data(), sector);
        for (const std::uint64_t word : words) {
            if (word != words[0]) return std::nullopt;
        }
        return words[0];
    }
    template <class Visit>
    void each(Range range, Visit visit) {
        for (std::uint64_t at = range.offset; at < range.end(); at += sector) visit(sectors_[at / sector]);
    }

    std::vector<Sector> sectors_;
    std::uint64_t last_value_ = 0;
};

struct Machine {
    explicit Machine(std::uint64_t seed_) : seed(seed_), world(seed_), random(seed_ + 77) {}
    const std::uint64_t seed;
    SimWorld world;
    SimRandom random;
    SimLoop* loop = nullptr;  // of the step that runs
    Ledger ledger{small_size};
    std::unique_ptr<Volume> volume;
    VolumeOptions options;
    std::vector<std::byte> remembered;  // for the test
    std::uint64_t number = 0;           // likewise
    bool crashed = false;               // the step before
};

using Step = Task<void> (*)(Machine&);

// Random writes, zeroes and flushes in `area`, until `count` or an error.
inline Task<void> client(Machine& m, Range area, int count, std::uint64_t seed) {
    SimRandom random(seed);
    for (int i = 0; i < count; ++i) {
        const std::uint64_t sectors = area.length / Ledger::sector;
        const std::uint64_t first = random.below(sectors);
        const std::uint64_t length = 1 + random.below(std::min<std::uint64_t>(48, sectors - first));
        const Range range{area.offset + first * Ledger::sector, length * Ledger::sector};
        const bool zero = random.chance(0.15);
        const std::uint64_t value = m.ledger.issue(range, zero);
        const ZeroMode mode = random.chance(0.5) ? ZeroMode::may_unmap : ZeroMode::keep_allocated;
        auto writing = zero ? m.volume->zero(range, mode)
                            : m.volume->write(range.offset, Ledger::bytes(range.length, value));
        const Status status = co_await std::move(writing);
        if (!status.ok()) co_return;
        m.ledger.answer(range);
        if (!random.chance(0.25)) continue;
        const auto mark = m.ledger.flush_starts();
        auto flushing = m.volume->flush();
        const Status flushed = co_await std::move(flushing);
        if (!flushed.ok()) co_return;
        m.ledger.flush_ends(mark);
    }
}

// Three clients beside each other, each in its own third of the first 1.5 MiB.
inline Task<void> clients(Machine& m, int writes_each) {
    TaskGroup group(*m.loop);
    for (std::uint64_t i = 0; i < 3; ++i) {
        group.spawn(client(m, {i * 512 * KiB, 512 * KiB}, writes_each, m.random.next()));
    }
    auto waiting = group.wait();
    co_await std::move(waiting);
}

inline Task<void> open_volume(Machine& m) {
    auto opening = Volume::open(*m.loop, "v.exv", {}, m.options);
    auto opened = co_await std::move(opening);
    if (opened.ok()) m.volume = std::move(opened).value();
}

inline Task<void> must_open_volume(Machine& m) {
    auto opening = must_open(*m.loop, "v", m.options);
    m.volume = co_await std::move(opening);
}

inline Task<void> close_volume(Machine& m) {
    if (m.volume) {
        auto closing = m.volume->close();
        static_cast<void>(co_await std::move(closing));
    }
    m.volume.reset();
}

// v.exv on p1.img with the mirror m2.img, some content, open.
inline Task<void> make_mirror(Machine& m) {
    m.world.create("p1.img", small_size);
    m.world.create("m2.img", small_size);
    auto creating = must_create(*m.loop, small_volume("v", "p1.img"), m.options);
    m.volume = co_await std::move(creating);
    auto writing = clients(m, 4);
    co_await std::move(writing);
    auto mirroring = must_mirror(*m.volume, "m2.img", "m2");
    co_await std::move(mirroring);
}

inline Task<void> make_closed_mirror(Machine& m) {
    auto making = make_mirror(m);
    co_await std::move(making);
    auto flushing = must(m.volume->flush());
    co_await std::move(flushing);
    m.ledger.flush_ends(m.ledger.flush_starts());
    auto closing = must(m.volume->close());
    co_await std::move(closing);
    m.volume.reset();
}

// Production holds what it may hold, and all members hold the same. Nothing is said when it cannot be
// read (a crash).
inline Task<void> check_volume(Machine& m) {
    std::vector<std::byte> content(small_size);
    auto reading = m.volume->read(0, content);
    const Status status = co_await std::move(reading);
    if (!status.ok()) {
        CHECK(m.loop->crashed());
        co_return;
    }
    CHECK(m.ledger.wrong(content) == 0);
    for (const auto& record : m.volume->state().plexes) {
        if (record.state != PlexState::in_sync) continue;
        CHECK(same_bytes(m.world.peek(record.path, {0, small_size}), content));
    }
}

// Bring back whatever is not in sync and no snapshot, and compare.
inline Task<void> heal(Machine& m) {
    std::vector<std::string> labels;
    for (const auto& plex : m.volume->plexes()) {
        if (plex->is_member() || plex->state == PlexState::split || plex->state == PlexState::splitting)
            continue;
        labels.push_back(plex->label);
    }
    for (const auto& label : labels) {
        auto syncing = must(m.volume->sync_plex(label, 0, std::make_shared<Job>("sync")));
        co_await std::move(syncing);
    }
    auto checking = check_volume(m);
    co_await std::move(checking);
}

inline void run_step(Machine& m, Step step, std::uint64_t seed) {
    SimLoop loop(m.world, seed);
    m.loop = &loop;
    REQUIRE(loop.run_task(step(m)));
    m.loop = nullptr;
}

// Runs `work` with a crash at its operation `at` (0: none); answers the operations it took.
inline std::uint64_t run_crashing(Machine& m, Step work, std::uint64_t seed, std::uint64_t at,
                                  CrashKind kind) {
    SimLoop loop(m.world, seed);
    m.loop = &loop;
    if (at != 0) loop.crash_at(at, kind);
    REQUIRE(loop.run_task(work(m)));
    m.crashed = loop.crashed();
    m.loop = nullptr;
    return loop.operations();
}

// For each seed: `setup`, then `work` crashed at `points` of its operations (all of them when there are
// fewer), then `after` on the machine started again. `work` leaves no volume open, whatever happens.
inline void sweep(std::uint64_t seeds, std::uint64_t points, Step setup, Step work, Step after) {
    for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
        Machine dry(seed);
        run_step(dry, setup, seed);
        const std::uint64_t operations = run_crashing(dry, work, seed + 1000, 0, CrashKind::power_cut);
        SimRandom random(seed);
        const std::uint64_t stride = std::max<std::uint64_t>(1, operations / points);
        for (std::uint64_t at = 1 + random.below(stride); at <= operations; at += stride) {
            const CrashKind kind = random.chance(0.6) ? CrashKind::power_cut : CrashKind::process_kill;
            CAPTURE(seed);
            CAPTURE(at);
            CAPTURE(static_cast<int>(kind));
            Machine m(seed);
            run_step(m, setup, seed);
            static_cast<void>(run_crashing(m, work, seed + 1000, at, kind));
            REQUIRE(m.crashed);
            run_step(m, after, seed + 2000 + at);
            REQUIRE(!m.volume);
        }
    }
}

}  // namespace exshadow::test
