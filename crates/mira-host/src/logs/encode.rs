//! Lines as JSON, each with a time of its own.

use std::io::Write;
use std::time::Duration;

use jiff::Timestamp;

use super::wire::Rest;
use mira_run::Stream;

/// Gives lines their times and puts them into JSON.
#[derive(Debug, Default)]
pub(crate) struct Encoder {
    last: Option<Timestamp>,
    /// The second whose text is `second_text`: most lines share it, and formatting it costs more than the rest of a line.
    second: Option<i64>,
    second_text: String,
}

impl Encoder {
    /// Returns the time of the next line: now, or just after the line before.
    pub(crate) fn next_time(&mut self, now: Timestamp) -> Timestamp {
        let next = self
            .last
            .and_then(|last| last.checked_add(Duration::from_nanos(1)).ok());
        let time = next.map_or(now, |next| next.max(now));
        self.last = Some(time);
        time
    }

    /// Makes sure that the lines to come are later than one that was written by an earlier run.
    pub(crate) fn go_on_after(&mut self, last: Timestamp) {
        self.last = self.last.max(Some(last));
    }

    /// Appends a line to `out`.
    pub(crate) fn line(
        &mut self,
        out: &mut Vec<u8>,
        time: Timestamp,
        service: &str,
        stream: Stream,
        line: &str,
        partial: bool,
    ) {
        if self.second != Some(time.as_second()) {
            self.second = Some(time.as_second());
            let whole = Timestamp::from_second(time.as_second()).unwrap_or(time);
            self.second_text = whole.to_string();
            self.second_text.pop();
        }
        let rest = Rest {
            service,
            stream: stream.into(),
            line,
            partial,
        };
        let nanosecond = time.subsec_nanosecond();
        // Writing to memory does not fail, and text is always JSON.
        write!(out, "{{\"time\":\"{}.{nanosecond:09}Z\",", self.second_text).ok();
        let brace = out.len();
        serde_json::to_writer(&mut *out, &rest).ok();
        out.remove(brace);
        out.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_json_with_a_time_of_its_own() {
        let mut encoder = Encoder::default();
        let now = Timestamp::new(1_800_000_000, 999_999_999).unwrap();
        let mut out = Vec::new();
        let earlier = Timestamp::new(1_700_000_000, 0).unwrap();
        for (clock, line, partial) in [
            (now, "a\t\"b\"", false),
            (now, "ü", true),
            (earlier, "", false),
        ] {
            let time = encoder.next_time(clock);
            encoder.line(&mut out, time, "web", Stream::Stderr, line, partial);
        }
        assert_eq!(
            String::from_utf8(out).unwrap(),
            concat!(
                r#"{"time":"2027-01-15T08:00:00.999999999Z","service":"web","stream":"stderr","line":"a\t\"b\""}"#,
                "\n",
                r#"{"time":"2027-01-15T08:00:01.000000000Z","service":"web","stream":"stderr","line":"ü","partial":true}"#,
                "\n",
                r#"{"time":"2027-01-15T08:00:01.000000001Z","service":"web","stream":"stderr","line":""}"#,
                "\n",
            )
        );
    }

    #[test]
    fn an_earlier_runs_lines_stay_before() {
        let mut encoder = Encoder::default();
        let last = Timestamp::new(1_800_000_000, 5).unwrap();
        encoder.go_on_after(last);
        let time = encoder.next_time(Timestamp::UNIX_EPOCH);
        assert_eq!(time, Timestamp::new(1_800_000_000, 6).unwrap());
    }
}
