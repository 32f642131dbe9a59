//! The marks of processes that are dead: files whose lock nobody holds.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::marks::{Doing, PREFIX, read_all};

/// What a dead process was working on.
#[derive(Debug)]
pub struct Left {
    pub run: u64,
    pub suspects: Vec<(String, Doing)>,
    path: PathBuf,
    /// Held, so that of several processes that start one strikes.
    _lock: File,
}

impl Left {
    /// Its strikes are written down.
    pub fn remove(self) {
        if let Err(error) = fs::remove_file(&self.path) {
            // Another time it finds the same strikes, which count once.
            tracing::warn!(%error, path = %self.path.display(), "cannot remove a dead process's marks");
        }
    }
}

/// The files in the directory that dead processes have left.
///
/// # Errors
/// The directory cannot be read.
pub fn find(directory: &Path) -> io::Result<Vec<Left>> {
    let mut found = Vec::new();
    for (path, run) in files(directory)? {
        // It may go at any time, when its process ends.
        let Ok(mut file) = OpenOptions::new().read(true).write(true).open(&path) else { continue };
        let mut bytes = Vec::new();
        if file.try_lock().is_ok() && file.read_to_end(&mut bytes).is_ok_and(|length| length > 0) {
            found.push(Left { run, suspects: read_all(&bytes), path, _lock: file });
        }
    }
    Ok(found)
}

/// Whether a process that lives has its marks in this directory.
pub(super) fn is_in_use(directory: &Path) -> bool {
    let locked = |path: &Path| File::open(path).is_ok_and(|file| file.try_lock().is_err());
    files(directory).is_ok_and(|files| files.iter().any(|(path, _)| locked(path)))
}

fn files(directory: &Path) -> io::Result<Vec<(PathBuf, u64)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let run = entry.file_name().to_str().and_then(|name| u64::from_str_radix(name.strip_prefix(PREFIX)?, 16).ok());
        found.extend(run.map(|run| (entry.path(), run)));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::super::marks::Marks;
    use super::*;

    #[test]
    fn what_a_dead_process_left_is_found_and_a_live_ones_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let marks = Marks::open(directory.path()).unwrap();
        let _working = marks.enter("alive", Doing::Opening);
        assert!(find(directory.path()).unwrap().is_empty() && is_in_use(directory.path()));

        // As a process that was killed: the file stays, the lock does not.
        let name = format!("{PREFIX}{:016x}", marks.run());
        let elsewhere = tempfile::tempdir().unwrap();
        fs::copy(directory.path().join(&name), elsewhere.path().join(&name)).unwrap();
        let left = find(elsewhere.path()).unwrap();
        assert_eq!((left.len(), left[0].run), (1, marks.run()));
        assert_eq!(left[0].suspects, [("alive".to_owned(), Doing::Opening)]);
        assert!(find(elsewhere.path()).unwrap().is_empty(), "another process strikes already");
        left.into_iter().for_each(Left::remove);
        assert!(find(elsewhere.path()).unwrap().is_empty() && !is_in_use(elsewhere.path()));
    }

    #[test]
    fn other_and_torn_files_are_no_marks() {
        let directory = tempfile::tempdir().unwrap();
        for (name, bytes) in [("marks-x", &[1, 0, 0, b'a'][..]), ("notes", b"x"), ("marks-1", b""), ("marks-2", &[9])] {
            fs::write(directory.path().join(name), bytes).unwrap();
        }
        let left = find(directory.path()).unwrap();
        assert_eq!(left.iter().map(|left| (left.run, left.suspects.len())).collect::<Vec<_>>(), [(2, 0)]);
    }
}
