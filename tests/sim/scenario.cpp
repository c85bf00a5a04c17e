#include "sim/scenario.h"

#include <algorithm>

namespace exshadow::sim {

namespace {

SimOptions world_options(SimRandom random) {
    SimOptions options;
    options.behaviour.sector_size = random.chance(0.3) ? 4096 : 512;
    options.behaviour.direct = random.chance(0.6);
    options.behaviour.can_punch = random.chance(0.8);
    options.behaviour.can_zero = random.chance(0.8);
    options.behaviour.attributes = random.chance(0.8);
    if (random.chance(0.2)) options.behaviour.backing = Backing::memory;
    options.behaviour.dropped_shows_old = false;  // nobody could tell those from data
    options.behaviour.slow = 0.001;
    options.behaviour.slow_latency = 10 * millisecond_ns;
    return options;
}

template <class T>
T pick(SimRandom& random, std::initializer_list<T> list) {
    return *(list.begin() + random.below(list.size()));
}

}  // namespace

const PlexRecord* Subject::find(const std::string& label) const {
    const auto& plexes = volume->state().plexes;
    const auto at = std::find_if(plexes.begin(), plexes.end(),
                                 [&](const PlexRecord& record) { return record.label == label; });
    return at == plexes.end() ? nullptr : &*at;
}

bool Subject::is_member(const std::string& label) const {
    const PlexRecord* const record = find(label);
    return record != nullptr && record->state == PlexState::in_sync;
}

std::string Subject::plex_path(const std::string& label) const {
    const PlexRecord* const record = find(label);
    return record == nullptr ? std::string() : record->path;
}

Simulation::Simulation(std::uint64_t seed, Order off, std::FILE* log, Splits splits)
    : seed_(seed),
      off_(off),
      log_(log),
      how_to_split_(splits),
      random_(seed * 0x9E37'79B9ULL + 1),
      world_(seed, world_options(SimRandom(seed * 77 + 5))) {
    options_.orders.off = off;
    options_.copy_chunk = pick<std::uint64_t>(random_, {4 * KiB, 16 * KiB, 64 * KiB});
    options_.copy_depth = static_cast<std::uint32_t>(1 + random_.below(6));
    options_.latency_limit = pick<Nanoseconds>(random_, {100 * millisecond_ns, second_ns, 30 * second_ns});
    block_ = random_.chance(0.5) ? 512 : 4096;
    client_count_ = static_cast<std::uint32_t>(1 + random_.below(3));
    client_steps_ = static_cast<std::uint32_t>(20 + random_.below(100));
    const auto count = static_cast<std::uint32_t>(1 + random_.below(3));
    for (std::uint32_t id = 1; id <= count; ++id) make_subject(id);
}

// The first plex holds data and holes from before the volume existed.
void Simulation::make_subject(std::uint32_t id) {
    const std::uint64_t size = (64 + random_.below(192)) * 4 * KiB;
    auto subject = std::make_unique<Subject>(clock_, size);
    subject->id = id;
    subject->name = "v" + std::to_string(id);
    subject->path = subject->name + ".exv";
    const std::string path = subject->name + "-1";
    subject->plexes_made = 1;
    world_.create(path, size);
    for (int i = 0; i < 4; ++i) {
        const std::uint64_t at = random_.below(size / 4096) * 4096;
        std::vector<std::byte> bytes(std::min(size - at, (1 + random_.below(32)) * 4096));
        fill_sectors(bytes, id, at, next_value_++);
        world_.poke(path, at, bytes);
    }
    subject->history.settle(content(*subject, path));
    subjects_.push_back(std::move(subject));
}

std::string Simulation::run() {
    const auto lives = static_cast<std::uint32_t>(3 + random_.below(4));
    for (life_ = 0; life_ < lives && failure_.empty(); ++life_) {
        if (!run_life(life_ + 1 == lives)) break;
    }
    if (!failure_.empty()) return "life " + std::to_string(life_) + ": " + failure_;
    return {};
}

// One life on a new loop over the same world. False: it hangs, nothing may be touched any more.
bool Simulation::run_life(bool last) {
    last_ = last;
    loop_ = std::make_unique<SimLoop>(world_, random_.next());
    loop_->set_step_limit(4'000'000);
    if (log_ != nullptr && std::getenv("EXSHADOW_SIM_TRACE") != nullptr) loop_->set_log(log_);
    beside_ = std::make_unique<TaskGroup>(*loop_);
    crashes_ = !last && random_.chance(0.8);
    crash_kind_ = random_.chance(0.6) ? CrashKind::power_cut : CrashKind::process_kill;
    if (crashes_ && life_ != 0) plan_crash();
    note("life " + std::to_string(life_) + (last ? " (last)" : ""));
    if (!loop_->run_task(live())) {
        fail("it hangs");
        return false;
    }
    trace_ = trace_ * 31 + loop_->trace_hash();
    operations_ += loop_->operations();
    if (loop_->in_flight() != 0) fail("operations are in flight after all tasks ended");
    for (auto& subject : subjects_) subject->volume.reset();
    if (loop_->crashed()) after_crash();
    beside_.reset();
    loop_.reset();
    clear_weather();
    world_.land_late_writes();
    return true;
}

void Simulation::plan_crash() {
    const std::uint64_t most = random_.chance(0.25) ? 120 : 6000;
    planned_crash_ = loop_->operations() + 1 + random_.below(most);
    loop_->crash_at(planned_crash_, crash_kind_);
}

// Some faults leave a page cache that lies: only a restart of the machine clears it.
void Simulation::crash_by_power_cut() {
    crash_kind_ = CrashKind::power_cut;
    if (crashes_) loop_->crash_at(planned_crash_, crash_kind_);
}

void Simulation::after_crash() {
    const bool power = crash_kind_ == CrashKind::power_cut;
    note(power ? "power cut" : "process killed");
    if (survival_ != Survival::power_cut) survival_ = power ? Survival::power_cut : Survival::process_kill;
    clock_.tick();
    for (auto& [label, cut] : open_splits_) cut.end = std::min(cut.end, clock_.now);
}

Task<void> Simulation::live() {
    auto opening = open_all();
    co_await std::move(opening);
    if (!over()) {
        check_after_open();
        for (auto& subject : subjects_) {
            if (over()) break;
            auto checking = check_changed(*subject);
            co_await std::move(checking);
        }
    }
    if (crashes_ && life_ == 0) plan_crash();
    if (!over()) {
        auto working = work();
        co_await std::move(working);
    }
    if (!over() && last_) {
        auto finishing = finish();
        co_await std::move(finishing);
    }
    auto closing = close_all();
    co_await std::move(closing);
}

Task<void> Simulation::open_all() {
    for (auto& subject : subjects_) {
        if (over()) co_return;
        auto opening = life_ == 0 ? create(*subject) : open(*subject);
        co_await std::move(opening);
    }
    if (over() || life_ == 0) co_return;
    std::vector<Volume*> volumes;
    for (auto& subject : subjects_) volumes.push_back(subject->volume.get());
    auto resolving = resolve_sets(volumes);
    const Status status = co_await std::move(resolving);
    if (!status.ok() && !over()) fail("resolve_sets: " + status.error().message());
}

Task<void> Simulation::create(Subject& subject) {
    CreateOptions create_options;
    create_options.name = subject.name;
    create_options.plex_path = subject.name + "-1";
    create_options.region_size =
        static_cast<std::uint32_t>(pick<std::uint64_t>(random_, {4 * KiB, 8 * KiB, 16 * KiB, 64 * KiB}));
    create_options.extent_size =
        create_options.region_size * static_cast<std::uint32_t>(1U << random_.below(3));
    create_options.log_slots = static_cast<std::uint32_t>(4 + random_.below(13));
    auto creating = Volume::create(*loop_, subject.path, create_options, options_);
    auto volume = co_await std::move(creating);
    if (!volume.ok()) {
        fail("create: " + volume.error().message());
        co_return;
    }
    subject.volume = std::move(volume).value();
    while (random_.chance(0.8) && subject.plexes_made < 4 && !over()) {
        auto adding = add_plex(subject);
        co_await std::move(adding);
    }
}

// With plexes missing when the seed says so: it may then refuse, but only if no member is left.
Task<void> Simulation::open(Subject& subject) {
    if (!last_ && break_metadata(subject)) subject.lost_log = true;
    if (!last_) hide_plexes(subject);
    auto opening = Volume::open(*loop_, subject.path, {}, options_);
    auto volume = co_await std::move(opening);
    if (!volume.ok() && volume.error().code() == Code::not_found && !over()) {
        note(subject.name + ": " + volume.error().message());
        for (const auto& path : plex_files(subject)) world_.set_missing(path, false);
        auto again = Volume::open(*loop_, subject.path, {}, options_);
        volume = co_await std::move(again);
    }
    for (const auto& path : plex_files(subject)) world_.set_missing(path, false);
    if (!volume.ok() && volume.error().code() == Code::refused && subject.lost_log && !over()) {
        // Without its log a plex cannot be told from an older copy of it: only with force.
        VolumeOptions forced = options_;
        forced.force = true;
        auto again = Volume::open(*loop_, subject.path, {}, forced);
        volume = co_await std::move(again);
    }
    if (volume.ok()) {
        subject.volume = std::move(volume).value();
        for (const auto& event : subject.volume->events()) note(subject.name + ": " + event.text);
    } else if (!over()) {
        fail(subject.name + " does not open: " + volume.error().message());
    }
}

Task<void> Simulation::work() {
    for (auto& subject : subjects_) draw_weather(*subject);
    working_ = true;
    TaskGroup group(*loop_);
    for (auto& subject : subjects_) {
        for (std::uint32_t i = 0; i < client_count_; ++i) group.spawn(client(*subject, random_.next()));
    }
    group.spawn(operate(random_.next()));
    auto waiting = group.wait();
    co_await std::move(waiting);
    auto beside = beside_->wait();
    co_await std::move(beside);
    working_ = false;
}

Task<void> Simulation::close_all() {
    const Time begin = clock_.tick();
    bool clean = true;
    for (auto& subject : subjects_) {
        if (!subject->volume) continue;
        auto closing = subject->volume->close();
        const Status status = co_await std::move(closing);
        if (over()) continue;
        if (status.ok()) {
            subject->history.end_flush(begin);
        } else {
            clean = false;
            if (subject->weather != Weather::metadata && !error_is_fair(*subject, status.error())) {
                fail(subject->name + " does not close: " + status.error().message());
            }
        }
    }
    if (over()) co_return;
    survival_ = Survival::closed;
    if (clean) co_return;
    crash_kind_ = CrashKind::power_cut;  // whatever could not be flushed is gone
    loop_->crash(crash_kind_);
}

void Simulation::fail(const std::string& text) {
    note("FAILED " + text);
    if (!failure_.empty()) return;
    failure_ = text;
    for (const auto& subject : subjects_) {
        if (!subject->volume) continue;
        for (const auto& event : subject->volume->events()) note(subject->name + ": " + event.text);
        for (const auto& record : subject->volume->state().plexes) {
            note(subject->name + ": " + record.label + " " + record.path + " " +
                 plex_state_name(record.state));
        }
    }
}

void Simulation::note(const std::string& text) {
    if (log_ == nullptr) return;
    const auto at = static_cast<unsigned long long>(clock_.now);
    const auto operation = static_cast<unsigned long long>(loop_ ? loop_->operations() : 0);
    std::fprintf(log_, "%8llu #%llu %s\n", at, operation, text.c_str());
    std::fflush(log_);
}

void Simulation::delicate(double probability, std::uint64_t within) {
    if (!crashes_ || !working_ || !random_.chance(probability)) return;
    const std::uint64_t soon =
        random_.chance(within > 40 ? 0.0 : 0.5) ? random_.below(4) : random_.below(within);
    planned_crash_ = loop_->operations() + 1 + soon;
    loop_->crash_at(planned_crash_, crash_kind_);
}

Task<void> Simulation::sleep_a_while(Nanoseconds most) {
    co_await loop_->sleep(static_cast<Nanoseconds>(random_.below(static_cast<std::uint64_t>(most))));
}

}  // namespace exshadow::sim
