//! The process that reads. Without the gateway's runtime, flags, log and metrics: it takes one question, answers it and
//! ends. It also ends when its gateway does, whatever it is doing.

use std::ffi::OsString;
use std::io::{self, Read as _};
use std::process::{self, ExitCode};
use std::thread;

use anyhow::{Context, Result};

use super::bounds::{Bounds, MAX_ANSWER_BYTES, STACK_BYTES};
use super::wire;
use crate::history::reading::{self, Question};

/// As Rust ends a process of one thread that panics.
const PANICKED: u8 = 101;
/// Of the thread that waits for the gateway's end.
const SMALL_STACK_BYTES: usize = 128 << 10;

/// Runs with the arguments behind `COMMAND`.
pub(crate) fn main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    match run(arguments) {
        Ok(code) => code,
        Err(error) => {
            // The gateway puts it into its log.
            eprintln!("gateway: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: impl Iterator<Item = OsString>) -> Result<ExitCode> {
    Bounds::bind(arguments)?;
    let (question, states) = wire::question(&mut io::stdin().lock()).context("cannot read the question")?;
    let threads = "cannot start a thread";
    thread::Builder::new().stack_size(SMALL_STACK_BYTES).spawn(end_with_the_gateway).context(threads)?;
    let reading = thread::Builder::new().name("reading".to_owned()).stack_size(STACK_BYTES);
    match reading.spawn(move || answer(&question, &states)).context(threads)?.join() {
        Ok(answer) => {
            wire::answer(&mut io::stdout().lock(), answer).context("cannot write the answer")?;
            Ok(ExitCode::SUCCESS)
        }
        // The panic has said what there is to say.
        Err(_) => Ok(PANICKED.into()),
    }
}

/// A gateway writes nothing behind its question, and keeps the pipe until it has its answer. So the pipe ends when the
/// gateway does, however that happens, or when it wants to know no more. A signal at the parent's death would come when
/// the thread ends that has started this process.
fn end_with_the_gateway() {
    // An error is an end as well.
    let _ = io::stdin().lock().read(&mut [0]);
    process::exit(1);
}

fn answer(question: &Question, [first, second]: &[Vec<u8>; 2]) -> Result<Vec<u8>, String> {
    let answer = reading::answer(question, [first, second]).map_err(|unreadable| unreadable.to_string())?;
    match answer.len() {
        0..=MAX_ANSWER_BYTES => Ok(answer),
        bytes => Err(format!(
            "the answer would have {bytes} bytes and may have {MAX_ANSWER_BYTES}; export the document and read it with Yjs"
        )),
    }
}
