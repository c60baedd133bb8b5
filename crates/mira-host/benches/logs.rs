//! What a service's log costs beside `cat`, and what idle instances keep in memory. Run with `cargo bench -p mira-host`, with
//! `-- 256` for 256 MiB of log instead of 64.
//!
//! A service writes a file of log lines as fast as it is read. CPU time is that of this process alone, the supervisor,
//! against that of the `cat` that moves the same bytes from a pipe to a file. Compare the ratios, which a busy machine
//! disturbs less.

use std::error::Error;
use std::io::Write;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use mira_host::logs::Rotation;
use mira_host::service::{
    Check, Folders, Health, InstanceSpec, Restart, ServiceSpec, StopSignal, Value, base_environment,
};
use mira_host::supervisor::{Config, Event, Supervisor};
use mira_run::lease::Leases;
use mira_secret::{SecretBytes, SecretName, SecretValue};
use nix::sys::resource::{UsageWho, getrusage};

const INSTANCES: usize = 50;
const ROUNDS: usize = 3;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    if std::env::args_os()
        .nth(1)
        .is_some_and(|word| word == "keep")
    {
        return mira_host::keeper::main();
    }
    match measure() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            writeln!(std::io::stderr(), "{error}").ok();
            ExitCode::FAILURE
        }
    }
}

fn measure() -> Outcome<()> {
    let size_mib = std::env::args()
        .find_map(|arg| arg.parse().ok())
        .unwrap_or(64);
    let folder = tempfile::tempdir()?;
    std::fs::create_dir(folder.path().join("package"))?;
    let secrets: Vec<String> = (0..100)
        .map(|n| format!("sk-{n:03}-{:032x}", hash(n)))
        .collect();
    let lines = write_log(&folder.path().join("package/log"), size_mib << 20, &secrets)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let out = &mut std::io::stdout();
    writeln!(out, "{size_mib} MiB in {lines} lines\n")?;
    writeln!(
        out,
        "{:24} {:>10} {:>8} {:>8}",
        "", "lines/s", "wall s", "CPU s"
    )?;
    let mut row = |name: &str, run: &mut dyn FnMut() -> Outcome<Cost>| -> Outcome<Cost> {
        let mut best = run()?;
        for _ in 1..ROUNDS {
            best = best.min(run()?);
        }
        let (wall, cpu) = (best.wall.as_secs_f64(), best.cpu.as_secs_f64());
        writeln!(
            out,
            "{name:24} {:>10.0} {wall:>8.2} {cpu:>8.2}",
            lines as f64 / wall
        )?;
        Ok(best)
    };
    let cat = row("cat", &mut || cat(folder.path()))?;
    let none = row("service, no secrets", &mut || {
        runtime.block_on(log(folder.path(), &[], false))
    })?;
    let hundred = row("service, 100 secrets", &mut || {
        runtime.block_on(log(folder.path(), &secrets, false))
    })?;
    let followed = row("the same, followed", &mut || {
        runtime.block_on(log(folder.path(), &secrets, true))
    })?;
    let ratio = |cost: Cost| cost.wall.as_secs_f64() / cat.wall.as_secs_f64();
    writeln!(
        out,
        "\nwall time against cat: {:.1} without secrets, {:.1} with 100, {:.1} followed\n",
        ratio(none),
        ratio(hundred),
        ratio(followed)
    )?;
    runtime.block_on(idle(folder.path(), out))
}

/// What one run took.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Cost {
    wall: Duration,
    cpu: Duration,
}

fn cpu(who: UsageWho) -> Outcome<Duration> {
    let usage = getrusage(who)?;
    let micros = |time: nix::sys::time::TimeVal| {
        Duration::from_secs(time.tv_sec().unsigned_abs())
            + Duration::from_micros(time.tv_usec().unsigned_abs())
    };
    Ok(micros(usage.user_time()) + micros(usage.system_time()))
}

/// `cat` from a pipe to a file, started as a service's `cat` is: by a shell.
fn cat(folder: &Path) -> Outcome<Cost> {
    let begin = Instant::now();
    let before = cpu(UsageWho::RUSAGE_CHILDREN)?;
    let script = "cat package/log | { cat > copied; }";
    let done = Command::new("sh")
        .args(["-c", script])
        .current_dir(folder)
        .status()?;
    if !done.success() {
        return Err("cat failed".into());
    }
    Ok(Cost {
        wall: begin.elapsed(),
        // Both halves; the one that writes is about half of it.
        cpu: (cpu(UsageWho::RUSAGE_CHILDREN)? - before) / 2,
    })
}

async fn log(folder: &Path, secrets: &[String], followed: bool) -> Outcome<Cost> {
    let supervisor = Supervisor::new(Config {
        rotation: Rotation {
            file_bytes_max: u64::MAX,
            files_max: 1,
        },
        ..Config::new("keep", "room", Leases::at(folder.join("leases")))
    })?;
    std::fs::remove_dir_all(folder.join("logs")).ok();
    let mut spec = instance(folder, "log", "exec cat log", secrets)?;
    // Never well, so that it counts as up only when it has ended.
    spec.services.iter_mut().for_each(|service| {
        service.health = Some(Health {
            check: Check::Tcp { port: 1 },
            interval: Duration::from_secs(600),
            timeout: Duration::from_secs(1),
            retries: 1,
            start_period: Duration::from_secs(600),
        });
    });
    let begin = Instant::now();
    let before = cpu(UsageWho::RUSAGE_SELF)?;
    let begun = supervisor.begin(spec, false).await?;
    let mut events = begun.events;
    if followed {
        while let Some(event) = events.next().await {
            if let Event::State { state, .. } = event
                && state.phase.as_str() == "ended"
            {
                break;
            }
        }
    } else {
        drop(events);
        begun.up.wait().await?;
    }
    let cost = Cost {
        wall: begin.elapsed(),
        cpu: cpu(UsageWho::RUSAGE_SELF)? - before,
    };
    supervisor.shutdown().await?;
    Ok(cost)
}

