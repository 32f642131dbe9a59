use super::*;

fn pod(name: &str, stage: Stage, connections: Option<u64>) -> Asked {
    Asked {
        name: name.to_owned(),
        uid: format!("uid-{name}"),
        stage,
        figures: connections.map(|connections| PodFigures { connections, documents: 1, ..PodFigures::default() }),
    }
}

type Case = (&'static str, &'static [(Stage, Option<u64>)], Result<u64, (usize, usize)>);

fn connections(result: Result<Totals, Missing>) -> Result<u64, (usize, usize)> {
    result.map(|totals| totals.connections).map_err(|missing| (missing.missing, missing.pods))
}

#[test]
fn pods_count_by_what_they_say_and_silent_ones_by_what_they_may_have() {
    use Stage::{Off, Started, Starting};
    let cases: &[Case] = &[
        ("no pods", &[], Ok(0)),
        ("all answer", &[(Started, Some(3)), (Started, Some(4))], Ok(7)),
        (
            "a pod that is just starting counts nothing and is not missing",
            &[(Started, Some(3)), (Starting, None)],
            Ok(3),
        ),
        ("only starting pods", &[(Starting, None), (Starting, None)], Ok(0)),
        ("a starting pod that answers counts", &[(Starting, Some(2))], Ok(2)),
        ("pending, failed and finished pods count nothing", &[(Off, None), (Started, Some(5))], Ok(5)),
        ("one of two silent is half", &[(Started, Some(3)), (Started, None)], Ok(153)),
        ("two of three silent is more than half", &[(Started, Some(3)), (Started, None), (Started, None)], Err((2, 3))),
        (
            "starting pods do not dilute the silent ones",
            &[(Starting, None), (Starting, None), (Started, None)],
            Err((1, 1)),
        ),
    ];
    for (what, pods, expected) in cases {
        let asked: Vec<_> =
            pods.iter().enumerate().map(|(n, (stage, said))| pod(&n.to_string(), *stage, *said)).collect();
        assert_eq!(connections(aggregate(Instant::now(), &asked, &mut Memory::new(), 150)), *expected, "{what}");
    }
}

#[test]
fn those_without_a_database_are_counted_among_those_that_answer_and_have_started() {
    let without = |name: &str, stage| {
        let figures = PodFigures { connections: 1, documents: 1, without_log: false, without_store: true };
        Asked { figures: Some(figures), ..pod(name, stage, None) }
    };
    let mut memory = Memory::new();
    let now = Instant::now();
    let asked = [
        without("a", Stage::Started),
        without("b", Stage::Starting),
        pod("c", Stage::Started, Some(1)),
        without("d", Stage::Started),
    ];
    let totals = aggregate(now, &asked, &mut memory, 150).unwrap();
    assert_eq!((totals.asked, totals.without_store, totals.without_log), (3, 2, 0));
    let silent = [pod("a", Stage::Started, None), pod("c", Stage::Started, Some(1))];
    let totals = aggregate(now, &silent, &mut memory, 150).unwrap();
    assert_eq!((totals.asked, totals.without_store), (1, 0), "what was said before says nothing about now");
}

#[test]
fn a_pod_that_falls_silent_counts_its_last_figure_for_a_minute_and_then_what_it_may_hold() {
    let start = Instant::now();
    let mut memory = Memory::new();
    let said = [pod("a", Stage::Started, Some(10)), pod("b", Stage::Started, Some(20))];
    assert_eq!(connections(aggregate(start, &said, &mut memory, 150)), Ok(30));
    for (seconds, a, expected) in
        [(60, Some(11), Ok(31)), (61, Some(12), Ok(162)), (61, None, Ok(162)), (200, None, Err((2, 2)))]
    {
        let asked = [pod("a", Stage::Started, a), pod("b", Stage::Started, None)];
        let answer = aggregate(start + Duration::from_secs(seconds), &asked, &mut memory, 150);
        assert_eq!(connections(answer), expected, "after {seconds} s");
    }
}

#[test]
fn a_pod_that_is_gone_or_restarted_is_forgotten() {
    let start = Instant::now();
    let mut memory = Memory::new();
    let _ =
        aggregate(start, &[pod("a", Stage::Started, Some(10)), pod("b", Stage::Started, Some(5))], &mut memory, 150);
    let _ = aggregate(start, &[pod("a", Stage::Off, None)], &mut memory, 150);
    assert!(memory.is_empty());
    assert_eq!(connections(aggregate(start, &[pod("a", Stage::Starting, None)], &mut memory, 150)), Ok(0));
}

#[test]
fn the_stage_of_a_pod_comes_from_its_status() {
    let running = |started: &str| format!("[{{name: g, state: {{running: {{startedAt: '{started}'}}}}}}]");
    let (young, old) = (running("2026-01-01T00:00:30Z"), running("2026-01-01T00:00:00Z"));
    let waiting = "[{name: g, state: {waiting: {reason: CrashLoopBackOff}}}]".to_owned();
    let cases = [
        ("Pending", "False", &waiting, false, Stage::Off),
        ("Succeeded", "False", &waiting, true, Stage::Off),
        ("Running", "False", &waiting, false, Stage::Off),
        ("Running", "True", &young, false, Stage::Started),
        ("Running", "False", &young, false, Stage::Starting),
        ("Running", "False", &old, false, Stage::Started),
        ("Running", "False", &young, true, Stage::Started),
    ];
    let now = "2026-01-01T00:01:00Z".parse().unwrap();
    for (phase, ready, containers, deleted, expected) in cases {
        let deletion = if deleted { "deletionTimestamp: '2026-01-01T00:00:50Z'" } else { "name: p" };
        let pod: Pod = serde_yaml::from_str(&format!(
            "{{metadata: {{{deletion}}}, status: {{phase: {phase}, conditions: [{{type: Ready, status: '{ready}'}}], \
             containerStatuses: {containers}}}}}"
        ))
        .unwrap();
        assert_eq!(stage(&pod, now), expected, "{phase}, ready {ready}, {containers}, deleted {deleted}");
    }
}
