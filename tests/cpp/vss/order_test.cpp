// The table of legal orders (vss/order.h) against a second one, written from the fact sheet by phase
// (sections 1.2, 1.3 and 10) while order.cpp is written by call.
#include "vss/order.h"

#include <doctest/doctest.h>

#include <map>
#include <set>
#include <string>
#include <vector>

#include "vss/hresult.h"

using namespace exshadow;
using namespace exshadow::vss;

namespace {

using Calls = std::set<Call>;

Calls operator+(Calls a, const Calls& b) {
    a.insert(b.begin(), b.end());
    return a;
}

const Calls asking_of_writers = {Call::read_writer_metadata, Call::free_writer_metadata,
                                 Call::gather_writer_status, Call::read_writer_status, Call::read_components};
const Calls always_when_open = {Call::get_session_id, Call::get_root_and_logical_prefix_paths};
const Calls looking = {Call::get_snapshot_properties, Call::query, Call::is_volume_supported};
const Calls managing = {Call::delete_snapshots, Call::break_snapshot_set, Call::expose_snapshot,
                        Call::unexpose_snapshot};
const Calls reverting = {Call::revert_to_snapshot, Call::query_revert_status};
const Calls choosing = {Call::add_component, Call::set_previous_stamp, Call::set_backup_options};

const std::map<Phase, Calls>& by_phase() {
    static const std::map<Phase, Calls> phases = {
        {Phase::created, {Call::initialize_for_backup, Call::initialize_for_restore}},
        {Phase::backup,
         Calls{Call::set_context, Call::set_backup_state, Call::filter_writers, Call::gather_writer_metadata,
               Call::start_snapshot_set, Call::import_snapshots} +
             looking + managing + reverting + always_when_open},
        {Phase::gathered, Calls{Call::set_context, Call::set_backup_state, Call::start_snapshot_set} +
                              choosing + asking_of_writers + looking + managing + reverting +
                              always_when_open},
        {Phase::set_open, Calls{Call::set_backup_state, Call::add_to_snapshot_set, Call::prepare_for_backup,
                                Call::do_snapshot_set, Call::abort_backup} +
                              choosing + asking_of_writers + looking + always_when_open},
        {Phase::prepared, Calls{Call::do_snapshot_set, Call::set_backup_succeeded, Call::backup_complete,
                                Call::abort_backup, Call::save_as_xml} +
                              asking_of_writers + looking + always_when_open},
        {Phase::snapshot_failed, Calls{Call::abort_backup} + asking_of_writers + looking + always_when_open},
        {Phase::snapshotted,
         Calls{Call::set_backup_succeeded, Call::backup_complete, Call::abort_backup, Call::save_as_xml} +
             asking_of_writers + looking + managing + always_when_open},
        {Phase::completed,
         Calls{Call::save_as_xml} + asking_of_writers + looking + managing + always_when_open},
        {Phase::restore, Calls{Call::set_restore_state, Call::filter_writers, Call::gather_writer_metadata,
                               Call::select_for_restore, Call::add_alternative_location_mapping,
                               Call::pre_restore, Call::add_snapshot_to_recovery_set, Call::recover_set} +
                             asking_of_writers + always_when_open},
        {Phase::pre_restored,
         Calls{Call::add_alternative_location_mapping, Call::set_file_restore_status, Call::post_restore,
               Call::add_snapshot_to_recovery_set, Call::recover_set} +
             asking_of_writers + always_when_open},
        {Phase::post_restored, asking_of_writers + always_when_open},
        {Phase::closed, {}},
    };
    return phases;
}

// What brings a new object to a phase, by the shortest way of a session with writers.
std::vector<Call> way_to(Phase phase) {
    const std::vector<Call> to_set = {Call::initialize_for_backup, Call::gather_writer_metadata,
                                      Call::start_snapshot_set};
    const auto more = [](std::vector<Call> way, std::initializer_list<Call> calls) {
        way.insert(way.end(), calls);
        return way;
    };
    switch (phase) {
        case Phase::created: return {};
        case Phase::backup: return {Call::initialize_for_backup};
        case Phase::gathered: return {Call::initialize_for_backup, Call::gather_writer_metadata};
        case Phase::set_open: return to_set;
        case Phase::prepared: return more(to_set, {Call::prepare_for_backup});
        case Phase::snapshot_failed:  // its last step fails
        case Phase::snapshotted: return more(to_set, {Call::prepare_for_backup, Call::do_snapshot_set});
        case Phase::completed:
            return more(to_set, {Call::prepare_for_backup, Call::do_snapshot_set, Call::backup_complete});
        case Phase::restore: return {Call::initialize_for_restore};
        case Phase::pre_restored: return {Call::initialize_for_restore, Call::pre_restore};
        case Phase::post_restored:
            return {Call::initialize_for_restore, Call::pre_restore, Call::post_restore};
        case Phase::closed: return more(to_set, {Call::abort_backup});
    }
    return {};
}

Order order_in(Phase phase) {
    Order order;
    const auto way = way_to(phase);
    for (std::size_t i = 0; i < way.size(); ++i) {
        REQUIRE(order.permit(way[i]).ok());
        const bool fails = phase == Phase::snapshot_failed && i + 1 == way.size();
        order.ended(way[i], !fails);
    }
    REQUIRE(order.phase() == phase);
    return order;
}

template <class F>
void for_all(F&& f) {
    for (std::size_t p = 0; p < phase_count; ++p) {
        for (std::size_t c = 0; c < call_count; ++c) f(static_cast<Phase>(p), static_cast<Call>(c));
    }
}

// Whether a call lacks something on the shortest way although its phase is right.
bool lacks_on_the_way(Phase phase, Call call) {
    const bool of_restore =
        phase == Phase::restore || phase == Phase::pre_restored || phase == Phase::post_restored;
    switch (call) {
        case Call::read_writer_metadata:
        case Call::free_writer_metadata:
        case Call::gather_writer_status: return of_restore;  // nothing was gathered
        case Call::read_writer_status: return true;
        case Call::do_snapshot_set: return phase == Phase::set_open;
        case Call::set_backup_succeeded:
        case Call::backup_complete: return phase == Phase::prepared;
        case Call::import_snapshots:
        case Call::recover_set: return true;
        default: return false;
    }
}

}  // namespace

