//! The core of the gateway is pure: no runtime, socket or database in the wire protocols, the rooms and the history. And
//! the CRDT library is behind one door.

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

#[test]
fn the_crdt_library_is_used_by_the_history_alone_and_the_history_reads_in_a_process_of_its_own_alone() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (history, process) = (src.join("history"), src.join("reader/process.rs"));
    let mut found = Vec::new();
    sources(&src, &mut found);
    assert!(found.contains(&process), "the process that reads has moved");
    for path in found.iter().filter(|path| !path.starts_with(&history)) {
        for (index, line) in std::fs::read_to_string(path).unwrap().lines().enumerate() {
            let place = || format!("{}:{}: {line}", path.display(), index + 1);
            assert!(!line.contains("yrs::") && !line.trim().starts_with("use yrs"), "{}", place());
            // Whoever has the module can call its `answer`; these are the names that anybody may have.
            let is_harmless =
                ["use crate::history::reading::Question;", "use crate::history::reading::{Question, Users};"]
                    .contains(&line.trim());
            let is_door = line.contains("history::reading") || line.contains("reading::answer");
            assert!(!is_door || is_harmless || *path == process, "{}", place());
        }
    }
}

/// The lines of a lock file that say which version of a package it has.
fn locked(file: &Path, package: &str) -> Vec<String> {
    let text = std::fs::read_to_string(file).expect("a lock file");
    let name = format!("name = \"{package}\"");
    let mut lines = text.lines();
    let mut found = Vec::new();
    while lines.any(|line| line == name) {
        found.extend(lines.next().map(str::to_owned));
    }
    found
}

#[test]
fn what_is_fuzzed_is_built_with_the_gateways_versions() {
    let gateway = Path::new(env!("CARGO_MANIFEST_DIR"));
    for package in ["base64", "bytes", "httparse", "percent-encoding", "serde_json", "sha1", "yrs"] {
        let fuzzed = locked(&gateway.join("fuzz/Cargo.lock"), package);
        let ours = locked(&gateway.join("../Cargo.lock"), package);
        assert!(
            !fuzzed.is_empty() && fuzzed.iter().all(|version| ours.contains(version)),
            "{package}: {fuzzed:?} in gateway/fuzz/Cargo.lock, {ours:?} here; run `cargo update -p {package} \
             --precise VERSION` in gateway/fuzz"
        );
    }
}
