use super::*;

/// A fleet of which a test says what is special.
struct Case {
    memory: Memory,
    seen: Observation,
    start: Instant,
}

impl Case {
    /// `count` gateways, named a, b, c, ... with 10, 20, 30, ... connections, all ready, as wanted and accepted.
    fn settled(count: u8) -> Self {
        let start = Instant::now();
        let pods = (0..count).map(|index| Pod {
            name: char::from(b'a' + index).to_string(),
            created: Some(k8s_openapi::jiff::Timestamp::from_second(1000 + i64::from(index)).unwrap()),
            ready: true,
            ending: false,
            overdue: false,
            marked: false,
            connections: Some(10 * (u64::from(index) + 1)),
        });
        let replicas = Some(i32::from(count));
        let seen = Observation {
            now: start,
            spec: replicas,
            accepted: replicas,
            applied: replicas,
            live: replicas,
            min: 2,
            max: 10,
            step: 1,
            rolling: false,
            pods: pods.collect(),
        };
        Self { memory: Memory::default(), seen, start }
    }

    /// Decides at `seconds` after the start, and lets the world follow: what is accepted and applied, and the marks.
    fn at(&mut self, seconds: u64) -> Decision {
        self.seen.now = self.start + Duration::from_secs(seconds);
        let decision = decide(&mut self.memory, &self.seen);
        if let Some(replicas) = decision.write_spec {
            self.seen.spec = Some(replicas);
        }
        self.seen.accepted = Some(decision.target);
        self.seen.applied = Some(decision.replicas);
        self.seen.live = Some(decision.replicas);
        for pod in &mut self.seen.pods {
            pod.marked |= decision.mark.contains(&pod.name);
            pod.marked &= !decision.unmark.contains(&pod.name);
        }
        decision
    }

    fn pod(&mut self, name: &str) -> &mut Pod {
        self.seen.pods.iter_mut().find(|pod| pod.name == name).unwrap()
    }

    fn gone(&mut self, name: &str) {
        self.seen.pods.retain(|pod| pod.name != name);
    }
}

#[test]
fn a_settled_fleet_is_left_alone() {
    let mut case = Case::settled(4);
    let decision = case.at(0);
    assert_eq!(decision, Decision { target: 4, replicas: 4, ..Decision::default() });
}

#[test]
fn a_new_object_gets_the_minimum_and_says_so() {
    let mut case = Case::settled(0);
    case.seen = Observation { spec: None, accepted: None, applied: None, live: None, ..case.seen };
    let decision = case.at(0);
    assert_eq!((decision.write_spec, decision.target, decision.replicas), (Some(2), 2, 2));
    assert_eq!(decision.notes, [Note::ReplicasWritten { replicas: 2 }]);
}

#[test]
fn absent_replicas_become_what_lives_within_the_limits() {
    for (live, min, max, written) in [(4, 2, 10, 4), (1, 2, 10, 2), (12, 2, 10, 10)] {
        let mut case = Case::settled(4);
        case.seen = Observation { spec: None, live: Some(live), applied: Some(live), min, max, ..case.seen };
        assert_eq!(case.at(0).write_spec, Some(written), "{live} within {min}..{max}");
    }
}

#[test]
fn a_manifest_applied_again_without_replicas_moves_no_pod() {
    let mut case = Case::settled(4);
    case.at(0);
    case.seen.spec = None;
    let decision = case.at(1);
    assert_eq!((decision.write_spec, decision.target, decision.replicas), (Some(4), 4, 4));
}

#[test]
fn a_surge_is_followed_at_once() {
    let mut case = Case::settled(2);
    case.seen.spec = Some(7);
    let decision = case.at(0);
    assert_eq!((decision.target, decision.replicas), (7, 7));
    assert_eq!(decision.notes, [Note::ScaledUp { from: 2, to: 7 }]);
}

