//! What was called, by whom, allowed or not: as a picture over time, and as a table.

use std::collections::BTreeMap;
use std::path::PathBuf;

use axum::extract::{Query, State};
use jiff::{SignedDuration, Timestamp};
use maud::{Markup, html};
use mira_gate::{Filter, Outcome, Reader, Row};
use mira_host::instances::Layout;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Page, badge, count, page, table, time};
use crate::access::Identity;
use crate::custody::blocking;
use crate::error::DeskError;
use crate::{Desk, Handle};

/// The most rows that are shown.
// LIMIT: more is searched than read.
const ROWS_MAX: usize = 300;

/// The columns of the picture.
const COLUMNS: usize = 48;

/// What is asked for.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    /// How far back, in hours; 24 by default.
    pub(crate) hours: Option<u32>,
    /// `allowed` or `refused` only.
    pub(crate) verdict: Option<String>,
    /// This host only.
    pub(crate) host: Option<String>,
}

impl Wanted {
    fn hours(&self) -> i64 {
        // LIMIT: a year; what is older was put aside long ago.
        i64::from(self.hours.unwrap_or(24).clamp(1, 24 * 366))
    }

    fn verdict(&self) -> Option<Outcome> {
        match self.verdict.as_deref() {
            Some("refused") => Some(Outcome::Refused),
            Some("allowed") => Some(Outcome::Allowed),
            _ => None,
        }
    }
}

/// Returns what was called in the time that is asked for, the oldest first.
pub(crate) async fn rows(desk: &Desk, wanted: &Wanted) -> Result<Vec<Row>, DeskError> {
    let layout = desk.house.instances.layout();
    let instances = desk.house.instances.store().instances().await?;
    let mut folders: Vec<PathBuf> = instances
        .iter()
        .map(|instance| layout.net(&instance.id))
        .collect();
    folders.push(Layout::net_of_runs(desk.custody.home().path()));
    let since = Timestamp::now().saturating_sub(SignedDuration::from_hours(wanted.hours()));
    let filter = Filter {
        since: since.ok(),
        host: wanted.host.clone().filter(|host| !host.is_empty()),
        verdict: wanted.verdict(),
    };
    blocking(move || {
        let mut rows = Vec::new();
        for folder in folders {
            let read = Reader::new(&folder, filter.clone()).read();
            rows.extend(read.map_err(|error| {
                DeskError::failed(format!("the network record cannot be read: {error}"))
            })?);
        }
        rows.sort_by_key(|row| row.time);
        Ok(rows)
    })
    .await
}

/// Shows it.
pub(crate) async fn show(
    State(desk): State<Handle>,
    Query(wanted): Query<Wanted>,
    identity: Identity,
) -> Result<Page, DeskError> {
    let rows = rows(&desk, &wanted).await?;
    let hours = wanted.hours();
    let mut hosts: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for row in &rows {
        let seen = hosts.entry(&row.host).or_default();
        match row.verdict {
            Outcome::Refused => seen.1 += 1,
            _ => seen.0 += 1,
        }
    }
    let mut hosts: Vec<_> = hosts.into_iter().collect();
    hosts.sort_by_key(|(_, (allowed, refused))| std::cmp::Reverse(allowed + refused));
    let body = html! {
        h1 { "Network" }
        form method="get" action="/network" class="inline" {
            label { "Last" select name="hours" { @for (value, text) in [(1, "hour"), (24, "day"), (24 * 7, "week"), (24 * 31, "month")] { option value=(value) selected[value == hours] { (text) } } } }
            label { "Verdict" select name="verdict" { option value="" { "all" } @for verdict in ["allowed", "refused"] { option value=(verdict) selected[wanted.verdict.as_deref() == Some(verdict)] { (verdict) } } } }
            label { "Host" input name="host" value=(wanted.host.as_deref().unwrap_or_default()) maxlength="300" spellcheck="false"; }
            button { "Show" }
        }
        @if rows.is_empty() {
            p class="empty" { "Nothing was called in that time." }
        } @else {
            (picture(&rows, hours))
            h2 { "By host" }
            (table("Calls by host", &["Host", "Allowed", "Refused"], &html! {
                @for (host, (allowed, refused)) in hosts.iter().take(20) {
                    tr { th scope="row" { code { (host) } } td { (allowed) } td { (refused) } }
                }
            }))
            h2 { "Calls" }
            @if rows.len() > ROWS_MAX { p { "The last " (ROWS_MAX) " of " (rows.len()) "." } }
            (table("Calls", &["Time", "Instance", "Host", "How", "Status", "Sent", "Received", "Verdict", "Rule"], &html! {
                @for row in rows.iter().rev().take(ROWS_MAX) {
                    tr {
                        td { (time(row.time)) }
                        td { (row.instance) }
                        th scope="row" { code { (row.host) ":" (row.port) } }
                        td { (row.how) @if let Some(what) = &row.what { " " (what) } }
                        td { @if let Some(status) = row.status { (status) } @else if row.open { "open" } }
                        td { (row.sent) }
                        td { (row.received) }
                        td { (badge(verdict(row))) }
                        td { (row.rule) @if !row.secrets.is_empty() { " with " (row.secrets.join(", ")) } }
                    }
                }
            }))
        }
    };
    Ok(page(&identity, "/network", "Network", &body))
}

fn verdict(row: &Row) -> &'static str {
    match row.verdict {
        Outcome::Refused => "refused",
        _ => "allowed",
    }
}

/// Draws how many calls there were over the time, refused ones on top.
fn picture(rows: &[Row], hours: i64) -> Markup {
    let end = Timestamp::now().as_second();
    let width = hours * 3600;
    let mut columns = [(0_u32, 0_u32); COLUMNS];
    for row in rows {
        let ago = (end - row.time.as_second()).clamp(0, width - 1);
        let at = COLUMNS
            - 1
            - usize::try_from(ago * COLUMNS as i64 / width)
                .unwrap_or(0)
                .min(COLUMNS - 1);
        if let Some(column) = columns.get_mut(at) {
            match row.verdict {
                Outcome::Refused => column.1 += 1,
                _ => column.0 += 1,
            }
        }
    }
    let highest = columns
        .iter()
        .map(|(allowed, refused)| allowed + refused)
        .max()
        .unwrap_or(1)
        .max(1);
    let refused: u32 = columns.iter().map(|(_, refused)| refused).sum();
    let says = format!(
        "{} in the time shown, {refused} of them refused",
        count(rows.len(), "call")
    );
    // Whole units, so that the picture is the same whatever the browser rounds.
    let height =
        |number: u32| number * 100 / highest + u32::from(number > 0 && number * 100 < highest);
    html! {
        figure {
            svg viewBox={ "0 0 " (COLUMNS * 10) " 104" } preserveAspectRatio="none" role="img" aria-label=(says) {
                @for (at, (allowed, refused)) in columns.iter().enumerate() {
                    @if *allowed > 0 { rect class="allowed" x=(at * 10 + 1) width="8" y=(104 - height(*allowed)) height=(height(*allowed)) {} }
                    @if *refused > 0 { rect class="refused" x=(at * 10 + 1) width="8" y=(104 - (height(*allowed) + height(*refused)).min(104)) height=(height(*refused)) {} }
                }
            }
            figcaption { (says) "." }
        }
    }
}
