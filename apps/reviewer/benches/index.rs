//! What the index costs: files a second and core from nothing, beside `ctags` on the same files, and an update after a change.
//!
//! The files are sources of crates, copied into memory. Times are CPU times of the whole process, database included; the best of some
//! rounds, so that a busy machine disturbs least. Not a test: it judges nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use clap::Parser;
use nix::sys::resource::{UsageWho, getrusage};
use tempfile::TempDir;

const REVIEWER: &str = env!("CARGO_BIN_EXE_reviewer");

/// Measure the index.
#[derive(Debug, Parser)]
struct Cli {
    /// The folder with the sources (default: the crates that cargo keeps)
    #[arg(long)]
    sources: Option<PathBuf>,
    /// How many files of it are taken
    #[arg(long, default_value_t = 4000)]
    files: usize,
    /// How often each thing is done
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Given by cargo, means nothing
    #[arg(long, hide = true)]
    bench: bool,
}

/// A copy of the files, and where the index is kept.
struct Ground {
    memory: TempDir,
    files: Vec<PathBuf>,
    bytes: u64,
}

#[expect(clippy::print_stdout, reason = "a table is what it is for")]
fn main() {
    let cli = Cli::parse();
    let sources = cli.sources.clone().unwrap_or_else(crates);
    let ground = Ground::new(&sources, cli.files);
    let (count, mib) = (ground.files.len(), ground.bytes as f64 / 1048576.0);
    println!(
        "{count} files of Rust, {mib:.1} MiB; CPU time, best of {}\n",
        cli.rounds
    );
    println!(
        "{:<30} {:>10} {:>14} {:>10}",
        "from nothing", "CPU ms", "files/s a core", "MiB/s"
    );
    let row = |name: &str, took: Duration| {
        let seconds = took.as_secs_f64();
        let (ms, rate, speed) = (seconds * 1e3, count as f64 / seconds, mib / seconds);
        println!("{name:<30} {ms:>10.0} {rate:>14.0} {speed:>10.1}");
    };
    let anew = || {
        ground.forget();
        cpu(&mut ground.reviewer())
    };
    row("reviewer index", best(cli.rounds, anew));
    match Command::new("ctags").arg("--version").output() {
        Ok(_) => row("ctags", best(cli.rounds, || cpu(&mut ground.ctags()))),
        Err(_) => println!("ctags is left out: it is not installed"),
    }
    println!(
        "\n{:<30} {:>10} {:>20}",
        "update, of these changed", "CPU ms", "ms each over none"
    );
    let none = best(cli.rounds, || cpu(&mut ground.reviewer()));
    println!("{:<30} {:>10.1} {:>20}", 0, none.as_secs_f64() * 1e3, "-");
    for changed in [1, 10, 100, 1000]
        .into_iter()
        .filter(|changed| *changed <= count)
    {
        let mut round = 0;
        let took = best(cli.rounds, || {
            round += 1;
            ground.change(changed, round);
            cpu(&mut ground.reviewer())
        });
        let each = took.saturating_sub(none).as_secs_f64() * 1e3 / changed as f64;
        println!(
            "{changed:<30} {:>10.1} {each:>20.2}",
            took.as_secs_f64() * 1e3
        );
    }
}

/// Returns where cargo keeps the sources of crates.
fn crates() -> PathBuf {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let user = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cargo");
    home.unwrap_or_else(user).join("registry/src")
}

impl Ground {
    fn new(sources: &Path, files_max: usize) -> Self {
        let memory = tempfile::tempdir_in("/dev/shm").expect("memory");
        let mut found = Vec::new();
        rust_files(sources, &mut found);
        found.sort();
        // Spread over all of them, so that no one crate is all that is measured.
        let step = (found.len() / files_max).max(1);
        let mut bytes = 0;
        let mut files = Vec::new();
        for (number, file) in found.iter().step_by(step).take(files_max).enumerate() {
            let folder = memory.path().join(format!("files/{}", number / 50));
            fs::create_dir_all(&folder).expect("a folder");
            let copy = folder.join(format!("f{number}.rs"));
            bytes += fs::copy(file, &copy).expect("a copy");
            files.push(copy);
        }
        assert!(!files.is_empty(), "no sources below {}", sources.display());
        Self {
            memory,
            files,
            bytes,
        }
    }

    fn reviewer(&self) -> Command {
        let mut command = Command::new(REVIEWER);
        command.arg("index").arg(self.memory.path().join("files"));
        command.arg("--db").arg(self.memory.path().join("index.db"));
        command
    }

    fn ctags(&self) -> Command {
        let mut command = Command::new("ctags");
        command.args(["--languages=Rust", "--fields=+ne", "-R", "-f"]);
        command.arg(self.memory.path().join("tags"));
        command.arg(self.memory.path().join("files"));
        command
    }

    /// Removes the index.
    fn forget(&self) {
        for name in ["index.db", "index.db-wal", "index.db-shm"] {
            // What is not there needs no removing.
            fs::remove_file(self.memory.path().join(name)).ok();
        }
    }

    /// Adds a function to so many files, spread over all.
    fn change(&self, number: usize, round: usize) {
        let step = (self.files.len() / number).max(1);
        for file in self.files.iter().step_by(step).take(number) {
            let mut text = fs::read(file).expect("it is ours");
            text.extend_from_slice(format!("\nfn added_{number}_{round}() {{}}\n").as_bytes());
            fs::write(file, text).expect("it is ours");
        }
    }
}

/// Collects the files of Rust below a folder that the index would take.
fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    let fits = |entry: &fs::DirEntry| entry.metadata().is_ok_and(|is| is.len() <= 1 << 20);
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => rust_files(&path, found),
            Ok(kind) if kind.is_file() && fits(&entry) => {
                found.extend(
                    path.extension()
                        .is_some_and(|end| end == "rs")
                        .then_some(path),
                );
            }
            _ => {}
        }
    }
}

fn best(rounds: usize, measure: impl FnMut() -> Duration) -> Duration {
    let mut measure = measure;
    (0..rounds).map(|_| measure()).min().unwrap_or_default()
}

/// Runs a command and returns the CPU time that it took.
fn cpu(command: &mut Command) -> Duration {
    let before = children();
    let status = command.stdout(Stdio::null()).status().expect("it starts");
    assert!(status.success(), "{command:?}: {status}");
    children() - before
}

fn children() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).expect("it is always there");
    let times = [usage.user_time(), usage.system_time()];
    times
        .into_iter()
        .map(|time| {
            let whole = Duration::from_secs(time.tv_sec().unsigned_abs());
            whole + Duration::from_micros(time.tv_usec().unsigned_abs())
        })
        .sum()
}
