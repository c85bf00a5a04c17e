#include <doctest/doctest.h>

#include "cpp/nbd/client.h"

namespace exshadow::nbd {
namespace {

using test::Bytes;
using test::Client;

TEST_CASE("requests_are_decoded_as_they_were_encoded") {
    const Bytes bytes = Client::request(Command::write_zeroes, 0x0123456789ABCDEF, 0xFEDCBA98,
                                        command_fua | command_no_hole, 0x1122334455667788);
    REQUIRE(bytes.size() == sizeof(WireRequest));
    CHECK(bytes[0] == std::byte{0x25});
    CHECK(bytes[7] == std::byte{6});
    Request request;
    REQUIRE(decode(bytes, request));
    CHECK(request.type == 6);
    CHECK(request.flags == 3);
    CHECK(request.cookie == 0x1122334455667788);
    CHECK(request.offset == 0x0123456789ABCDEF);
    CHECK(request.length == 0xFEDCBA98);
}

TEST_CASE("a_wrong_magic_is_seen") {
    Bytes bytes = Client::request(Command::read, 0, 1);
    bytes[3] ^= std::byte{1};
    Request request;
    CHECK(!decode(bytes, request));
}

TEST_CASE("replies_are_laid_out_as_the_protocol_says") {
    const auto simple = encode_simple_reply(0x0102030405060708, Errno::nospc);
    CHECK(load<std::uint32_t>(simple) == 0x67446698);
    CHECK(load<std::uint32_t>(std::span(simple).subspan(4)) == 28);
    CHECK(load<std::uint64_t>(std::span(simple).subspan(8)) == 0x0102030405060708);
    const auto chunk = encode_chunk(Chunk::block_status, chunk_done, 7, 20);
    CHECK(load<std::uint32_t>(chunk) == 0x668E33EF);
    CHECK(load<std::uint16_t>(std::span(chunk).subspan(4)) == 1);
    CHECK(load<std::uint16_t>(std::span(chunk).subspan(6)) == 5);
    CHECK(load<std::uint64_t>(std::span(chunk).subspan(8)) == 7);
    CHECK(load<std::uint32_t>(std::span(chunk).subspan(16)) == 20);
}

TEST_CASE("every_code_has_an_errno_of_the_protocol") {
    for (int code = 0; code <= static_cast<int>(Code::unsupported); ++code) {
        const Errno number = errno_of(Error(static_cast<Code>(code), "it"));
        CHECK(number != Errno::none);
    }
    CHECK(errno_of(Error(Code::no_space, "")) == Errno::nospc);
    CHECK(errno_of(Error(Code::permission, "")) == Errno::perm);
    CHECK(errno_of(Error(Code::closed, "")) == Errno::shutdown);
    CHECK(errno_of(Error(Code::io, "")) == Errno::io);
    CHECK(errno_of(Error(Code::invalid, "")) == Errno::inval);
}

TEST_CASE("fields_never_read_beyond_their_end") {
    Bytes bytes;
    append(bytes, std::uint32_t{5});
    append_text(bytes, "abcd");
    Fields short_text(bytes);
    CHECK(short_text.text().empty());
    CHECK(!short_text.ok());
    CHECK(short_text.number<std::uint16_t>() == 0);  // and stays bad
    CHECK(!short_text.at_end());
    Bytes huge;
    append(huge, std::uint32_t{0xFFFFFFFF});
    Fields lies(huge);
    CHECK(lies.text().empty());
    CHECK(!lies.ok());
}

}  // namespace
}  // namespace exshadow::nbd
