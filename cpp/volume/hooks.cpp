#include "volume/hooks.h"

namespace exshadow {

const char* order_name(Order order) {
    switch (order) {
        case Order::none: return "none";
        case Order::e1_record_departure_before_answer: return "E1 departure recorded before the answer";
        case Order::e2_departed_map_has_active_extents:
            return "E2 a departed plex's map has the active extents";
        case Order::e2_later_writes_mark_sync_map: return "E2 later writes mark the sync map";
        case Order::e3_readers_wait_for_new_authority: return "E3 readers wait while a new authority settles";
        case Order::e4_fail_after_failed_flush: return "E4 no writes after a failed flush";
        case Order::e5_rewrite_after_read_error: return "E5 rewritten after a read error";
        case Order::e6_back_when_idle: return "E6 back only when its old requests ended";
        case Order::e7_identity_before_trust: return "E7 identity before trust";
        case Order::e9_overlapping_requests_wait: return "E9 overlapping requests wait";
        case Order::e11_elide_only_known_zeroes: return "E11 only known zeroes are elided";
        case Order::e12_flush_reaches_every_member: return "E12 flush reaches every member";
        case Order::e14_log_before_write: return "E14 activity log before the write";
        case Order::e14_flush_before_eviction: return "E14 plexes flushed before eviction";
        case Order::e14_maps_before_eviction: return "E14 maps durable before eviction";
        case Order::e14_mark_before_write: return "E14 maps marked before the write";
        case Order::e15_merge_interval_of_lost_snapshot: return "E15 a lost snapshot's interval is merged";
        case Order::e16_restore_marks_difference: return "E16 restore marks its difference";
        case Order::e17_difference_before_resync: return "E17 resync starts from the difference";
        case Order::e17_flush_before_clear: return "E17 target flushed before bits are cleared";
        case Order::e17_copier_holds_range: return "E17 the copier holds the range";
        case Order::e17_live_writes_reach_target: return "E17 live writes reach the target or stay marked";
        case Order::e18_unreadable_map_is_all_changed: return "E18 an unreadable map counts as all changed";
        case Order::e19_reconcile_active_extents: return "E19 active extents are reconciled";
        case Order::e19_active_extents_count_as_changed: return "E19 active extents count as changed";
        case Order::e20_metadata_failure_is_final: return "E20 a metadata failure is final";
        case Order::e21_flush_leaving_before_ready: return "E21 leaving plex flushed before ready";
        case Order::e22_old_writes_reach_leaving: return "E22 old writes reach the leaving plex";
        case Order::e22_mark_unfinished_in_both: return "E22 unfinished writes marked on both sides";
        case Order::e23_old_failure_rolls_back: return "E23 an old write that failed rolls the set back";
        case Order::e24_all_members_or_none: return "E24 all members or none";
        case Order::e25_active_extents_not_in_restore_map: return "E25 no active extents in a restore map";
        case Order::e26_map_durable_before_commit: return "E26 restore map durable before the commit";
        case Order::e26_members_flushed_before_commit: return "E26 members flushed before the commit";
        case Order::e26_turn_marks_unfinished: return "E26 the turn marks unfinished writes";
        case Order::e26_new_writes_wait_for_old: return "E26 writes to a region not moved wait for others";
        case Order::e26_old_writes_clear_no_bit: return "E26 writes from before the turn clear no bit";
        case Order::e26_all_members_or_none: return "E26 all members are restored or none";
        case Order::e27_read_snapshot_before_partial_write: return "E27 snapshot read below a partial write";
        case Order::e27_flush_before_clear: return "E27 data flushed before the bit is cleared";
        case Order::e27_clear_before_answer: return "E27 bit cleared before a flush is answered";
        case Order::e27_mover_takes_unmoved_only: return "E27 the mover takes only what is not moved";
        case Order::e28_copier_reads_through_redirect: return "E28 copiers read through the redirect";
        case Order::count: break;
    }
    return "unknown";
}

}  // namespace exshadow
