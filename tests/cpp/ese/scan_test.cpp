#include "ese/scan.h"

#include <doctest/doctest.h>

#include <random>

#include "cpp/ese/make.h"

using namespace exshadow;
using namespace exshadow::ese;
using make::Bytes;

namespace {

PageScan scan(Source& source, const Bytes& bytes, const ScanOptions& options = {}) {
    const auto chosen = choose_header(std::span(bytes).first(std::min<std::size_t>(bytes.size(), 65536)));
    REQUIRE(chosen.ok());
    auto found = scan_pages(source, chosen->header, options);
    REQUIRE(found.ok());
    return *found;
}
PageScan scan(const Bytes& bytes, const ScanOptions& options = {}) {
    const auto source = from_memory(bytes);
    return scan(*source, bytes, options);
}

// Memory with a hole that must not be read, and an end that comes too early.
class Odd final : public Source {
public:
    Odd(const Bytes& bytes, std::uint64_t hole, std::uint64_t hole_end, std::uint64_t end)
        : bytes_(bytes), hole_(hole), hole_end_(hole_end), end_(end) {}
    Result<std::size_t> read(std::uint64_t offset, std::span<std::byte> into) override {
        const auto stop = std::min<std::uint64_t>(offset + into.size(), end_);
        if (offset >= stop) return std::size_t{0};
        if (offset >= hole_ && stop <= hole_end_) ++reads_in_hole;
        std::memcpy(into.data(), bytes_.data() + offset, stop - offset);
        return static_cast<std::size_t>(stop - offset);
    }
    [[nodiscard]] std::optional<std::uint64_t> size() const override { return bytes_.size(); }
    [[nodiscard]] std::uint64_t next_data(std::uint64_t offset) const override {
        return offset >= hole_ && offset < hole_end_ ? hole_end_ : offset;
    }
    std::atomic<int> reads_in_hole{0};

private:
    const Bytes& bytes_;
    std::uint64_t hole_, hole_end_, end_;
};

}  // namespace

TEST_CASE("ese: a scan counts what it finds") {
    auto file = make::database(4096, 40);
    std::fill_n(file.begin() + 11 * 4096, 4096, std::byte{0});  // page 10
    std::fill_n(file.begin() + 41 * 4096, 4096, std::byte{0});  // page 40
    make::flip(file, 8 * (21 * 4096 + 500));                    // page 20
    std::copy_n(file.begin() + 6 * 4096, 4096, file.begin() + 31 * 4096);
    const auto found = scan(file);
    CHECK(found.pages == 40);
    CHECK(found.empty == 2);
    CHECK(found.empty_inside == 1);
    CHECK(found.last_used == 39);
    CHECK(found.bad == 2);
    CHECK(found.correctable == 1);
    CHECK(found.wrong_place == 1);
    REQUIRE(found.list.size() == 2);
    CHECK(found.list[0].pgno == 20);
    CHECK(found.list[0].check.bit == 4000);
    CHECK(found.list[1].check.belongs_at == 5);
    CHECK(found.highest_dbtime == 1039);
    file.resize(file.size() - 100);
    CHECK(scan(file).odd_bytes == 3996);
}

TEST_CASE("ese: any number of threads says the same") {
    auto file = make::database(2048, 20000);
    std::mt19937_64 random(3);
    for (int i = 0; i < 50; ++i) make::flip(file, 8 * 4096 + random() % (8 * (file.size() - 4096)));
    ScanOptions options;
    options.threads = 1;
    const auto alone = scan(file, options);
    CHECK(alone.bad > 40);
    for (const unsigned threads : {2U, 5U}) {
        for (const auto method : {Method::scalar, Method::automatic}) {
            options.threads = threads;
            options.method = method;
            const auto found = scan(file, options);
            CHECK(found.bad == alone.bad);
            CHECK(found.correctable == alone.correctable);
            CHECK(found.pages == alone.pages);
            REQUIRE(found.list.size() == alone.list.size());
            for (std::size_t i = 0; i < found.list.size(); ++i)
                CHECK(found.list[i].pgno == alone.list[i].pgno);
        }
    }
}

TEST_CASE("ese: the trailer of a streaming backup image is no page") {
    for (const std::uint32_t empty : {0U, 3U}) {
        auto file = make::database(4096, 10);
        file.resize(file.size() - std::size_t{empty} * 4096);
        file.resize(12 * 4096);
        Bytes trailer(4096);
        make::put(trailer, 120, std::uint32_t{5});
        make::put(trailer, 124, std::uint32_t{7});
        make::seal_header(trailer, 4096);
        make::append(file, trailer);
        const auto found = scan(file);
        REQUIRE(found.trailer.has_value());
        CHECK(found.trailer->highest_required == 7);
        CHECK(found.pages == 10);
        CHECK(found.bad == 0);
        CHECK(found.legacy == 0);
        CHECK(found.empty == empty);
        CHECK(found.empty_inside == 0);
        CHECK(found.last_used == 10 - empty);
    }
}

TEST_CASE("ese: holes are counted, not read") {
    auto file = make::database(2048, 1000);
    file.resize(std::size_t{8} << 20);
    make::append(file, make::page(2048, static_cast<std::uint32_t>(file.size() / 2048 - 1)));
    Odd source(file, 1002 * 2048, std::size_t{8} << 20, file.size());
    for (const unsigned threads : {1U, 3U}) {
        ScanOptions options;
        options.threads = threads;
        const auto found = scan(source, file, options);
        CHECK(found.pages == file.size() / 2048 - 2);
        CHECK(found.bad == 0);
        CHECK(found.empty == found.pages - 1001);
    }
    CHECK(source.reads_in_hole == 0);
}

TEST_CASE("ese: a file that became shorter is an error, not a verdict") {
    const auto file = make::database(2048, 1000);
    Odd source(file, 0, 0, file.size() - 2048);
    const auto chosen = choose_header(std::span(file).first(65536));
    const auto found = scan_pages(source, chosen->header);
    REQUIRE(!found.ok());
    CHECK(found.error().code() == Code::io);
}

TEST_CASE("ese: progress stops a scan") {
    const auto file = make::database(2048, 20000);
    const auto source = from_memory(file);
    const auto chosen = choose_header(std::span(file).first(65536));
    ScanOptions options;
    options.threads = 3;
    options.bytes_per_second = 1000;
    options.progress = [](std::uint64_t) { return false; };
    const auto found = scan_pages(*source, chosen->header, options);
    REQUIRE(!found.ok());
    CHECK(found.error().code() == Code::cancelled);
}
