//! `spec.history`.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// What is kept of documents as they were, and of deleted ones.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct History {
    /// Automatic versions of one document at most; the oldest go. 0: none are made. Named ones stay.
    #[serde(default = "keep")]
    #[schemars(range(min = 0, max = 100_000))]
    pub keep: i32,
    /// Automatic versions go after this many hours.
    #[serde(default = "keep_hours")]
    #[schemars(range(min = 1, max = 876_000))]
    pub keep_hours: i32,
    /// A document that is edited for long becomes a version this often.
    #[serde(default = "every_seconds")]
    #[schemars(range(min = 1, max = 2_592_000))]
    pub every_seconds: i32,
    /// An edit after nothing has changed for this long makes what was before a version.
    #[serde(default = "pause_seconds")]
    #[schemars(range(min = 1, max = 2_592_000))]
    pub pause_seconds: i32,
    /// A deleted document's name is refused for this many hours, so that no client with a copy of its own brings it back.
    #[serde(default = "tombstone_hours")]
    #[schemars(range(min = 1, max = 876_000))]
    pub tombstone_hours: i32,
    /// The documents of which deleted content is kept, for clients with `gc: false` that make snapshots (`Y.Snapshot`):
    /// names, or beginnings of names and `*`; `*` alone is all. Such a document only grows, up to
    /// `spec.gateway.limits.documentBytes`, and whoever opens it is sent all of it. When a document is no longer among
    /// them, its deleted content goes with the next edit.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), inner(length(min = 1, max = 513), regex(pattern = r"^[^*\p{Cc}]*\*?$")))]
    pub keep_deleted: Vec<String>,
}

impl Default for History {
    fn default() -> Self {
        Self {
            keep: keep(),
            keep_hours: keep_hours(),
            every_seconds: every_seconds(),
            pause_seconds: pause_seconds(),
            tombstone_hours: tombstone_hours(),
            keep_deleted: Vec::new(),
        }
    }
}

fn keep() -> i32 {
    200
}

fn keep_hours() -> i32 {
    2160
}

fn every_seconds() -> i32 {
    600
}

fn pause_seconds() -> i32 {
    120
}

fn tombstone_hours() -> i32 {
    720
}
