#include "ese/scan.h"

#include <algorithm>
#include <chrono>
#include <mutex>
#include <semaphore>
#include <thread>
#include <utility>

#include "ese/fields.h"

namespace exshadow::ese {

namespace {

using Clock = std::chrono::steady_clock;
constexpr std::size_t piece_size = std::size_t{256}
                                   << 10;  // stays in the second-level cache; whole pages of any size

constexpr std::uint64_t page_limit = 0x7FFFFFFF;  // page numbers are signed in the engine

// `found` is what one thread found; they are merged at the end.
void count(PageScan& found, std::uint32_t pgno, const PageCheck& check, std::size_t listed) {
    ++found.pages;
    if (check.state == PageState::empty) {
        ++found.empty;
        return;
    }
    if (pgno > found.last_used) found.used_before = std::exchange(found.last_used, pgno);
    if (check.legacy) ++found.legacy;
    if (check.state == PageState::good) {
        if (check.dbtime > found.highest_dbtime) {
            found.highest_dbtime = check.dbtime;
            found.highest_dbtime_page = pgno;
        }
        return;
    }
    ++found.bad;
    if (check.state == PageState::correctable) ++found.correctable;
    if (check.state == PageState::wrong_place || check.state == PageState::wrong_number) ++found.wrong_place;
    if (found.list.size() < listed) found.list.push_back({pgno, check});
}

// Hands out pieces of the file, holds the rate and tells of progress. Any thread.
class Work {
public:
    Work(std::uint64_t begin, std::optional<std::uint64_t> end, const ScanOptions& options)
        : next_(begin), end_(end), options_(options), started_(Clock::now()) {}

    // None: nothing is left, or somebody stopped.
    std::optional<std::uint64_t> take() {
        if (stopped_.load(std::memory_order_relaxed)) return std::nullopt;
        const auto at = next_.fetch_add(piece_size, std::memory_order_relaxed);
        if (end_ && at >= *end_) return std::nullopt;
        return at;
    }
    // Takes all pieces up to the one that holds byte `data`; what was handed out before stays with others.
    std::uint64_t skip_to(std::uint64_t data) {
        const auto limit = std::min(data, *end_);
        auto next = next_.load(std::memory_order_relaxed);
        while (next < limit && limit - next >= piece_size) {
            const auto to = next + (limit - next) / piece_size * piece_size;
            if (!next_.compare_exchange_weak(next, to, std::memory_order_relaxed)) continue;
            done_.fetch_add(to - next, std::memory_order_relaxed);
            return to - next;
        }
        return 0;
    }
    void done(std::uint64_t bytes, bool read, bool callers_thread) {
        const auto all = done_.fetch_add(bytes, std::memory_order_relaxed) + bytes;
        if (read) hold_rate(read_.fetch_add(bytes, std::memory_order_relaxed) + bytes, callers_thread);
        if (callers_thread) tell(all);
    }
    // Of the caller's thread, while others work on.
    void tell_meanwhile() { tell(done_.load(std::memory_order_relaxed)); }
    void stop() { stopped_.store(true, std::memory_order_relaxed); }
    void fail(Error error) {
        const std::lock_guard lock(mutex_);
        if (!failure_) failure_ = std::move(error);
        stop();
    }
    [[nodiscard]] Status outcome() const {
        if (failure_) return *failure_;
        if (cancelled_)
            return Error(Code::cancelled, "the check was stopped", "run it again: it changes nothing");
        return {};
    }

private:
    void hold_rate(std::uint64_t all, bool callers_thread) {
        if (options_.bytes_per_second == 0) return;
        const std::chrono::duration<double> due(static_cast<double>(all) /
                                                static_cast<double>(options_.bytes_per_second));
        while (!stopped_.load(std::memory_order_relaxed)) {
            const auto ahead = due - (Clock::now() - started_);
            if (ahead <= std::chrono::duration<double>::zero()) return;
            std::this_thread::sleep_for(
                std::min<std::chrono::duration<double>>(ahead, std::chrono::milliseconds(100)));
            if (callers_thread) tell_meanwhile();
        }
    }
    void tell(std::uint64_t all) {
        if (!options_.progress || Clock::now() - told_ < std::chrono::milliseconds(100)) return;
        told_ = Clock::now();
        if (options_.progress(all)) return;
        cancelled_ = true;
        stop();
    }