TEST_CASE("every phase and call agrees with the table written by phase") {
    for_all([](Phase phase, Call call) {
        CAPTURE(name(phase));
        CAPTURE(name(call));
        CHECK(table_permits(phase, call) == by_phase().at(phase).contains(call));
    });
}

TEST_CASE("a call that its phase permits may be made unless something else lacks") {
    for_all([](Phase phase, Call call) {
        CAPTURE(name(phase));
        CAPTURE(name(call));
        const auto answer = order_in(phase).permit(call);
        const bool expected = by_phase().at(phase).contains(call) && !lacks_on_the_way(phase, call);
        CHECK(answer.ok() == expected);
        if (answer.ok()) return;
        CHECK(hresult_of(answer.error()) == HResult::vss_e_bad_state);
        CHECK(answer.error().message().find(name(call)) != std::string::npos);
        CHECK(answer.error().message().find(name(phase)) != std::string::npos);
        CHECK(!answer.error().hint().empty());
    });
}

TEST_CASE("what was refused changes nothing") {
    for_all([](Phase phase, Call call) {
        auto order = order_in(phase);
        if (order.permit(call).ok()) return;
        CHECK(order.phase() == phase);
        for (std::size_t c = 0; c < call_count; ++c) {
            const auto other = static_cast<Call>(c);
            CHECK(order.permit(other).ok() == order_in(phase).permit(other).ok());
        }
    });
}

