//! Where things are.

use std::path::{Path, PathBuf};

/// The workspace's folder.
pub fn workspace() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// Cargo's target folder, which holds everything that a run leaves behind.
pub fn target() -> PathBuf {
    workspace().join("target")
}
