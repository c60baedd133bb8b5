//! Cost, counted in steps of verification instead of time: no text and no value makes it grow with the square of
//! anything.

use std::sync::Arc;
use std::time::Instant;

use mira_redact::Redactor;

use crate::common::set;

/// Returns the steps taken per byte of text, and the most bytes held at any time.
fn cost(values: &[(&str, &[u8])], text: &[u8], read: usize) -> (f64, usize) {
    let mut redactor = Redactor::new(set(values));
    let now = Instant::now();
    let mut held = 0;
    for chunk in text.chunks(read) {
        redactor.push(chunk, now);
        held = held.max(redactor.held());
    }
    redactor.finish();
    (redactor.work() as f64 / text.len() as f64, held)
}

fn check(values: &[(&str, &[u8])], text: &[u8], steps_max: f64) {
    for read in [4095, 65536] {
        let (steps, held) = cost(values, text, read);
        let longest = values.iter().map(|v| v.1.len()).max().unwrap_or(0);
        assert!(
            steps <= steps_max,
            "{steps} steps per byte in reads of {read}"
        );
        assert!(
            held <= 4 * longest + read,
            "{held} bytes held in reads of {read}"
        );
    }
}

#[test]
fn ordinary_text_costs_next_to_nothing() {
    let line = b"2026-01-07 12:00:00 INFO worker 7 processed batch 4711 in 23 ms\n";
    check(
        &[
            ("K", b"sk-proj-4fXq81LmZ0pTw7Rk"),
            ("D", b"postgres://app:s3cr3tP4ssw0rd@db/x"),
        ],
        &line.repeat(4000),
        0.05,
    );
}

#[test]
fn a_value_that_repeats_one_letter_in_a_text_that_does_too() {
    let thousand = vec![b'a'; 1000];
    let other = vec![b'a'; 700];
    let text = vec![b'a'; 1 << 17];
    check(&[("A", &thousand)], &text, 12.0);
    check(&[("A", &thousand), ("B", &other)], &text, 24.0);
    let mut nearly = vec![b'a'; 999];
    nearly.push(b'b');
    check(&[("A", &thousand)], &nearly.repeat(100), 12.0);
    check(&[("A", &nearly)], &text, 12.0);
    // What is held is looked at again with each read, once more than a whole value is there.
    let long = vec![b'z'; 10_000];
    check(&[("Z", &long)], &vec![b'z'; 1 << 17], 16.0);
}

#[test]
fn a_value_with_a_period_in_a_text_with_the_same() {
    let value = b"abc-".repeat(250);
    check(&[("P", &value)], &b"abc-".repeat(20_000), 12.0);
    let wide = b"abcdefgh_jklmnopq".repeat(60);
    check(&[("P", &wide)], &b"abcdefgh_jklmnopq".repeat(5_000), 12.0);
}

#[test]
fn floods_of_near_misses() {
    let value = b"4fXq81LmZ0pTw7RkQ2Lm8Vd1sN5bYc3G";
    let miss = &value[..value.len() - 1];
    check(&[("K", value)], &miss.repeat(2_000), 8.0);
    let odd = br#"4fXq81LmZ0pTw7Rk"Q2Lm/8Vd1'sN5bYc3G"#;
    let escaped = br#"4fXq81LmZ0pTw7Rk\"Q2Lm\/8Vd1'sN5bYc3"#;
    check(&[("K", odd)], &odd[..odd.len() - 1].repeat(2_000), 12.0);
    check(&[("K", odd)], &escaped.repeat(2_000), 12.0);
    let slashes = br"\\\\\\\\\\\\";
    check(&[("S", slashes)], &vec![b'\\'; 1 << 15], 24.0);
}

#[test]
fn a_long_value_that_comes_in_small_pieces() {
    let mut value = Vec::new();
    let mut state = 7u32;
    while value.len() < 3000 {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        value.push(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdef"[(state >> 24) as usize % 32]);
    }
    let (steps, held) = cost(&[("L", &value)], &value.repeat(4), 64);
    assert!(steps < 8.0, "{steps}");
    assert!(held <= value.len() + 64, "{held}");
}

#[test]
fn a_marker_is_written_although_its_stretch_never_ends() {
    // Overlapping matches go on and on: the deadline writes the marker, and what follows is swallowed.
    let set = set(&[("A", &[b'a'; 40])]);
    let mut redactor = Redactor::new(Arc::clone(&set));
    let mut now = Instant::now();
    let begin = now;
    let mut out = Vec::new();
    for _ in 0..400 {
        out.extend_from_slice(redactor.push(&[b'a'; 100], now));
        assert!(redactor.held() <= 140);
        if let Some(deadline) = redactor.deadline() {
            assert!(deadline <= begin + std::time::Duration::from_secs(2) || !out.is_empty());
        }
        now += std::time::Duration::from_millis(1);
        out.extend_from_slice(redactor.expire(now));
    }
    out.extend_from_slice(redactor.finish());
    assert_eq!(out, b"[redacted:A]");
}
