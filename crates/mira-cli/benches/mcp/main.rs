//! What `mira mcp run` adds to a call: round trips to a server that answers at once, directly and through Mira, in turns.
//!
//! The server is `cat`: what comes back is what was sent, and no time is its own. Not a test: it judges nothing.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use mira_testkit::home::TestHome;

const MIRA: &str = env!("CARGO_BIN_EXE_mira");

/// Calls of each kind, and how many of one kind follow another.
const CALLS: usize = 20_000;
const TURN: usize = 100;

/// The length of a call's text, in bytes: that of a usual one.
const TEXT_BYTES: usize = 300;

struct Server {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Server {
    fn start(home: &TestHome, words: &[&str]) -> Self {
        let (program, args) = words.split_first().expect("a program");
        let mut child = Command::new(program)
            .args(args)
            .env_clear()
            .envs(home.env().iter().cloned())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        Self {
            input: child.stdin.take().expect("a pipe"),
            output: BufReader::new(child.stdout.take().expect("a pipe")),
            child,
        }
    }

    fn call(&mut self, line: &str) -> Duration {
        let mut answer = String::with_capacity(line.len());
        let start = Instant::now();
        self.input.write_all(line.as_bytes()).expect("it reads");
        self.output.read_line(&mut answer).expect("it answers");
        let took = start.elapsed();
        assert_eq!(answer, line);
        took
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[expect(clippy::print_stdout, reason = "a table is what it is for")]
fn main() {
    let home = TestHome::new();
    let mira = |args: &[&str], input: &str| {
        home.mira(MIRA)
            .args(args)
            .stdin_bytes(input)
            .run()
            .assert_code(0);
    };
    mira(&["init", "--provider", "keyfile"], "");
    for number in 0..10 {
        let value = format!("sk-proj-7Fq2mXv9LrT4bWc8ZnYd{number}");
        mira(
            &[
                "set",
                &format!("KEY_{number}"),
                "--stdin",
                "--scope",
                "mcp/cat",
            ],
            &value,
        );
    }
    let names: Vec<_> = (0..10).map(|number| format!("KEY_{number}")).collect();
    let env = names.iter().flat_map(|name| ["--env", name]);
    let add: Vec<_> = ["mcp", "add", "cat"]
        .into_iter()
        .chain(env)
        .chain(["--", "cat"])
        .collect();
    mira(&add, "");

    let mut direct = Server::start(&home, &["cat"]);
    let mut through = Server::start(&home, &[MIRA, "mcp", "run", "cat"]);
    let text = "x y".repeat(TEXT_BYTES / 3);
    let line = format!("{{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{{\"text\":\"{text}\"}}}}\n");
    let mut times = [Vec::with_capacity(CALLS), Vec::with_capacity(CALLS)];
    for _ in 0..CALLS / TURN {
        for (server, times) in [&mut direct, &mut through].into_iter().zip(&mut times) {
            times.extend((0..TURN).map(|_| server.call(&line)));
        }
    }
    println!(
        "Round trips of {} bytes, {CALLS} each, in turns of {TURN}; 10 secrets",
        line.len()
    );
    println!(
        "{:<10} {:>10} {:>10} {:>10}",
        "", "p50 µs", "p99 µs", "p99.9 µs"
    );
    let mut rows = times.iter_mut().map(|times| {
        times.sort();
        [500, 990, 999].map(|share| {
            let time = times
                .get(times.len() * share / 1000)
                .copied()
                .unwrap_or_default();
            time.as_secs_f64() * 1e6
        })
    });
    let (direct, through) = (
        rows.next().unwrap_or_default(),
        rows.next().unwrap_or_default(),
    );
    let added = [0, 1, 2].map(|index| through[index] - direct[index]);
    for (name, [half, most, nearly]) in [("direct", direct), ("mira", through), ("added", added)] {
        println!("{name:<10} {half:>10.1} {most:>10.1} {nearly:>10.1}");
    }
}
