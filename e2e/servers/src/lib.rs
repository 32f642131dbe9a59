//! Real servers for tests, each on a port of the system's choosing and gone when it is dropped.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

pub mod control_plane;
pub mod gotools;
pub mod pki;
pub mod postgres;
pub mod redis;
pub mod redis_cluster;
pub mod replicated;

pub use control_plane::ControlPlane;
pub use postgres::Postgres;
pub use redis::Redis;
pub use redis_cluster::RedisCluster;
pub use replicated::Replicated;

/// A port of 127.0.0.1 that nobody listens on now. Somebody else may take it before you do: retry.
pub fn free_port() -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").context("cannot get a free port")?;
    Ok(listener.local_addr()?.port())
}

/// The program in one of the directories or on the PATH; the error names the Debian package that has it.
pub fn find_program(name: &str, directories: &[&str], package: &str) -> Result<PathBuf> {
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    let candidates = directories.iter().map(PathBuf::from).chain(std::env::split_paths(&on_path));
    candidates
        .map(|directory| directory.join(name))
        .find(|path| Path::is_file(path))
        .with_context(|| format!("`{name}` is not installed; install the Debian package: apt-get install {package}"))
}

/// Asks again and again until the answer is true; an error of the question ends it.
pub fn wait_until(what: &str, limit: Duration, mut is_so: impl FnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + limit;
    while !is_so()? {
        if Instant::now() > deadline {
            bail!("waited {} s in vain until {what}", limit.as_secs());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}
