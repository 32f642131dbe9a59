//! The kernel's side of a file system in user space, as in `linux/fuse.h`: as much as SQLite needs.

use nix::errno::Errno;

use super::files::{Files, Node};

const MAX_WRITE: u32 = 1 << 20;
/// A request with its head fits into this.
pub(super) const REQUEST_BYTES: usize = MAX_WRITE as usize + 4096;

const HEAD: usize = 40;
/// Nobody changes the files but through the kernel, so what it remembers stays true.
const VALID_SECONDS: u64 = 3600;
const FOPEN_KEEP_CACHE: u32 = 1 << 1;
const BIG_WRITES: u32 = 1 << 5;
const MAX_PAGES: u32 = 1 << 22;
const FATTR_SIZE: u32 = 1 << 3;

#[derive(Default)]
struct Body(Vec<u8>);

impl Body {
    fn u16(mut self, value: u16) -> Self {
        self.0.extend(value.to_ne_bytes());
        self
    }

    fn u32(mut self, value: u32) -> Self {
        self.0.extend(value.to_ne_bytes());
        self
    }

    fn u64(mut self, value: u64) -> Self {
        self.0.extend(value.to_ne_bytes());
        self
    }

    fn zeros(mut self, count: usize) -> Self {
        self.0.resize(self.0.len() + count, 0);
        self
    }

    fn attributes(self, files: &Files, node: u64) -> Result<Self, Errno> {
        let (size, mode) = match files.node(node)? {
            Node::File(content) => (content.len() as u64, 0o100_644),
            Node::Directory(_) => (0, 0o040_755),
        };
        // Times, and the owner, who is root, are 0.
        let body = self.u64(node).u64(size).u64(size.div_ceil(512)).zeros(36).u32(mode);
        Ok(body.u32(1).zeros(12).u32(4096).zeros(4))
    }

    fn entry(self, files: &Files, node: u64) -> Result<Self, Errno> {
        self.u64(node).u64(0).u64(VALID_SECONDS).u64(VALID_SECONDS).zeros(8).attributes(files, node)
    }

    fn opened(self) -> Self {
        self.u64(0).u32(FOPEN_KEEP_CACHE).u32(0)
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_ne_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

fn name(bytes: &[u8]) -> &str {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    std::str::from_utf8(&bytes[..end]).expect("names in UTF-8")
}

/// The reply to one request; None: it wants none.
pub(super) fn answer(files: &mut Files, request: &[u8]) -> Option<Vec<u8>> {
    let (operation, unique, node) = (u32_at(request, 4), u64_at(request, 8), u64_at(request, 16));
    // FORGET, INTERRUPT and BATCH_FORGET.
    if [2, 36, 42].contains(&operation) {
        return None;
    }
    let (error, body) = match carry_out(files, operation, node, &request[HEAD..]) {
        Ok(body) => (0, body.0),
        Err(error) => (-(error as i32), Vec::new()),
    };
    let reply = Body::default().u32(16 + body.len() as u32).u32(error.cast_unsigned()).u64(unique);
    Some([reply.0, body].concat())
}

fn carry_out(files: &mut Files, operation: u32, node: u64, input: &[u8]) -> Result<Body, Errno> {
    let reply = Body::default();
    match operation {
        // LOOKUP
        1 => {
            let found = files.names(node)?.get(name(input)).copied().ok_or(Errno::ENOENT)?;
            reply.entry(files, found)
        }
        // GETATTR
        3 => reply.u64(VALID_SECONDS).zeros(8).attributes(files, node),
        // SETATTR
        4 => {
            if u32_at(input, 0) & FATTR_SIZE != 0 {
                files.resize(node, u64_at(input, 16) as usize)?;
            }
            reply.u64(VALID_SECONDS).zeros(8).attributes(files, node)
        }
        // MKDIR
        9 => {
            let made = files.make(node, name(&input[8..]), Node::Directory(Default::default()))?;
            reply.entry(files, made)
        }
        // UNLINK, RMDIR
        10 | 11 => files.remove(node, name(input)).map(|()| reply),
        // OPEN, OPENDIR
        14 | 27 => Ok(reply.opened()),
        // READ
        15 => {
            let (offset, size) = (u64_at(input, 8), u32_at(input, 16));
            Ok(Body(files.read(node, offset as usize, size as usize)?.to_vec()))
        }
        // WRITE
        16 => {
            let (offset, size) = (u64_at(input, 8), u32_at(input, 16));
            files.write(node, offset as usize, &input[40..40 + size as usize])?;
            Ok(reply.u32(size).u32(0))
        }
        // STATFS
        17 => Ok(reply.zeros(40).u32(4096).u32(255).u32(4096).zeros(28)),
        // RELEASE, RELEASEDIR, DESTROY
        18 | 29 | 38 => Ok(reply),
        // FSYNC, FSYNCDIR
        20 | 30 => {
            files.sync(node);
            Ok(reply)
        }
        // INIT: version 7.31
        26 => {
            let readahead = u32_at(input, 8);
            let limits = reply.u32(7).u32(31).u32(readahead).u32(BIG_WRITES | MAX_PAGES).u16(16).u16(12);
            Ok(limits.u32(MAX_WRITE).u32(1).u16((MAX_WRITE / 4096) as u16).zeros(34))
        }
        // READDIR: all names at once, since nobody here has many.
        28 if u64_at(input, 8) == 0 => {
            let mut body = reply;
            for (index, (name, node)) in files.names(node)?.iter().enumerate() {
                body = body.u64(*node).u64(index as u64 + 1).u32(name.len() as u32).u32(0);
                body.0.extend(name.as_bytes());
                body.0.resize(body.0.len().next_multiple_of(8), 0);
            }
            Ok(body)
        }
        28 => Ok(reply),
        // CREATE
        35 => {
            let made = files.make(node, name(&input[16..]), Node::File(Vec::new()))?;
            Ok(reply.entry(files, made)?.opened())
        }
        _ => Err(Errno::ENOSYS),
    }
}
