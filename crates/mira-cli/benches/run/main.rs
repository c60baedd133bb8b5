//! What `mira run` costs: CPU time over starting a program barely, beside tools that do the same job, and memory while idle.
//!
//! Rounds are interleaved, so that a busy machine slows all cases alike; figures are medians. Times are CPU times of the whole
//! process tree, as the kernel accounts them to whoever waited, so waiting costs nothing. Not a test: it judges nothing.

mod cases;
mod measure;
mod peers;

use std::path::PathBuf;

use clap::Parser;

use cases::{Case, Homes};

/// Measure `mira run`.
#[derive(Debug, Parser)]
struct Cli {
    /// How often each case runs
    #[arg(long, default_value_t = 41)]
    rounds: usize,
    /// The folder with other tools: `bin`, `node/node_modules/.bin` and `python/bin` below it
    #[arg(long)]
    peers: Option<PathBuf>,
    /// Given by cargo, means nothing
    #[arg(long, hide = true)]
    bench: bool,
}

#[expect(clippy::print_stdout, reason = "a table is what it is for")]
fn main() {
    let cli = Cli::parse();
    let homes = Homes::new();
    let mut cases = vec![Case::bare()];
    for number in [1, 10, 50] {
        cases.extend(homes.cases(number));
        if let Some(folder) = &cli.peers {
            cases.extend(peers::cases(folder, number, homes.keyring()));
        }
    }
    let medians = measure::medians(&mut cases, cli.rounds);
    let bare = medians.first().copied().unwrap_or_default();
    let overhead = |name: &str, secrets: usize| {
        cases
            .iter()
            .zip(&medians)
            .find(|(case, _)| case.name == name && case.secrets == secrets)
            .map(|(_, median)| (median - bare).max(0.001))
    };

    println!(
        "CPU time of starting `true`, median of {} interleaved rounds",
        cli.rounds
    );
    println!(
        "{:<34} {:>8} {:>10} {:>12} {:>14}",
        "", "secrets", "CPU ms", "overhead ms", "of keyfile's"
    );
    for (case, median) in cases.iter().zip(&medians) {
        let over = (median - bare).max(0.001);
        let ratio = match overhead(cases::KEYFILE, case.secrets) {
            Some(own) if case.secrets > 0 => format!("{:.1}x", over / own),
            _ => "-".to_owned(),
        };
        println!(
            "{:<34} {:>8} {median:>10.2} {over:>12.2} {ratio:>14}",
            case.name, case.secrets
        );
    }

    println!("\nMemory of `mira run` beside an idle program (50 secrets, keyfile)");
    match homes.idle_memory_kib(50) {
        Some((peak, now)) => println!("peak {peak} KiB, then {now} KiB"),
        None => println!("not measured: this system has no /proc"),
    }
}
