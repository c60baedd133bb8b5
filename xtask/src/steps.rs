//! A run of named steps: each shows its name and its seconds, all run even when one fails, and the end is a summary.

use std::time::{Duration, Instant};

use crate::say;

/// How a step ended.
enum Ending {
    Done,
    Failed(anyhow::Error),
}

/// The steps run so far.
pub(crate) struct Steps {
    ended: Vec<(&'static str, Duration, Ending)>,
}

impl Steps {
    /// Returns a run with no step yet.
    pub(crate) fn new() -> Self {
        Self { ended: Vec::new() }
    }

    /// Runs one step and remembers how it ended.
    pub(crate) fn step(&mut self, name: &'static str, run: impl FnOnce() -> anyhow::Result<()>) {
        say::note(&format!("\n==> {name}"));
        let start = Instant::now();
        let ending = match run() {
            Ok(()) => Ending::Done,
            Err(error) => {
                say::note(&format!("{name} failed: {error:#}"));
                Ending::Failed(error)
            }
        };
        let took = start.elapsed();
        say::note(&format!("==> {name}: {:.1} s", took.as_secs_f64()));
        self.ended.push((name, took, ending));
    }

    /// Prints how long each step took and how it ended; returns whether all ended well.
    pub(crate) fn summary(&self) -> bool {
        say::line("");
        for (name, took, ending) in &self.ended {
            let ending = match ending {
                Ending::Done => String::new(),
                Ending::Failed(error) => format!("  FAILED: {error:#}"),
            };
            say::line(&format!("{name:<12} {:>7.1} s{ending}", took.as_secs_f64()));
        }
        self.ended
            .iter()
            .all(|(_, _, ending)| matches!(ending, Ending::Done))
    }
}
