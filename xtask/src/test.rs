//! `cargo xtask test`: every check of the project, one after the other.
//!
//! INVARIANT: the last line says how many tests passed and failed, whatever else went wrong.

use std::process::ExitCode;

use anyhow::ensure;
use clap::ValueEnum as _;

use crate::process::{Stream, run as run_command, run_seen};
use crate::repository::Repository;
use crate::steps::Steps;
use crate::{demo, fuzz, reference, say, tidy, tools, workflows};

/// What to run.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only what takes seconds: fmt, clippy, tidy (as a pre-commit hook)
    #[arg(long, conflicts_with = "only")]
    fast: bool,
    /// Only these steps
    only: Vec<Step>,
}

/// A step, in the order in which they run: what fails quickest comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Step {
    Programs,
    Fmt,
    Tidy,
    Workflows,
    Clippy,
    Tests,
    Gen,
    Doctests,
    Docs,
    Deny,
    Demo,
    Fuzz,
}

impl Step {
    const FAST: &[Self] = &[Self::Fmt, Self::Tidy, Self::Clippy];

    fn name(self) -> &'static str {
        match self {
            Self::Programs => "programs",
            Self::Fmt => "fmt",
            Self::Tidy => "tidy",
            Self::Workflows => "workflows",
            Self::Clippy => "clippy",
            Self::Tests => "tests",
            Self::Gen => "gen",
            Self::Doctests => "doctests",
            Self::Docs => "docs",
            Self::Deny => "deny",
            Self::Demo => "demo",
            Self::Fuzz => "fuzz",
        }
    }

    fn run(self, repository: &Repository, counts: &mut Counts) -> anyhow::Result<()> {
        match self {
            Self::Programs => {
                tools::provide_programs()?;
                tools::provide_clients(repository)
            }
            Self::Fmt => fmt(repository),
            Self::Tidy => tidy::run(repository),
            Self::Workflows => workflows::check(repository),
            Self::Clippy => run_command(
                repository
                    .cargo([
                        "clippy",
                        "--workspace",
                        "--all-targets",
                        "--locked",
                        "--quiet",
                    ])
                    .args(["--", "-D", "warnings"]),
            ),
            Self::Tests => tests(repository, counts),
            Self::Gen => reference::check_after_tests(repository),
            Self::Doctests => doctests(repository, counts),
            Self::Docs => run_command(
                repository
                    .cargo(["doc", "--workspace", "--no-deps", "--locked", "--quiet"])
                    .env("RUSTDOCFLAGS", "-D warnings"),
            ),
            Self::Deny => deny(repository),
            Self::Demo => demo::run_after_tests(repository),
            Self::Fuzz => fuzz::smoke(repository),
        }
    }
}

/// How many tests ended how.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    passed: u64,
    failed: u64,
    /// The runner's lines about those that did not pass, or not at once.
    told: Vec<String>,
}

impl Counts {
    /// Adds what a runner's summary line says: numbers, each followed by a word.
    fn add(&mut self, summary: &str) {
        let words: Vec<&str> = summary
            .split([' ', ',', ';', '('])
            .filter(|word| !word.is_empty())
            .collect();
        for pair in words.windows(2) {
            let [number, word] = pair else { continue };
            let Ok(number) = number.parse::<u64>() else {
                continue;
            };
            match *word {
                "passed" => self.passed += number,
                // nextest tells how a test failed; each is one that did not pass.
                "failed" | "timed" | "exec" => self.failed += number,
                _ => {}
            }
        }
    }
}

/// Runs the steps.
pub(crate) fn run(repository: &Repository, args: &Args) -> anyhow::Result<ExitCode> {
    let chosen: Vec<Step> = Step::value_variants()
        .iter()
        .copied()
        .filter(|step| match (args.fast, args.only.as_slice()) {
            (true, _) => Step::FAST.contains(step),
            (false, []) => true,
            (false, only) => only.contains(step),
        })
        .collect();
    let mut steps = Steps::new();
    let mut counts = Counts::default();
    for step in chosen {
        steps.step(step.name(), || step.run(repository, &mut counts));
    }
    let good = steps.summary();
    for line in &counts.told {
        say::line(line);
    }
    say::line(&format!(
        "{} passed, {} failed",
        counts.passed, counts.failed
    ));
    Ok(if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The layout of all code, the fuzz targets' too: those are a workspace of their own.
fn fmt(repository: &Repository) -> anyhow::Result<()> {
    run_command(&mut repository.cargo(["fmt", "--all", "--check"]))?;
    run_command(&mut repository.cargo(["fmt", "--manifest-path=fuzz/Cargo.toml", "--check"]))
}

/// The tests of all crates.
fn tests(repository: &Repository, counts: &mut Counts) -> anyhow::Result<()> {
    tools::provide_cargo_tool(repository, tools::NEXTEST)?;
    let before = counts.passed;
    let mut nextest = repository.cargo([
        "nextest",
        "run",
        "--workspace",
        "--locked",
        "--no-fail-fast",
    ]);
    nextest.args(["--color=never", "--cargo-quiet", "--status-level=slow"]);
    let mut summed_up = false;
    run_seen(&mut nextest, Stream::Err, |line| {
        let line = line.trim_start();
        if line.starts_with("Summary [") {
            counts.add(line);
            summed_up = true;
        } else if summed_up && line.contains("::") {
            counts.told.push(line.to_owned());
        }
    })?;
    ensure!(counts.passed > before, "no test ran");
    Ok(())
}

/// The examples in documentation comments.
fn doctests(repository: &Repository, counts: &mut Counts) -> anyhow::Result<()> {
    let mut doctests = repository.cargo(["test", "--doc", "--workspace", "--locked", "--quiet"]);
    run_seen(&mut doctests, Stream::Out, |line| {
        if line.starts_with("test result:") {
            counts.add(line);
        }
    })
}

/// Licences, duplicates and sources of the dependencies. Advisories change without us and need the network, so the
/// weekly workflow asks for them.
fn deny(repository: &Repository) -> anyhow::Result<()> {
    tools::provide_cargo_tool(repository, tools::DENY)?;
    say::note(
        "advisories are not asked for here: that needs the network (`cargo deny check advisories`)",
    );
    // What is for other systems alone was not built here, so it was not downloaded.
    run_command(&mut repository.cargo(["fetch", "--locked", "--quiet"]))?;
    run_command(
        repository
            .cargo(["deny", "--locked", "--offline", "--all-features"])
            .args(["check", "bans", "licenses", "sources"]),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summaries_of_both_runners_are_counted() {
        let check = |line: &str, passed: u64, failed: u64| {
            let mut counts = Counts::default();
            counts.add(line);
            assert_eq!((counts.passed, counts.failed), (passed, failed), "{line}");
        };
        check(
            "     Summary [   1.234s] 12 tests run: 12 passed, 0 skipped",
            12,
            0,
        );
        check(
            "Summary [ 9.0s] 14 tests run: 10 passed (2 slow), 3 failed, 1 timed out, 2 skipped",
            10,
            4,
        );
        check(
            "Summary [ 9.0s] 2/14 tests run: 1 passed, 1 exec failed, 2 skipped",
            1,
            1,
        );
        check(
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; finished in 0.10s",
            3,
            0,
        );
        check("test result: FAILED. 1 passed; 2 failed; 0 ignored", 1, 2);
    }
}