#[test]
fn a_surge_is_followed_even_while_a_rollout_runs() {
    let mut case = Case::settled(2);
    case.seen.spec = Some(7);
    case.seen.rolling = true;
    assert_eq!(case.at(0).replicas, 7);
}

#[test]
fn a_drop_is_accepted_only_after_20_seconds() {
    let mut case = Case::settled(4);
    case.at(0);
    case.seen.spec = Some(2);
    let first = case.at(100);
    assert_eq!((first.target, first.replicas, first.look_again), (4, 4, Some(Duration::from_secs(20))));
    assert_eq!(case.at(119).target, 4);
    let accepted = case.at(120);
    assert_eq!(accepted.target, 2);
    assert!(accepted.notes.contains(&Note::ScaleDownAccepted { from: 4, to: 2 }));
}

#[test]
fn a_drop_that_is_taken_back_moves_nothing() {
    let mut case = Case::settled(4);
    case.at(0);
    case.seen.spec = Some(2);
    case.at(10);
    case.seen.spec = Some(4);
    case.at(25);
    case.seen.spec = Some(2);
    assert_eq!(case.at(40).target, 4, "the first drop does not count for the second");
    assert_eq!(case.at(60).target, 2);
}

#[test]
fn a_drop_in_two_goes_is_followed_in_two() {
    let mut case = Case::settled(6);
    case.at(0);
    case.seen.spec = Some(4);
    case.at(10);
    case.seen.spec = Some(2);
    case.at(20);
    assert_eq!(case.at(31).target, 4);
    assert_eq!(case.at(40).target, 2);
}

#[test]
fn a_drop_seen_first_after_a_restart_has_to_stand_too() {
    let mut case = Case::settled(4);
    case.seen.spec = Some(2);
    case.seen.applied = None;
    assert_eq!(case.at(0).target, 4);
    assert_eq!(case.at(20).target, 2);
}

/// A fleet of 4 whose drop to 2 has been accepted, and whose first victim has just been named.
fn scaling_down() -> Case {
    let mut case = Case::settled(4);
    case.at(0);
    case.seen.spec = Some(2);
    case.at(1);
    case
}

#[test]
fn the_pod_with_the_fewest_connections_is_marked_seen_and_waited_for_before_replicas_fall() {
    let mut case = scaling_down();
    let chosen = case.at(21);
    assert_eq!((chosen.mark.as_slice(), chosen.replicas), (["a".to_owned()].as_slice(), 4));
    let seen = case.at(22);
    assert_eq!((seen.mark.len(), seen.replicas, seen.look_again), (0, 4, Some(COST_SPREADS)));
    let lowered = case.at(23);
    assert_eq!(lowered.replicas, 3);
    assert_eq!(lowered.target, 2, "status says the accepted target from the start");
    assert!(lowered.notes.contains(&Note::ScaledDown { from: 4, to: 3, pods: vec!["a".to_owned()] }));
}

#[test]
fn the_next_step_waits_until_the_victims_are_gone() {
    let mut case = scaling_down();
    for second in 21..=23 {
        case.at(second);
    }
    assert_eq!(case.at(24).mark, Vec::<String>::new(), "the ReplicaSet has not acted yet");
    case.pod("a").ending = true;
    assert_eq!((case.at(30).replicas, case.at(40).replicas), (3, 3), "it drains");
    case.gone("a");
    assert_eq!(case.at(50).mark, ["b"]);
}

#[test]
fn a_victim_that_never_ends_is_waited_for_only_so_long() {
    let mut case = scaling_down();
    for second in 21..=23 {
        case.at(second);
    }
    case.pod("a").ending = true;
    assert!(case.at(50).mark.is_empty());
    case.pod("a").overdue = true;
    assert_eq!(case.at(90).mark, ["b"]);
}

#[test]
fn a_step_takes_no_more_than_it_may_and_no_more_than_are_too_many() {
    for (step, marked) in [(1, 1), (2, 2), (5, 2)] {
        let mut case = scaling_down();
        case.seen.step = step;
        assert_eq!(case.at(21).mark.len(), marked, "step {step}");
    }
}

