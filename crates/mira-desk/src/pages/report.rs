//! What an app tells of how it fares, drawn by the desk: the app gives numbers and texts, and no markup.

use std::collections::{BTreeMap, BTreeSet};

use axum::extract::{Path, State};
use jiff::Timestamp;
use jiff::civil::Date;
use maud::{Markup, html};

use super::{Page, page, table, time};
use crate::Handle;
use crate::access::Identity;
use crate::error::DeskError;
use crate::report::{Cell, Column, ColumnKind, Panel, Point, ask};

/// How many colours there are for labels.
const COLOURS: usize = 6;

/// The most days that are drawn.
// LIMIT: a day is a column that can still be seen on a narrow page.
const DAYS_MAX: usize = 60;

/// Shows it.
pub(crate) async fn show(
    State(desk): State<Handle>,
    Path(id): Path<String>,
    identity: Identity,
) -> Result<Page, DeskError> {
    let instance = desk.house.named(&id).await?;
    let report = ask(&desk.house, &instance).await?;
    let body = html! {
        p { a href={ "/instances/" (instance.id) } { (instance.name) } }
        h1 { "How " (instance.name) " fares" }
        p class="hint" { "As the app tells it; its secrets were taken out. " a href={ "/instances/" (instance.id) "/report" } { "Ask again" } }
        @if report.panels.is_empty() { p class="empty" { "It tells nothing yet." } }
        @if report.panels.len() > 2 {
            nav aria-label="Parts" { ul class="parts" { @for panel in &report.panels { li { a href={ "#" (panel.id()) } { (title(panel)) } } } } }
        }
        @for panel in &report.panels { (part(panel)) }
    };
    Ok(page(&identity, "/instances", instance.name.as_str(), &body))
}

fn title(panel: &Panel) -> &str {
    match panel {
        Panel::Table { title, .. } | Panel::Series { title, .. } => title,
    }
}

fn part(panel: &Panel) -> Markup {
    let (note, empty) = match panel {
        Panel::Table { note, rows, .. } => (note, rows.is_empty()),
        Panel::Series { note, points, .. } => (note, points.is_empty()),
    };
    html! {
        h2 id=(panel.id()) { (title(panel)) }
        @if let Some(note) = note { p class="hint" { (note) } }
        @if empty {
            p class="empty" { "There is nothing here yet." }
        } @else {
            @match panel {
                Panel::Table { columns, rows, title, .. } => (rows_part(title, columns, rows)),
                Panel::Series { points, title, .. } => (series(title, points)),
            }
        }
    }
}

fn rows_part(title: &str, columns: &[Column], rows: &[Vec<Cell>]) -> Markup {
    let heads: Vec<&str> = columns.iter().map(|column| column.title.as_str()).collect();
    table(
        title,
        &heads,
        &html! {
            @for row in rows {
                tr { @for (column, cell) in columns.iter().zip(row) { td class=[class(column.kind)] { (shown(column.kind, cell)) } } }
            }
        },
    )
}

const fn class(kind: ColumnKind) -> Option<&'static str> {
    match kind {
        ColumnKind::Number | ColumnKind::Money => Some("number"),
        ColumnKind::Text | ColumnKind::Time => None,
    }
}

fn shown(kind: ColumnKind, cell: &Cell) -> Markup {
    match (kind, cell) {
        (ColumnKind::Money, Cell::Number(number)) => html! { (format!("${number:.4}")) },
        (_, Cell::Number(number)) => html! { (number) },
        (ColumnKind::Time, Cell::Text(text)) => match text.parse::<Timestamp>() {
            Ok(at) => time(at),
            Err(_) => html! { (text) },
        },
        (_, Cell::Text(text)) => html! { (text) },
        (_, Cell::Nothing(())) => html! { "-" },
    }
}

/// Draws numbers over days as stacked columns, and as a table for who does not see them.
fn series(title: &str, points: &[Point]) -> Markup {
    let labels: Vec<&str> = points
        .iter()
        .map(|point| point.label.as_str())
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    let mut days: BTreeMap<Date, BTreeMap<&str, f64>> = BTreeMap::new();
    for point in points {
        *days
            .entry(point.at)
            .or_default()
            .entry(&point.label)
            .or_default() += point.value;
    }
    let days: Vec<_> = days.into_iter().collect();
    let drawn = days
        .get(days.len().saturating_sub(DAYS_MAX)..)
        .unwrap_or_default();
    let total = |day: &BTreeMap<&str, f64>| day.values().sum::<f64>();
    let highest = drawn.iter().map(|(_, day)| total(day)).fold(0.0, f64::max);
    let whole: f64 = drawn.iter().map(|(_, day)| total(day)).sum();
    let says = format!("{title}: {whole} in the days shown");
    html! {
        figure {
            svg viewBox={ "0 0 " (drawn.len().max(12) * 10) " 104" } preserveAspectRatio="none" role="img" aria-label=(says) {
                @for (at, (_, day)) in drawn.iter().enumerate() { (column(at, day, &labels, highest)) }
            }
            figcaption {
                @for (at, label) in labels.iter().enumerate() { span class={ "key s" (at % COLOURS) } { (label) } " " }
            }
        }
        details {
            summary { "As a table" }
            (table(title, &["Day", "What", "How much"], &html! {
                @for (date, day) in drawn.iter().rev() {
                    @for (label, value) in day { tr { td { (date) } td { (label) } td class="number" { (value) } } }
                }
            }))
        }
    }
}

fn column(at: usize, day: &BTreeMap<&str, f64>, labels: &[&str], highest: f64) -> Markup {
    let mut top = 104.0;
    let bars = labels.iter().enumerate().filter_map(|(colour, label)| {
        let value = day.get(label).filter(|value| **value > 0.0)?;
        let height = (value * 100.0 / highest).round().max(1.0);
        top -= height;
        Some((colour % COLOURS, top.max(0.0), height))
    });
    let bars: Vec<_> = bars.collect();
    html! {
        @for (colour, top, height) in bars { rect class={ "s" (colour) } x=(at * 10 + 1) width="8" y=(top) height=(height) {} }
    }
}
