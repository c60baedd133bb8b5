//! What a service writes: read, redacted, split into lines, appended to its log, handed to whoever follows it.
//!
//! INVARIANT: nothing that was read goes anywhere but through the [`Redactor`]. While the log cannot be written as fast as the
//! service writes, the service waits; nothing piles up here.

use std::borrow::Cow;
use std::io;
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use mira_redact::{NeedleSet, Redactor};
use tokio::net::unix::pipe::Receiver;
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;
use tokio::time::timeout_at;

use super::events::Event;
use super::kept::Output;
use super::status::Status;
use crate::logs::{Encoder, Filter, LogFile, LogLine, Rotation, Splitter, read};
use mira_run::Stream;

/// The output of one run of a service.
pub(super) struct Pump {
    sources: [Source; 2],
    log: Log,
    status: Status,
}

impl Pump {
    pub(super) fn new(output: Output, needles: &Arc<NeedleSet>, log: Log, status: Status) -> Self {
        let source = |pipe, stream| Source {
            pipe: Some(pipe),
            stream,
            needles: Arc::clone(needles),
            redactor: None,
            splitter: Splitter::default(),
        };
        Self {
            sources: [
                source(output.stdout, Stream::Stdout),
                source(output.stderr, Stream::Stderr),
            ],
            log,
            status,
        }
    }

    /// Works until both streams have ended, or `over` has; returns the log for the next run.
    pub(super) async fn run(mut self, mut over: oneshot::Receiver<()>) -> Log {
        let mut lines = Batch::default();
        while self.sources.iter().any(|source| source.pipe.is_some()) {
            if self.wait(&mut over).await {
                for source in &mut self.sources {
                    source.end(&mut lines);
                }
            }
            for source in &mut self.sources {
                source.step(&mut lines);
            }
            if !lines.is_empty() {
                self.log = self.log.write(&mut lines, &self.status).await;
            }
        }
        self.log
    }

    /// Waits for something to read, or for a held tail's time; returns whether it is over.
    async fn wait(&self, over: &mut oneshot::Receiver<()>) -> bool {
        let [first, second] = &self.sources;
        let ready = async {
            tokio::select! {
                biased;
                () = first.readable() => false,
                () = second.readable() => false,
                _ = over => true,
            }
        };
        let due = self.sources.iter().filter_map(Source::deadline).min();
        match due {
            Some(due) => timeout_at(due.into(), ready).await.unwrap_or(false),
            None => ready.await,
        }
    }
}

/// One stream of a service.
struct Source {
    /// Nothing once it has ended.
    pipe: Option<Receiver>,
    stream: Stream,
    needles: Arc<NeedleSet>,
    /// Made when something comes: it has room for a whole read, and many services say nothing.
    redactor: Option<Redactor>,
    splitter: Splitter,
}

impl Source {
    async fn readable(&self) {
        match &self.pipe {
            // An error is met again when reading.
            Some(pipe) => drop(pipe.readable().await),
            None => std::future::pending().await,
        }
    }

    fn deadline(&self) -> Option<Instant> {
        self.redactor.as_ref().and_then(Redactor::deadline)
    }

    /// Reads once, if there is something, and lets go what was held long enough.
    fn step(&mut self, lines: &mut Batch) {
        let Some(pipe) = &self.pipe else {
            return;
        };
        let mut first_read = [0; 1];
        let redactor = match &mut self.redactor {
            Some(redactor) => redactor,
            // A look that costs nothing while there is nothing.
            None => match pipe.try_read(&mut first_read) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Ok(0) | Err(_) => return self.end(lines),
                Ok(_) => {
                    let redactor = Redactor::new(Arc::clone(&self.needles));
                    let redactor = self.redactor.insert(redactor);
                    let redacted = redactor.push(&first_read, Instant::now());
                    lines.add(&mut self.splitter, redacted, self.stream);
                    redactor
                }
            },
        };
        match pipe.try_read(redactor.spare()) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let redacted = redactor.expire(Instant::now());
                lines.add(&mut self.splitter, redacted, self.stream);
            }
            Ok(0) | Err(_) => self.end(lines),
            Ok(len) => {
                let redacted = redactor.filled(len, Instant::now());
                lines.add(&mut self.splitter, redacted, self.stream);
            }
        }
    }

    /// Ends the stream: what is held was no secret, and what has no line break is a line.
    fn end(&mut self, lines: &mut Batch) {
        if self.pipe.take().is_none() {
            return;
        }
        if let Some(redactor) = &mut self.redactor {
            lines.add(&mut self.splitter, redactor.finish(), self.stream);
        }
        lines.finish(&mut self.splitter, self.stream);
    }
}