#[test]
fn nothing_goes_while_a_rollout_runs() {
    let mut case = scaling_down();
    case.seen.rolling = true;
    let decision = case.at(21);
    assert_eq!((decision.target, decision.replicas, decision.mark.len()), (2, 4, 0));
}

#[test]
fn a_surge_cancels_the_steps_not_yet_taken_and_frees_the_marked() {
    let mut case = scaling_down();
    case.at(21);
    case.seen.spec = Some(4);
    let decision = case.at(22);
    assert_eq!((decision.target, decision.replicas), (4, 4));
    assert_eq!(decision.unmark, ["a"]);
}

#[test]
fn among_equals_the_newest_goes_and_one_that_is_not_ready_before_all() {
    let mut case = scaling_down();
    for pod in &mut case.seen.pods {
        pod.connections = Some(5);
    }
    assert_eq!(case.at(21).mark, ["d"]);

    let mut case = scaling_down();
    case.pod("c").ready = false;
    assert_eq!(case.at(21).mark, ["c"]);
}

#[test]
fn connections_that_come_and_go_do_not_change_the_choice() {
    let mut case = scaling_down();
    assert_eq!(case.at(21).mark, ["a"]);
    case.pod("a").connections = Some(500);
    let decision = case.at(22);
    assert!(decision.mark.is_empty() && decision.unmark.is_empty());
}

#[test]
fn a_pod_that_could_not_be_asked_is_the_last_to_go() {
    let mut case = scaling_down();
    case.pod("a").connections = None;
    assert_eq!(case.at(21).mark, ["b"]);
}

#[test]
fn when_others_than_the_victims_went_it_is_said_and_the_spared_are_freed() {
    let mut case = scaling_down();
    case.seen.spec = Some(3);
    case.at(2);
    for second in 22..=24 {
        case.at(second);
    }
    assert_eq!(case.seen.applied, Some(3));
    case.gone("d");
    let decision = case.at(30);
    assert_eq!(decision.notes, [Note::OtherPodsTerminated { spared: vec!["a".to_owned()] }]);
    assert_eq!(decision.unmark, ["a"]);
}

#[test]
fn replicas_of_the_deployment_that_somebody_changed_are_put_back_at_once() {
    for live in [0, 9] {
        let mut case = Case::settled(4);
        case.at(0);
        case.seen.live = Some(live);
        let decision = case.at(1);
        assert_eq!((decision.target, decision.replicas), (4, 4), "{live}");
    }
}

/// Forty never become two at once, whatever is asked in whatever order.
#[test]
fn no_order_of_wishes_takes_more_than_a_step_at_a_time() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let wishes = proptest::collection::vec((1..60_i32, 0..40_u64), 1..60);
    runner
        .run(&wishes, |wishes| {
            let mut case = Case::settled(10);
            let mut second = 0;
            for (wish, wait) in wishes {
                case.seen.spec = (wish < 50).then_some(wish.clamp(2, 10));
                second += wait;
                let before = case.seen.applied.unwrap();
                let decision = case.at(second);
                proptest::prop_assert!(decision.replicas >= before - case.seen.step);
                proptest::prop_assert!(decision.replicas >= decision.target.min(before));
                let alive = usize::try_from(decision.replicas).unwrap();
                while case.seen.pods.len() > alive {
                    let victim = case.seen.pods.iter().position(|pod| pod.marked).expect("only the marked go");
                    case.seen.pods.remove(victim);
                }
                while case.seen.pods.len() < alive {
                    let mut pod = Case::settled(1).seen.pods.remove(0);
                    pod.name = format!("new-{second}-{}", case.seen.pods.len());
                    case.seen.pods.push(pod);
                }
            }
            Ok(())
        })
        .unwrap();
}
