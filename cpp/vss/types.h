// The words of VSS: enumerations with Microsoft's values (enum_list.h), flags, and the small records of the
// requestor's interface. Strings are UTF-8; ids are Uuids, whose text() is the usual GUID text without
// braces.
#pragma once

#include <compare>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

#include "base/uuid.h"
#include "vss/enum_list.h"
#include "vss/hresult.h"

namespace exshadow::vss {

#define EXSHADOW_ENUMERATOR(enumerator, sdk_name, value) enumerator = (value),
#define EXSHADOW_ENUM(type, underlying, list) enum class type : underlying { list(EXSHADOW_ENUMERATOR) };
#define EXSHADOW_FLAG_SET(type, underlying, list) \
    enum class type : underlying { no_flags = 0, list(EXSHADOW_ENUMERATOR) };
EXSHADOW_VSS_ENUMS(EXSHADOW_ENUM)
EXSHADOW_VSS_FLAG_SETS(EXSHADOW_FLAG_SET)
#undef EXSHADOW_FLAG_SET
#undef EXSHADOW_ENUM
#undef EXSHADOW_ENUMERATOR

template <class E>
concept FlagSet = std::is_enum_v<E> && requires {
    E::no_flags;
};
template <FlagSet E>
constexpr E operator|(E a, E b) {
    return static_cast<E>(static_cast<std::uint32_t>(a) | static_cast<std::uint32_t>(b));
}
template <FlagSet E>
constexpr E operator&(E a, E b) {
    return static_cast<E>(static_cast<std::uint32_t>(a) & static_cast<std::uint32_t>(b));
}
template <FlagSet E>
constexpr bool has(E set, E flag) {
    return (set & flag) == flag;
}

// One value of an enumeration: our word ("failed_at_freeze": command line, JSON, Python) and Microsoft's
// ("VSS_WS_FAILED_AT_FREEZE").
struct EnumName {
    std::int64_t value;
    std::string_view word;
    std::string_view sdk_name;
};
// All values of E, in the order of the list. Defined for every type of enum_list.h.
template <class E>
[[nodiscard]] std::span<const EnumName> enum_names();
// Our word for a value; "7 (unknown)" style text when the list lacks it. Flags: words joined by "+", "none"
// for zero.
template <class E>
[[nodiscard]] std::string word(E value);
// The value of one of our words, or of Microsoft's names; error names the words there are.
template <class E>
[[nodiscard]] Result<E> from_word(std::string_view text);

// VSS_SNAPSHOT_CONTEXT. A requestor may add transportable; differential or plex, not both; no_autorecovery,
// not_transacted, rollback_recovery, txf_recovery.
namespace context {
inline constexpr SnapshotAttributes backup{0x00000000};
inline constexpr SnapshotAttributes file_share_backup{0x00000010};
inline constexpr SnapshotAttributes nas_rollback{0x00000019};
inline constexpr SnapshotAttributes app_rollback{0x00000009};
inline constexpr SnapshotAttributes client_accessible{0x0000001D};
inline constexpr SnapshotAttributes client_accessible_writers{0x0000000D};
inline constexpr SnapshotAttributes all{0xFFFFFFFF};  // for query, delete, break, expose; not a set of flags
}  // namespace context

// What a file set has whose document does not say: needed in every kind of backup, from the snapshot (0xF0F).
inline constexpr FileSpecBackupType standard_backup_type =
    FileSpecBackupType::all_backup_required | FileSpecBackupType::all_snapshot_required;

// The Microsoft system provider; any other id is read at run time (Requestor::query_providers).
inline constexpr Uuid system_provider_id{
    {0xb5, 0x94, 0x61, 0x37, 0x7b, 0x9f, 0x49, 0x25, 0xaf, 0x80, 0x51, 0xab, 0xd6, 0x0b, 0x20, 0xd5}};

// VSS_SNAPSHOT_PROP
struct SnapshotProperties {
    Uuid snapshot_id;
    Uuid set_id;
    std::int32_t set_size = 0;    // snapshots in the set
    std::string device;           // device object, without a backslash at its end
    std::string original_volume;  // as the service names it; on Windows a GUID path that ends in a backslash
    std::string originating_machine;
    std::string service_machine;
    std::string exposed_name;
    std::string exposed_path;
    Uuid provider_id;
    SnapshotAttributes attributes = SnapshotAttributes::no_flags;
    std::int64_t created = 0;  // FILETIME: 100 ns since 1601-01-01 UTC
    SnapshotState state = SnapshotState::unknown;
    friend bool operator==(const SnapshotProperties&, const SnapshotProperties&) = default;
};

// VSS_PROVIDER_PROP
struct ProviderProperties {
    Uuid provider_id;
    std::string name;
    ProviderType type = ProviderType::unknown;
    std::string version;
    Uuid version_id;
    Uuid class_id;
};

// IVssBackupComponents::GetWriterStatus(Ex)
struct WriterStatus {
    Uuid instance_id;
    Uuid writer_id;
    std::string name;
    WriterState state = WriterState::unknown;
    HResult failure = HResult::s_ok;
    HResult application_failure = HResult::s_ok;  // the application's own code, from Windows 7 on
    std::string application_message;
};

// Names one component of one writer. An empty logical path is the writer's root.
struct ComponentKey {
    Uuid writer_id;
    Uuid instance_id;  // nil: any instance of the writer class
    ComponentType type = ComponentType::file_group;
    std::string logical_path;
    std::string name;
    friend auto operator<=>(const ComponentKey&, const ComponentKey&) = default;
};

}  // namespace exshadow::vss
