//! The start scripts of a replicated managed Redis, run as they are but for paths and addresses, with real servers and
//! sentinels: three on addresses of the loopback device that stand for the pods' names.
#![allow(clippy::unwrap_used, reason = "the helpers of tests; Clippy excuses test functions alone")]

use std::fs::{self, File};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use e2e_servers::{find_program, wait_until};
use tempfile::TempDir;

const PRIMARY: &str = include_str!("../src/controller/build/files/redis-primary.sh");
const START: &str = include_str!("../src/controller/build/files/redis-replicated-start.sh");
const STOP: &str = include_str!("../src/controller/build/files/redis-replicated-stop.sh");
const SENTINEL: &str = include_str!("../src/controller/build/files/redis-sentinel-start.sh");
const CONF: &str = include_str!("../src/controller/build/files/redis.conf");
const PATIENCE: Duration = Duration::from_secs(60);

/// What is a pod on Kubernetes: a server, a sentinel, and their folders.
struct Pod {
    address: String,
    peers: String,
    folder: TempDir,
    server: Option<Child>,
    sentinel: Option<Child>,
}

impl Pod {
    fn new(number: usize, peers: &[String]) -> Self {
        let folder = tempfile::Builder::new().prefix("ec-pod-").tempdir().unwrap();
        let pod = Self { address: peers[number].clone(), peers: peers.join(" "), folder, server: None, sentinel: None };
        let root = pod.folder.path();
        for name in ["data", "run", "etc"] {
            fs::create_dir(root.join(name)).unwrap();
        }
        let files = [
            ("primary.sh", PRIMARY),
            ("start.sh", START),
            ("stop.sh", STOP),
            ("sentinel.sh", SENTINEL),
            ("redis.conf", CONF),
        ];
        let path = |name: &str| root.join(name).display().to_string();
        for (name, text) in files {
            let text = text
                .replace("/etc/editorcluster", &path("etc"))
                .replace("/run/redis", &path("run"))
                .replace("/data", &path("data"))
                .replace("bind * -::*", &format!("bind {}", pod.address));
            fs::write(root.join("etc").join(name), text).unwrap();
        }
        pod
    }

    fn script(&self, name: &str) -> Command {
        let mut command = Command::new("sh");
        let log = File::options().create(true).append(true).open(self.folder.path().join(format!("{name}.log")));
        let log = log.unwrap();
        command
            .arg(self.folder.path().join("etc").join(name))
            .env("REDIS_SELF", &self.address)
            .env("REDIS_PEERS", &self.peers)
            .env("REDIS_PASSWORD", "secret")
            .env("REDISCLI_AUTH", "secret")
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        command
    }

    fn start(&mut self) {
        self.server = Some(self.script("start.sh").spawn().unwrap());
        self.sentinel = Some(self.script("sentinel.sh").spawn().unwrap());
    }

    /// As a power cut: the pod is gone, its volume is not.
    fn kill(&mut self) {
        for process in [&mut self.server, &mut self.sentinel] {
            if let Some(mut child) = process.take() {
                let _ = child.kill();
                let _ = child.wait();
            }
        }
    }

    fn ask(&self, port: &str, words: &[&str]) -> String {
        let cli = find_program("redis-cli", &["/usr/bin"], "redis-tools").unwrap();
        let output = Command::new(cli)
            .args(["-h", &self.address, "-p", port, "--no-auth-warning", "-a", "secret"])
            .args(words)
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    /// `master`, or whose replica it is and whether it follows.
    fn role(&self) -> String {
        self.ask("6379", &["role"]).lines().take(4).collect::<Vec<_>>().join(" ")
    }

    fn is_primary(&self) -> bool {
        self.role().starts_with("master")
    }

    fn follows(&self, primary: &str) -> bool {
        self.role() == format!("slave {primary} 6379 connected")
    }

    fn log(&self) -> String {
        let read = |name: &str| fs::read_to_string(self.folder.path().join(name)).unwrap_or_default();
        format!("--- {}\n{}{}{}", self.address, read("start.sh.log"), read("sentinel.sh.log"), read("stop.sh.log"))
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        self.kill();
    }
}

struct Pods(Vec<Pod>);

impl Pods {
    /// Addresses that no other test has, nor another run of this one at the same time.
    fn new(test: u8) -> Self {
        let [.., high, low] = std::process::id().to_be_bytes();
        let peers: Vec<_> = (1..=3).map(|pod| format!("127.{}.{low}.{}", high | 128, test * 8 + pod)).collect();
        Self((0..3).map(|number| Pod::new(number, &peers)).collect())
    }

