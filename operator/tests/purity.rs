//! What decides knows no network: its tests need none, and nothing in it can hang.
#![allow(clippy::unwrap_used, reason = "the helpers of tests; Clippy excuses test functions alone")]

use std::fs;
use std::path::{Path, PathBuf};

const PURE: [&str; 6] =
    ["controller/validate", "controller/build", "controller/observe", "controller/status/conditions", "scaling", "crd"];
const FORBIDDEN: [&str; 8] = ["tokio", "axum", "reqwest", "hyper", "Client", "Api<", "async fn", ".await"];

fn rust_files(path: &Path, found: &mut Vec<PathBuf>) {
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            rust_files(&entry.unwrap().path(), found);
        }
    } else if path.extension().is_some_and(|extension| extension == "rs") {
        found.push(path.to_owned());
    }
}

#[test]
fn the_pure_parts_know_no_client_and_no_runtime() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    for part in PURE {
        let (folder, file) = (source.join(part), source.join(part).with_extension("rs"));
        assert!(file.is_file(), "{part} has moved; tell this test where to");
        rust_files(&file, &mut files);
        if folder.is_dir() {
            rust_files(&folder, &mut files);
        }
    }
    assert!(files.len() > 20, "only {files:?} were looked at");
    for file in files {
        for (number, line) in fs::read_to_string(&file).unwrap().lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            for word in FORBIDDEN {
                assert!(!code.contains(word), "{}:{} has {word}: {line}", file.display(), number + 1);
            }
        }
    }
}
