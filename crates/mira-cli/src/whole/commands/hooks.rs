//! `mira hooks`: the events that a server took, what became of their deliveries, and a signed event to try one with.

mod send;

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use mira_hooks::Verdict;
use mira_store::{
    Actor, AuditAction, AuditEntry, HookDelivery, HookEvent, HookEventId, HookFilter, HookState,
    HookStats, Outcome, Shared, SharedError,
};
use serde_json::{Value, json};

use crate::error::CommandError;
use crate::render::{minute, second, table};
use crate::session;
use crate::ui::Ui;
use crate::whole::commands::desk;

/// How far back requests are counted.
const COUNTED: SignedDuration = SignedDuration::from_hours(24);

/// Within which time an instance that is up is offered what waits for it, unless others are before that.
const OFFERED_WITHIN: SignedDuration = SignedDuration::from_mins(1);

#[derive(Debug, clap::Args)]
#[command(
    after_help = "A server takes webhooks at /webhooks/github with `mira serve --listen … --hooks`, once MIRA_WEBHOOK_SECRET is saved. They are kept in the \
                  database that DATABASE_URL names, or in this home's mira.db; the content of an event goes as soon as the app has taken it."
)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List events and their deliveries, the newest first
    List(ListArgs),
    /// Show all that is known of an event
    Show(ShowArgs),
    /// Deliver an event again whose delivery has failed
    Replay(ReplayArgs),
    /// Show what requests of the last day came to, and what waits
    Stats(StatsArgs),
    /// Send an event to a server, signed with a saved secret
    Send(send::Args),
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    /// Those in this state only: queued, running, done, failed or ignored
    #[arg(long, value_name = "STATE", value_parser = parse_state)]
    state: Option<HookState>,

    /// How many at most
    #[arg(long, value_name = "COUNT", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,

    /// Print a JSON array
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct ShowArgs {
    /// The event
    #[arg(value_name = "ID")]
    id: String,

    /// Print a JSON array, with an object for each delivery
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct ReplayArgs {
    /// The event
    #[arg(value_name = "ID")]
    id: String,
}

#[derive(Debug, clap::Args)]
struct StatsArgs {
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

fn parse_state(text: &str) -> Result<HookState, String> {
    text.parse()
        .map_err(|error: mira_store::WordError| error.to_string())
}

pub(crate) fn run(args: &Args, ui: &Ui) -> Result<(), CommandError> {
    let json = match &args.action {
        Action::List(args) => args.json,
        Action::Show(args) => args.json,
        Action::Stats(args) => args.json,
        Action::Replay(_) => false,
        Action::Send(args) => return send::run(args, ui),
    };
    ui.want_json(json);
    let home = session::home()?;
    desk::with_shared(&home, async |shared| match &args.action {
        Action::List(args) => list(shared, args, ui).await,
        Action::Show(args) => show(shared, &args.id, ui).await,
        Action::Replay(args) => replay(shared, &args.id, ui).await,
        Action::Stats(_) => stats(shared, ui).await,
        Action::Send(_) => Ok(()),
    })
}

async fn list(shared: &Shared, args: &ListArgs, ui: &Ui) -> Result<(), CommandError> {
    let filter = HookFilter {
        state: args.state,
        id: None,
    };
    let events = shared.hooks(&filter, args.limit).await?;
    if ui.is_json() {
        return ui.json(&events.iter().map(to_json).collect());
    }
    if events.is_empty() {
        ui.say("there are no such events");
        return Ok(());
    }
    let rows: Vec<_> = events.iter().map(row).collect();
    ui.data(&table(
        [
            "ID", "TIME", "EVENT", "ABOUT", "FOR", "STATE", "TRIES", "ANSWER",
        ],
        &rows,
    ))?;
    for target in untaken(&events, Timestamp::now()) {
        ui.say(&format!(
            "{target} has not been offered what waits for it; `mira ps` shows whether it is up, `mira start` starts it"
        ));
    }
    Ok(())
}

/// Returns for whom something waits that a running one would have been offered by now.
fn untaken(events: &[HookEvent], now: Timestamp) -> BTreeSet<&str> {
    let is_old = |delivery: &HookDelivery| now.duration_since(delivery.due) > OFFERED_WITHIN;
    let deliveries = events.iter().filter_map(|event| event.delivery.as_ref());
    let untaken = deliveries.filter(|delivery| {
        delivery.state == HookState::Queued && delivery.attempts == 0 && is_old(delivery)
    });
    untaken.map(|delivery| delivery.target.as_str()).collect()
}

async fn show(shared: &Shared, id: &str, ui: &Ui) -> Result<(), CommandError> {
    let filter = HookFilter {
        state: None,
        id: Some(parse(id)?),
    };
    let events = shared.hooks(&filter, u32::MAX).await?;
    let event = events.first().ok_or(SharedError::NoSuchEvent)?;
    if ui.is_json() {
        return ui.json(&events.iter().map(to_json).collect());
    }
    let mut facts = vec![
        ["event".to_owned(), name(event)],
        ["about".to_owned(), about(event)],
        ["sender's id".to_owned(), event.sent_id.clone()],
        ["accepted".to_owned(), second(event.accepted)],
        ["content".to_owned(), format!("{} bytes", event.body_bytes)],
    ];
    let number =
        |what: &str, number: Option<String>| number.map(|number| [what.to_owned(), number]);
    facts.extend(number("app", event.sent_to.clone()));
    facts.extend(number(
        "installation",
        event.installation.map(|id| id.to_string()),
    ));
    for delivery in events.iter().filter_map(|event| event.delivery.as_ref()) {
        let tries = match delivery.attempts {
            1 => "1 try".to_owned(),
            tries => format!("{tries} tries"),
        };
        let mut told = format!("{}, {tries}", delivery.state);
        if let Some(answer) = &delivery.answer {
            told.push_str(&format!(", last answer: {answer}"));
        }
        if delivery.state == HookState::Queued {
            told.push_str(&format!(", not before {}", second(delivery.due)));
        }
        if let Some(finished) = delivery.finished {
            told.push_str(&format!(", at {}", second(finished)));
        }
        facts.push([format!("for {}", delivery.target), told]);
    }
    ui.data(&table(["WHAT", "IS"], &facts))
}

async fn replay(shared: &Shared, id: &str, ui: &Ui) -> Result<(), CommandError> {
    let id = parse(id)?;
    let now = Timestamp::now();
    let targets = shared.replay_hook(&id, now).await?;
    let entry = AuditEntry {
        actor: Actor::LocalOwner,
        address: None,
        action: AuditAction::HookReplay,
        subject: id.as_str(),
        outcome: Outcome::Ok,
    };
    shared.record(&entry, now).await?;
    ui.say(&format!("queued again for {}", targets.join(", ")));
    Ok(())
}

async fn stats(shared: &Shared, ui: &Ui) -> Result<(), CommandError> {
    let since = Timestamp::now().saturating_sub(COUNTED);
    let stats = shared.hook_stats(since.unwrap_or(Timestamp::MIN)).await?;
    if ui.is_json() {
        return ui.json(&stats_json(&stats));
    }
    let mut rows = Vec::new();
    for verdict in Verdict::ALL {
        let of = stats
            .requests
            .iter()
            .find(|count| count.verdict == verdict.as_str());
        if let Some(count) = of {
            rows.push([
                "requests".to_owned(),
                count.verdict.clone(),
                count.number.to_string(),
            ]);
        }
    }
    for (state, number) in &stats.deliveries {
        rows.push([
            "deliveries".to_owned(),
            state.to_string(),
            number.to_string(),
        ]);
    }
    if rows.is_empty() {
        ui.say("no webhook has come yet");
        return Ok(());
    }
    ui.data(&table(["OF", "WHICH", "HOW MANY"], &rows))?;
    if let Some(oldest) = stats.oldest {
        ui.detail(&format!(
            "{} wait, with {} bytes, the oldest since {}",
            stats.backlog.deliveries,
            stats.backlog.bytes,
            minute(oldest)
        ));
    }
    Ok(())
}

/// Parses an id; the error does not repeat it.
fn parse(id: &str) -> Result<HookEventId, CommandError> {
    id.parse()
        .map_err(|error: mira_store::RowIdError| CommandError::usage(error.to_string()))
}

fn name(event: &HookEvent) -> String {
    match &event.action {
        Some(action) => format!("{} {action}", event.event),
        None => event.event.clone(),
    }
}

fn about(event: &HookEvent) -> String {
    let repository = event.repository.as_deref().unwrap_or("-");
    match event.number {
        Some(number) => format!("{repository} #{number}"),
        None => repository.to_owned(),
    }
}

fn row(event: &HookEvent) -> [String; 8] {
    let delivery = event.delivery.as_ref();
    let state = delivery.map_or(HookState::Ignored, |delivery| delivery.state);
    let answer = delivery.and_then(|delivery| delivery.answer.clone());
    [
        event.id.to_string(),
        minute(event.accepted),
        name(event),
        about(event),
        delivery.map_or_else(|| "-".to_owned(), |delivery| delivery.target.clone()),
        state.to_string(),
        delivery.map_or(0, |delivery| delivery.attempts).to_string(),
        answer.unwrap_or_else(|| "-".to_owned()),
    ]
}

fn to_json(event: &HookEvent) -> Value {
    let delivery = event.delivery.as_ref();
    let state = delivery.map_or(HookState::Ignored, |delivery| delivery.state);
    json!({
        "id": event.id.as_str(),
        "sentId": event.sent_id,
        "event": event.event,
        "action": event.action,
        "app": event.sent_to,
        "installation": event.installation,
        "repository": event.repository,
        "number": event.number,
        "accepted": event.accepted.to_string(),
        "bytes": event.body_bytes,
        "state": state.as_str(),
        "delivery": delivery.map(|delivery| json!({
            "target": delivery.target,
            "attempts": delivery.attempts,
            "due": delivery.due.to_string(),
            "answer": delivery.answer,
            "finished": delivery.finished.map(|time| time.to_string()),
        })),
    })
}

fn stats_json(stats: &HookStats) -> Value {
    let requests = stats.requests.iter();
    let requests = requests.map(|count| (count.verdict.clone(), json!(count.number)));
    let deliveries = stats.deliveries.iter();
    let deliveries = deliveries.map(|(state, number)| (state.to_string(), json!(number)));
    json!({
        "requests": requests.collect::<serde_json::Map<_, _>>(),
        "deliveries": deliveries.collect::<serde_json::Map<_, _>>(),
        "waiting": {
            "deliveries": stats.backlog.deliveries,
            "bytes": stats.backlog.bytes,
            "since": stats.oldest.map(|time| time.to_string()),
        },
    })
}
