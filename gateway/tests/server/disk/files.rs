//! The files as they are read now, in memory.

use std::collections::BTreeMap;

use nix::errno::Errno;

use super::journal::{Op, ROOT, write};

#[derive(Debug)]
pub(super) enum Node {
    File(Vec<u8>),
    Directory(BTreeMap<String, u64>),
}

pub(super) struct Files {
    nodes: BTreeMap<u64, Node>,
    pub(super) journal: Vec<Op>,
    pub(super) capacity: Option<usize>,
}

impl Default for Files {
    fn default() -> Self {
        let nodes = BTreeMap::from([(ROOT, Node::Directory(BTreeMap::new()))]);
        Self { nodes, journal: Vec::new(), capacity: None }
    }
}

impl Files {
    pub(super) fn node(&self, node: u64) -> Result<&Node, Errno> {
        self.nodes.get(&node).ok_or(Errno::ENOENT)
    }

    pub(super) fn names(&self, directory: u64) -> Result<&BTreeMap<String, u64>, Errno> {
        match self.node(directory)? {
            Node::Directory(names) => Ok(names),
            Node::File(_) => Err(Errno::ENOTDIR),
        }
    }

    fn names_mut(&mut self, directory: u64) -> Result<&mut BTreeMap<String, u64>, Errno> {
        match self.nodes.get_mut(&directory) {
            Some(Node::Directory(names)) => Ok(names),
            _ => Err(Errno::ENOTDIR),
        }
    }

    fn content_mut(&mut self, node: u64) -> Result<&mut Vec<u8>, Errno> {
        match self.nodes.get_mut(&node) {
            Some(Node::File(content)) => Ok(content),
            _ => Err(Errno::EISDIR),
        }
    }

    pub(super) fn make(&mut self, directory: u64, name: &str, made: Node) -> Result<u64, Errno> {
        let node = self.nodes.keys().next_back().map_or(ROOT, |last| last + 1);
        let names = self.names_mut(directory)?;
        if names.contains_key(name) {
            return Err(Errno::EEXIST);
        }
        names.insert(name.to_owned(), node);
        let is_file = matches!(made, Node::File(_));
        self.nodes.insert(node, made);
        self.journal.push(Op::Link { directory, name: name.to_owned(), node, is_file });
        Ok(node)
    }

    /// Whoever has it open keeps it.
    pub(super) fn remove(&mut self, directory: u64, name: &str) -> Result<(), Errno> {
        self.names_mut(directory)?.remove(name).ok_or(Errno::ENOENT)?;
        self.journal.push(Op::Unlink { directory, name: name.to_owned() });
        Ok(())
    }

    pub(super) fn read(&self, node: u64, offset: usize, length: usize) -> Result<&[u8], Errno> {
        match self.node(node)? {
            Node::File(content) => {
                let rest = content.get(offset..).unwrap_or_default();
                Ok(&rest[..rest.len().min(length)])
            }
            Node::Directory(_) => Err(Errno::EISDIR),
        }
    }

    pub(super) fn write(&mut self, node: u64, offset: usize, bytes: &[u8]) -> Result<(), Errno> {
        self.has_room(node, offset + bytes.len())?;
        write(self.content_mut(node)?, offset, bytes);
        self.journal.push(Op::Write { node, offset, bytes: bytes.to_vec() });
        Ok(())
    }

    pub(super) fn resize(&mut self, node: u64, length: usize) -> Result<(), Errno> {
        self.has_room(node, length)?;
        self.content_mut(node)?.resize(length, 0);
        self.journal.push(Op::Resize { node, length });
        Ok(())
    }

    pub(super) fn sync(&mut self, node: u64) {
        self.journal.push(Op::Sync { node });
    }

    pub(super) fn used(&self) -> usize {
        let size = |node: &Node| if let Node::File(content) = node { content.len() } else { 0 };
        self.nodes.values().map(size).sum()
    }

    fn has_room(&self, node: u64, length: usize) -> Result<(), Errno> {
        let Node::File(content) = self.node(node)? else { return Err(Errno::EISDIR) };
        let grows = length.saturating_sub(content.len());
        if grows > 0 && self.capacity.is_some_and(|capacity| self.used() + grows > capacity) {
            return Err(Errno::ENOSPC);
        }
        Ok(())
    }
}
