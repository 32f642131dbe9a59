//! What a disk was told, in order, and what is on it if the power fails after any of it. Pure.
//!
//! What was synced is there. Of what was not, anything may be: each sector of a write by itself, in any order; names of
//! a directory in the order in which they were made, as file systems with a journal do it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rand::Rng;

/// Disks write these whole or not at all; SQLite counts on it.
const SECTOR: usize = 512;

pub(crate) const ROOT: u64 = 1;

#[derive(Clone, Debug)]
pub(crate) enum Op {
    Link {
        directory: u64,
        name: String,
        node: u64,
        is_file: bool,
    },
    Unlink {
        directory: u64,
        name: String,
    },
    Write {
        node: u64,
        offset: usize,
        bytes: Vec<u8>,
    },
    Resize {
        node: u64,
        length: usize,
    },
    /// The file's content, or the directory's names, are on the disk when this is answered.
    Sync {
        node: u64,
    },
}

impl Op {
    /// The file or directory that it changes.
    fn node(&self) -> u64 {
        match self {
            Self::Link { directory, .. } | Self::Unlink { directory, .. } => *directory,
            Self::Write { node, .. } | Self::Resize { node, .. } | Self::Sync { node } => *node,
        }
    }
}

/// Whether the disk does what it says when it is told to sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Syncs {
    Honest,
    /// As if nobody had asked: what `synchronous = OFF` makes of any disk.
    Ignored,
}

/// What is on the disk: the files by their paths.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Image(pub(crate) BTreeMap<PathBuf, Vec<u8>>);

impl Image {
    pub(crate) fn write_to(&self, directory: &Path) {
        for (path, bytes) in &self.0 {
            let path = directory.join(path);
            std::fs::create_dir_all(path.parent().expect("it is below the directory")).expect("room for it");
            std::fs::write(path, bytes).expect("room for it");
        }
    }
}

#[derive(Default)]
struct Durable {
    content: BTreeMap<u64, Vec<u8>>,
    names: BTreeMap<u64, BTreeMap<String, u64>>,
}

impl Durable {
    fn apply(&mut self, op: &Op) {
        match op {
            Op::Link { directory, name, node, is_file } => {
                self.names.entry(*directory).or_default().insert(name.clone(), *node);
                if *is_file {
                    self.content.entry(*node).or_default();
                }
            }
            Op::Unlink { directory, name } => drop(self.names.entry(*directory).or_default().remove(name)),
            Op::Write { node, offset, bytes } => write(self.content.entry(*node).or_default(), *offset, bytes),
            Op::Resize { node, length } => self.content.entry(*node).or_default().resize(*length, 0),
            Op::Sync { .. } => {}
        }
    }

    fn collect(&self, directory: u64, at: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
        for (name, node) in self.names.get(&directory).into_iter().flatten() {
            let path = at.join(name);
            if let Some(content) = self.content.get(node) {
                files.insert(path.clone(), content.clone());
            }
            self.collect(*node, &path, files);
        }
    }
}

pub(crate) fn write(content: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    content[offset..end].copy_from_slice(bytes);
}

/// The disk after a power failure that came when it had been told all of `ops`, and nothing more.
pub(crate) fn after_power_failure(ops: &[Op], syncs: Syncs, random: &mut impl Rng) -> Image {
    let (mut durable, mut pending) = (Durable::default(), BTreeMap::<u64, Vec<&Op>>::new());
    for op in ops {
        match op {
            Op::Sync { node } if syncs == Syncs::Honest => {
                pending.remove(node).into_iter().flatten().for_each(|op| durable.apply(op));
            }
            op => pending.entry(op.node()).or_default().push(op),
        }
    }
    // How much the disk had got round to: nothing, all, or anything between.
    let chance = [0.0, 0.1, 0.5, 0.9, 1.0][random.random_range(0..5)];
    for ops in pending.into_values() {
        let names = random.random_range(0..=ops.len());
        for (index, op) in ops.into_iter().enumerate() {
            match op {
                Op::Link { .. } | Op::Unlink { .. } if index < names => durable.apply(op),
                Op::Write { node, offset, bytes } => {
                    for (offset, sector) in sectors(*offset, bytes) {
                        if random.random_bool(chance) {
                            write(durable.content.entry(*node).or_default(), offset, sector);
                        }
                    }
                }
                Op::Resize { .. } if random.random_bool(chance) => durable.apply(op),
                _ => {}
            }
        }
    }
    let mut image = Image::default();
    durable.collect(ROOT, Path::new(""), &mut image.0);
    image
}

/// The parts of a write that lie in one sector each.
fn sectors(offset: usize, bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let (mut at, mut rest) = (offset, bytes);
    std::iter::from_fn(move || {
        let (sector, behind) = rest.split_at(rest.len().min(SECTOR - at % SECTOR));
        let found = (!sector.is_empty()).then_some((at, sector));
        (at, rest) = (at + sector.len(), behind);
        found
    })
}

#[test]
fn what_was_synced_is_there_and_of_the_rest_each_sector_may_be() {
    use rand::SeedableRng as _;

    let (file, name) = (2, "f".to_owned());
    let write = |offset: usize, byte: u8, length: usize| Op::Write { node: file, offset, bytes: vec![byte; length] };
    let ops = [
        Op::Link { directory: ROOT, name, node: file, is_file: true },
        write(0, 1, 1000),
        Op::Sync { node: file },
        Op::Sync { node: ROOT },
        write(500, 2, 600),
    ];
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..200 {
        let random = &mut rand::rngs::SmallRng::seed_from_u64(seed);
        let image = after_power_failure(&ops, Syncs::Honest, random);
        let content = &image.0[Path::new("f")];
        assert!(content[..500].iter().all(|byte| *byte == 1));
        seen.insert([500, 512, 1024].map(|at| content.get(at).copied().unwrap_or_default() == 2));
        let nothing = after_power_failure(&ops[..4], Syncs::Ignored, random);
        assert!(nothing.0.get(Path::new("f")).is_none_or(|content| content.len() <= 1000));
    }
    assert_eq!(seen.len(), 8, "each of the three sectors with and without each other: {seen:?}");
}
