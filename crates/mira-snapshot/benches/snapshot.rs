//! What a snapshot costs beside `restic backup` of the same: CPU time and wall time. Run with `cargo bench -p mira-snapshot`.
//!
//! Both run as programs of their own, opening their repository included, one after the other in the same rounds; figures
//! are medians. Ours looks for 20 secrets in all that it reads. Not a test: it judges nothing.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use mira_secret::SecretBytes;
use mira_snapshot::{Options, Repository, Secrets, Volume};
use nix::sys::resource::{UsageWho, getrusage};

type Failure = Box<dyn std::error::Error>;

const PASSWORD: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0";
const MIB: u64 = 1024 * 1024;
/// 4096 small files and two large ones are 1 GiB.
const SMALL_FILES: u64 = 4096;
const SMALL_BYTES: u64 = 192 * 1024;
const LARGE_FILES: u64 = 2;
const LARGE_BYTES: u64 = 128 * MIB;
const DATABASE_ROWS: i64 = 256 * 1024;
const ROUNDS: usize = 5;

/// CPU and wall time, in milliseconds.
type Cost = (f64, f64);

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, ours, repository, volume] = arguments.as_slice()
        && ours == "ours"
    {
        return take(Path::new(repository), Path::new(volume));
    }
    let out = &mut io::stdout();
    writeln!(
        out,
        "{:<44} {:>18} {:>18} {:>8} {:>8}",
        "", "ours CPU/wall ms", "restic CPU/wall ms", "CPU", "wall"
    )?;
    let chosen = arguments.get(1).filter(|word| !word.starts_with('-'));
    for (name, make, change) in CASES {
        if chosen.is_some_and(|word| !name.contains(word.as_str())) {
            continue;
        }
        let folder = tempfile::tempdir()?;
        let bench = Bench::new(folder.path(), *make)?;
        let first = bench.both()?;
        row(out, &format!("{name}, first"), &[first])?;
        let again = bench.both()?;
        row(out, &format!("{name}, unchanged"), &[again])?;
        let mut costs = Vec::new();
        for round in 0..ROUNDS {
            change(&bench.volume, round as u64)?;
            costs.push(bench.both()?);
        }
        row(out, &format!("{name}, 1 % changed"), &costs)?;
    }
    Ok(())
}

type Make = fn(&Path) -> Result<(), Failure>;
type Change = fn(&Path, u64) -> Result<(), Failure>;

const CASES: &[(&str, Make, Change)] = &[
    ("1 GiB of files", make_files, change_files),
    (
        "1 GiB in one SQLite database",
        make_database,
        change_database,
    ),
];

struct Bench {
    volume: PathBuf,
    ours: PathBuf,
    restic: PathBuf,
    cache: PathBuf,
}

impl Bench {
    fn new(folder: &Path, make: Make) -> Result<Self, Failure> {
        let bench = Self {
            volume: folder.join("data"),
            ours: folder.join("ours"),
            restic: folder.join("restic"),
            cache: folder.join("cache"),
        };
        fs::create_dir(&bench.volume)?;
        make(&bench.volume)?;
        Repository::open_or_create(&bench.ours, &SecretBytes::copy_from(PASSWORD.as_bytes()))?;
        bench.run(bench.restic(&["init"]))?;
        Ok(bench)
    }

    fn both(&self) -> Result<(Cost, Cost), Failure> {
        let mut ours = Command::new(std::env::current_exe()?);
        ours.arg("ours").arg(&self.ours).arg(&self.volume);
        let mut restic = self.restic(&["backup", "--host", "bench"]);
        restic.arg(&self.volume);
        Ok((self.run(ours)?, self.run(restic)?))
    }

    fn restic(&self, arguments: &[&str]) -> Command {
        let mut restic = Command::new("restic");
        restic
            .args(["--quiet", "--repo"])
            .arg(&self.restic)
            .args(arguments)
            .env("RESTIC_PASSWORD", PASSWORD)
            .env("RESTIC_CACHE_DIR", &self.cache);
        restic
    }

    fn run(&self, mut command: Command) -> Result<Cost, Failure> {
        let (cpu, wall) = (children_ms(), Instant::now());
        let status = command.stdin(Stdio::null()).status()?;
        let cost = (children_ms() - cpu, wall.elapsed().as_secs_f64() * 1e3);
        if status.success() {
            Ok(cost)
        } else {
            Err(format!("{command:?} ended with {status}").into())
        }
    }
}