TEST_CASE("metadata is gathered once, and not again after it was freed") {
    auto order = order_in(Phase::gathered);
    CHECK_FALSE(order.permit(Call::gather_writer_metadata).ok());
    order.ended(Call::free_writer_metadata, true);
    CHECK_FALSE(order.permit(Call::read_writer_metadata).ok());
    CHECK_FALSE(order.permit(Call::gather_writer_metadata).ok());
    auto restore = order_in(Phase::restore);
    restore.ended(Call::gather_writer_metadata, true);
    CHECK_FALSE(restore.permit(Call::gather_writer_metadata).ok());
    CHECK_FALSE(restore.permit(Call::filter_writers).ok());
    CHECK(restore.permit(Call::read_writer_metadata).ok());
}

TEST_CASE("a status is read once after each gathering") {
    auto order = order_in(Phase::gathered);
    CHECK_FALSE(order.permit(Call::read_writer_status).ok());
    order.ended(Call::gather_writer_status, true);
    CHECK(order.permit(Call::read_writer_status).ok());
    order.ended(Call::read_writer_status, true);
    CHECK_FALSE(order.permit(Call::read_writer_status).ok());
}

TEST_CASE("a context without writers has no writers' calls and needs no gathering") {
    Order order;
    order.ended(Call::initialize_for_backup, true);
    order.set_writers(false);
    order.ended(Call::start_snapshot_set, true);
    CHECK_FALSE(order.permit(Call::add_component).ok());
    CHECK_FALSE(order.permit(Call::prepare_for_backup).ok());
    CHECK(order.permit(Call::do_snapshot_set).ok());
    order.ended(Call::do_snapshot_set, true);
    CHECK_FALSE(order.permit(Call::backup_complete).ok());
    CHECK_FALSE(order.permit(Call::set_backup_succeeded).ok());
    CHECK_FALSE(order.must_abort());
}

TEST_CASE("in a context with writers a set without gathered metadata cannot be made") {
    Order order;
    order.ended(Call::initialize_for_backup, true);
    order.ended(Call::start_snapshot_set, true);
    CHECK_FALSE(order.permit(Call::do_snapshot_set).ok());
    order.ended(Call::prepare_for_backup, true);
    CHECK_FALSE(order.permit(Call::do_snapshot_set).ok());
}

TEST_CASE("without a need for a snapshot DoSnapshotSet may be left out") {
    auto order = order_in(Phase::prepared);
    CHECK_FALSE(order.permit(Call::backup_complete).ok());
    order.set_snapshot_needed(false);
    CHECK(order.permit(Call::set_backup_succeeded).ok());
    CHECK(order.permit(Call::backup_complete).ok());
}

TEST_CASE("a document is imported once, whatever came of it") {
    for (const bool well : {true, false}) {
        Order order;
        order.set_from_document(true);
        order.ended(Call::initialize_for_backup, true);
        CHECK(order.permit(Call::import_snapshots).ok());
        order.ended(Call::import_snapshots, well);
        CHECK_FALSE(order.permit(Call::import_snapshots).ok());
    }
}

TEST_CASE("disks are recovered only after snapshots were added") {
    auto order = order_in(Phase::restore);
    CHECK_FALSE(order.permit(Call::recover_set).ok());
    order.ended(Call::add_snapshot_to_recovery_set, false);
    CHECK_FALSE(order.permit(Call::recover_set).ok());
    order.ended(Call::add_snapshot_to_recovery_set, true);
    CHECK(order.permit(Call::recover_set).ok());
}

TEST_CASE("a step that failed leaves the phase, but for DoSnapshotSet") {
    for_all([](Phase phase, Call call) {
        auto order = order_in(phase);
        if (!order.permit(call).ok()) return;
        order.ended(call, false);
        CHECK(order.phase() == (call == Call::do_snapshot_set ? Phase::snapshot_failed : phase));
    });
}

TEST_CASE("from the open set to BackupComplete leaving means to abort") {
    for (std::size_t p = 0; p < phase_count; ++p) {
        const auto phase = static_cast<Phase>(p);
        CAPTURE(name(phase));
        const bool expected = phase == Phase::set_open || phase == Phase::prepared ||
                              phase == Phase::snapshot_failed || phase == Phase::snapshotted;
        CHECK(order_in(phase).must_abort() == expected);
    }
}
