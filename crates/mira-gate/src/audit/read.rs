//! Reading the record: lines joined to rows, once or again and again.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::Serialize;

use super::{Outcome, file, wire};

/// The longest line that is looked at, in bytes.
// LIMIT: some times what the longest texts of a line can come to; anything longer is none of ours.
const LINE_BYTES_MAX: u64 = 64 * 1024;

/// Which rows are wanted; all by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// From this time on.
    pub since: Option<Timestamp>,
    /// To this host only.
    pub host: Option<String>,
    /// With this outcome only.
    pub verdict: Option<Outcome>,
}

/// A connection, a request, a look-up or a packet, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Row {
    /// What tells it from all others.
    pub id: String,
    /// When it began.
    pub time: Timestamp,
    /// Whose it is.
    pub instance: String,
    /// Whether who tried had no way but the gate; nothing where it was recorded before that was told.
    pub enforced: Option<bool>,
    /// The service that tried, where it is known.
    pub service: Option<String>,
    /// The name or the address that was meant.
    pub host: String,
    /// Where that led.
    pub address: Option<IpAddr>,
    /// The port.
    pub port: u16,
    /// In what way: `tunnel`, `https`, `http`, `websocket`, `lookup` or `packet`.
    pub how: String,
    /// The method of a request, the type of a look-up, the protocol of a packet.
    pub what: Option<String>,
    /// How many packets it stands for, if any.
    pub packets: Option<u64>,
    /// The status of the answer.
    pub status: Option<u16>,
    /// How many bytes the program sent.
    pub sent: u64,
    /// How many came back.
    pub received: u64,
    /// How long it took, once it has ended.
    pub milliseconds: Option<u64>,
    /// How many times a secret was taken out of the answer.
    pub redacted: u64,
    /// The secrets that were put in, by name.
    pub secrets: Vec<String>,
    /// Whether it was let out.
    pub verdict: Outcome,
    /// By which rule, or for which reason.
    pub rule: String,
    /// Whether it has begun and not ended, so far as the record says.
    pub open: bool,
}

/// Reads a record, from its oldest line on.
#[derive(Debug)]
pub struct Reader {
    folder: PathBuf,
    filter: Filter,
    source: Option<Source>,
    /// What was returned as open.
    open: HashMap<String, Row>,
    unreadable: u64,
}

/// A file, read up to somewhere.
#[derive(Debug)]
struct Source {
    file: BufReader<File>,
    id: (u64, u64),
    /// The line that is read, so far as it is there.
    line: Vec<u8>,
}

impl Reader {
    /// Gets ready to read the record in a folder, which need not be there yet.
    #[must_use]
    pub fn new(folder: &Path, filter: Filter) -> Self {
        Self {
            folder: folder.to_owned(),
            filter,
            source: None,
            open: HashMap::new(),
            unreadable: 0,
        }
    }

    /// Returns the rows of all lines that came since the last call, in the order in which they began.
    ///
    /// A row that was returned as open is returned again when it has ended.
    ///
    /// # Errors
    ///
    /// Returns the system's error if the folder or a file cannot be read.
    pub fn read(&mut self) -> io::Result<Vec<Row>> {
        let mut files = Vec::new();
        for file in file::open_all(&self.folder)? {
            files.push((file::id(&file.metadata()?), file));
        }
        if let Some(source) = &self.source {
            let read = files.iter().position(|(id, _)| *id == source.id);
            files.drain(..read.map_or(0, |at| at + 1));
        }
        let mut batch = Batch::default();
        self.drain(&mut batch)?;
        for (id, file) in files {
            self.unreadable += self.half();
            self.source = Some(Source {
                file: BufReader::new(file),
                id,
                line: Vec::new(),
            });
            self.drain(&mut batch)?;
        }
        for at in batch.open.into_values() {
            if let Some(row) = batch.rows.get(at) {
                self.open.insert(row.id.clone(), row.clone());
            }
        }
        let wanted = self.filter.verdict;
        batch
            .rows
            .retain(|row| wanted.is_none_or(|wanted| wanted == row.verdict));
        Ok(batch.rows)
    }

    /// Returns how many lines were passed over since they are none: what a full disk or a power failure left of them.
    #[must_use]
    pub fn unreadable(&self) -> u64 {
        self.unreadable + self.half()
    }

    fn half(&self) -> u64 {
        self.source
            .as_ref()
            .is_some_and(|source| !source.line.is_empty())
            .into()
    }

