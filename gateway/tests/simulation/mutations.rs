//! Without any one rule of the protocol, some world fails: so each rule is needed, and the simulation would notice its
//! loss. A test that finds no such world fails.
//!
//! Most rules need no more than the seeds that everybody gets. For the others the plan is directed: what the rule is
//! against is made likely, and the seed still decides when it strikes.

use std::time::Duration;

use gateway::room::{Durability, Rule};

use crate::faults::Fault;
use crate::plan::{Farewell, Plan, Strike};
use crate::run;
use crate::world::ms;

/// Worlds that are tried.
const SEEDS: u64 = 12_000;

/// A world without `rule` that fails.
fn fails_without(rule: Rule, direct: impl Fn(&mut Plan)) {
    for seed in 0..SEEDS {
        // What the other rules are against needs no strangers.
        let mut plan = Plan { without: Some(rule), strangers: 0, ..Plan::of(seed, Durability::Log) };
        direct(&mut plan);
        if let Err(why) = run::run(&plan) {
            println!("without {rule:?}: {why}\n  {plan:?}");
            plan.without = None;
            assert_eq!(run::run(&plan), Ok(()), "that world fails with the rule as well: {plan:?}");
            return;
        }
    }
    panic!("{SEEDS} worlds without {rule:?} and no failure");
}

fn undirected(_: &mut Plan) {}

/// A short life with these faults at its end, so that nothing that comes later makes good for them.
fn at_the_end(plan: &mut Plan, faults: &[Fault]) {
    plan.busy = Duration::from_secs(15);
    plan.pace = 20..700;
    let strike = |index: u64| Strike::At(plan.busy - ms(3000) + ms((plan.seed * 389 + index * 811) % 2900));
    plan.faults = (0..).zip(faults).map(|(index, fault)| (strike(index), *fault)).collect();
    plan.vacancy = 10;
}

#[test]
fn without_the_verdict_the_simulation_fails() {
    fails_without(Rule::VerdictFirst, |plan| plan.strangers = 1);
}

#[test]
fn without_acknowledging_all_that_the_room_held_the_simulation_fails() {
    fails_without(Rule::AcknowledgeAllHeld, |plan| {
        // It comes back to its gateway and vanishes, while the database is down; then gateway and log go down.
        plan.durability = Durability::Database;
        (plan.clients, plan.flaky, plan.vanish, plan.vacancy) = (1, 0.3, 0.3, 60_000);
        plan.faults = vec![(Strike::Ambush, Fault::RedisLosesAll), (Strike::Ambush, Fault::Crash)];
        plan.faults.extend((1..9).map(|part| (Strike::At(plan.busy / 10 * part), Fault::DatabaseDown)));
    });
}

#[test]
fn without_one_queue_in_order_the_simulation_fails() {
    fails_without(Rule::QueueInOrder, undirected);
}

#[test]
fn without_the_sweep_the_simulation_fails() {
    fails_without(Rule::Sweep, undirected);
}

#[test]
fn without_leaving_only_when_covered_the_simulation_fails() {
    fails_without(Rule::LeaveWhenCovered, undirected);
}

#[test]
fn without_persist_on_append_the_simulation_fails() {
    fails_without(Rule::PersistOnAppend, undirected);
}

#[test]
fn without_expiry_at_the_last_id_only_the_simulation_fails() {
    fails_without(Rule::ExpireAtLastOnly, |plan| {
        // A checkpoint ends behind an append, and then everything dies.
        (plan.farewell, plan.checkpoint_after) = (Farewell::Crash, ms(300));
    });
}

#[test]
fn without_trimming_late_the_simulation_fails() {
    fails_without(Rule::TrimLate, |plan| {
        // Everybody is gone, all is in the row, and the row goes back; somebody comes before the log has expired.
        (plan.clients, plan.vanish, plan.vacancy, plan.checkpoint_after) = (1, 0.3, 60_000, ms(300));
        plan.faults = vec![(Strike::At(plan.busy / 97 * (plan.seed % 97) as u32), Fault::DatabaseLosesCommits)];
        plan.time_to_live = Duration::from_secs(120);
    });
}

#[test]
fn without_confirming_the_row_before_a_late_cover_the_simulation_fails() {
    fails_without(Rule::ConfirmBeforeCover, |plan| {
        // Cut off from the log since its first checkpoints, and alone with them, which the database loses. When it reaches
        // the log again it covers them, and leaves.
        (plan.clients, plan.vanish, plan.vacancy, plan.checkpoint_after) = (1, 0.3, 60_000, ms(300));
        plan.faults = (0..1300).map(|part| (Strike::At(ms(1500 + part * 15)), Fault::ConnectionLoss)).collect();
        plan.faults.push((Strike::At(ms(1500 + plan.seed % 3000)), Fault::DatabaseLosesCommits));
        plan.time_to_live = Duration::from_secs(120);
    });
}

#[test]
fn without_writing_an_earlier_row_again_the_simulation_fails() {
    fails_without(Rule::RewriteEarlierRow, |plan| {
        at_the_end(plan, &[Fault::DatabaseLosesCommits]);
        plan.time_to_live = Duration::from_secs(120);
    });
}

#[test]
fn without_refusing_other_epochs_the_simulation_fails() {
    fails_without(Rule::RefuseOtherEpochs, undirected);
}

#[test]
fn without_the_tenure_the_simulation_fails() {
    fails_without(Rule::Tenure, undirected);
}

#[test]
fn without_reading_the_whole_stream_the_simulation_fails() {
    fails_without(Rule::ReadWholeStream, |plan| {
        // Entries of two epochs are uncovered when the only room dies.
        (plan.clients, plan.vanish, plan.vacancy) = (1, 0.1, 60_000);
        let middle = plan.busy / 3;
        plan.faults = vec![(Strike::At(middle), Fault::DatabaseDown), (Strike::Ambush, Fault::Crash)];
        plan.faults.push((Strike::At(middle + ms(500)), Fault::RedisRestart));
    });
}

#[test]
fn without_union_and_compare_and_set_the_simulation_fails() {
    fails_without(Rule::UnionAndCompareAndSet, undirected);
}

#[test]
fn without_a_contiguous_position_the_simulation_fails() {
    fails_without(Rule::ContiguousPosition, undirected);
}

#[test]
fn without_appending_what_the_stream_lacks_the_simulation_fails() {
    fails_without(Rule::AppendWhatTheStreamLacks, |plan| {
        // One gateway misses an entry that the log loses, and reads the row just before the others have written it.
        at_the_end(plan, &[Fault::ConnectionLoss, Fault::RedisLosesAll]);
        plan.checkpoint_after = ms(3000);
    });
}

#[test]
fn without_the_connection_generation_the_simulation_fails() {
    fails_without(Rule::ConnectionGeneration, |plan| {
        // Connections break while rooms join; what they then do not hear is written after that.
        at_the_end(plan, &[Fault::ConnectionLoss; 40]);
        plan.busy += ms(3000);
    });
}

#[test]
fn without_the_rev_in_the_tick_the_simulation_fails() {
    fails_without(Rule::CompareRev, |plan| {
        // An update gets to the row, but its gateway is cut off from the log and dies. Nobody writes after that.
        at_the_end(plan, &[Fault::ConnectionLoss; 8]);
        plan.faults.extend([(Strike::Ambush, Fault::Crash); 4]);
        (plan.pace, plan.vanish, plan.checkpoint_after) = (2000..8000, 0.3, ms(300));
        plan.time_to_live = Duration::from_secs(120);
    });
}