    fn until(&self, what: &str, is_so: impl Fn(&[Pod]) -> bool) {
        wait_until(what, PATIENCE, || Ok(is_so(&self.0))).unwrap_or_else(|error| {
            let roles: Vec<_> = self.0.iter().map(Pod::role).collect();
            let logs: String = self.0.iter().map(Pod::log).collect();
            panic!("{error}; roles: {roles:?}\n{logs}")
        });
    }

    /// Everybody follows `primary`, can be written to there, and every sentinel could promote another.
    fn until_whole(&self, primary: usize) {
        let name = &self.0[primary].address;
        self.until("all follow one primary", |pods| {
            pods.iter().all(|pod| {
                (if pod.address == *name { pod.is_primary() } else { pod.follows(name) })
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
            promoted
                .inspect(|number| found.set(*number))
                .is_some_and(|number| pods[number].ask("6379", &["set", "probe", "1"]).starts_with("OK"))
        });
        found.get()
    }

    fn write(&self, pod: usize, key: &str) {
        self.until("a write is taken", |pods| pods[pod].ask("6379", &["set", key, "1"]).starts_with("OK"));
    }
}

#[test]
fn the_first_start_makes_the_first_the_primary_and_a_killed_primary_comes_back_as_a_replica() {
    let mut pods = Pods::new(0);
    pods.0.iter_mut().for_each(Pod::start);
    pods.until_whole(0);
    pods.write(0, "before");

    pods.0[0].kill();
    let promoted = pods.promoted(0);
    pods.write(promoted, "after");
    pods.0[0].start();
    pods.until_whole(promoted);
    assert_eq!(pods.0[0].ask("6379", &["exists", "before", "after"]), "2\n");

    // All at once, and then nobody is there to ask but what the sentinels remember.
    pods.0.iter_mut().for_each(Pod::kill);
    pods.0.iter_mut().for_each(Pod::start);
    pods.until_whole(promoted);
    assert_eq!(pods.0[promoted].ask("6379", &["exists", "before", "after"]), "2\n");
}

#[test]
fn a_sentinel_and_a_server_that_lost_their_volume_learn_from_the_others_who_is_the_primary() {
    let mut pods = Pods::new(1);
    pods.0.iter_mut().for_each(Pod::start);
    pods.until_whole(0);
    pods.0[0].kill();
    let promoted = pods.promoted(0);
    let data = pods.0[0].folder.path().join("data");
    fs::remove_dir_all(&data).unwrap();
    fs::create_dir(&data).unwrap();
    pods.0[0].start();
    pods.until_whole(promoted);
}

#[test]
fn a_primary_that_nobody_follows_takes_no_writes() {
    let mut pods = Pods::new(2);
    pods.0.iter_mut().for_each(Pod::start);
    pods.until_whole(0);
    pods.write(0, "before");
    pods.0[1].kill();
    pods.0[2].kill();
    pods.until("writes are refused", |pods| pods[0].ask("6379", &["set", "alone", "1"]).starts_with("NOREPLICAS"));
}

#[test]
fn a_primary_that_is_asked_to_end_hands_over_first() {
    let mut pods = Pods::new(3);
    pods.0.iter_mut().for_each(Pod::start);
    pods.until_whole(0);
    pods.write(0, "before");
    // On Kubernetes its own sentinel ends at the same time.
    let mut own = pods.0[0].sentinel.take().unwrap();
    own.kill().unwrap();
    own.wait().unwrap();
    assert!(pods.0[0].script("stop.sh").status().unwrap().success());
    assert!(!pods.0[0].is_primary(), "{}", pods.0[0].log());
    let promoted = pods.promoted(0);
    assert_eq!(pods.0[promoted].ask("6379", &["exists", "before"]), "1\n");
}
