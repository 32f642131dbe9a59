//! The start script of the managed Postgres, run as it is, up to the moment at which the server would listen.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::{fs, io};

use e2e_servers::{Postgres, find_program, postgres};

const SCRIPT: &str = include_str!("../src/controller/build/files/postgres-start.sh");

fn write(path: &Path, text: &str) -> io::Result<()> {
    fs::write(path, text)?;
    fs::set_permissions(path, PermissionsExt::from_mode(0o755))
}

/// In a container both are number 1; here the shell keeps its number over `exec`.
#[test]
fn a_lock_that_a_killed_postgres_left_with_the_number_of_the_scripts_shell_does_not_keep_it_from_starting() {
    let server = Postgres::prepare().unwrap();
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let real = find_program("postgres", &["/usr/lib/postgresql/15/bin"], "postgresql-15").unwrap();
    // The last command would listen for ever.
    let wrapper = format!("#!/bin/sh\n[ \"$1\" = --single ] || exec echo listens\nexec {} \"$@\"\n", real.display());
    write(&folder.path().join("postgres"), &wrapper).unwrap();
    let script = folder.path().join("start.sh");
    write(&script, SCRIPT).unwrap();

    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
    let output = postgres::program("sh")
        .unwrap()
        .args(["-c", r#"echo $$ > "$PGDATA/postmaster.pid"; exec sh "$0""#])
        .arg(&script)
        .env("PATH", path)
        .env("PGDATA", server.data())
        .env("POSTGRES_PASSWORD", "secret")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "listens\n", "{said}");
}
