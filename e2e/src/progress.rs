//! What is going on, on standard error: a spinner on a terminal, plain lines elsewhere.

use std::future::Future;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Tells the person who waits what is being done and what was done, with seconds since the start.
pub struct Progress {
    started: Instant,
    spinner: Option<ProgressBar>,
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}

impl Progress {
    pub fn new() -> Self {
        let spinner = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            // The template is a constant; the default style does as well if it is refused.
            if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed:>4} {wide_msg}") {
                bar.set_style(style);
            }
            bar
        });
        Self { started: Instant::now(), spinner }
    }

    /// A line that stays.
    pub fn say(&self, line: &str) {
        let text = format!("{:7.1} s  {line}", self.started.elapsed().as_secs_f32());
        match &self.spinner {
            Some(bar) => bar.suspend(|| eprintln!("{text}")),
            None => eprintln!("{text}"),
        }
    }

    /// Does `work`, and says so when it has succeeded. While it lasts a terminal shows `what`.
    pub async fn during<T, E>(&self, what: &str, work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        if let Some(bar) = &self.spinner {
            bar.reset_elapsed();
            bar.set_message(what.to_owned());
            bar.enable_steady_tick(Duration::from_millis(100));
        }
        let result = work.await;
        if let Some(bar) = &self.spinner {
            bar.disable_steady_tick();
            bar.finish_and_clear();
        }
        if result.is_ok() {
            self.say(what);
        }
        result
    }
}
