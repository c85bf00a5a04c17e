// Orders of engine.md that tests can switch off, one at a time, to prove that the simulation would find
// their absence (E37). Production code never sets one.
#pragma once

#include <cstdint>

namespace exshadow {

enum class Order : std::uint8_t {
    none,
    e1_record_departure_before_answer,
    e2_departed_map_has_active_extents,
    e2_later_writes_mark_sync_map,
    e3_readers_wait_for_new_authority,
    e4_fail_after_failed_flush,
    e5_rewrite_after_read_error,
    e6_back_when_idle,
    e7_identity_before_trust,
    e9_overlapping_requests_wait,
    e11_elide_only_known_zeroes,
    e12_flush_reaches_every_member,
    e14_log_before_write,
    e14_flush_before_eviction,
    e14_maps_before_eviction,
    e14_mark_before_write,
    e15_merge_interval_of_lost_snapshot,
    e16_restore_marks_difference,
    e17_difference_before_resync,
    e17_flush_before_clear,
    e17_copier_holds_range,
    e17_live_writes_reach_target,
    e18_unreadable_map_is_all_changed,
    e19_reconcile_active_extents,
    e19_active_extents_count_as_changed,
    e20_metadata_failure_is_final,
    e21_flush_leaving_before_ready,
    e22_old_writes_reach_leaving,
    e22_mark_unfinished_in_both,
    e23_old_failure_rolls_back,
    e24_all_members_or_none,
    e25_active_extents_not_in_restore_map,
    e26_map_durable_before_commit,
    e26_members_flushed_before_commit,
    e26_turn_marks_unfinished,
    e26_new_writes_wait_for_old,
    e26_old_writes_clear_no_bit,
    e26_all_members_or_none,
    e27_read_snapshot_before_partial_write,
    e27_flush_before_clear,
    e27_clear_before_answer,
    e27_mover_takes_unmoved_only,
    e28_copier_reads_through_redirect,
    count,
};

struct OrderHooks {
    Order off = Order::none;
    [[nodiscard]] bool keeps(Order order) const { return off != order; }
};

[[nodiscard]] const char* order_name(Order order);

}  // namespace exshadow
