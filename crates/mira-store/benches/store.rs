//! What it costs to open the database and to work on it. Run with `cargo bench -p mira-store`.
//!
//! Each figure is the median of many rounds, so that other work on the machine shows little: by the clock, and of the processor.
//! A write waits for the disk, so the clock's figure is mostly the disk's. Each write changes something: SQLite leaves out one
//! that does not, and would then wait for nothing.

use std::cell::Cell;
use std::future::Future;
use std::io::{self, Write as _};
use std::time::Instant;

use mira_store::{NewInstance, PackageFacts, PortRequest, Store};
use mira_testkit::home::TestHome;

const INSTANCES: usize = 50;
const ROUNDS: usize = 201;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()?
        .block_on(measure())
}

async fn measure() -> Result<(), Failure> {
    let mut out = io::stdout();
    writeln!(
        out,
        "milliseconds with {INSTANCES} instances, median of {ROUNDS}\n"
    )?;
    writeln!(out, "{:<28} {:>9} {:>9}", "", "clock", "processor")?;

    row("make a new database", async || {
        let home = TestHome::new();
        Store::open(&home.mira_home()).await?.close().await;
        Ok(())
    })
    .await?;

    let home = TestHome::new();
    let store = Store::open(&home.mira_home()).await?;
    for _ in 0..INSTANCES {
        store.insert_instance(&new()).await?;
    }
    row("open and find one", async || {
        let store = Store::open(&home.mira_home()).await?;
        store.find("readlater-7").await?;
        Ok(())
    })
    .await?;
    let id = store.find("readlater-7").await?.id;
    row("find one (open already)", async || {
        store.find("readlater-7").await?;
        Ok(())
    })
    .await?;
    row("list (open already)", async || {
        store.instances().await?;
        Ok(())
    })
    .await?;
    let number = Cell::new(0_u64);
    let next = || {
        number.set(number.get() + 1);
        number.get().to_string()
    };
    row("set a setting", async || {
        Ok(store.set_setting(&id, "NUMBER", &next()).await?)
    })
    .await?;
    row("update a guess", async || {
        let state = next();
        let change = |_: Option<&str>| (Some(state), ());
        Ok(store.update_guess("ab01", change).await?)
    })
    .await?;
    let request = PortRequest {
        service: "web".to_owned(),
        name: "http".to_owned(),
        prefer: Some(8080),
    };
    row("port that is there already", async || {
        store.allocate_port(&id, &request, &|_| true).await?;
        Ok(())
    })
    .await
}

/// Measures one kind of work and writes its row.
async fn row<F>(title: &str, work: impl Fn() -> F) -> Result<(), Failure>
where
    F: Future<Output = Result<(), Failure>>,
{
    work().await?;
    let (mut clock, mut processor) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (begun, spent) = (Instant::now(), processor_s());
        work().await?;
        clock.push(begun.elapsed().as_secs_f64());
        processor.push(processor_s() - spent);
    }
    let (clock, processor) = (median_ms(clock), median_ms(processor));
    writeln!(io::stdout(), "{title:<28} {clock:>9.3} {processor:>9.3}")?;
    Ok(())
}

fn median_ms(mut seconds: Vec<f64>) -> f64 {
    seconds.sort_by(f64::total_cmp);
    seconds
        .get(seconds.len() / 2)
        .map_or(f64::NAN, |middle| middle * 1_000.0)
}

/// Returns the processor time of all threads of this process, in seconds.
#[cfg(unix)]
fn processor_s() -> f64 {
    use rustix::time::{ClockId, clock_gettime};
    let spent = clock_gettime(ClockId::ProcessCPUTime);
    let whole = std::time::Duration::from_secs(spent.tv_sec.unsigned_abs());
    let rest = std::time::Duration::from_nanos(spent.tv_nsec.unsigned_abs());
    (whole + rest).as_secs_f64()
}

#[cfg(not(unix))]
fn processor_s() -> f64 {
    f64::NAN
}

fn new() -> NewInstance {
    NewInstance {
        name: None,
        app_id: "org.example.readlater".to_owned(),
        package: PackageFacts {
            app_name: "Read later".to_owned(),
            app_version: "1.2.0".to_owned(),
            digest: "0".repeat(64),
            source: "readlater.mira".to_owned(),
            publisher_key: None,
            unsigned_agreed: false,
        },
    }
}
