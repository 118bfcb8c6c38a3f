//! What every store must do, as small cases that state one fact each.
//!
//! A case plays with an empty store through a [`Harness`] and panics when the fact does not hold. Afterwards the
//! histories of all tasks are verified, whatever the case was about.

mod chaining;
mod claiming;
mod creation;
mod dropping;
mod ending;
mod failing;
mod fairness;
mod history;
mod late;
mod leases;
mod listing;
mod progress;
mod repeats;
mod requesting;
mod settings;
mod steps;
mod tasks;
mod times;
mod workflows;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use tasker_engine::{StepBuilder, Template};
use tasker_types::StepNo;

use crate::clock::ManualClock;
use crate::harness::Harness;
use crate::shapes;

/// The end of a case.
type Played<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

/// A fact that must hold for every store.
#[derive(Clone, Copy)]
pub struct Case {
    /// The fact, in words joined by underscores.
    pub name: &'static str,
    play: for<'a> fn(&'a Harness) -> Played<'a>,
}

impl Case {
    /// Plays the case on an empty store and verifies all histories.
    ///
    /// # Panics
    ///
    /// When the fact does not hold, or a rule of histories is violated.
    pub async fn play(&self, harness: &Harness) {
        (self.play)(harness).await;
        harness.verify().await;
    }
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Case").field(&self.name).finish()
    }
}

/// Plays one case on a store that `open` makes around a clock, on a runtime of its own.
///
/// # Panics
///
/// When the fact does not hold, or there is no case of this name.
pub fn run(name: &str, open: impl AsyncFnOnce(ManualClock) -> Harness) {
    let case = cases().into_iter().find(|case| case.name == name).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let harness = open(ManualClock::new()).await;
        case.play(&harness).await;
    });
}

macro_rules! cases {
    ($dollar:tt $($module:ident { $($case:ident)+ })+) => {
        /// Returns every case, by subject.
        pub fn cases() -> Vec<Case> {
            vec![$($(
                Case { name: stringify!($case), play: |harness| Box::pin($module::$case(harness)) },
            )+)+]
        }

        /// Makes a test of every case of the conformance suite.
        ///
        /// It is given the name of an asynchronous function that makes an empty store of its own around a
        /// [`ManualClock`](crate::ManualClock). The tests are named like the cases, run side by side, and each verifies the
        /// history of every task at its end. What a store does that the suite does not ask for stays free.
        ///
        /// ```
        /// use std::sync::Arc;
        /// use tasker_testkit::engine::MemoryStore;
        /// use tasker_testkit::{Harness, ManualClock, conformance};
        ///
        /// async fn open(clock: ManualClock) -> Harness {
        ///     // Here stands the store under test. A directory that it needs is kept by `Harness::keeping`.
        ///     let store = MemoryStore::new(Arc::new(clock.clone()));
        ///     Harness::new(Arc::new(store), clock)
        /// }
        ///
        /// conformance!(open);
        /// # fn main() {}
        /// ```
        #[macro_export]
        macro_rules! conformance {
            ($dollar open:path) => {
                $($(
                    #[test]
                    fn $case() {
                        $crate::run(stringify!($case), $dollar open);
                    }
                )+)+
            };
        }
    };
}