/// Lines that were read at once.
#[derive(Default)]
struct Batch {
    text: Vec<u8>,
    lines: Vec<Place>,
}

/// A line, up to its end in the batch's text.
struct Place {
    end: usize,
    stream: Stream,
    partial: bool,
    /// Given when it is written.
    time: Timestamp,
}

impl Batch {
    fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    fn add(&mut self, splitter: &mut Splitter, redacted: &[u8], stream: Stream) {
        splitter.push(redacted, &mut |line, partial| {
            self.line(line, stream, partial)
        });
    }

    fn finish(&mut self, splitter: &mut Splitter, stream: Stream) {
        splitter.finish(&mut |line, partial| self.line(line, stream, partial));
    }

    fn line(&mut self, line: &[u8], stream: Stream, partial: bool) {
        self.text.extend_from_slice(line);
        self.lines.push(Place {
            end: self.text.len(),
            stream,
            partial,
            time: Timestamp::UNIX_EPOCH,
        });
    }

    /// Calls `each` with every line.
    fn each(&mut self, mut each: impl FnMut(Cow<'_, str>, &mut Place)) {
        let mut start = 0;
        for place in &mut self.lines {
            let line = self.text.get(start..place.end).unwrap_or_default();
            start = place.end;
            each(String::from_utf8_lossy(line), place);
        }
    }

    fn clear(&mut self) {
        self.text.clear();
        self.lines.clear();
    }
}

/// A service's log file, and what its lines need.
pub(super) struct Log {
    file: LogFile,
    encoder: Encoder,
    buffer: Vec<u8>,
}

impl Log {
    /// Prepares to go on with a log, later than the last line that is there.
    pub(super) fn new(folder: &std::path::Path, service: &str, rotation: Rotation) -> Self {
        let filter = Filter {
            service: Some(service.to_owned()),
            tail: Some(1),
            ..Filter::default()
        };
        let mut encoder = Encoder::default();
        // A log that cannot be read says so when it is written.
        if let Ok(Some(last)) = read(folder, &filter).map(|mut lines| lines.pop()) {
            encoder.go_on_after(last.time);
        }
        Self {
            file: LogFile::new(folder, service, rotation),
            encoder,
            buffer: Vec::new(),
        }
    }

    /// Writes lines to the file, then hands them out: whoever subscribes and then reads the file misses none.
    async fn write(mut self, lines: &mut Batch, status: &Status) -> Self {
        let now = Timestamp::now();
        let service = &status.service;
        lines.each(|line, place| {
            place.time = self.encoder.next_time(now);
            let (time, stream, partial) = (place.time, place.stream, place.partial);
            self.encoder
                .line(&mut self.buffer, time, service, stream, &line, partial);
        });
        // A disk may keep us waiting; the other services shall not wait with us.
        let written = spawn_blocking(move || {
            let written = self.file.append(&self.buffer);
            self.buffer.clear();
            (self, written)
        });
        let Ok((log, written)) = written.await else {
            // It neither panics nor is cancelled; if the runtime is ending, so are we.
            return std::future::pending().await;
        };
        if status.hub.is_read() {
            let mut events = Vec::with_capacity(lines.lines.len());
            lines.each(|line, place| {
                events.push(Event::Line(Arc::new(LogLine {
                    time: place.time,
                    service: Arc::clone(service),
                    stream: place.stream,
                    line: line.into_owned(),
                    partial: place.partial,
                })));
            });
            status.hub.publish(events);
        }
        lines.clear();
        status.log_trouble(written.err().as_ref());
        log
    }
}
