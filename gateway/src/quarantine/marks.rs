//! What this process is working on, in a file that says so after it was killed.
//!
//! Nothing is synced: what a process has written stays in the system's page cache when it is killed, and a machine that
//! fails is no document's fault. One file for a process and not one for a shard: rows are checked, and histories read,
//! on other threads as well. Its places are fixed and made beforehand, so that a mark is one write of a few dozen bytes
//! that needs no room on the disk, and taking it away another.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Of a file's name; behind it stands the process's run.
pub(super) const PREFIX: &str = "marks-";
/// As many as bits in a word. Of more threads that work at once the rest goes unmarked.
const PLACES: usize = 64;
/// No place crosses a page, so a mark is there or not.
const PLACE_BYTES: usize = 1024;
/// The name's length and what was done, before the name.
const HEAD: usize = 3;

/// A step that may take a process along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doing {
    /// Takes the row and the log's entries in.
    Opening,
    /// Takes a long message or entry in.
    Message,
    /// Encodes a large document.
    Encoding,
    /// Puts row and log together, for the history or an export. The content is read in other processes.
    Reading,
    /// Cuts a large answer into messages.
    Streaming,
}

impl Doing {
    /// In the order of their numbers in the file, which a process of another version may read.
    const ALL: [Self; 5] = [Self::Opening, Self::Message, Self::Encoding, Self::Reading, Self::Streaming];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Opening => "opening",
            Self::Message => "message",
            Self::Encoding => "encoding",
            Self::Reading => "reading",
            Self::Streaming => "streaming",
        }
    }
}

/// A process's marks. Without a file nothing is marked.
#[derive(Clone, Debug, Default)]
pub struct Marks(Option<Arc<Book>>);

#[derive(Debug)]
struct Book {
    file: File,
    path: PathBuf,
    run: u64,
    /// A bit for each place that is taken.
    taken: AtomicU64,
    /// For each place a number that no other mark has had; 0: it is free.
    entered: [AtomicU64; PLACES],
    last: AtomicU64,
}

impl Marks {
    /// Makes this process's file in the directory, and holds its lock for as long as the process lives.
    ///
    /// # Errors
    /// The directory takes no file.
    pub fn open(directory: &Path) -> io::Result<Self> {
        let run: u64 = rand::random();
        let path = directory.join(format!("{PREFIX}{run:016x}"));
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
        // Before it has its length: an empty file is nobody's yet.
        file.lock()?;
        file.set_len((PLACES * PLACE_BYTES) as u64)?;
        // So that a full disk later does not matter.
        file.write_all_at(&[0; PLACES * PLACE_BYTES], 0)?;
        let (taken, last) = (AtomicU64::new(0), AtomicU64::new(0));
        Ok(Self(Some(Arc::new(Book { file, path, run, taken, entered: [const { AtomicU64::new(0) }; PLACES], last }))))
    }

    /// Tells this process from all others.
    pub fn run(&self) -> u64 {
        self.0.as_ref().map_or(0, |book| book.run)
    }

    /// Marks the document until the guard is dropped. None: it cannot be marked, and is worked on all the same.
    pub fn enter(&self, document: &str, doing: Doing) -> Option<Mark<'_>> {
        let book = self.0.as_deref()?;
        let end = HEAD + document.len();
        let mut record = [0; PLACE_BYTES];
        record.get_mut(HEAD..end)?.copy_from_slice(document.as_bytes());
        record[..2].copy_from_slice(&(document.len() as u16).to_le_bytes());
        record[2] = doing as u8;
        let place = book.take()?;
        let mark = Mark { book, place };
        book.file.write_all_at(&record[..end], offset(place)).ok()?;
        book.entered[place].store(book.last.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Release);
        Some(mark)
    }

    /// The marks that are there now: place and number.
    pub(super) fn standing(&self) -> Vec<(usize, u64)> {
        let Some(book) = &self.0 else { return Vec::new() };
        let numbers = book.entered.iter().map(|number| number.load(Ordering::Acquire)).enumerate();
        numbers.filter(|(_, number)| *number > 0).collect()
    }

    /// The document of a mark, unless that has gone meanwhile.
    pub(super) fn at(&self, place: usize, number: u64) -> Option<(String, Doing)> {
        let book = self.0.as_deref()?;
        let mut record = [0; PLACE_BYTES];
        book.file.read_exact_at(&mut record, offset(place)).ok()?;
        let found = read(&record)?;
        (book.entered[place].load(Ordering::Acquire) == number).then_some(found)
    }

    /// The process ends as it should, whatever it is working on.
    pub fn end(&self) {
        if let Some(book) = &self.0 {
            // If it stays, it says nothing: its marks are taken away as the work ends.
            let _ = fs::remove_file(&book.path);
        }
    }
}

