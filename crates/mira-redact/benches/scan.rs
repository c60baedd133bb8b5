//! How fast text is scanned and redacted, beside memcpy and aho-corasick, and what a redacting pump costs beside a
//! bare one. Run with `cargo bench -p mira-redact`, with `-- 256` for 256 MiB of text instead of 48.
//!
//! Times are the thread's CPU time, each the best of a few rounds; compare the ratios, which a busy machine disturbs
//! less.

use std::hint::black_box;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use mira_redact::{NeedleSet, Redactor};

const CHUNK_BYTES: usize = 64 * 1024;
const ROUNDS: usize = 3;

fn main() -> io::Result<()> {
    let size_mib = std::env::args()
        .filter_map(|arg| arg.parse::<usize>().ok())
        .next()
        .unwrap_or(48);
    let mut rng = Rng(0x5eed);
    let text = log(size_mib << 20, &mut rng);
    let out = &mut io::stdout();
    writeln!(
        out,
        "{size_mib} MiB of generated log, in pieces of 64 KiB; GB/s (ratio to memcpy)\n"
    )?;
    writeln!(
        out,
        "{:>8} {:>8} {:>9} {:>7} {:>14} {:>14} {:>14}",
        "patterns", "secrets", "build ms", "memcpy", "scan", "copy + redact", "aho-corasick"
    )?;
    for count in [1, 10, 100, 1_000, 10_000] {
        let (set, secrets, build_ms) = make_set(count, &mut rng);
        let memcpy = best(&text, &mut vec![0; CHUNK_BYTES], |piece, copy| {
            copy[..piece.len()].copy_from_slice(piece);
            black_box(&copy);
        });
        let scan = best(&text, &mut (), |piece, ()| {
            black_box(set.find(piece));
        });
        let now = Instant::now();
        let mut redactor = Redactor::new(Arc::clone(&set));
        let redact = best(&text, &mut redactor, |piece, redactor| {
            redactor.spare()[..piece.len()].copy_from_slice(piece);
            black_box(redactor.filled(piece.len(), now));
        });
        let other = aho_corasick(&text, &secrets, count);
        let shown = |rate: f64| format!("{rate:.2} ({:.2})", rate / memcpy);
        writeln!(
            out,
            "{:>8} {:>8} {build_ms:>9.2} {memcpy:>7.2} {:>14} {:>14} {:>14}",
            set.pattern_count(),
            secrets.len(),
            shown(scan),
            shown(redact),
            shown(other),
        )?;
    }
    let lines: Vec<&[u8]> = text[..4 << 20].split_inclusive(|&b| b == b'\n').collect();
    writeln!(out, "\none call per line, nanoseconds")?;
    for count in [100, 1_000, 10_000] {
        let (set, ..) = make_set(count, &mut rng);
        let now = Instant::now();
        let mut redactor = Redactor::new(set);
        let nanos = (0..ROUNDS)
            .map(|_| {
                let begin = thread_seconds();
                for line in &lines {
                    black_box(redactor.push(line, now));
                }
                (thread_seconds() - begin) * 1e9 / lines.len() as f64
            })
            .fold(f64::MAX, f64::min);
        writeln!(out, "{count:>8} patterns {nanos:>8.0}")?;
    }
    pumps(&text, &make_set(1_000, &mut rng).0)
}

/// Returns GB/s of the best round.
fn best<S>(text: &[u8], state: &mut S, mut each: impl FnMut(&[u8], &mut S)) -> f64 {
    (0..ROUNDS)
        .map(|_| {
            let begin = thread_seconds();
            for piece in text.chunks(CHUNK_BYTES) {
                each(piece, state);
            }
            text.len() as f64 / (thread_seconds() - begin) / 1e9
        })
        .fold(0.0, f64::max)
}

/// Returns aho-corasick's best over its automata, with as many plain patterns; a slow one sees less text.
fn aho_corasick(text: &[u8], secrets: &[Vec<u8>], count: usize) -> f64 {
    let patterns: Vec<Vec<u8>> = secrets
        .iter()
        .flat_map(|secret| {
            let hex = |upper: bool| {
                secret
                    .iter()
                    .flat_map(|b| {
                        let pair = if upper {
                            format!("{b:02X}")
                        } else {
                            format!("{b:02x}")
                        };
                        pair.into_bytes()
                    })
                    .collect()
            };
            [secret.clone(), hex(false), hex(true)]
        })
        .chain(secrets.iter().flat_map(|secret| {
            (0..3).map(move |rotate| {
                let mut other = secret.clone();
                other.rotate_left(rotate + 1);
                other
            })
        }))
        .cycle()
        .take(count)
        .collect();
    [
        None,
        (count <= 1_000).then_some(AhoCorasickKind::DFA),
        Some(AhoCorasickKind::ContiguousNFA),
    ]
    .into_iter()
    .filter_map(|kind| {
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .kind(kind)
            .build(&patterns)
            .ok()?;
        let part = &text[..text.len() / if count > 10 { 8 } else { 1 }];
        Some(best(part, &mut (), |piece, ()| {
            black_box(automaton.find_iter(piece).count());
        }))
    })
    .fold(0.0, f64::max)
}

/// Measures the CPU time of a thread that moves the text from one pipe to another.
fn pumps(text: &[u8], set: &Arc<NeedleSet>) -> io::Result<()> {
    let out = &mut io::stdout();
    let rounds = (0..ROUNDS)
        .map(|_| Ok((pump(text, None)?, pump(text, Some(set))?)))
        .collect::<io::Result<Vec<_>>>()?;
    let bare = rounds.iter().map(|r| r.0).fold(f64::MAX, f64::min);
    let redacting = rounds.iter().map(|r| r.1).fold(f64::MAX, f64::min);
    let per_gib = |seconds: f64| seconds * (1u64 << 30) as f64 / text.len() as f64;
    writeln!(
        out,
        "\npipe to pipe, CPU seconds per GiB: bare {:.3}, redacting ({} patterns) {:.3}, ratio {:.2}",
        per_gib(bare),
        set.pattern_count(),
        per_gib(redacting),
        redacting / bare
    )
}

