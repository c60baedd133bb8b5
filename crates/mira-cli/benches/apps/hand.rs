//! The services, and how somebody would start them by hand: each polled until it is well, at the pauses that Mira makes.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The word that makes this very program a web service.
const SERVE: &str = "serve-for-the-bench";

/// The first pause between two looks; each is twice the one before, up to a second.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// This program as a service, up within a millisecond.
pub(crate) const OWN: &[&str] = &["/proc/self/exe", SERVE];

/// Python's own web server, up when Python is.
pub(crate) const PYTHON: &[&str] = &["python3", "-m", "http.server", "--bind", "127.0.0.1"];

/// Serves, if that is what this process was started for.
pub(crate) fn is_service() -> bool {
    let words: Vec<String> = std::env::args().collect();
    let [_, word, port] = words.as_slice() else {
        return false;
    };
    if word != SERVE {
        return false;
    }
    let listener =
        TcpListener::bind(("127.0.0.1", port.parse().expect("a port"))).expect("it is free");
    for stream in listener.incoming() {
        let mut stream = stream.expect("a connection");
        let mut request = [0; 1024];
        // Whatever is asked, all is well.
        drop(stream.read(&mut request));
        drop(
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"),
        );
    }
    true
}

/// Returns the words of a command, with this program's path in place.
pub(crate) fn words(program: &[&str]) -> Vec<String> {
    let own = std::env::current_exe().expect("this program has a path");
    let own = own.to_str().expect("its path is text").to_owned();
    let word = |word: &&str| match *word {
        "/proc/self/exe" => own.clone(),
        word => word.to_owned(),
    };
    program.iter().map(word).collect()
}

/// Starts two of them, one after the other is well; returns the milliseconds that took.
pub(crate) fn start(program: &[&str]) -> f64 {
    let began = Instant::now();
    let services: Vec<Child> = (0..2).map(|_| start_one(program)).collect();
    let took = began.elapsed().as_secs_f64() * 1e3;
    for mut service in services {
        service.kill().expect("it runs");
        service.wait().expect("it is ours");
    }
    took
}

#[expect(
    clippy::zombie_processes,
    reason = "whoever it is returned to waits for it"
)]
fn start_one(program: &[&str]) -> Child {
    let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = free.local_addr().expect("it is bound").port();
    drop(free);
    let words = words(program);
    let (first, rest) = words.split_first().expect("a program");
    let service = Command::new(first)
        .args(rest)
        .arg(port.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    let mut pause = FIRST_PAUSE;
    loop {
        std::thread::park_timeout(pause);
        pause = (2 * pause).min(LONGEST_PAUSE);
        if is_well(port).is_some_and(|well| well) {
            return service;
        }
    }
}

fn is_well(port: u16) -> Option<bool> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .ok()?;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).ok()?;
    Some(answer.starts_with(b"HTTP/1.") && answer.ends_with(b" 200"))
}
