//! A disk that loses what was not synced: a file system that this process serves to the kernel (FUSE), so that the real
//! gateway runs on it with its real system calls. It writes down all that it is told; from that every state can be made
//! in which a power failure may have left it.
//!
//! - `fuse`: the kernel's protocol
//! - `files`: the files as they are read now
//! - `journal`: what was done to them, and what of it is on the disk after a power failure

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;

use nix::mount::{MntFlags, MsFlags, mount, umount2};

use self::files::Files;
use self::journal::Op;

mod files;
mod fuse;
pub(crate) mod journal;

pub(crate) struct Disk {
    files: Arc<Mutex<Files>>,
    /// Below the mount point, since a gateway makes its directory itself.
    data: PathBuf,
    mounted: tempfile::TempDir,
}

impl Disk {
    pub(crate) fn mount() -> Self {
        let mounted = tempfile::tempdir().expect("a directory to mount on");
        let device = OpenOptions::new().read(true).write(true).open("/dev/fuse").expect("root, and a kernel with FUSE");
        let options = format!("fd={},rootmode=40000,user_id=0,group_id=0", device.as_raw_fd());
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
        mount(Some("disk"), mounted.path(), Some("fuse"), flags, Some(&*options)).expect("root may mount");
        let files = Arc::<Mutex<Files>>::default();
        let served = files.clone();
        thread::spawn(move || serve(device, &served));
        Self { files, data: mounted.path().join("data"), mounted }
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        self.files.lock().expect("nobody panics with it")
    }

    /// For `--data-dir`.
    pub(crate) fn data(&self) -> &str {
        self.data.to_str().expect("a path in UTF-8")
    }

    /// How much it was told until now.
    pub(crate) fn moment(&self) -> usize {
        self.files().journal.len()
    }

    /// How much fits on it. None: no end.
    pub(crate) fn set_capacity(&self, bytes: Option<usize>) {
        self.files().capacity = bytes;
    }

    pub(crate) fn used(&self) -> usize {
        self.files().used()
    }

    /// All that it was told.
    pub(crate) fn journal(&self) -> Vec<Op> {
        self.files().journal.clone()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = umount2(self.mounted.path() as &Path, MntFlags::MNT_DETACH);
    }
}

/// Answers the kernel until it is unmounted.
fn serve(mut device: File, files: &Mutex<Files>) {
    let mut request = vec![0; fuse::REQUEST_BYTES];
    loop {
        match device.read(&mut request) {
            Ok(length) => {
                let reply = fuse::answer(&mut files.lock().expect("nobody panics with it"), &request[..length]);
                // The kernel may have given up a request whose caller was killed.
                let _ = reply.map(|reply| device.write(&reply));
            }
            Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::NotFound) => {}
            Err(_) => return,
        }
    }
}
