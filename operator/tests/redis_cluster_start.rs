//! The start scripts of a managed Redis Cluster with six real servers, whose names lead to other addresses after a restart, as
//! those of pods do.
#![allow(clippy::unwrap_used, reason = "the helpers of tests; Clippy excuses test functions alone")]

use redis_pod::{COMMON, CONF, Pod, addresses};
use tempfile::TempDir;

mod redis_pod;

const FILES: &[(&str, &str)] = &[
    ("redis.conf", CONF),
    ("common.sh", COMMON),
    ("cluster.sh", include_str!("../src/controller/build/files/redis-cluster.sh")),
    ("start.sh", include_str!("../src/controller/build/files/redis-cluster-start.sh")),
    ("keep.sh", include_str!("../src/controller/build/files/redis-cluster-keep.sh")),
    ("ready.sh", include_str!("../src/controller/build/files/redis-cluster-ready.sh")),
    ("stop.sh", include_str!("../src/controller/build/files/redis-cluster-stop.sh")),
];
const SERVERS: usize = 6;
/// In a slot of pod 0's and pod 3's.
const KEYS: [&str; 2] = ["{doc}before", "{doc}after"];

fn name(number: usize) -> String {
    format!("pod-{number}")
}

struct Pods {
    pods: Vec<Pod>,
    /// Where each name leads: a file for each.
    names: TempDir,
    spare: String,
}

impl Pods {
    /// Six that have started. There is an address more, for one that gets another one.
    fn new(test: u8) -> Self {
        let mut addresses = addresses(test, SERVERS as u8 + 1);
        let spare = addresses.pop().unwrap();
        let peers = (0..SERVERS).map(name).collect::<Vec<_>>().join(" ");
        let names = tempfile::tempdir().unwrap();
        let folder = names.path().display().to_string();
        let pod = |number: usize| {
            let environment =
                vec![("REDIS_SELF", name(number)), ("REDIS_PEERS", peers.clone()), ("NAMES", folder.clone())];
            Pod::new(&addresses[number], FILES, environment)
        };
        let mut pods = Self { pods: (0..SERVERS).map(pod).collect(), names, spare };
        pods.start_all();
        pods.until_whole(&[0, 1, 2]);
        pods
    }

    fn write_names(&self) {
        for (number, pod) in self.pods.iter().enumerate() {
            std::fs::write(self.names.path().join(name(number)), pod.address()).unwrap();
        }
    }

    fn start_all(&mut self) {
        self.write_names();
        self.pods.iter_mut().for_each(|pod| pod.start("start.sh"));
    }

    /// Starts one at another address than it had.
    fn start_elsewhere(&mut self, number: usize) {
        let before = self.pods[number].address().to_owned();
        self.pods[number].move_to(&std::mem::replace(&mut self.spare, before));
        self.write_names();
        self.pods[number].start("start.sh");
    }

    fn until(&self, what: &str, is_so: impl Fn(&[Pod]) -> bool) {
        redis_pod::until(&self.pods, what, is_so);
    }

    /// Everybody is ready, these are the primaries, and everybody knows so and reaches everybody else where they are now.
    fn until_whole(&self, primaries: &[usize]) {
        self.until("the cluster is whole", |pods| {
            (0..SERVERS).all(|number| pods[number].is_primary() == primaries.contains(&number))
                && pods.iter().all(|pod| {
                    let nodes = pod.ask("6379", &["cluster", "nodes"]);
                    let sound = |line: &str| line.contains(" connected") && !line.contains("fail");
                    nodes.lines().count() == SERVERS
                        && nodes.lines().filter(|line| line.contains("slave")).count() == SERVERS / 2
                        && nodes.lines().all(sound)
                        && pods.iter().all(|peer| nodes.contains(&format!(" {}:6379@16379", peer.address())))
                        && pod.script("ready.sh").status().unwrap().success()
                })
        });
    }

    fn until_promoted(&self, number: usize) {
        self.until("the replica is promoted and takes writes", |pods| {
            pods[number].is_primary() && pods[number].takes_writes(KEYS[1])
        });
    }

    fn has(&self, number: usize, keys: &[&str]) -> bool {
        let found = self.pods[number].ask("6379", &[&["exists"], keys].concat());
        found == format!("{}\n", keys.len())
    }
}

#[test]
fn the_first_start_makes_a_cluster_and_a_killed_primary_comes_back_elsewhere_as_a_replica() {
    let mut pods = Pods::new(0);
    pods.until("a write is taken", |pods| pods[0].takes_writes(KEYS[0]));
    pods.pods[0].kill("start.sh");
    pods.until_promoted(3);
    assert!(pods.has(3, &KEYS));
    pods.start_elsewhere(0);
    pods.until_whole(&[1, 2, 3]);

    // All at once, and each is where another one was.
    pods.pods.iter_mut().for_each(|pod| pod.kill("start.sh"));
    let mut addresses: Vec<_> = pods.pods.iter().map(|pod| pod.address().to_owned()).collect();
    addresses.rotate_left(1);
    pods.pods.iter_mut().zip(addresses).for_each(|(pod, address)| pod.move_to(&address));
    pods.start_all();
    pods.until_whole(&[1, 2, 3]);
    assert!(pods.has(3, &KEYS));
}

#[test]
fn servers_that_all_start_elsewhere_find_each_other_by_their_names() {
    let mut pods = Pods::new(1);
    pods.until("a write is taken", |pods| pods[0].takes_writes(KEYS[0]));
    pods.pods.iter_mut().for_each(|pod| pod.kill("start.sh"));
    let others = addresses(2, SERVERS as u8);
    pods.pods.iter_mut().zip(others).for_each(|(pod, address)| pod.move_to(&address));
    pods.start_all();
    pods.until_whole(&[0, 1, 2]);
    assert!(pods.has(0, &KEYS[..1]));
}

#[test]
fn a_server_that_lost_its_volume_takes_nothing_from_whoever_was_promoted() {
    let mut pods = Pods::new(3);
    pods.until("a write is taken", |pods| pods[0].takes_writes(KEYS[0]));
    pods.pods[0].kill("start.sh");
    pods.until_promoted(3);
    pods.pods[0].lose_volume();
    pods.start_elsewhere(0);
    pods.until_whole(&[1, 2, 3]);
    assert!(pods.has(3, &KEYS));

    // A replica is given all again. A primary that nobody has missed yet goes on, empty.
    for number in [5, 3] {
        pods.pods[number].kill("start.sh");
        pods.pods[number].lose_volume();
        pods.pods[number].start("start.sh");
        pods.until_whole(&[1, 2, 3]);
    }
    assert!(pods.pods[3].takes_writes(KEYS[0]));
}

#[test]
fn a_primary_that_is_asked_to_end_hands_over_first() {
    let pods = Pods::new(4);
    pods.until("a write is taken", |pods| pods[0].takes_writes(KEYS[0]));
    assert!(pods.pods[0].script("stop.sh").status().unwrap().success());
    assert!(!pods.pods[0].is_primary(), "it is the primary still");
    pods.until_whole(&[1, 2, 3]);
    assert!(pods.has(3, &KEYS[..1]));
    // A replica has nothing to hand over.
    assert!(pods.pods[4].script("stop.sh").status().unwrap().success());
    pods.until_whole(&[1, 2, 3]);
}
