//! The core of the gateway is pure: no runtime, socket or database in the wire protocols, the rooms and the history.

use std::path::{Path, PathBuf};

fn sources(path: &Path, found: &mut Vec<PathBuf>) {
    if path.is_dir() {
        for entry in std::fs::read_dir(path).expect("a readable folder") {
            sources(&entry.expect("a readable entry").path(), found);
        }
    } else if path.extension().is_some_and(|extension| extension == "rs") {
        found.push(path.to_owned());
    }
}

#[test]
fn protocols_rooms_and_history_know_no_runtime_socket_or_database() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    for part in ["protocol.rs", "protocol", "room.rs", "room", "history.rs", "history"] {
        sources(&src.join(part), &mut found);
    }
    assert!(found.len() >= 6, "the core's sources have moved: {found:?}");
    for path in found {
        for (index, line) in std::fs::read_to_string(&path).unwrap().lines().enumerate() {
            for banned in ["tokio", "axum", "redis", "sqlx"] {
                let used = line.contains(&format!("{banned}::")) || line.trim().starts_with(&format!("use {banned}"));
                assert!(!used, "{}:{}: {banned} in the pure core", path.display(), index + 1);
            }
        }
    }
}