impl Book {
    fn take(&self) -> Option<usize> {
        let take = |taken: u64| (taken != u64::MAX).then(|| taken | 1 << taken.trailing_ones());
        let before = self.taken.fetch_update(Ordering::AcqRel, Ordering::Relaxed, take).ok()?;
        Some(before.trailing_ones() as usize)
    }
}

impl Drop for Book {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Says that the process is working on a document, until it is dropped.
#[derive(Debug)]
pub struct Mark<'a> {
    book: &'a Book,
    place: usize,
}

impl Drop for Mark<'_> {
    fn drop(&mut self) {
        self.book.entered[self.place].store(0, Ordering::Release);
        let _ = self.book.file.write_all_at(&[0; 2], offset(self.place));
        self.book.taken.fetch_and(!(1 << self.place), Ordering::AcqRel);
    }
}

fn offset(place: usize) -> u64 {
    (place * PLACE_BYTES) as u64
}

/// The marks in a file's bytes.
pub(super) fn read_all(bytes: &[u8]) -> Vec<(String, Doing)> {
    bytes.chunks(PLACE_BYTES).filter_map(read).collect()
}

fn read(record: &[u8]) -> Option<(String, Doing)> {
    let length = usize::from(u16::from_le_bytes(record.get(..2)?.try_into().ok()?));
    let name = record.get(HEAD..HEAD + length).filter(|name| !name.is_empty())?;
    let doing = Doing::ALL.get(usize::from(record[2]))?;
    Some((String::from_utf8_lossy(name).into_owned(), *doing))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_in_the_file_until_its_guard_is_dropped() {
        let directory = tempfile::tempdir().unwrap();
        let marks = Marks::open(directory.path()).unwrap();
        let path = marks.0.as_ref().unwrap().path.clone();
        let found = || read_all(&fs::read(&path).unwrap());
        let longest = "ü".repeat(256);
        let first = marks.enter(&longest, Doing::Opening);
        let second = marks.enter("b", Doing::Reading);
        assert_eq!(found(), [(longest.clone(), Doing::Opening), ("b".to_owned(), Doing::Reading)]);
        drop(first);
        assert_eq!(found(), [("b".to_owned(), Doing::Reading)]);
        let third = marks.enter("c", Doing::Message);
        assert_eq!(found(), [("c".to_owned(), Doing::Message), ("b".to_owned(), Doing::Reading)]);
        let [(place, number), _] = marks.standing()[..] else { panic!("two marks") };
        assert_eq!(marks.at(place, number), Some(("c".to_owned(), Doing::Message)));
        drop((second, third));
        assert_eq!((found(), marks.standing(), marks.at(place, number)), (vec![], vec![], None));
        drop(marks);
        assert!(!path.exists(), "nobody works on anything");
    }

    #[test]
    fn with_all_places_taken_work_goes_on_unmarked() {
        let directory = tempfile::tempdir().unwrap();
        let marks = Marks::open(directory.path()).unwrap();
        let all: Vec<_> = (0..PLACES).map(|_| marks.enter("a", Doing::Message).unwrap()).collect();
        assert!(marks.enter("b", Doing::Opening).is_none());
        drop(all);
        assert!(marks.enter("b", Doing::Opening).is_some());
        assert!(Marks::default().enter("b", Doing::Opening).is_none(), "no file");
    }
}