/// Starts instances that do nothing and tells what they keep.
async fn idle(folder: &Path, out: &mut impl Write) -> Outcome<()> {
    let supervisor = Supervisor::new(Config::new(
        "keep",
        "room",
        Leases::at(folder.join("leases")),
    ))?;
    let secrets: Vec<String> = (0..5)
        .map(|n| format!("sk-{n:03}-{:032x}", hash(n)))
        .collect();
    let before = anonymous_kib(std::process::id())?;
    let begin = Instant::now();
    for number in 0..INSTANCES {
        let spec = instance(
            folder,
            &format!("idle-{number}"),
            "exec sleep 1000",
            &secrets,
        )?;
        supervisor.start(spec).await?;
    }
    let started = begin.elapsed();
    let own = anonymous_kib(std::process::id())? - before;
    let mut keepers = 0;
    for instance in supervisor.states() {
        for (_, state) in instance.services {
            let status = format!("/proc/{}/status", state.pid.ok_or("no process")?);
            let parent = field(&std::fs::read_to_string(status)?, "PPid:")?;
            keepers += anonymous_kib(u32::try_from(parent)?)?;
        }
    }
    supervisor.shutdown().await?;
    let each = |kib: u64| kib / INSTANCES as u64;
    writeln!(
        out,
        "{INSTANCES} idle instances, 5 secrets each: {} KiB in the supervisor and {} KiB in the keeper for each, started in {:.1} ms each",
        each(own),
        each(keepers),
        started.as_secs_f64() * 1000.0 / INSTANCES as f64
    )?;
    Ok(())
}

fn anonymous_kib(pid: u32) -> Outcome<u64> {
    field(
        &std::fs::read_to_string(format!("/proc/{pid}/status"))?,
        "RssAnon:",
    )
}

fn field(status: &str, name: &str) -> Outcome<u64> {
    let line = status.lines().find(|line| line.starts_with(name));
    let number = line
        .and_then(|line| line.split_whitespace().nth(1))
        .ok_or("no such field")?;
    Ok(number.parse()?)
}

fn instance(folder: &Path, id: &str, script: &str, secrets: &[String]) -> Outcome<InstanceSpec> {
    let folders = Folders {
        package: folder.join("package"),
        home: folder.join("home"),
        tmp: folder.join("tmp"),
        logs: folder.join("logs"),
        runtime_secrets: folder.join("none"),
    };
    let mut values = Vec::new();
    for (number, secret) in secrets.iter().enumerate() {
        let name: SecretName = format!("SECRET_{number}").parse()?;
        let value = SecretValue::new(&name, SecretBytes::copy_from(secret.as_bytes()))?;
        let origin = None;
        values.push(Value {
            name,
            value,
            origin,
        });
    }
    let service = ServiceSpec {
        name: "web".to_owned(),
        command: ["sh", "-c", script].map(Into::into).to_vec(),
        env: base_environment(std::env::vars_os(), &folders, id, "web"),
        env_secrets: values.iter().map(|value| value.name.clone()).collect(),
        file_secrets: Vec::new(),
        health: None,
        restart: Restart::Never,
        stop_signal: StopSignal::Kill,
        stop_grace: Duration::from_secs(60),
        depends_on: Vec::new(),
        ports: Vec::new(),
    };
    Ok(InstanceSpec {
        id: id.to_owned(),
        name: id.to_owned(),
        folders,
        services: vec![service],
        values,
        network: None,
        report: None,
    })
}

/// Writes log lines, every thousandth with a secret; returns how many.
fn write_log(path: &Path, bytes: usize, secrets: &[String]) -> Outcome<u64> {
    let mut file = std::io::BufWriter::new(std::fs::File::create(path)?);
    let (mut lines, mut written) = (0, 0);
    while written < bytes {
        let level = ["INFO", "DEBUG", "WARN"][hash(lines) as usize % 3];
        let mut line = format!(
            "2026-03-01T12:00:00Z {level} request id={:016x} path=/v1/items/{} status=200 took={}us",
            hash(lines) as u64,
            hash(lines + 7) % 100_000,
            hash(lines + 9) % 10_000
        );
        if lines % 1000 == 0 {
            let secret = hash(lines) as usize % secrets.len();
            line = format!("{line} authorization=Bearer {}", secrets[secret]);
        }
        writeln!(file, "{line}")?;
        written += line.len() + 1;
        lines += 1;
    }
    file.flush()?;
    Ok(lines)
}

/// Some number that looks random, the same each time.
fn hash(n: u64) -> u128 {
    let mut z = u128::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    z ^= z >> 61;
    z = z.wrapping_mul(0xda94_2042_e4dd_58b5_94d0_49bb_1331_11eb);
    z ^ z >> 57
}
