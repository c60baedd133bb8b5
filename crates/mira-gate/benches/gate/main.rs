//! What the gate costs beside other proxies: CPU per request and per new connection, latency, the delay of a first event, memory of idle connections.
//!
//! The origin and the programs are in this process, on loopback; each proxy is a process of its own. Rounds are interleaved, so that a busy
//! machine slows all cases alike; figures are medians of the rounds. Ratios of CPU are the result: they depend least on what else runs. Not a test: it judges
//! nothing.

mod case;
mod load;
mod origin;
mod ours;
mod peers;
mod process;
mod table;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};

use case::Case;
use origin::Origin;

/// What stands in requests, and what the origin wants to see in its place.
const PLACEHOLDER: &str = "sk-proj-mira0placeholder0of0the0bench0000000000000";
const VALUE: &str = "sk-proj-8f2b6c1d9e4a7053b1c8d2e6f9a0475c3e1b8d6f";

/// Measure the gate.
#[derive(Debug, Parser)]
struct Cli {
    /// How often each case runs
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// How long each measurement of a round takes, in seconds
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// Only the cases with this in their name
    #[arg(long)]
    only: Option<String>,
    /// The folder with other proxies; those of the system are found where it has them
    #[arg(long)]
    peers: Option<PathBuf>,
    /// Given by cargo, means nothing
    #[arg(long, hide = true)]
    bench: bool,
    #[command(subcommand)]
    role: Option<Role>,
}

/// What this program is when it starts itself.
#[derive(Debug, Subcommand)]
enum Role {
    /// The gate, in a process of its own
    #[command(hide = true)]
    Serve(ours::Args),
}

fn main() {
    let cli = Cli::parse();
    if let Some(Role::Serve(args)) = cli.role {
        return ours::serve(&args);
    }
    let origin = Origin::start();
    let time = Duration::from_secs(cli.seconds);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.expect("the system has what a runtime needs");
    runtime.block_on(async {
        let (mut cases, missing) = case::all(&origin, cli.peers.as_deref()).await;
        let chosen = |case: &Case| {
            cli.only
                .as_ref()
                .is_none_or(|only| case.name.contains(only))
        };
        cases.retain(chosen);
        let mut busy = Vec::new();
        for _ in 0..cli.rounds {
            busy.push(process::load_average());
            for case in &mut cases {
                case.measure(&origin, time).await;
            }
        }
        for case in &mut cases {
            case.rest(&origin).await;
        }
        table::print(&cases, &missing, &busy, &cli);
    });
}
