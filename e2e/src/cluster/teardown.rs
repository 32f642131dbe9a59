//! Removing the cluster from the machine, whatever state it is in.

use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::mount::{MntFlags, umount2};

use super::layout::POD_NETWORK;
use super::{cgroups, network, process};
use crate::{images, paths, shell};

/// Whether there is anything to remove.
pub(super) fn traces() -> bool {
    paths::state().exists() || network::exists() || !process::marked().is_empty()
}

/// Removes processes, mounts, network, cgroups and files, in this order: each holds the next.
pub(super) async fn remove() -> Result<()> {
    // A process that is killed may have started another one that moment.
    shell::until("all processes of the cluster gone", Duration::from_secs(30), || async {
        let mut pids = process::marked();
        pids.extend(cgroups::processes()?);
        process::kill_all(&pids).await?;
        anyhow::ensure!(pids.is_empty(), "{} processes were there", pids.len());
        Ok(())
    })
    .await?;
    unmount(&paths::state())?;
    unmount(&images::docker_folder()?)?;
    network::remove().await?;
    cgroups::remove().await?;
    remove_strays()?;
    for path in [paths::state(), paths::own_kubeconfig()] {
        remove_path(&path)?;
    }
    Ok(())
}

/// Unmounts everything below the folder, the last mounted first.
fn unmount(folder: &Path) -> Result<()> {
    let table = fs::read("/proc/self/mountinfo").context("cannot read the mounts")?;
    let points = table.split(|byte| *byte == b'\n').filter_map(|line| line.split(|byte| *byte == b' ').nth(4));
    let ours: Vec<PathBuf> = points.map(unescape).filter(|point| point.starts_with(folder)).collect();
    for point in ours.iter().rev() {
        match umount2(point, MntFlags::MNT_DETACH) {
            // It went with another one, or its folder is gone and with it the only way to name it.
            Ok(()) | Err(Errno::ENOENT | Errno::EINVAL) => {}
            Err(error) => return Err(error).with_context(|| format!("cannot unmount {}", point.display())),
        }
    }
    Ok(())
}

/// The kernel writes blanks and the like as `\040`, and marks a point whose folder was removed.
fn unescape(field: &[u8]) -> PathBuf {
    let mut path = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, after)) = rest.split_first() {
        let code = (byte == b'\\').then(|| after.get(..3)).flatten();
        let code = code.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        path.push(code.unwrap_or(byte));
        rest = if code.is_some() { &after[3..] } else { after };
    }
    PathBuf::from(OsString::from_vec(path))
}

/// Folders that kubelet, containerd, Docker and the CNI plugins make outside of those that they are given.
const STRAY_FOLDERS: [&str; 7] = [
    "/opt/containerd",
    "/run/containerd",
    "/run/docker",
    "/usr/libexec/kubernetes",
    "/var/lib/cni",
    "/var/lib/kubelet/device-plugins",
    "/var/log/containers",
];

/// Removes what our processes have left in the machine's folders, and those folders that are empty then. Whatever
/// another Kubernetes or containerd of the machine keeps there stays.
fn remove_strays() -> Result<()> {
    let state = paths::state();
    for entry in entries("/var/log/containers") {
        if fs::read_link(entry.path()).is_ok_and(|target| target.starts_with(&state)) {
            remove_path(&entry.path())?;
        }
    }
    for entry in entries("/var/lib/cni/results") {
        if entry.file_name().as_bytes().starts_with(format!("{POD_NETWORK}-").as_bytes()) {
            remove_path(&entry.path())?;
        }
    }
    // A socket that nobody listens on is of no use to anybody.
    for entry in entries("/run/containerd/s").chain(entries("/var/lib/kubelet/device-plugins")) {
        let refused = UnixStream::connect(entry.path()).map_err(|error| error.kind());
        if matches!(refused, Err(ErrorKind::ConnectionRefused)) {
            remove_path(&entry.path())?;
        }
    }
    STRAY_FOLDERS.iter().for_each(|folder| remove_if_empty(Path::new(folder)));
    remove_if_empty(Path::new("/var/lib/kubelet"));
    Ok(())
}

fn entries(folder: &str) -> impl Iterator<Item = fs::DirEntry> {
    fs::read_dir(folder).into_iter().flatten().flatten()
}

/// Removes the folder if it holds nothing but folders that hold nothing. A folder that is in use refuses by itself.
fn remove_if_empty(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_if_empty(&entry.path());
        }
    }
    let _ = fs::remove_dir(folder);
}

/// Removes a file or a folder; it is no error that there is none.
fn remove_path(path: &Path) -> Result<()> {
    let result = match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match result {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_points_with_blanks_and_backslashes_are_read_as_they_are() {
        assert_eq!(unescape(b"/a\\040b\\134c"), PathBuf::from("/a b\\c"));
        assert_eq!(unescape(b"/plain\\9"), PathBuf::from("/plain\\9"));
    }
}