    /// Reads the current file up to its end.
    fn drain(&mut self, batch: &mut Batch) -> io::Result<()> {
        let Some(source) = &mut self.source else {
            return Ok(());
        };
        loop {
            let room = LINE_BYTES_MAX.saturating_sub(source.line.len() as u64);
            (&mut source.file)
                .take(room)
                .read_until(b'\n', &mut source.line)?;
            let is_whole = source.line.last() == Some(&b'\n');
            if !is_whole && source.line.len() as u64 != LINE_BYTES_MAX {
                // The file ends here, in the middle of a line or not.
                return Ok(());
            }
            let (line, is_clean) = parsed(&source.line);
            self.unreadable += u64::from(!is_clean);
            match line {
                Some(wire::Line::Begin(begin)) if is_wanted(&self.filter, &begin) => {
                    batch.begin(Row::from(begin));
                }
                Some(wire::Line::End(end)) => batch.end(&end, &mut self.open),
                Some(wire::Line::Of(of)) => batch.name(&of, &mut self.open),
                _ => {}
            }
            source.line.clear();
        }
    }
}

fn is_wanted(filter: &Filter, begin: &wire::Begin<'_>) -> bool {
    let host = filter.host.as_ref();
    filter.since.is_none_or(|since| since <= begin.time)
        && host.is_none_or(|host| host.eq_ignore_ascii_case(&begin.host))
}

/// Returns what a line says, and whether it is all that is in it.
///
/// One that was cut may be followed by one of another process without a newline between. What begins a line is in no text of one, since JSON puts a
/// backslash before a quotation mark.
fn parsed(line: &[u8]) -> (Option<wire::Line<'_>>, bool) {
    if let Ok(whole) = serde_json::from_slice(line) {
        return (Some(whole), true);
    }
    let begins = |start: &[u8]| line.windows(start.len()).rposition(|part| part == start);
    let last = begins(wire::BEGIN)
        .max(begins(wire::END))
        .max(begins(wire::OF));
    let rest = last.and_then(|at| line.get(at..)).unwrap_or_default();
    (serde_json::from_slice(rest).ok(), false)
}

/// Rows that are read at once.
#[derive(Default)]
struct Batch {
    rows: Vec<Row>,
    /// Where those are that have not ended.
    open: HashMap<String, usize>,
}

impl Batch {
    fn begin(&mut self, row: Row) {
        if row.open {
            self.open.insert(row.id.clone(), self.rows.len());
        }
        self.rows.push(row);
    }

    fn name(&mut self, of: &wire::Of<'_>, before: &mut HashMap<String, Row>) {
        let row = match self.open.get(&*of.id) {
            Some(at) => self.rows.get_mut(*at),
            // It was returned already, and will say so when it is returned again.
            None => before.get_mut(&*of.id),
        };
        if let Some(row) = row {
            row.service = Some(of.service.to_string());
        }
    }

    fn end(&mut self, end: &wire::End<'_>, before: &mut HashMap<String, Row>) {
        if let Some(at) = self.open.remove(&*end.id) {
            if let Some(row) = self.rows.get_mut(at) {
                row.end(end);
            }
        } else if let Some(mut row) = before.remove(&*end.id) {
            row.end(end);
            self.rows.push(row);
        }
    }
}

impl Row {
    fn end(&mut self, end: &wire::End<'_>) {
        self.open = false;
        self.address = end.address.or(self.address);
        self.status = end.status;
        self.sent = end.sent;
        self.received = end.received;
        self.milliseconds = Some(end.milliseconds);
        self.redacted = end.redacted;
        self.secrets = end.secrets.iter().map(ToString::to_string).collect();
        if let Some(reason) = &end.refused {
            self.verdict = Outcome::Refused;
            self.rule = reason.to_string();
        }
    }
}

impl From<wire::Begin<'_>> for Row {
    fn from(begin: wire::Begin<'_>) -> Self {
        Self {
            id: begin.id.into(),
            time: begin.time,
            instance: begin.instance.into(),
            enforced: begin.enforced,
            service: begin.service.map(Into::into),
            host: begin.host.into(),
            address: begin.address,
            port: begin.port,
            how: begin.how.into(),
            what: begin.what.map(Into::into),
            packets: begin.packets,
            status: None,
            sent: 0,
            received: 0,
            milliseconds: None,
            redacted: 0,
            secrets: Vec::new(),
            open: begin.verdict == Outcome::Allowed,
            verdict: begin.verdict,
            rule: begin.rule.into(),
        }
    }
}
