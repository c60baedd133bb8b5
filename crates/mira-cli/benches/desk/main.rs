//! What the desk costs: from its start to the first answer, its memory while nobody asks, the time of its pages with a thousand
//! secrets and a hundred instances, and requests a second; beside an app of FastAPI's that answers the same. Not a test: it judges
//! nothing.

mod ground;
mod peer;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Parser;
use reqwest::Client;
use tokio::task::JoinSet;

use ground::{Ground, Server};

const SECRETS: usize = 1000;
const INSTANCES: usize = 100;

/// How many clients there are at once where requests a second are measured.
const CLIENTS: usize = 16;

const PAGES: [&str; 6] = [
    "/",
    "/instances",
    "/instances/app-7",
    "/audit",
    "/account",
    "/api/v1/secrets",
];

/// Measure the desk.
#[derive(Debug, Parser)]
struct Cli {
    /// How often each thing is done
    #[arg(long, default_value_t = 30)]
    rounds: usize,
    /// For how many seconds requests are counted
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// The folder with the other app's Python: `python/bin/uvicorn` below it
    #[arg(long)]
    peers: Option<PathBuf>,
    /// Given by cargo, means nothing
    #[arg(long, hide = true)]
    bench: bool,
}

#[expect(clippy::print_stdout, reason = "a table is what it is for")]
fn main() {
    let cli = Cli::parse();
    rustls::crypto::ring::default_provider()
        .install_default()
        .expect("nothing else chose one");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let ground = Ground::new();
    let empty = ground.starts(cli.rounds);
    println!(
        "Start to first answer of an empty home, median of {}: {:.1} ms",
        cli.rounds,
        ms(empty)
    );
    ground.fill(SECRETS, INSTANCES);
    let full = ground.starts(cli.rounds);
    println!(
        "the same with {SECRETS} secrets and {INSTANCES} instances: {:.1} ms",
        ms(full)
    );
    let server = ground.serve();
    server.wait();
    println!(
        "Memory of its own before the first page: {} KiB",
        server.private_kib()
    );
    println!(
        "\n{:<22} {:>10} {:>10} {:>12}",
        "one after the other", "p50 ms", "p99 ms", "CPU ms each"
    );
    for path in PAGES {
        let (half, most, cpu) = runtime.block_on(paced(&server, path, cli.rounds * 10));
        println!(
            "{path:<22} {:>10.2} {:>10.2} {:>12.2}",
            ms(half),
            ms(most),
            ms(cpu)
        );
    }
    println!("Memory of its own afterwards: {} KiB", server.private_kib());
    let length = Duration::from_secs(cli.seconds);
    println!(
        "\n{:<22} {:>10} {:>16}",
        format!("{CLIENTS} clients"),
        "req/s",
        "CPU µs each"
    );
    let row = |name: &str, server: &Server, path: &str| {
        let (rate, cpu) = runtime.block_on(crowded(server, path, length));
        println!("{name:<22} {rate:>10.0} {:>16.0}", cpu.as_secs_f64() * 1e6);
    };
    row("mira /healthz", &server, "/healthz");
    row("mira listing", &server, "/api/v1/secrets");
    drop(server);
    match cli
        .peers
        .as_deref()
        .and_then(|folder| peer::start(folder, SECRETS))
    {
        Some(peer) => {
            peer.server.wait();
            row("FastAPI /healthz", &peer.server, "/healthz");
            row("FastAPI listing", &peer.server, "/api/v1/secrets");
            println!("Memory of its own: {} KiB", peer.server.private_kib());
        }
        None => {
            println!("FastAPI is left out: give --peers with a folder that has python/bin/uvicorn")
        }
    }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn client() -> Client {
    Client::builder().no_proxy().build().expect("a client")
}

async fn ask(client: &Client, server: &Server, path: &str) {
    let request = client
        .get(format!("http://{}{path}", server.address))
        .bearer_auth(&server.token);
    let answer = request.send().await.expect("it answers");
    assert!(answer.status().is_success(), "{path}: {}", answer.status());
    answer.bytes().await.expect("it is whole");
}

/// Returns the median, the 99th of a hundred, and the server's CPU time for each.
async fn paced(server: &Server, path: &str, times: usize) -> (Duration, Duration, Duration) {
    let client = client();
    ask(&client, server, path).await;
    let before = server.cpu();
    let mut taken = Vec::with_capacity(times);
    for _ in 0..times {
        let begun = Instant::now();
        ask(&client, server, path).await;
        taken.push(begun.elapsed());
    }
    let cpu = (server.cpu() - before) / u32::try_from(times).unwrap_or(u32::MAX);
    taken.sort_unstable();
    let at = |share: usize| taken.get(times * share / 100).copied().unwrap_or_default();
    (at(50), at(99), cpu)
}

/// Returns how many requests a second were answered, and the server's CPU time for each.
async fn crowded(server: &Server, path: &str, length: Duration) -> (f64, Duration) {
    let (before, until) = (server.cpu(), Instant::now() + length);
    let mut running = JoinSet::new();
    for _ in 0..CLIENTS {
        let (client, server, path) = (client(), server.reached(), path.to_owned());
        running.spawn(async move {
            let mut answered = 0_u32;
            while Instant::now() < until {
                ask(&client, &server, &path).await;
                answered += 1;
            }
            answered
        });
    }
    let answered: u32 = running.join_all().await.into_iter().sum();
    let rate = f64::from(answered) / length.as_secs_f64();
    (rate, (server.cpu() - before) / answered.max(1))
}
