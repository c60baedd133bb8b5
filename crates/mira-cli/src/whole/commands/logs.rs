//! `mira logs`: what the services of an instance wrote, redacted before it was kept.

use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use mira_host::logs::{Filter, Follower, LogLine, read};
use mira_server::Event;
use serde_json::json;

use crate::error::CommandError;
use crate::render::minute;
use crate::ui::Ui;
use crate::whole::apps::Apps;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The instance: its name or id
    #[arg(value_name = "INSTANCE")]
    instance: String,

    /// Go on with what is written from now on
    #[arg(short, long)]
    follow: bool,

    /// This service only
    #[arg(long, value_name = "SERVICE")]
    service: Option<String>,

    /// From this time on: 10m, 2h, 1d, or a time such as 2026-03-01T12:00:00Z
    #[arg(long, value_name = "TIME", value_parser = parse_since)]
    since: Option<Timestamp>,

    /// The last lines only
    #[arg(short = 'n', long, value_name = "LINES")]
    tail: Option<usize>,

    /// Print JSON lines
    #[arg(long)]
    json: bool,
}

/// Reads a time, or how long ago it was.
pub(crate) fn parse_since(text: &str) -> Result<Timestamp, String> {
    if let Ok(time) = text.parse() {
        return Ok(time);
    }
    let span: Span = text
        .parse()
        .map_err(|_| "neither a time nor a span such as 10m".to_owned())?;
    Timestamp::now()
        .to_zoned_datetime(TimeZone::system())
        .checked_sub(span)
        .map(|time| time.timestamp())
        .map_err(|error| error.to_string())
}

pub(crate) fn run(args: &Args, ui: &Ui) -> Result<(), CommandError> {
    let apps = Apps::open()?;
    let instance = apps.find(&args.instance)?;
    // Subscribed before the files are read, so that nothing falls between the two.
    let events = match args.follow {
        true => apps.wait(apps.client.events(instance.id.as_str()))?,
        false => None,
    };
    let filter = Filter {
        service: args.service.clone(),
        since: args.since,
        tail: args.tail,
    };
    let mut follower = Follower::default();
    for line in read(&apps.instances.layout().logs(&instance.id), &filter)? {
        follower.saw(&line);
        show(ui, args, &line)?;
    }
    let Some(mut events) = events else {
        if args.follow {
            ui.say(&format!("{} does not run", instance.name));
        }
        return Ok(());
    };
    apps.wait(async {
        while let Some(event) = events.next().await? {
            match LogLine::try_from(event) {
                Ok(line)
                    if args
                        .service
                        .as_deref()
                        .is_none_or(|wanted| *line.service == *wanted) =>
                {
                    if follower.is_new(&line) {
                        show(ui, args, &line)?;
                    }
                }
                Err(Event::Missed { events }) => {
                    ui.say(&format!(
                        "{events} lines were not shown; they are in the log"
                    ));
                }
                Ok(_) | Err(_) => {}
            }
        }
        Ok(())
    })
}

fn show(ui: &Ui, args: &Args, line: &LogLine) -> Result<(), CommandError> {
    if args.json {
        return ui.data(&format!(
            "{}\n",
            json!({
                "time": line.time.to_string(),
                "service": &*line.service,
                "stream": line.stream.to_string(),
                "line": line.line,
                "partial": line.partial,
            })
        ));
    }
    ui.data(&format!(
        "{} {} | {}\n",
        minute(line.time),
        line.service,
        line.line
    ))
}