fn pump(text: &[u8], set: Option<&Arc<NeedleSet>>) -> io::Result<f64> {
    let (mut source, mut feed) = io::pipe()?;
    let (mut drain, mut sink) = io::pipe()?;
    thread::scope(|scope| {
        scope.spawn(move || feed.write_all(text));
        scope.spawn(move || {
            let mut scratch = vec![0; CHUNK_BYTES];
            while drain.read(&mut scratch).is_ok_and(|len| len > 0) {}
        });
        let pump = scope.spawn(move || -> io::Result<f64> {
            let begin = thread_seconds();
            if let Some(set) = set {
                let mut redactor = Redactor::new(Arc::clone(set));
                loop {
                    let len = source.read(redactor.spare())?;
                    if len == 0 {
                        break;
                    }
                    sink.write_all(redactor.filled(len, Instant::now()))?;
                }
                sink.write_all(redactor.finish())?;
            } else {
                let mut buffer = vec![0; CHUNK_BYTES];
                loop {
                    let len = source.read(&mut buffer)?;
                    if len == 0 {
                        break;
                    }
                    sink.write_all(&buffer[..len])?;
                }
            }
            Ok(thread_seconds() - begin)
        });
        pump.join().expect("the pump does not panic")
    })
}

fn thread_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Makes a set of about `count` patterns from realistic secrets.
fn make_set(count: usize, rng: &mut Rng) -> (Arc<NeedleSet>, Vec<Vec<u8>>, f64) {
    let one = {
        let mut builder = NeedleSet::builder();
        builder.add("PROBE", &secret(rng, 0));
        builder.build().pattern_count()
    };
    let secrets: Vec<Vec<u8>> = (0..count.div_ceil(one)).map(|at| secret(rng, at)).collect();
    let begin = thread_seconds();
    let mut builder = NeedleSet::builder();
    for (at, secret) in secrets.iter().enumerate() {
        builder.add(&format!("SECRET_{at}"), secret);
    }
    let set = Arc::new(builder.build());
    // The first question compiles it.
    std::hint::black_box(set.pattern_count());
    (set, secrets, (thread_seconds() - begin) * 1e3)
}

/// API keys, hex tokens, UUIDs and URLs with passwords, 20 to 60 bytes.
fn secret(rng: &mut Rng, at: usize) -> Vec<u8> {
    match at % 4 {
        0 => format!(
            "sk-proj-{}",
            rng.word(
                b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ",
                40
            )
        ),
        1 => rng.word(b"0123456789abcdef", 40),
        2 => {
            let hex = b"0123456789abcdef";
            [8, 4, 4, 4, 12].map(|len| rng.word(hex, len)).join("-")
        }
        _ => format!(
            "postgres://app:{}@db.internal:5432/app",
            rng.word(
                b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ",
                16
            )
        ),
    }
    .into_bytes()
}

/// Log lines of the kinds that services write: JSON, access log, plain, coloured, base64 and digests.
fn log(len: usize, rng: &mut Rng) -> Vec<u8> {
    let hex = b"0123456789abcdef";
    let base64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = Vec::with_capacity(len + 512);
    while out.len() < len {
        let (id, number, path) = (
            rng.word(hex, 16),
            rng.below(9000),
            PATHS[rng.below(PATHS.len())],
        );
        let line = match rng.below(100) {
            0..42 => format!(
                r#"{{"time":"2026-01-07T12:{:02}:{:02}.{:03}Z","level":"info","target":"app::http","trace_id":"{id}","method":"GET","path":"{path}/{number}","status":200,"duration_ms":{number},"message":"request completed"}}"#,
                rng.below(60),
                rng.below(60),
                rng.below(1000)
            ),
            42..62 => format!(
                r#"10.0.{}.{} - - [07/Jan/2026:12:00:{:02} +0000] "GET {path}/{number} HTTP/1.1" 200 {number} "-" "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36""#,
                rng.below(256),
                rng.below(256),
                rng.below(60)
            ),
            62..80 => format!(
                "worker-{}: processed batch {number} for {path} in {} ms, {} rows left",
                rng.below(32),
                rng.below(500),
                rng.below(10000)
            ),
            80..93 => format!(
                "\x1b[2m2026-01-07T12:00:00Z\x1b[0m \x1b[32m INFO\x1b[0m \x1b[1mapp\x1b[0m: connection {id} to {path} established"
            ),
            93..97 => format!(
                "  File \"/srv/app/handlers/{path}.py\", line {number}, in handle\n    return await self.inner.call(request)"
            ),
            _ => format!(
                "blob {} sha256:{}",
                rng.word(base64, 240),
                rng.word(hex, 64)
            ),
        };
        out.extend_from_slice(line.as_bytes());
        out.push(b'\n');
    }
    out.truncate(len);
    out
}

const PATHS: [&str; 6] = [
    "/api/v1/users",
    "/api/v1/sessions",
    "/healthz",
    "/internal/metrics/export",
    "/static/app",
    "/api/v2/orders/search",
];

/// A small generator (xorshift64): the same text and secrets in each run.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() >> 11) as usize % end
    }

    fn word(&mut self, alphabet: &[u8], len: usize) -> String {
        (0..len)
            .map(|_| char::from(alphabet[self.below(alphabet.len())]))
            .collect()
    }
}
