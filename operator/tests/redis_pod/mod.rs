//! What is a pod of a managed Redis on Kubernetes: the start scripts, run as they are but for paths and addresses, with real
//! servers on an address of the loopback device and a folder for the volume.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use e2e_servers::{find_program, wait_until};
use tempfile::TempDir;

/// Where a name leads is in a file; on Kubernetes it is in the cluster's DNS. An address leads to itself.
const LOOKUP: &str = r#"-h "$(cat "${NAMES-}/$host" 2> /dev/null || echo "$host")""#;
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) const CONF: &str = include_str!("../../src/controller/build/files/redis.conf");
pub(crate) const COMMON: &str = include_str!("../../src/controller/build/files/redis-common.sh");

pub(crate) struct Pod {
    address: String,
    files: &'static [(&'static str, &'static str)],
    environment: Vec<(&'static str, String)>,
    folder: TempDir,
    running: Vec<(&'static str, Child)>,
}

impl Pod {
    /// `files`: those of the ConfigMap.
    pub(crate) fn new(
        address: &str,
        files: &'static [(&'static str, &'static str)],
        environment: Vec<(&'static str, String)>,
    ) -> Self {
        let folder = tempfile::Builder::new().prefix("ec-pod-").tempdir().unwrap();
        for name in ["data", "run", "etc"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        let mut pod = Self { address: String::new(), files, environment, folder, running: Vec::new() };
        pod.move_to(address);
        pod
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Gives it another address from its next start on.
    pub(crate) fn move_to(&mut self, address: &str) {
        self.address = address.to_owned();
        let path = |name: &str| self.path(name).display().to_string();
        for (name, text) in self.files {
            let text = text
                .replace("/etc/editorcluster", &path("etc"))
                .replace("/run/redis", &path("run"))
                .replace("/data", &path("data"))
                .replace("bind * -::*", &format!("bind {address}"))
                .replace("-h \"$host\"", LOOKUP)
                // In a pod, without -h is the pod's own server.
                .replace("redis-cli role", &format!("redis-cli -h {address} role"))
                .replace("redis-cli cluster", &format!("redis-cli -h {address} cluster"));
            fs::write(self.path("etc").join(name), text).unwrap();
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn script(&self, name: &str) -> Command {
        let log = File::options().create(true).append(true).open(self.path(&format!("{name}.log"))).unwrap();
        let mut command = Command::new("sh");
        command
            .arg(self.path("etc").join(name))
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .env("REDIS_ADDRESS", &self.address)
            .env("REDIS_PASSWORD", "secret")
            .env("REDISCLI_AUTH", "secret")
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            // What a script leaves running ends with it, as in a container.
            .process_group(0);
        command
    }

    pub(crate) fn start(&mut self, script: &'static str) {
        let child = self.script(script).spawn().unwrap();
        self.running.push((script, child));
    }

    /// As a power cut: what the script has started is gone, the volume is not.
    pub(crate) fn kill(&mut self, script: &'static str) {
        for (_, mut child) in self.running.extract_if(.., |(name, _)| *name == script) {
            let _ = Command::new("kill").args(["-KILL", "--", &format!("-{}", child.id())]).status();
            let _ = child.wait();
        }
    }

    pub(crate) fn lose_volume(&self) {
        fs::remove_dir_all(self.path("data")).unwrap();
        fs::create_dir(self.path("data")).unwrap();
    }

    pub(crate) fn ask(&self, port: &str, words: &[&str]) -> String {
        let cli = find_program("redis-cli", &["/usr/bin"], "redis-tools").unwrap();
        let output = Command::new(cli)
            .args(["-h", &self.address, "-p", port, "--no-auth-warning", "-a", "secret"])
            .args(words)
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    /// `master`, or whose replica it is and whether it follows.
    pub(crate) fn role(&self) -> String {
        self.ask("6379", &["role"]).lines().take(4).collect::<Vec<_>>().join(" ")
    }

    pub(crate) fn is_primary(&self) -> bool {
        self.role().starts_with("master")
    }

    pub(crate) fn takes_writes(&self, key: &str) -> bool {
        self.ask("6379", &["set", key, "1"]).starts_with("OK")
    }

    fn log(&self) -> String {
        let read = |(name, _): &(&str, &str)| fs::read_to_string(self.path(&format!("{name}.log"))).unwrap_or_default();
        format!("--- {}\n{}", self.address, self.files.iter().map(read).collect::<String>())
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        while let Some((script, _)) = self.running.first() {
            self.kill(script);
        }
    }
}

/// Waits for something about the pods; says their roles and logs if it does not come.
pub(crate) fn until(pods: &[Pod], what: &str, is_so: impl Fn(&[Pod]) -> bool) {
    wait_until(what, PATIENCE, || Ok(is_so(pods))).unwrap_or_else(|error| {
        let roles: Vec<_> = pods.iter().map(Pod::role).collect();
        let logs: String = pods.iter().map(Pod::log).collect();
        panic!("{error}; roles: {roles:?}\n{logs}")
    });
}

/// Addresses that no other test has, nor another run of this one at the same time.
pub(crate) fn addresses(test: u8, count: u8) -> Vec<String> {
    let [.., high, low] = std::process::id().to_be_bytes();
    (1..=count).map(|pod| format!("127.{}.{low}.{}", high | 128, test * 16 + pod)).collect()
}
