//! `cargo xtask fuzz`: runs each fuzz target for some seconds.
//!
//! It builds with the pinned stable compiler: coverage counters for libFuzzer are ordinary code generation options. Address
//! sanitizing is not, and is left out: the targets look for wrong results, and the fuzzed crates have no unsafe code.

use std::process::Command;

use anyhow::{Context as _, ensure};

use crate::process::{output_of, run as run_command, run_quiet};
use crate::repository::Repository;
use crate::say;

/// What to run.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How long each target runs
    #[arg(long, default_value_t = SMOKE_SECONDS)]
    seconds: u64,
    /// Only these targets
    targets: Vec<String>,
}

/// How long each target runs as a part of the tests.
const SMOKE_SECONDS: u64 = 5;

// LIMIT: longer inputs find no more, and fewer of them fit the time.
const INPUT_BYTES_MAX: u32 = 512;

/// Counters that libFuzzer reads, as its documentation asks for them.
const COVERAGE: &[&str] = &[
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Cdebug-assertions=on",
    "--cfg=fuzzing",
];

/// Runs the chosen targets, or all, for as long as asked.
pub(crate) fn run(repository: &Repository, args: &Args) -> anyhow::Result<()> {
    let all = targets(repository)?;
    for chosen in &args.targets {
        ensure!(
            all.contains(chosen),
            "there is no fuzz target `{chosen}`; there are: {}",
            all.join(", ")
        );
    }
    let chosen = if args.targets.is_empty() {
        &all
    } else {
        &args.targets
    };
    // Instrumented code links only into a fuzz target, so build scripts and macros must not get these flags: they do not where
    // a target is named, be it the host.
    let host = host(repository)?;
    let folder = repository.root().join("fuzz");
    let mut build = repository.cargo([
        "build",
        "--locked",
        "--release",
        "--quiet",
        "--manifest-path=fuzz/Cargo.toml",
    ]);
    build.args(["--target", &host, "--target-dir", "fuzz/target"]);
    build.args(chosen.iter().flat_map(|target| ["--bin", target]));
    run_command(build.env("RUSTFLAGS", COVERAGE.join(" ")))?;
    for target in chosen {
        let corpus = folder.join("corpus").join(target);
        let artifacts = folder.join("artifacts").join(target);
        for made in [&corpus, &artifacts] {
            std::fs::create_dir_all(made)
                .with_context(|| format!("cannot make {}", made.display()))?;
        }
        say::note(&format!("fuzzing {target} for {} s", args.seconds));
        let built = folder
            .join("target")
            .join(&host)
            .join("release")
            .join(target);
        run_quiet(
            Command::new(built)
                .arg(format!("-max_total_time={}", args.seconds))
                .arg(format!("-artifact_prefix={}/", artifacts.display()))
                .arg(format!("-max_len={INPUT_BYTES_MAX}"))
                .args(["-print_final_stats=1", "-verbosity=0"])
                .arg(corpus),
        )?;
    }
    Ok(())
}

/// Runs every target for a few seconds.
pub(crate) fn smoke(repository: &Repository) -> anyhow::Result<()> {
    run(
        repository,
        &Args {
            seconds: SMOKE_SECONDS,
            targets: Vec::new(),
        },
    )
}

fn targets(repository: &Repository) -> anyhow::Result<Vec<String>> {
    let files = repository.files()?;
    let targets: Vec<String> = files
        .iter()
        .filter_map(|file| file.strip_prefix("fuzz/fuzz_targets/")?.strip_suffix(".rs"))
        .map(str::to_owned)
        .collect();
    ensure!(!targets.is_empty(), "fuzz/fuzz_targets holds no target");
    Ok(targets)
}

fn host(repository: &Repository) -> anyhow::Result<String> {
    let version = output_of(repository.command("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("`rustc -vV` names no host")?.to_owned())
}
