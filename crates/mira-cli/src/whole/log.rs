//! The server's log: a line for each request and each thing that happens, on stderr.
//!
//! INVARIANT: a line passes the redactor, which knows the values that this process was handed since it began, and the tokens that Mira gives
//! out by their shape. What other libraries would say is not let through at all.

mod hush;

use std::io::{self, Write};

use mira_desk::Opened;
use tracing::Metadata;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Context, Filter, SubscriberExt as _};
use tracing_subscriber::{Layer as _, Registry};

use hush::Hush;

/// What the targets of Mira's own events begin with.
const OWN: &str = "mira::";

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LogFormat {
    /// A JSON object a line
    Json,
    /// Words for people
    Text,
}

/// Returns a line as it may be seen.
fn redacted(hush: &Hush, line: &[u8]) -> Vec<u8> {
    let mut seen = hush.redacted(line);
    hide_tokens(&mut seen);
    seen
}

/// What all of Mira's tokens begin with.
const TOKEN: &[u8] = b"mira_";

/// How many characters of a token's random part make one.
// LIMIT: a whole one has 56; so many are left of one that was cut, and no word of ours is that long.
const TOKEN_CHARS_MIN: usize = 20;

/// Takes tokens of Mira's own out of a line, also those that were cut.
fn hide_tokens(line: &mut Vec<u8>) {
    let mut from = 0;
    while let Some(at) = find(line.get(from..).unwrap_or_default(), TOKEN).map(|at| at + from) {
        let rest = line.get(at + TOKEN.len()..).unwrap_or_default();
        let is_token =
            |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'_';
        let len = rest.iter().take_while(|byte| is_token(byte)).count();
        let body = rest.get(..len).unwrap_or_default();
        let body = body.rsplit(|byte| *byte == b'_').next().unwrap_or_default();
        from = at + TOKEN.len();
        if body.len() >= TOKEN_CHARS_MIN {
            let hidden = b"[redacted:token]";
            line.splice(at..from + len, hidden.iter().copied());
            from = at + hidden.len();
        }
    }
}

fn find(text: &[u8], word: &[u8]) -> Option<usize> {
    text.windows(word.len()).position(|found| found == word)
}

/// Begins the log of this process; returns what it is told of values with.
pub(crate) fn begin(format: LogFormat) -> Opened {
    let hush = Hush::default();
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(Lines {
            hush: hush.clone(),
            to: io::stderr,
        })
        .with_ansi(false);
    let lines = match format {
        LogFormat::Json => lines.json().flatten_event(true).with_filter(Own).boxed(),
        LogFormat::Text => lines.with_filter(Own).boxed(),
    };
    // Only this process's start calls it, and only once.
    drop(tracing::subscriber::set_global_default(
        Registry::default().with(lines),
    ));
    Opened::new(move |name, value| hush.add(name, value))
}

/// Lets only Mira's own events through.
struct Own;

impl<S> Filter<S> for Own {
    fn enabled(&self, metadata: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        metadata.target().starts_with(OWN)
    }
}

/// Writes lines, redacted.
struct Lines<F> {
    hush: Hush,
    to: F,
}

impl<'a, W: Write, F: Fn() -> W> MakeWriter<'a> for Lines<F> {
    type Writer = Line<W>;

    fn make_writer(&'a self) -> Line<W> {
        Line {
            hush: self.hush.clone(),
            to: (self.to)(),
        }
    }
}

/// A line on its way; it comes in one piece.
struct Line<W> {
    hush: Hush,
    to: W,
}

impl<W: Write> Write for Line<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.to.write_all(&redacted(&self.hush, line))?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, RwLock};

    use mira_testkit::canary::{Canary, Sweep};

    use super::*;

    #[test]
    fn no_value_and_no_token_of_ours_is_in_a_line() {
        let canaries = Canary::generate();
        let hush = Hush::default();
        for canary in &canaries {
            hush.add(canary.name(), canary.value());
        }
        let sweep = Sweep::new(&canaries);
        let mut seen_before = 0;
        for canary in &canaries {
            let json = serde_json::json!({"error": String::from_utf8_lossy(canary.value())});
            let line = format!("{json}\n");
            seen_before += usize::from(!sweep.bytes("before", line.as_bytes()).is_clean());
            let seen = redacted(&hush, line.as_bytes());
            sweep.bytes(canary.name(), &seen).assert_clean();
            serde_json::from_slice::<serde_json::Value>(&seen).unwrap();
        }
        assert!(seen_before > canaries.len() / 2, "{seen_before}");
    }

    #[test]
    fn tokens_are_known_by_their_shape() {
        let body = "abcdefghijklmnopqrstuvwxyz234567abcdefghijklmnopqrstuvwx";
        let check = |line: &str, expect: &str| {
            let seen = redacted(&Hush::default(), line.as_bytes());
            assert_eq!(String::from_utf8(seen).unwrap(), expect);
        };
        for kind in ["", "session_", "link_"] {
            check(&format!("a=mira_{kind}{body}; b"), "a=[redacted:token]; b");
        }
        let cut: String = body.chars().take(20).collect();
        check(&format!("mira_{cut}"), "[redacted:token]");
        check(
            &format!("mira_{body} mira_{body}"),
            "[redacted:token] [redacted:token]",
        );
        check(
            "mira_http_requests mira_desk",
            "mira_http_requests mira_desk",
        );
        check("mira_", "mira_");
    }

    #[test]
    fn what_others_say_is_not_in_the_log() {
        let written: Arc<RwLock<Vec<u8>>> = Arc::default();
        struct Kept(Arc<RwLock<Vec<u8>>>);
        impl Write for Kept {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.write().unwrap().extend_from_slice(bytes);
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (hush, kept) = (Hush::default(), Arc::clone(&written));
        hush.add("KEY", b"sk-proj-7Fq2mXv9LrT4bWc8ZnYd");
        let lines = tracing_subscriber::fmt::layer()
            .with_writer(Lines {
                hush,
                to: move || Kept(Arc::clone(&kept)),
            })
            .json()
            .with_filter(Own);
        tracing::subscriber::with_default(Registry::default().with(lines), || {
            tracing::info!(target: "hyper::proto", "GET /?key=1");
            tracing::info!(target: "mira::request", who = "sk-proj-7Fq2mXv9LrT4bWc8ZnYd");
        });
        let text = String::from_utf8(written.read().unwrap().clone()).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.contains("[redacted:KEY]"), "{text}");
    }
}
