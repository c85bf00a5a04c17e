#include "volume/plex.h"

#include <charconv>
#include <cstring>
#include <vector>

namespace exshadow {

namespace {

constexpr std::uint64_t sample_count = 64;
constexpr std::uint64_t sample_bytes = 4096;
constexpr std::uint64_t second_head =
    64 * KiB;  // where btrfs has its superblock; others have it at the front

// Not a CRC-32C: file systems put that beside their metadata, and a block that ends with its own CRC leaves
// the same remainder whatever it holds.
std::uint64_t mix(std::uint64_t digest, std::span<const std::byte> bytes) {
    for (std::size_t at = 0; at + sizeof(std::uint64_t) <= bytes.size(); at += sizeof(std::uint64_t)) {
        std::uint64_t word = 0;
        std::memcpy(&word, bytes.data() + at, sizeof(word));
        digest = (digest ^ word) * 0x9E3779B97F4A7C15;
        digest ^= digest >> 29;
    }
    return digest;
}

// Of samples all over the device; never 0.
Task<Result<std::uint32_t>> sample_digest(FileDisk& device) {
    std::vector<std::byte> buffer(sample_bytes);
    const std::uint64_t stride =
        std::max(round_down(device.size() / sample_count, sample_bytes), sample_bytes);
    std::vector<std::uint64_t> places{second_head};
    for (std::uint64_t at = 0; at + sample_bytes <= device.size(); at += stride) places.push_back(at);
    std::uint64_t digest = device.size();
    for (const std::uint64_t at : places) {
        if (at + sample_bytes > device.size()) continue;
        auto reading = device.read(at, buffer);
        const Status status = co_await std::move(reading);
        if (!status.ok()) co_return status.error();
        digest = mix(digest, buffer);
    }
    const auto folded = static_cast<std::uint32_t>(digest ^ (digest >> 32));
    co_return std::max<std::uint32_t>(folded, 1);
}

}  // namespace

Result<std::unique_ptr<FileDisk>> open_plex(Loop& loop, const std::string& path, bool force,
                                            Nanoseconds lock_wait, bool direct) {
    OpenOptions options;
    options.writable = true;
    options.direct = direct;
    options.force_mounted = force;
    options.lock = FileLock::exclusive;
    options.lock_wait_ns = lock_wait;
    auto device = FileDisk::open(loop, path, options);
    if (!device.ok()) return device;
    // A loop device made over an odd-sized file: its end can be read, never written.
    const FileInfo& info = (*device)->file().info();
    if (!info.is_block_device || info.size % info.sector_size == 0) return device;
    return Error(Code::invalid,
                 path + " has " + std::to_string(info.size) + " bytes, not a multiple of its " +
                     std::to_string(info.sector_size) + "-byte sectors",
                 "use a device whose last sector is whole");
}

Result<std::unique_ptr<FileDisk>> open_plex_for_reading(Loop& loop, const std::string& path) {
    OpenOptions options;
    options.direct = true;
    return FileDisk::open(loop, path, options);
}

Task<Result<PlexIdentity>> read_identity(FileDisk& device) {
    auto found = device.file().identity();
    if (!found.ok()) co_return found.error();
    PlexIdentity identity;
    identity.recorded = true;
    identity.inode = found->inode;
    identity.size = found->size;
    identity.modified_ns = found->modified_ns;
    identity.changed_ns = found->changed_ns;
    identity.serial = found->serial.substr(0, 127);
    if (device.file().info().is_block_device) {
        identity.modified_ns = 0;  // a device node's times say nothing about its contents
        identity.changed_ns = 0;
        auto sampling = sample_digest(device);
        const Result<std::uint32_t> digest = co_await std::move(sampling);
        if (!digest.ok()) co_return digest.error();
        identity.sample_digest = *digest;
    }
    co_return identity;
}

std::string identity_difference(const PlexIdentity& remembered, const PlexIdentity& now, bool contents) {
    if (!remembered.recorded) return {};
    if (remembered.size != now.size) return "its size changed";
    if (remembered.serial != now.serial) return "it is another device";
    if (remembered.inode != now.inode) return "it is another file";
    if (!contents) return {};
    const auto changed = [](auto before, auto after) { return before != 0 && before != after; };
    if (changed(remembered.modified_ns, now.modified_ns)) return "it was written to from outside";
    if (changed(remembered.changed_ns, now.changed_ns)) return "its inode was changed from outside";
    if (changed(remembered.sample_digest, now.sample_digest)) return "its contents were changed from outside";
    return {};
}

bool write_tag(FileDisk& device, const Uuid& volume, const Uuid& plex, std::uint64_t generation) {
    const std::string text = volume.text() + " " + plex.text() + " " + std::to_string(generation);
    return device.file().set_attribute(tag_attribute, text).ok();
}

std::optional<PlexTag> read_tag(FileDisk& device) {
    const auto found = device.file().attribute(tag_attribute);
    if (!found.ok() || !found.value().has_value()) return std::nullopt;
    const std::string& text = **found;
    constexpr std::size_t uuid_bytes = 36;
    if (text.size() < 2 * uuid_bytes + 3) return std::nullopt;
    const auto volume = Uuid::parse(std::string_view(text).substr(0, uuid_bytes));
    const auto plex = Uuid::parse(std::string_view(text).substr(uuid_bytes + 1, uuid_bytes));
    PlexTag tag;
    const char* const first = text.data() + 2 * uuid_bytes + 2;
    const auto parsed = std::from_chars(first, text.data() + text.size(), tag.generation);
    if (!volume || !plex || parsed.ec != std::errc{}) return std::nullopt;
    tag.volume = *volume;
    tag.plex = *plex;
    return tag;
}

}  // namespace exshadow