    std::atomic<std::uint64_t> next_;
    const std::optional<std::uint64_t> end_;
    const ScanOptions& options_;
    const Clock::time_point started_;
    std::atomic<std::uint64_t> done_{0};
    std::atomic<std::uint64_t> read_{0};  // holes left out
    std::atomic<bool> stopped_{false};
    std::mutex mutex_;
    std::optional<Error> failure_;           // guarded by mutex_
    Clock::time_point told_ = Clock::now();  // of the caller's thread, as cancelled_
    bool cancelled_ = false;
};

// The last whole page of the file may be a trailer; its bytes are kept when it does not fit as a page.
struct LastPage {
    std::mutex mutex;
    std::uint32_t pgno = 0;
    std::vector<std::byte> bytes;  // guarded by mutex
};

struct Job {
    Source& source;
    std::uint32_t page_size;
    const ScanOptions& options;
    Work work;
    LastPage last;
};

void check_piece(Job& job, std::span<const std::byte> bytes, std::uint64_t at, PageScan& tally) {
    const auto size = job.page_size;
    auto pgno = static_cast<std::uint32_t>(at / size) - 1;
    for (std::size_t offset = 0; offset + size <= bytes.size(); offset += size, ++pgno) {
        const auto page = bytes.subspan(offset, size);
        const auto check = check_page(page, pgno, job.options.method);
        count(tally, pgno, check, job.options.listed);
        if (check.state <= PageState::correctable) continue;
        const std::lock_guard lock(job.last.mutex);
        if (pgno < job.last.pgno) continue;
        job.last.pgno = pgno;
        job.last.bytes.assign(page.begin(), page.end());
    }
    tally.odd_bytes += bytes.size() % size;
}

// Pages of holes are empty: they need not be read. True when the piece is done with that.
bool skip_hole(Job& job, std::uint64_t at, std::uint64_t bytes, PageScan& tally, bool callers_thread) {
    const auto data = job.source.next_data(at);
    if (data < at + bytes) return false;
    // Past the end there is no data either.
    if (auto whole = job.source.still_whole(); !whole.ok()) {
        job.work.fail(whole.error());
        return true;
    }
    const auto pages = (bytes + job.work.skip_to(data)) / job.page_size;
    tally.pages += pages;
    tally.empty += pages;
    tally.odd_bytes += bytes % job.page_size;
    job.work.done(bytes, false, callers_thread);
    return true;
}

void run(Job& job, PageScan& tally, bool callers_thread) {
    std::vector<std::byte> buffer(piece_size);
    const auto end = job.source.size();
    while (const auto at = job.work.take()) {
        const auto want = end ? std::min<std::uint64_t>(piece_size, *end - *at) : piece_size;
        if (end && skip_hole(job, *at, want, tally, callers_thread)) continue;
        const auto got = job.source.read(*at, std::span(buffer).first(want));
        if (!got.ok()) return job.work.fail(got.error());
        if (end && *got < want) {
            return job.work.fail(Error(Code::io, "the file became shorter while it was read",
                                       "check a snapshot of it, not the file in use"));
        }
        check_piece(job, std::span(std::as_const(buffer)).first(*got), *at, tally);
        job.work.done(*got, true, callers_thread);
        if (*got < want) job.work.stop();  // the end of a stream
    }
}

unsigned thread_count(const Source& source, const ScanOptions& options, std::uint64_t bytes) {
    if (source.forward_only()) return 1;
    const auto processors = std::clamp(std::thread::hardware_concurrency(), 1U, 8U);
    const auto wanted = options.threads == 0 ? processors : std::min(options.threads, 64U);
    return static_cast<unsigned>(std::clamp<std::uint64_t>(bytes / (8 * piece_size), 1, wanted));
}

PageScan merge(const std::vector<PageScan>& tallies, std::size_t listed) {
    PageScan all;
    for (const auto& one : tallies) {
        all.pages += one.pages;
        all.bad += one.bad;
        all.correctable += one.correctable;
        all.wrong_place += one.wrong_place;
        all.empty += one.empty;
        all.legacy += one.legacy;
        all.odd_bytes += one.odd_bytes;
        const auto lower = std::min(all.last_used, one.last_used);
        all.used_before = std::max({all.used_before, one.used_before, lower});
        all.last_used = std::max(all.last_used, one.last_used);
        if (one.highest_dbtime > all.highest_dbtime) {
            all.highest_dbtime = one.highest_dbtime;
            all.highest_dbtime_page = one.highest_dbtime_page;
        }
        all.list.insert(all.list.end(), one.list.begin(), one.list.end());
    }
    std::ranges::sort(all.list, {}, &BadPage::pgno);
    if (all.list.size() > listed) all.list.resize(listed);
    return all;
}

// A last page that does not fit as a page but does as a trailer is none of the bad ones.
void recognise_trailer(PageScan& all, const LastPage& last) {
    if (last.bytes.empty() || last.pgno != all.pages) return;  // pages are numbered from 1
    all.trailer = read_trailer(last.bytes);
    if (!all.trailer) return;
    const auto check = check_page(last.bytes, last.pgno);
    --all.bad;
    --all.pages;
    all.last_used = all.used_before;
    if (check.legacy) --all.legacy;
    if (check.state == PageState::wrong_place || check.state == PageState::wrong_number) --all.wrong_place;
    std::erase_if(all.list, [&](const BadPage& one) { return one.pgno == last.pgno; });
}

}  // namespace

Result<PageScan> scan_pages(Source& source, const DatabaseHeader& header, const ScanOptions& options) {
    EXSHADOW_CHECK(is_page_size(header.page_size));
    const auto begin = 2 * std::uint64_t{header.page_size};
    const auto size = source.size();
    if (size.value_or(0) / header.page_size > page_limit) {
        return Error(Code::invalid, "more pages than an ESE database can have",
                     "look whether this is the right file");
    }
    const auto threads = thread_count(source, options, size.value_or(0));
    Job job{source, header.page_size, options, Work(begin, size, options), {}};
    std::vector<PageScan> tallies(threads);
    std::vector<std::jthread> helpers;
    std::counting_semaphore<64> ended(0);
    for (unsigned i = 1; i < threads; ++i) {
        helpers.emplace_back([&job, &tallies, &ended, i] {
            run(job, tallies[i], false);
            ended.release();
        });
    }
    run(job, tallies[0], true);
    for (unsigned i = 1; i < threads; ++i) {  // the caller must be able to stop those that still work
        while (!ended.try_acquire_for(std::chrono::milliseconds(100))) job.work.tell_meanwhile();
    }
    helpers.clear();  // joins
    EXSHADOW_TRY(job.work.outcome());
    EXSHADOW_TRY(source.still_whole());
    auto all = merge(tallies, options.listed);
    recognise_trailer(all, job.last);
    all.empty_inside = all.empty - (all.pages - all.last_used);
    return all;
}

Result<PageScan> scan_flush_map(Source& source) {
    PageScan all;
    // Two bits for each page of the largest database.
    constexpr auto largest = page_limit / 4 + 2 * flush_map_page_size;
    if (source.size().value_or(0) > largest) {
        return Error(Code::corrupt, "larger than the flush map of the largest database");
    }
    std::vector<std::byte> buffer(flush_map_page_size);
    for (std::uint32_t number = 0;; ++number) {
        const auto got = source.read((std::uint64_t{number} + 1) * flush_map_page_size, buffer);
        if (!got.ok()) return got.error();
        if (*got < buffer.size()) {
            all.odd_bytes = *got;
            EXSHADOW_TRY(source.still_whole());
            return all;
        }
        const std::span<const std::byte> page(buffer);
        PageCheck check;
        if (all_zero(page)) {
            check.state = PageState::empty;
        } else {
            const BlockSum stored{field<std::uint32_t>(page, 0), field<std::uint32_t>(page, 4)};
            std::uint32_t detail = 0;
            check.state = check_block(page, number, true, stored, detail);
            check.bit = check.state == PageState::correctable ? detail : 0;
            check.belongs_at = check.state == PageState::wrong_place ? detail : 0;
        }
        count(all, number, check, ScanOptions().listed);
    }
}

}  // namespace exshadow::ese