fn take(repository: &Path, volume: &Path) -> Result<(), Failure> {
    let repository =
        Repository::open_or_create(repository, &SecretBytes::copy_from(PASSWORD.as_bytes()))?;
    let mut secrets = Secrets::builder();
    for number in 0..20_u64 {
        let mut random = fastrand::Rng::with_seed(number);
        let value: String = std::iter::repeat_with(|| random.alphanumeric())
            .take(48)
            .collect();
        secrets.add(&format!("KEY_{number}"), format!("sk-{value}").as_bytes());
    }
    let options = Options {
        instance: "bench".into(),
        ..Options::default()
    };
    let volumes = [Volume::new("data", volume)];
    repository.snapshot(&volumes, &secrets.build(), &options, &mut |_| {})?;
    Ok(())
}

/// Returns content that compresses to about half, as an app's does.
fn content(random: &mut fastrand::Rng, bytes: u64) -> Vec<u8> {
    let mut content = Vec::with_capacity(bytes as usize + 128);
    while (content.len() as u64) < bytes {
        let line = format!(
            "{{\"id\":{},\"text\":\"the quick brown fox of {}\",\"hash\":\"{:032x}\"}}\n",
            random.u32(..),
            random.u16(..),
            random.u128(..)
        );
        content.extend_from_slice(line.as_bytes());
    }
    content.truncate(bytes as usize);
    content
}

fn make_files(volume: &Path) -> Result<(), Failure> {
    let mut random = fastrand::Rng::with_seed(1);
    for number in 0..SMALL_FILES {
        let folder = volume.join(format!("{:02}", number % 64));
        fs::create_dir_all(&folder)?;
        fs::write(
            folder.join(format!("{number}.json")),
            content(&mut random, SMALL_BYTES),
        )?;
    }
    for number in 0..LARGE_FILES {
        fs::write(
            volume.join(format!("large-{number}")),
            content(&mut random, LARGE_BYTES),
        )?;
    }
    Ok(())
}

fn change_files(volume: &Path, round: u64) -> Result<(), Failure> {
    let mut random = fastrand::Rng::with_seed(1000 + round);
    for _ in 0..SMALL_FILES / 100 {
        let number = random.u64(..SMALL_FILES);
        let file = volume.join(format!("{:02}/{number}.json", number % 64));
        fs::write(file, content(&mut random, SMALL_BYTES))?;
    }
    let file = File::options().write(true).open(volume.join("large-0"))?;
    let at = random.u64(..LARGE_BYTES - 2 * MIB);
    file.write_all_at(&content(&mut random, 2 * MIB), at)?;
    Ok(())
}

fn make_database(volume: &Path) -> Result<(), Failure> {
    let mut random = fastrand::Rng::with_seed(2);
    let mut database = rusqlite::Connection::open(volume.join("app.db"))?;
    database.execute_batch(
        "PRAGMA journal_mode = WAL; CREATE TABLE note (id INTEGER PRIMARY KEY, text TEXT NOT NULL)",
    )?;
    let change = database.transaction()?;
    for _ in 0..DATABASE_ROWS {
        let text = String::from_utf8(content(&mut random, 3900))?;
        change.execute("INSERT INTO note (text) VALUES (?1)", [text])?;
    }
    change.commit()?;
    Ok(())
}

fn change_database(volume: &Path, round: u64) -> Result<(), Failure> {
    let mut random = fastrand::Rng::with_seed(2000 + round);
    let mut database = rusqlite::Connection::open(volume.join("app.db"))?;
    let change = database.transaction()?;
    // What an app changes lies together, mostly: ten places of a thousandth each.
    for _ in 0..10 {
        let first = random.i64(1..DATABASE_ROWS - DATABASE_ROWS / 1000);
        for id in first..first + DATABASE_ROWS / 1000 {
            let text = String::from_utf8(content(&mut random, 3900))?;
            let rows = change.execute("UPDATE note SET text = ?1 WHERE id = ?2", (text, id))?;
            assert_eq!(rows, 1, "each row is there");
        }
    }
    change.commit()?;
    Ok(())
}

fn row(out: &mut impl io::Write, name: &str, costs: &[(Cost, Cost)]) -> Result<(), Failure> {
    let of = |pick: &dyn Fn(&(Cost, Cost)) -> f64| median(costs.iter().map(pick).collect());
    let ours = (of(&|(ours, _)| ours.0), of(&|(ours, _)| ours.1));
    let restic = (of(&|(_, restic)| restic.0), of(&|(_, restic)| restic.1));
    writeln!(
        out,
        "{name:<44} {:>9.0}/{:>8.0} {:>9.0}/{:>8.0} {:>7.2}x {:>7.2}x",
        ours.0,
        ours.1,
        restic.0,
        restic.1,
        ours.0 / restic.0,
        ours.1 / restic.1
    )?;
    Ok(())
}

fn median(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples.get(samples.len() / 2).copied().unwrap_or_default()
}

/// Returns the CPU time of all child processes that were waited for, in milliseconds.
fn children_ms() -> f64 {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).expect("it is always there");
    let time = usage.user_time() + usage.system_time();
    time.tv_sec() as f64 * 1e3 + time.tv_usec() as f64 / 1e3
}
