//! What running apps under Mira costs: time until two services are well, beside starting them by hand; memory of idle instances.
//!
//! Rounds are interleaved, so that a busy machine slows all cases alike; figures are medians of wall-clock times. Not a test: it
//! judges nothing.

#[cfg(target_os = "linux")]
mod hand;
#[cfg(target_os = "linux")]
mod home;
#[cfg(target_os = "linux")]
mod memory;

#[cfg(target_os = "linux")]
use clap::Parser;

/// Measure apps.
#[cfg(target_os = "linux")]
#[derive(Debug, Parser)]
struct Cli {
    /// How often each case runs
    #[arg(long, default_value_t = 15)]
    rounds: usize,
    /// How many idle instances are measured
    #[arg(long, default_value_t = 50)]
    instances: usize,
    /// Given by cargo, means nothing
    #[arg(long, hide = true)]
    bench: bool,
}

#[cfg(target_os = "linux")]
#[expect(clippy::print_stdout, reason = "a table is what it is for")]
fn main() {
    if hand::is_service() {
        return;
    }
    let cli = Cli::parse();
    println!(
        "Two services, the second after the first is well: milliseconds, median of {} rounds",
        cli.rounds
    );
    println!(
        "{:<34} {:>8} {:>8} {:>10} {:>8}",
        "", "by hand", "open", "supervised", "ratio"
    );
    for (name, program) in [
        ("programs that are up at once", hand::OWN),
        ("Python web services", hand::PYTHON),
    ] {
        let home = home::Home::new();
        let app = home.two_services(program);
        let [mut hand, mut cold, mut warm] = [const { Vec::new() }; 3];
        for _ in 0..cli.rounds {
            hand.push(hand::start(program));
            cold.push(home.open(&app));
            home.keep_supervisor();
            warm.push(home.open(&app));
            home.end_supervisor();
        }
        let [hand, cold, warm] = [hand, cold, warm].map(median);
        println!(
            "{name:<34} {hand:>8.1} {cold:>8.1} {warm:>10.1} {:>7.2}x",
            cold / hand
        );
    }
    println!("open: with a supervisor that is started for it; supervised: with one that runs\n");

    let home = home::Home::new();
    let few = memory::of(&home, 1);
    let many = memory::of(&home, cli.instances);
    let more = (cli.instances.max(2) - 1) as f64;
    println!("Memory of idle instances of one service, KiB that nobody else shares");
    println!(
        "{:<34} {:>10} {:>10} {:>10}",
        "", "supervisor", "keepers", "services"
    );
    for (instances, memory) in [(1, few), (cli.instances, many)] {
        println!(
            "{:<34} {:>10} {:>10} {:>10}",
            format!("{instances} instances"),
            memory.supervisor,
            memory.keepers,
            memory.services
        );
    }
    println!(
        "each more: {:.0} in the supervisor, {:.0} in its keeper",
        (many.supervisor.saturating_sub(few.supervisor)) as f64 / more,
        many.keepers.saturating_sub(few.keepers) as f64 / more,
    );
}

#[cfg(not(target_os = "linux"))]
fn main() {}

#[cfg(target_os = "linux")]
fn median(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples.get(samples.len() / 2).copied().unwrap_or_default()
}
