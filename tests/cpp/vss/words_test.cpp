// Names of HRESULTs and of the enumerations' values.
#include <doctest/doctest.h>

#include <set>

#include "vss/types.h"

using namespace exshadow;
using namespace exshadow::vss;

TEST_CASE("every HRESULT has one row, and failures say what to do") {
    std::set<HResult> values;
    std::set<std::string_view> names;
    for (const auto& row : all_hresults()) {
        INFO(row.name);
        CHECK(values.insert(row.value).second);
        CHECK(names.insert(row.name).second);
        CHECK(find_hresult(row.value)->name == row.name);
        CHECK_FALSE(row.meaning.empty());
        CHECK(row.meaning.back() != '.');
        if (failed(row.value)) CHECK_FALSE(row.advice.empty());
        CHECK((row.retry != Retry::none || !failed(row.value)));
    }
}

TEST_CASE("an error carries its HRESULT, and its text names it") {
    const auto error = vss_error(HResult::vss_e_bad_state, "StartSnapshotSet");
    CHECK(error.message().starts_with("StartSnapshotSet: VSS_E_BAD_STATE (0x80042301): "));
    CHECK(error.code() == Code::refused);
    CHECK(hresult_of(error) == HResult::vss_e_bad_state);
    CHECK(hresult_of(error.within("outside")) == HResult::vss_e_bad_state);
    for (const auto& row : all_hresults()) {
        if (failed(row.value)) CHECK(hresult_of(vss_error(row.value, "x")) == row.value);
    }
}

TEST_CASE("an HRESULT that nobody documents is shown as a number") {
    CHECK(hresult_text(HResult{0x8BADF00D}) == "0x8BADF00D");
    CHECK(vss_error(HResult{0x8BADF00D}, "call").message().find("call: 0x8BADF00D") == 0);
    CHECK(hresult_of(Error(Code::io, "not of VSS")) == HResult::vss_e_unexpected);
    CHECK(hresult_of(os_error(1, "open", "a file")) == HResult::vss_e_unexpected);  // EPERM is not S_FALSE
    CHECK(hresult_of(vss_error(HResult::vss_s_async_cancelled, "x")) == HResult::vss_s_async_cancelled);
}

namespace {

template <class E>
void check_words() {
    std::set<std::string_view> words;
    for (const auto& row : enum_names<E>()) {
        INFO(row.sdk_name);
        CHECK(words.insert(row.word).second);
        CHECK(*from_word<E>(row.word) == static_cast<E>(row.value));
        CHECK(*from_word<E>(row.sdk_name) == static_cast<E>(row.value));
    }
    CHECK_FALSE(from_word<E>("no such word").ok());
    CHECK(from_word<E>("").error().hint().find(enum_names<E>().front().word) != std::string::npos);
}

}  // namespace

TEST_CASE("every value is found by our word and by Microsoft's") {
#define EXSHADOW_CHECK_WORDS(type, underlying, list) check_words<type>();
    EXSHADOW_VSS_ENUMS(EXSHADOW_CHECK_WORDS)
    EXSHADOW_VSS_FLAG_SETS(EXSHADOW_CHECK_WORDS)
#undef EXSHADOW_CHECK_WORDS
}

TEST_CASE("values are words, flags are joined, the unknown is a number") {
    CHECK(word(WriterState::failed_at_freeze) == "failed_at_freeze");
    CHECK(word(WriterState{77}) == "77 (unknown)");
    CHECK(word(ApplicationLevel::automatic) == "automatic");
    CHECK(word(SnapshotAttributes::no_flags) == "none");
    CHECK(word(context::app_rollback) == "persistent+no_auto_release");
    CHECK(word(standard_backup_type).find("all_") == std::string::npos);  // single bits, never sums
    CHECK(word(SnapshotAttributes{0x80000001}) == "persistent+2147483648");
}
