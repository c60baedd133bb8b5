//! `mira net log`: the network record of instances and of gated commands, once or as it grows.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use mira_gate::{Filter, Outcome, Reader, Row};
use mira_host::instances::Layout;
use mira_host::network::NetworkMode;

use crate::error::CommandError;
use crate::render::{Columns, bytes, count, second};
use crate::ui::Ui;
use crate::whole::apps::Apps;
use crate::whole::commands::logs::parse_since;
use crate::whole::packaging::shown;

/// How often records are looked at for more.
// LIMIT: soon enough for whoever watches, and rare enough to cost nothing.
const LOOK_EVERY: Duration = Duration::from_millis(200);

const HEADER: [&str; 10] = [
    "TIME", "INSTANCE", "SERVICE", "HOST", "HOW", "STATUS", "SENT", "RECEIVED", "VERDICT", "RULE",
];

#[derive(Debug, clap::Args)]
#[command(
    after_help = "The record holds no path, no query, no header and no content. A connection that has not ended is shown as `open`; with -f it is \
                  shown again when it ends. With --json each row is a line; docs/formats/net-log.md says what is in it."
)]
pub(crate) struct Args {
    /// The instance: its name or id; without it, all instances and the commands of `mira run --gate`
    #[arg(value_name = "INSTANCE")]
    instance: Option<String>,

    /// Go on with what happens from now on
    #[arg(short, long)]
    follow: bool,

    /// From this time on: 10m, 2h, 1d, or a time such as 2026-03-01T12:00:00Z
    #[arg(long, value_name = "TIME", value_parser = parse_since)]
    since: Option<Timestamp>,

    /// What was refused only
    #[arg(long)]
    denied: bool,

    /// This host only
    #[arg(long, value_name = "HOST")]
    host: Option<String>,

    /// The last rows only
    #[arg(short = 'n', long, value_name = "ROWS")]
    tail: Option<usize>,

    /// Print JSON lines
    #[arg(long)]
    json: bool,
}

/// A record that is read.
struct Record {
    whose: String,
    folder: PathBuf,
    reader: Reader,
}

pub(super) fn run(args: &Args, ui: &Ui) -> Result<(), CommandError> {
    let apps = Apps::open()?;
    let mut records = records(args, &apps)?;
    for record in &records {
        record.tell_mode(ui, args.instance.is_some())?;
    }
    let mut rows = VecDeque::from(read(&mut records)?);
    if let Some(tail) = args.tail {
        rows.drain(..rows.len().saturating_sub(tail));
    }
    let cells: Vec<_> = rows.iter().map(cells).collect();
    let columns = Columns::of(HEADER, &cells);
    if !args.json && (!rows.is_empty() || args.follow) {
        ui.data(&columns.line(&HEADER))?;
    }
    for row in &rows {
        show(ui, args, &columns, row)?;
    }
    for record in &records {
        record.tell_unreadable(ui);
    }
    if !args.follow {
        return Ok(());
    }
    apps.wait(async {
        let mut look = tokio::time::interval(LOOK_EVERY);
        loop {
            look.tick().await;
            for row in read(&mut records)? {
                show(ui, args, &columns, &row)?;
            }
        }
    })
}

/// Returns the records that are asked for.
fn records(args: &Args, apps: &Apps) -> Result<Vec<Record>, CommandError> {
    let instances = match &args.instance {
        Some(wanted) => vec![apps.find(wanted)?],
        None => apps.wait(apps.instances.store().instances())?,
    };
    let layout = apps.instances.layout();
    let of_instances = instances
        .iter()
        .map(|instance| (instance.name.to_string(), layout.net(&instance.id)));
    let of_runs = args.instance.is_none().then(|| {
        (
            "mira run".to_owned(),
            Layout::net_of_runs(apps.instances.home().path()),
        )
    });
    let filter = Filter {
        since: args.since,
        host: args.host.clone(),
        verdict: args.denied.then_some(Outcome::Refused),
    };
    let record = |(whose, folder): (String, PathBuf)| Record {
        reader: Reader::new(&folder, filter.clone()),
        whose,
        folder,
    };
    Ok(of_instances.chain(of_runs).map(record).collect())
}

/// Returns what came to the records since the last time, by time.
fn read(records: &mut [Record]) -> Result<Vec<Row>, CommandError> {
    let mut rows = Vec::new();
    for record in records {
        rows.extend(record.reader.read()?);
    }
    rows.sort_by_key(|row| row.time);
    Ok(rows)
}

impl Record {
    /// Says whether what is recorded is all that there was. Of one among many it is not told that it is empty.
    fn tell_mode(&self, ui: &Ui, is_only: bool) -> Result<(), CommandError> {
        let mode = NetworkMode::read(&self.folder).map_err(|error| {
            CommandError::failed(format!(
                "it cannot be read whether the network of {} is enforced: {error}",
                self.whose
            ))
        })?;
        match mode {
            Some(mode) => ui.say(&format!(
                "since its last start, the network of {} is {mode}",
                self.whose
            )),
            None if is_only => ui.say(&format!("no run of {} is recorded yet", self.whose)),
            None => {}
        }
        Ok(())
    }

    fn tell_unreadable(&self, ui: &Ui) {
        let lines = usize::try_from(self.reader.unreadable()).unwrap_or(usize::MAX);
        if lines > 0 {
            ui.say(&format!(
                "{} of the record of {} cannot be read",
                count(lines, "line"),
                self.whose
            ));
        }
    }
}

fn show(ui: &Ui, args: &Args, columns: &Columns<10>, row: &Row) -> Result<(), CommandError> {
    if args.json {
        let line = serde_json::to_string(row).map_err(std::io::Error::from)?;
        return ui.data(&format!("{line}\n"));
    }
    let cells = cells(row);
    ui.data(&columns.line(&cells.each_ref().map(String::as_str)))
}

/// Returns a row for people. Hosts, methods and types are words of a program, which no terminal is to obey.
fn cells(row: &Row) -> [String; 10] {
    let of_bytes = |number: u64| match number {
        0 if row.open || row.milliseconds.is_none() => "-".to_owned(),
        number => bytes(number),
    };
    let mut how = row.how.clone();
    how.extend(row.what.iter().map(|what| format!(" {}", shown(what))));
    how.extend(
        row.packets
            .filter(|packets| *packets > 1)
            .map(|packets| format!(", {packets} times")),
    );
    let status = match row.status {
        _ if row.open => "open".to_owned(),
        Some(status) => status.to_string(),
        None => "-".to_owned(),
    };
    let mut verdict = match row.verdict {
        Outcome::Allowed => "allowed".to_owned(),
        Outcome::Refused => "refused".to_owned(),
    };
    if row.enforced == Some(false) {
        verdict.push_str(", not enforced");
    }
    let host = match row.host.contains(':') && !row.host.starts_with('[') {
        true => format!("[{}]", shown(&row.host)),
        false => shown(&row.host),
    };
    [
        second(row.time),
        shown(&row.instance),
        row.service.as_deref().map_or("-".to_owned(), shown),
        format!("{host}:{}", row.port),
        how,
        status,
        of_bytes(row.sent),
        of_bytes(row.received),
        verdict,
        visible(&row.rule),
    ]
}

/// Returns a sentence without what a terminal would obey.
fn visible(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}
