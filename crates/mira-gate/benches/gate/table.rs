//! The figures as a table, and the ratios that are the result.

use crate::Cli;
use crate::case::{CONNECTIONS, Case, Kind, LANES, RESTING, Round, TICK};

#[expect(clippy::print_stdout, reason = "a table is what it is for")]
pub(crate) fn print(cases: &[Case], missing: &[&str], busy: &[String], cli: &Cli) {
    println!(
        "{CONNECTIONS} connections kept, {LANES} opened at once, 200-byte answers over TLS; median of {} interleaved rounds of {} s; load {}",
        cli.rounds,
        cli.seconds,
        busy.join(", ")
    );
    println!(
        "{:<16} {:>8} {:>7} {:>7} {:>7} {:>9} {:>9} {:>7} {:>8} {:>8} {:>8} {:>9} {:>7}",
        "",
        "req/s",
        "p50 ms",
        "p99 ms",
        "CPU us",
        "paced p50",
        "paced p99",
        "new/s",
        "CPU us",
        "event ms",
        "KiB idle",
        "KiB/conn.",
        "failed"
    );
    for case in cases {
        let median = |figure: fn(&Round) -> f64| case.median(figure);
        let failed: usize = case.rounds.iter().map(|round| round.failed).sum();
        let (idle, each) = match case.memory {
            Some((idle, each)) => (idle.to_string(), format!("{each:.1}")),
            None => ("-".to_owned(), "-".to_owned()),
        };
        println!(
            "{:<16} {:>8.0} {:>7.2} {:>7.2} {:>7} {:>9.2} {:>9.2} {:>7.0} {:>8} {:>8.2} {idle:>8} {each:>9} {failed:>7}",
            case.name,
            median(|round| round.rate),
            median(|round| round.p50_ms),
            median(|round| round.p99_ms),
            cpu(median(|round| round.request_us)),
            median(|round| round.paced_p50_ms),
            median(|round| round.paced_p99_ms),
            median(|round| round.new_rate),
            cpu(median(|round| round.new_us)),
            median(|round| round.event_ms),
        );
    }
    for name in missing {
        println!("{name} is not installed, and left out");
    }
    println!("CPU: of the proxy alone, per request and per new connection with one request");
    println!(
        "paced: each connection makes a request every {} ms; event: from the origin's write to the program",
        TICK.as_millis()
    );
    println!(
        "KiB: that no other process shares, of a new process, and more for each of {RESTING} connections that rest\n"
    );
    for kind in [Kind::Tunnel, Kind::Brokered] {
        let mut same = cases.iter().filter(|case| case.kind == kind);
        let Some(own) = same.next() else { continue };
        for peer in same {
            println!(
                "{} to {}: CPU per request {}, per new connection {}",
                own.name,
                peer.name,
                ratio(own, peer, |round| round.request_us),
                ratio(own, peer, |round| round.new_us),
            );
        }
    }
}

fn cpu(us: f64) -> String {
    if us.is_nan() {
        "-".to_owned()
    } else {
        format!("{us:.1}")
    }
}

/// Returns how a figure compares, round by round: the median of the rounds' ratios.
fn ratio(own: &Case, peer: &Case, figure: fn(&Round) -> f64) -> String {
    let rounds = own.rounds.iter().zip(&peer.rounds);
    let mut all: Vec<f64> = rounds
        .map(|(own, peer)| figure(own) / figure(peer))
        .collect();
    all.sort_by(f64::total_cmp);
    format!(
        "{:.3}x",
        all.get(all.len() / 2).copied().unwrap_or(f64::NAN)
    )
}
