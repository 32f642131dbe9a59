//! The start scripts of a replicated managed Redis with real servers and sentinels: three on addresses that stand for the pods'
//! names.
#![allow(clippy::unwrap_used, reason = "the helpers of tests; Clippy excuses test functions alone")]

use redis_pod::{COMMON, CONF, Pod, addresses};

mod redis_pod;

const FILES: &[(&str, &str)] = &[
    ("redis.conf", CONF),
    ("common.sh", COMMON),
    ("primary.sh", include_str!("../src/controller/build/files/redis-primary.sh")),
    ("start.sh", include_str!("../src/controller/build/files/redis-replicated-start.sh")),
    ("stop.sh", include_str!("../src/controller/build/files/redis-replicated-stop.sh")),
    ("sentinel.sh", include_str!("../src/controller/build/files/redis-sentinel-start.sh")),
];

fn start(pod: &mut Pod) {
    pod.start("start.sh");
    pod.start("sentinel.sh");
}

fn kill(pod: &mut Pod) {
    pod.kill("start.sh");
    pod.kill("sentinel.sh");
}

struct Pods(Vec<Pod>);

impl Pods {
    /// Three that have started.
    fn new(test: u8) -> Self {
        let peers = addresses(test, 3);
        let pod = |address: &String| {
            Pod::new(address, FILES, vec![("REDIS_SELF", address.clone()), ("REDIS_PEERS", peers.join(" "))])
        };
        let mut pods = Self(peers.iter().map(pod).collect());
        pods.0.iter_mut().for_each(start);
        pods.until_whole(0);
        pods
    }

    fn until(&self, what: &str, is_so: impl Fn(&[Pod]) -> bool) {
        redis_pod::until(&self.0, what, is_so);
    }

    /// Everybody follows `primary`, can be written to there, and every sentinel could promote another.
    fn until_whole(&self, primary: usize) {
        let name = self.0[primary].address();
        self.until("all follow one primary", |pods| {
            pods.iter().all(|pod| {
                let follows = pod.role() == format!("slave {name} 6379 connected");
                (if pod.address() == name { pod.is_primary() } else { follows })
                    && pod.ask("26379", &["sentinel", "ckquorum", "documents"]).starts_with("OK 3")
            })
        });
    }

    /// Which of those that run is the primary, once there is one that a majority of the sentinels names and that takes
    /// writes.
    fn promoted(&self, instead_of: usize) -> usize {
        let found = std::cell::Cell::new(0);
        self.until("another one is promoted", |pods| {
            let promoted = (0..pods.len()).find(|number| *number != instead_of && pods[*number].is_primary());
            promoted.inspect(|number| found.set(*number)).is_some_and(|number| pods[number].takes_writes("probe"))
        });
        found.get()
    }

    fn write(&self, pod: usize, key: &str) {
        self.until("a write is taken", |pods| pods[pod].takes_writes(key));
    }
}

#[test]
fn the_first_start_makes_the_first_the_primary_and_a_killed_primary_comes_back_as_a_replica() {
    let mut pods = Pods::new(0);
    pods.write(0, "before");

    kill(&mut pods.0[0]);
    let promoted = pods.promoted(0);
    pods.write(promoted, "after");
    start(&mut pods.0[0]);
    pods.until_whole(promoted);
    assert_eq!(pods.0[0].ask("6379", &["exists", "before", "after"]), "2\n");

    // All at once, and then nobody is there to ask but what the sentinels remember.
    pods.0.iter_mut().for_each(kill);
    pods.0.iter_mut().for_each(start);
    pods.until_whole(promoted);
    assert_eq!(pods.0[promoted].ask("6379", &["exists", "before", "after"]), "2\n");
}

#[test]
fn a_sentinel_and_a_server_that_lost_their_volume_learn_from_the_others_who_is_the_primary() {
    let mut pods = Pods::new(1);
    kill(&mut pods.0[0]);
    let promoted = pods.promoted(0);
    pods.0[0].lose_volume();
    start(&mut pods.0[0]);
    pods.until_whole(promoted);
}

#[test]
fn a_primary_that_nobody_follows_takes_no_writes() {
    let mut pods = Pods::new(2);
    pods.write(0, "before");
    kill(&mut pods.0[1]);
    kill(&mut pods.0[2]);
    pods.until("writes are refused", |pods| pods[0].ask("6379", &["set", "alone", "1"]).starts_with("NOREPLICAS"));
}

#[test]
fn a_primary_that_is_asked_to_end_hands_over_first() {
    let mut pods = Pods::new(3);
    pods.write(0, "before");
    // On Kubernetes its own sentinel ends at the same time.
    pods.0[0].kill("sentinel.sh");
    assert!(pods.0[0].script("stop.sh").status().unwrap().success());
    assert!(!pods.0[0].is_primary(), "it is the primary still");
    let promoted = pods.promoted(0);
    assert_eq!(pods.0[promoted].ask("6379", &["exists", "before"]), "1\n");
}
