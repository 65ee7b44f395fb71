//! What every [`JobStore`] does.

mod changes;
mod lists;
mod places;

use std::sync::Arc;

use async_trait::async_trait;
use willcall_core::ports::JobStore;

use self::{changes::*, lists::*, places::*};

/// Makes the adapter that is put to the test.
#[async_trait]
pub trait JobStoreHarness: Send + Sync + Sized {
    /// A harness with an empty store.
    async fn fresh() -> Self;

    /// The store; each call may answer another handle of the same one.
    fn store(&self) -> Arc<dyn JobStore>;
}

crate::suite! {
    $ job_store_suite in job_store for JobStoreHarness {
        inserted_job_is_read_back_whole,
        a_taken_id_is_refused,
        large_unicode_jobs_come_back_as_they_were,
        accounts_do_not_see_each_other,
        a_missing_job_is_no_error_to_read_and_one_to_change,
        a_transition_is_kept_and_answered,
        a_refused_transition_changes_nothing,
        of_many_claims_one_wins,
        a_stale_attempt_is_refused,
        an_orphan_is_claimed_at_once_and_counts_as_lost,
        cancel_or_complete_wins_never_both,
        concurrent_changes_lose_none,
        a_deleted_job_is_gone_everywhere,
        every_filter_lists_what_it_says,
        amended_names_and_labels_are_found_anew,
        a_cursor_walks_all_jobs_without_gap_or_repeat,
        a_cursor_walk_with_a_filter_finds_all,
        jobs_inserted_during_a_walk_do_not_disturb_it,
        due_jobs_come_in_order_and_by_limit,
        a_moved_due_time_is_followed,
        concurrent_inserts_never_exceed_the_limit,
        an_ended_or_deleted_job_frees_its_place,
        limits_are_by_account,
        open_jobs_are_counted,
        queue_position_counts_what_is_taken_before,
    }
}
