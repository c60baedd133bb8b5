//! The stream's promises: one output for every chunking, nothing held without need.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mira_redact::Redactor;

use crate::common::{redact, redact_in, set, text};

#[test]
fn overlapping_and_touching_values() {
    let set = set(&[
        ("A", b"abcdefghij"),
        ("B", b"ghijklmnop"),
        ("C", b"abcdefghijk"),
        ("D", b"defg"),
        ("A2", b"abcdefghij"),
    ]);
    let check = |input: &str, expect: &str| {
        assert_eq!(text(&redact(&set, input.as_bytes())), expect);
    };
    check("abcdefghij", "[redacted:A]");
    check("abcdefghijk", "[redacted:C]");
    check("abcdefghijklmnop.", "[redacted:C].");
    check("abcdefghijabcdefghij", "[redacted:A][redacted:A]");
    check("defg", "[redacted:D]");
    check("defghijklmnop", "[redacted:B]");
}

#[test]
fn every_cut_gives_the_same_output() {
    let set = set(&[
        ("A", b"abcdefghij"),
        ("P", b"xyxyz-9f3kLm20"),
        ("L", b"first-line-of-value-1\nsecond-line-of-value"),
        ("Q", br#"quo"te\d-valu3xyz"#),
    ]);
    let input = b"--abcdefghabcdefghij xyxyxyz-9f3kLm20 YWJjZGVmZ2hpag== eGFiY2RlZmdoaWo= first-line-of-value-1\r\n  second-line-of-value quo\\\"te\\\\d-valu3xyz \\\\\\quo";
    let whole = redact(&set, input);
    assert_eq!(
        text(&whole),
        "--abcdefgh[redacted:A] xy[redacted:P] [redacted:A] e[redacted:A] [redacted:L] [redacted:Q] \\\\\\quo"
    );
    for first in 1..input.len() {
        assert_eq!(
            text(&redact_in(&set, input, &[first, 1000])),
            text(&whole),
            "{first}"
        );
    }
    for len in 1..20 {
        assert_eq!(text(&redact_in(&set, input, &[len])), text(&whole), "{len}");
    }
}

#[test]
fn what_ends_no_value_is_not_held() {
    let set = set(&[
        ("A", b"sk-abcdefghij"),
        ("B", b"postgres://app:s3cr3tpw@db/x"),
    ]);
    let mut redactor = Redactor::new(Arc::clone(&set));
    let now = Instant::now();
    for prompt in ["Password: ", ">>> ", "mysql> ", "[y/N] ", "line\n", "\r"] {
        assert_eq!(redactor.push(prompt.as_bytes(), now), prompt.as_bytes());
        assert_eq!(
            (redactor.held(), redactor.deadline()),
            (0, None),
            "{prompt:?}"
        );
    }
    // The last letter of a terminal's query could be the first bits of base64: a moment, no more.
    let query = redactor.push(b"\x1b[6n", now).len() + redactor.held();
    assert_eq!(query, 4);
    assert!(
        redactor
            .deadline()
            .is_none_or(|d| d <= now + Duration::from_millis(10))
    );
    redactor.push(b"\n", now);
    assert_eq!(redactor.push(b"key sk-ab", now), b"key ");
    assert_eq!(redactor.held(), 5);
    assert_eq!(redactor.push(b" ", now), b"sk-ab ");
}

#[test]
fn where_a_value_stands_does_not_decide_whether_it_is_found() {
    // Two colours leave no part of the value whole that the sieve could look for, only pieces of one: such a value
    // must be found everywhere or nowhere.
    let set = set(&[("K", b"4fXq81LmZ0pTw7RkQ2Lm8Vd1sN5bYc3GhJ6eUa9o")]);
    let broken = "4fXq81LmZ0pTw\x1b[1m7RkQ2Lm8Vd1sN5bYc\x1b[0m3GhJ6eUa9o";
    let expect = text(&redact(&set, broken.as_bytes()));
    for before in 0..64 {
        let blanks = " ".repeat(before);
        let input = format!("{blanks}{broken}");
        let found = text(&redact(&set, input.as_bytes()));
        assert_eq!(found, format!("{blanks}{expect}"), "behind {before}");
    }
}