cases! { $
    creation {
        a_new_task_is_pending_and_its_roots_are_queued
        steps_count_the_parents_that_they_wait_for
        a_task_keeps_what_the_request_says
        a_creator_is_handed_first_steps_in_the_same_commit
        a_creator_is_handed_no_more_than_it_wants
        a_bypassed_step_is_resolved_from_the_start
        a_child_does_not_wait_for_a_bypassed_parent
        a_task_whose_steps_are_all_bypassed_is_complete_at_once
        a_taken_identity_is_an_answer_and_the_others_are_created
        an_identity_is_taken_by_an_earlier_task_of_the_same_request
        a_repeated_key_with_the_same_request_names_the_first_task
        a_repeated_key_with_another_request_is_told_apart
        a_key_belongs_to_its_namespace
        many_tasks_are_created_in_one_request
        requests_that_come_in_together_are_answered_apart
        however_many_look_at_once_each_is_answered
        an_unknown_task_is_nothing
    }
    claiming {
        a_claim_says_all_that_a_handler_needs
        a_claimed_step_is_in_progress_under_its_lease
        a_second_claim_is_empty
        claims_stop_at_the_limit
        a_limit_of_zero_claims_nothing
        higher_priority_is_claimed_first
        the_older_task_is_claimed_first
        the_lower_step_number_is_claimed_first
        claims_are_told_in_the_order_of_tasks_and_steps
        a_new_priority_moves_queued_steps
        a_step_is_left_for_a_worker_that_has_its_handler
        a_worker_is_handed_only_tasks_in_its_scope
        the_first_claim_starts_the_task
        the_next_due_time_is_that_of_the_earliest_step_in_scope
        the_next_due_time_leaves_out_what_the_worker_cannot_run
    }
    chaining {
        a_ready_child_is_handed_over_in_the_same_turn
        a_child_waits_for_all_its_parents
        both_parents_in_one_turn_start_the_child_once
        children_over_the_limit_are_left_for_others
        a_ready_child_is_handed_over_where_the_queue_is_left_alone
        a_child_that_fills_the_hand_does_not_come_before_what_is_more_urgent
        a_child_without_a_handler_here_is_left_for_others
        a_child_out_of_scope_is_left_for_others
        children_see_the_results_of_their_parents_in_step_order
        the_last_step_completes_the_task
        fifty_children_are_handed_over_in_one_turn
        one_turn_ends_several_tasks
    }
    fairness {
        namespaces_take_turns
        a_low_priority_in_another_namespace_is_not_starved
        a_chain_does_not_starve_another_namespace
        a_namespace_without_work_takes_no_turn
        a_namespace_with_work_waits_no_longer_than_twice_their_number
    }
    requesting {
        a_result_creates_tasks_in_its_commit
        the_root_is_the_first_task_of_the_line
        first_steps_of_created_tasks_are_handed_over_in_the_same_turn
        created_tasks_wake_listeners
        a_created_task_may_be_over_at_once
        what_is_no_result_creates_nothing
        a_late_result_creates_nothing
        a_result_under_a_stale_token_creates_nothing
        a_result_in_a_repeated_turn_creates_once
        a_result_twice_in_a_turn_creates_once
        a_taken_identity_leaves_the_result_recorded
        two_results_of_a_turn_ask_for_the_same_identity
        a_key_of_a_result_may_be_repeated_or_reused
    }
    failing {
        a_retry_waits_for_its_time
        a_retry_without_a_wait_is_ready_at_once
        attempts_and_runs_count_up
        a_failure_is_kept_with_the_step_and_in_the_history
        a_permanent_failure_is_not_tried_again
        an_exhausted_step_is_not_tried_again
        a_step_that_may_not_retry_runs_once
        a_step_that_fails_and_then_succeeds_completes_its_task
        an_exhausted_step_takes_no_retries_from_its_siblings
        a_task_fails_when_its_last_running_step_succeeds
        a_task_fails_when_its_last_running_step_fails
        a_task_fails_in_the_turn_that_brings_both_ends
        children_of_a_failed_step_stay_pending
        a_task_in_error_hands_nothing_out
    }
    leases {
        a_lease_renewed_after_the_clock_went_back_ends_by_that_clock
        a_renewal_extends_a_lease
        a_renewal_answers_in_order
        an_outcome_under_a_stale_token_changes_nothing
        an_outcome_of_an_earlier_run_changes_nothing
        a_lease_holds_up_to_its_last_moment
        a_lease_past_its_time_is_lost_before_any_sweep
        a_sweep_ends_a_lease_that_is_over
        a_sweep_leaves_a_lease_that_holds
        a_lost_attempt_counts
        a_crash_leaves_no_attempt_to_a_step_that_may_not_retry
        a_crash_at_the_last_attempt_fails_the_task
        a_sweep_stops_at_its_limit_and_the_next_goes_on
        a_sweep_keeps_to_its_scope
        a_clock_that_jumps_back_loses_nothing
    }
    progress {
        a_renewal_keeps_what_handlers_say
        an_outcome_keeps_what_its_handler_said_last
        what_a_stale_lease_says_is_not_kept
        the_next_attempt_has_said_nothing_yet
        what_handlers_say_wakes_listeners
    }
    ending {
        a_release_gives_the_attempt_back
        a_release_lets_a_step_that_may_not_retry_run
        an_interrupt_charges_the_attempt_and_is_due_at_once
        an_interrupt_at_the_last_attempt_waits_for_a_person
        an_interrupted_step_that_may_not_retry_waits_for_a_person
        a_suspended_step_waits_and_finds_its_checkpoint
        a_suspended_step_never_runs_out_of_attempts
        a_reset_step_finds_no_checkpoint
        every_end_says_how_long_the_handler_ran
    }
    dropping {
        a_dropped_creation_is_whole_or_nothing
        a_dropped_turn_is_whole_or_nothing
        a_dropped_renewal_can_be_asked_for_again
        a_dropped_sweep_ends_a_lease_once
        a_dropped_look_of_the_finalizer_changes_nothing
        a_dropped_demand_is_whole_or_nothing
        readers_that_are_dropped_leave_the_store_as_it_was
    }
    repeats {
        a_repeated_creation_creates_nothing
        a_repeated_creation_hands_out_the_same_claims
        a_repeated_outcome_is_recorded_once
        an_outcome_twice_in_a_turn_is_recorded_once
        an_outcome_repeated_after_the_next_claim_is_recorded_once
        a_repeated_turn_hands_out_the_same_claims
        a_repeated_turn_does_not_hand_out_what_has_ended
        another_worker_is_not_handed_the_same_claims
    }
    late {
        a_late_outcome_is_kept_and_is_no_result
        a_late_outcome_is_kept_once
        a_late_outcome_of_a_cancelled_task_is_kept
        an_outcome_after_a_reset_is_lost
        an_outcome_recorded_before_the_cancellation_stays_recorded
        a_renewal_tells_of_the_cancellation
    }
    steps {
        a_cancelled_step_is_not_claimed
        a_cancelled_running_step_gives_up_its_lease
        a_cancelled_parent_fails_the_task
        a_cancelled_step_that_is_reset_resumes_its_task
        a_reset_gives_the_attempts_back
        a_resolved_step_resumes_its_task_and_gives_its_result
        a_step_resolved_without_a_result_gives_none
        the_last_step_resolved_first_does_not_hang_the_task
        a_parent_resolved_before_it_runs_lets_its_child_start
        resolving_the_last_step_that_is_left_completes_the_task
        resolving_the_failed_branch_lets_the_task_complete
        a_step_resolved_while_another_runs_waits_for_it
        illegal_demands_name_state_and_event_and_change_nothing
        a_cancelled_step_of_a_task_that_is_over_stays_cancelled
        unknown_tasks_and_steps_are_named
        an_intervention_tells_which_steps_it_changed
        a_reason_is_kept_with_its_actor
    }
    tasks {
        cancelling_a_task_cancels_its_unfinished_steps
        a_cancelled_task_hands_nothing_out
        a_task_that_is_over_cannot_be_cancelled
        resolving_a_task_in_error_cancels_its_unfinished_steps
        a_task_that_is_not_in_error_cannot_be_resolved
        retrying_a_task_resets_its_stuck_steps
        retrying_keeps_the_steps_that_are_done
        a_task_that_is_not_in_error_cannot_be_retried
        a_task_with_nothing_but_a_cancelled_step_cannot_be_retried
        a_task_cannot_resume_when_nothing_could_happen
        a_step_cancelled_in_a_task_in_error_leaves_it_there
    }
    settings {
        a_higher_retry_limit_resumes_an_exhausted_task
        a_higher_retry_limit_does_not_mend_a_permanent_failure
        a_lower_retry_limit_ends_the_retries
        a_retry_limit_of_zero_is_refused
        settings_of_a_running_step_are_refused
        a_new_time_limit_and_configuration_come_with_the_next_claim
        a_task_is_described_anew
        a_label_that_cannot_be_kept_is_refused
        a_change_of_a_setting_keeps_its_reason
        several_demands_are_carried_out_together
        of_several_demands_none_is_carried_out_if_one_is_refused
        a_demand_of_a_task_that_was_changed_meanwhile_is_refused
        of_those_who_saw_the_same_task_one_changes_it
    }
    times {
        no_step_starts_before_the_time_of_its_task
        a_start_in_the_past_is_no_wait
        a_deadline_fails_the_task
        a_step_that_runs_past_the_deadline_is_still_recorded
        a_task_resumed_after_its_deadline_has_none
        a_task_that_ended_in_time_has_met_its_deadline
        a_sweep_tells_of_the_next_deadline
        a_sweep_names_a_task_whose_check_is_due_once
        a_check_is_put_off
        a_task_that_is_over_is_not_looked_at
        an_examination_tells_the_context
        an_examination_changes_nothing
    }
    history {
        a_history_is_read_in_pages
        a_reading_is_everything_of_each_task
        the_events_of_all_tasks_are_their_histories
        the_events_are_read_in_pages
        the_last_position_is_told
        what_a_handler_published_is_recorded_with_its_end
        entries_name_who_did_it
        a_snapshot_names_the_position_it_includes
        queued_work_wakes_listeners
        a_cancelled_lease_wakes_listeners
    }
    listing {
        a_list_has_the_newest_task_first
        a_list_says_how_far_tasks_are
        each_filter_leaves_what_it_says
        a_list_is_sorted_as_it_is_asked_for
        pages_joined_are_the_list
        a_total_does_not_depend_on_the_page
        no_task_is_skipped_or_repeated_while_others_are_created
        a_task_is_found_by_what_is_said_of_it_now
        odd_names_are_found_and_told_apart
        what_is_said_or_done_of_a_task_updates_it
        the_secret_of_cursors_is_the_first_one
    }
    workflows {
        linear_runs_to_its_end
        diamond_runs_to_its_end
        tree_runs_to_its_end
        parallel_merge_runs_to_its_end
        mixed_runs_to_its_end
        a_wide_workflow_runs_to_its_end
        a_chain_runs_to_its_end
        random_workflows_run_to_their_end
        two_workers_share_a_workflow
    }
}

const A: StepNo = StepNo(0);
const B: StepNo = StepNo(1);
const C: StepNo = StepNo(2);
const D: StepNo = StepNo(3);

/// Returns `a`, then `b` and `c` side by side, then `d`.
fn fork() -> Arc<Template> {
    shapes::graph("fork", &[("a", ""), ("b", "a"), ("c", "a"), ("d", "b c")])
}

/// Returns `a` and `b`, which wait for nothing.
fn pair() -> Arc<Template> {
    shapes::graph("pair", &[("a", ""), ("b", "")])
}

/// Returns one step that may be attempted so often.
fn limited(attempts: u32) -> Arc<Template> {
    Template::builder("limited")
        .step(StepBuilder::new("a", "any").retry_limit(attempts))
        .build()
        .unwrap()
}

/// Returns one step that may not be tried again.
fn once() -> Arc<Template> {
    Template::builder("once")
        .step(StepBuilder::new("a", "any").not_retryable())
        .build()
        .unwrap()
}

/// Returns one step in some namespace.
fn within(namespace: &str) -> Arc<Template> {
    Template::builder("within")
        .namespace(namespace)
        .step(StepBuilder::new("a", "any"))
        .build()
        .unwrap()
}
