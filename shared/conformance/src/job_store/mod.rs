//! What every [`JobStore`] does.

mod batches;
mod changes;
mod containers;
mod days;
mod lists;
mod places;
mod submits;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use willcall_core::ports::JobStore;

use self::{batches::*, changes::*, containers::*, days::*, lists::*, places::*, submits::*};

const MINUTE: Duration = Duration::from_secs(60);

/// Makes the adapter that is put to the test.
#[async_trait]
pub trait JobStoreHarness: Send + Sync + Sized {
    /// A harness with an empty store.
    async fn fresh() -> Self;

    /// The store; each call may answer another handle of the same one.
    fn store(&self) -> Arc<dyn JobStore>;

    /// How many of a crowd's submits may be under way at once: all of them, but on a back end that is an emulator and
    /// serves one call at a time.
    fn at_once(&self) -> usize {
        usize::MAX
    }
}

crate::suite! {
    $ job_store_suite in job_store for JobStoreHarness {
        inserted_job_is_read_back_whole,
        a_taken_id_is_refused,
        large_unicode_jobs_come_back_as_they_were,
        accounts_do_not_see_each_other,
        a_missing_job_is_no_error_to_read_and_one_to_change,
        a_transition_is_kept_and_answered,
        what_a_dry_run_found_out_is_kept,
        a_refused_transition_changes_nothing,
        of_many_claims_one_wins,
        a_stale_attempt_is_refused,
        an_orphan_is_claimed_at_once_and_counts_as_lost,
        cancel_or_complete_wins_never_both,
        concurrent_changes_lose_none,
        of_many_changes_judged_on_one_version_one_is_made,
        a_deleted_job_is_gone_everywhere,
        every_filter_lists_what_it_says,
        amended_names_and_labels_are_found_anew,
        a_cursor_walks_all_jobs_without_gap_or_repeat,
        a_cursor_walk_with_a_filter_finds_all,
        jobs_inserted_during_a_walk_do_not_disturb_it,
        due_jobs_come_in_order_and_by_limit,
        a_moved_due_time_is_followed,
        concurrent_inserts_never_exceed_the_limit,
        a_limit_that_was_lowered_holds_for_those_who_come_then,
        an_ended_or_deleted_job_frees_its_place,
        limits_are_by_account,
        open_jobs_are_counted,
        queue_position_counts_what_is_taken_before,
        a_key_is_kept_with_its_job,
        a_key_that_expired_is_as_good_as_new,
        of_many_submits_with_one_key_one_inserts,
        a_refused_submit_keeps_no_key_and_is_not_counted,
        concurrent_submits_never_exceed_the_minutes_limit,
        submits_are_counted_by_minute_and_account,
        what_jobs_deliver_is_added_to_the_day_once,
        jobs_that_complete_at_once_are_all_added,
        jobs_that_complete_at_once_never_exceed_the_days_records,
        the_last_piece_alone_may_pass_the_days_bytes,
        midnight_makes_room,
        an_identical_job_serves_those_who_ask_for_it,
        what_ended_without_a_whole_result_serves_nobody,
        what_came_to_nothing_hides_no_job_before_it,
        of_many_that_could_serve_each_other_one_inserts,
        a_batch_is_added_with_its_containers_count,
        a_container_that_takes_no_batch_is_left_as_it_is,
        a_batchs_id_is_taken_once,
        a_name_is_held_until_its_batch_has_come_to_nothing,
        of_many_batches_of_one_name_one_is_added,
        a_key_is_kept_with_its_batch,
        of_many_batches_with_one_key_one_is_added,
        batches_added_at_once_are_all_counted,
        batches_are_listed_oldest_first_in_pages,
        a_batch_is_no_job_of_its_account,
        batches_are_due_like_jobs,
        a_deleted_batch_is_gone_everywhere,
        a_batch_takes_its_container_along,
        a_refused_change_of_a_batch_leaves_its_container,
        batches_that_end_at_once_are_all_counted,
        a_batch_of_an_ended_container_can_only_be_given_up,
        a_container_ends_before_or_after_each_of_its_batches,
        a_batch_waits_among_the_jobs_of_its_account,
        a_batch_that_was_added_while_its_container_closed_is_counted_or_refused,
    }
}
