//! How long a tail is held, told by events: the times are made up, nothing sleeps.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mira_redact::Redactor;

use crate::common::{set, text};

const KEY: &[u8] = b"sk-proj-4fXq81LmZ0pTw7Rk";

struct Typist {
    redactor: Redactor,
    now: Instant,
    begin: Instant,
}

impl Typist {
    fn new(values: &[(&str, &[u8])]) -> Self {
        let now = Instant::now();
        Self {
            redactor: Redactor::new(Arc::clone(&set(values))),
            now,
            begin: now,
        }
    }

    fn types(&mut self, bytes: &str) -> String {
        text(self.redactor.push(bytes.as_bytes(), self.now))
    }

    fn waits(&mut self, millis: u64) -> String {
        self.now += Duration::from_millis(millis);
        text(self.redactor.expire(self.now))
    }

    /// The deadline, in milliseconds from the beginning.
    fn due(&self) -> Option<u128> {
        self.redactor
            .deadline()
            .map(|deadline| (deadline - self.begin).as_millis())
    }

    fn counts(&self) -> (u64, u64) {
        let counts = self.redactor.counts();
        (counts.redactions, counts.partial_leaks)
    }
}

#[test]
fn a_short_tail_waits_10_ms_and_a_longer_one_100() {
    let mut typist = Typist::new(&[("K", KEY)]);
    assert_eq!(typist.types("key sk-"), "key ");
    assert_eq!(typist.due(), Some(10));
    assert_eq!(typist.waits(9), "");
    assert_eq!(typist.waits(1), "sk-");
    assert_eq!((typist.due(), typist.redactor.held()), (None, 0));
    assert_eq!(typist.types(" key sk-p"), " key ");
    assert_eq!(typist.due(), Some(110));
    assert_eq!(typist.waits(99), "");
    assert_eq!(typist.waits(1), "sk-p");
    assert_eq!(typist.counts(), (0, 0));
}

#[test]
fn only_bytes_that_extend_the_match_start_the_wait_again_and_only_for_2_s() {
    let mut typist = Typist::new(&[("K", KEY)]);
    typist.types("sk-proj-");
    assert_eq!(typist.due(), Some(100));
    typist.waits(90);
    typist.types("4");
    assert_eq!(typist.due(), Some(190));
    typist.types("");
    assert_eq!(typist.due(), Some(190));
    // Another beginning has its own time.
    typist.waits(50);
    assert_eq!(typist.types("\nsk-p"), "sk-proj-4\n");
    assert_eq!(typist.due(), Some(240));
    let long = "4fXq81LmZ0pTw7RkQ2Lm8Vd1sN5bYc3GhJ6eUa9o";
    let mut typist = Typist::new(&[("K", long.as_bytes())]);
    for (at, byte) in (0u128..).zip(long.chars()).take(30) {
        typist.types(&byte.to_string());
        let wait = if at < 3 { 10 } else { 100 };
        assert_eq!(typist.due(), Some((at * 99 + wait).min(2000)));
        typist.now += Duration::from_millis(99);
    }
}

#[test]
fn the_last_byte_of_a_value_brings_its_marker_at_once() {
    let mut typist = Typist::new(&[("K", KEY)]);
    let typed: Vec<String> = text(KEY)
        .chars()
        .map(|c| typist.types(&c.to_string()))
        .collect();
    assert_eq!(typed.concat(), "[redacted:K]");
    assert_eq!(typed.last().map(String::as_str), Some("[redacted:K]"));
    assert_eq!(typist.due(), None);
}

#[test]
fn a_value_that_comes_late_becomes_a_marker_and_is_counted() {
    let mut typist = Typist::new(&[("K", KEY)]);
    typist.types("sk-proj-4fX");
    assert_eq!(typist.waits(100), "sk-proj-4fX");
    assert_eq!(typist.types("q81LmZ0pTw7Rk ok"), "[redacted:K] ok");
    assert_eq!(typist.counts(), (1, 1));
}

#[test]
fn behind_a_third_the_marker_comes_first_and_the_rest_is_swallowed() {
    let mut typist = Typist::new(&[("K", KEY)]);
    typist.types("sk-proj-4fXq81Lm");
    assert_eq!(typist.waits(100), "[redacted:K]");
    assert_eq!(typist.types("Z0pT"), "");
    assert_eq!(typist.waits(100), "");
    assert_eq!(typist.types("w7Rk ok"), " ok");
    assert_eq!(typist.counts(), (1, 0));
    // What follows is another text, if it is no continuation.
    typist.types("sk-proj-4fXq81Lm");
    assert_eq!(typist.waits(100), "[redacted:K]");
    assert_eq!(typist.types("-other"), "-other");
    assert_eq!(typist.counts(), (2, 0));
}

#[test]
fn a_slow_writer_never_shows_more_than_a_third() {
    for wait in [10, 100, 2000] {
        let mut typist = Typist::new(&[("K", KEY)]);
        let mut out = String::new();
        for byte in text(KEY).chars() {
            out += &typist.types(&byte.to_string());
            out += &typist.waits(wait);
        }
        out += &text(typist.redactor.finish());
        let shown = out.strip_suffix("[redacted:K]").expect("a marker");
        assert!(KEY.starts_with(shown.as_bytes()), "{shown}");
        assert!(shown.len() <= 8 + 16 / 3, "{shown} after {wait} ms");
    }
}

#[test]
fn the_end_lets_an_incomplete_tail_go_at_once() {
    let mut typist = Typist::new(&[("K", KEY)]);
    typist.types("sk-proj-4fXq81LmZ0pTw7R");
    assert_eq!(text(typist.redactor.finish()), "sk-proj-4fXq81LmZ0pTw7R");
    assert_eq!((typist.due(), typist.counts()), (None, (0, 0)));
}

#[test]
fn bulk_output_is_held_only_where_it_was_cut() {
    let mut typist = Typist::new(&[("K", KEY)]);
    let line = "0123 some text of a log line, quite ordinary\n".repeat(3000);
    let (head, tail) = line.split_at(65_536);
    assert_eq!(typist.types(head).len() + typist.redactor.held(), 65_536);
    assert!(typist.redactor.held() <= 1);
    typist.types(tail);
    assert_eq!(typist.redactor.held(), 0);
}
