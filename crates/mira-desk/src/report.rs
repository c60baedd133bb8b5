//! What an app tells of how it fares: tables and series, as JSON that its manifest's `report` answers (docs/formats/report.md).
//!
//! INVARIANT: it comes from the supervisor, which has taken the instance's values out of it; all of it is text that a page escapes.

use jiff::{Timestamp, civil::Date};
use mira_store::Instance;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::DeskError;
use crate::house::House;

/// The most panels of a report, and the most columns of a table.
// LIMIT: a person reads it.
const PANELS_MAX: usize = 16;

/// The most rows of a table, and the most points of a series.
// LIMIT: a person reads it; what is older is the app's to keep.
const ROWS_MAX: usize = 500;

/// The longest text, in bytes.
// LIMIT: a line or two of a table.
const TEXT_BYTES_MAX: usize = 2000;

/// How an app fares.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Report {
    /// Its parts, in the order in which they are shown.
    pub(crate) panels: Vec<Panel>,
}

/// A part of a report.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, tag = "kind", rename_all = "lowercase")]
pub(crate) enum Panel {
    /// Rows and columns.
    Table {
        /// What it is called in addresses: lower-case letters, digits and hyphens, once in a report.
        id: String,
        /// What it is called for people.
        title: String,
        /// A line about it.
        note: Option<String>,
        /// Its columns.
        columns: Vec<Column>,
        /// Its rows, each with one cell for each column.
        rows: Vec<Vec<Cell>>,
    },
    /// Numbers over days.
    Series {
        /// What it is called in addresses: lower-case letters, digits and hyphens, once in a report.
        id: String,
        /// What it is called for people.
        title: String,
        /// A line about it.
        note: Option<String>,
        /// The numbers.
        points: Vec<Point>,
    },
}

/// A column of a table.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Column {
    /// What stands above it.
    pub(crate) title: String,
    /// What its cells are.
    pub(crate) kind: ColumnKind,
}

/// What the cells of a column are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ColumnKind {
    /// Text
    Text,
    /// Numbers
    Number,
    /// Instants, as RFC 3339 writes them
    Time,
    /// Amounts in US dollars
    Money,
}

/// A cell of a table: a text, a number, or nothing.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Cell {
    /// A number.
    Number(f64),
    /// A text.
    Text(String),
    /// Nothing.
    Nothing(()),
}

/// A number of a day.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Point {
    /// The day, as in `2026-11-28`.
    #[schemars(with = "String")]
    pub(crate) at: Date,
    /// What is counted.
    pub(crate) label: String,
    /// How much of it: zero or more.
    pub(crate) value: f64,
}

impl Panel {
    pub(crate) fn id(&self) -> &str {
        match self {
            Self::Table { id, .. } | Self::Series { id, .. } => id,
        }
    }

    fn texts(&self) -> Vec<&str> {
        match self {
            Self::Table {
                id,
                title,
                note,
                columns,
                rows,
            } => {
                let cells = rows.iter().flatten().filter_map(|cell| match cell {
                    Cell::Text(text) => Some(text.as_str()),
                    _ => None,
                });
                let heads = columns.iter().map(|column| column.title.as_str());
                let own = [id.as_str(), title].into_iter().chain(note.as_deref());
                own.chain(heads).chain(cells).collect()
            }
            Self::Series {
                id,
                title,
                note,
                points,
            } => {
                let own = [id.as_str(), title].into_iter().chain(note.as_deref());
                let labels = points.iter().map(|point| point.label.as_str());
                own.chain(labels).collect()
            }
        }
    }
}

/// What is wrong with a report. It names no text of it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unfit {
    #[error("it is no report: {0}")]
    Shape(String),
    #[error("it has more than {PANELS_MAX} panels, or a table of more than {PANELS_MAX} columns")]
    Panels,
    #[error("a panel has more than {ROWS_MAX} rows or points")]
    Rows,
    #[error("a text is longer than {TEXT_BYTES_MAX} bytes")]
    Text,
    #[error("a panel's id is used twice, or is none: use lower-case letters, digits and hyphens")]
    Id,
    #[error("row {row} of panel {panel} has not one cell of the right kind for each column")]
    Row { panel: usize, row: usize },
    #[error("point {point} of panel {panel} is below zero, or no number")]
    Point { panel: usize, point: usize },
}

impl Report {
    /// Reads one.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, Unfit> {
        let report: Self = serde_json::from_slice(text).map_err(|error| {
            // The library's own words may quote what it has read.
            Unfit::Shape(format!("line {}, column {}", error.line(), error.column()))
        })?;
        report.check()?;
        Ok(report)
    }

    fn check(&self) -> Result<(), Unfit> {
        if self.panels.len() > PANELS_MAX {
            return Err(Unfit::Panels);
        }
        for (at, panel) in self.panels.iter().enumerate() {
            let fits =
                |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            let mut before = self.panels.iter().take(at);
            let id = panel.id();
            if id.is_empty() || !id.bytes().all(fits) || before.any(|other| other.id() == id) {
                return Err(Unfit::Id);
            }
            if panel.texts().iter().any(|text| text.len() > TEXT_BYTES_MAX) {
                return Err(Unfit::Text);
            }
            match panel {
                Panel::Table { columns, rows, .. } => table(at, columns, rows)?,
                Panel::Series { points, .. } => {
                    if points.len() > ROWS_MAX {
                        return Err(Unfit::Rows);
                    }
                    let mut values = points.iter().map(|point| point.value);
                    let wrong = values.position(|value| !value.is_finite() || value < 0.0);
                    if let Some(point) = wrong {
                        let (panel, point) = (at + 1, point + 1);
                        return Err(Unfit::Point { panel, point });
                    }
                }
            }
        }
        Ok(())
    }
}

fn table(panel: usize, columns: &[Column], rows: &[Vec<Cell>]) -> Result<(), Unfit> {
    if columns.is_empty() || columns.len() > PANELS_MAX {
        return Err(Unfit::Panels);
    }
    if rows.len() > ROWS_MAX {
        return Err(Unfit::Rows);
    }
    let fits = |(column, cell): (&Column, &Cell)| match (column.kind, cell) {
        (_, Cell::Nothing(())) | (ColumnKind::Text, Cell::Text(_)) => true,
        (ColumnKind::Number | ColumnKind::Money, Cell::Number(number)) => number.is_finite(),
        (ColumnKind::Time, Cell::Text(text)) => text.parse::<Timestamp>().is_ok(),
        _ => false,
    };
    let wrong = |row: &Vec<Cell>| row.len() != columns.len() || !columns.iter().zip(row).all(fits);
    match rows.iter().position(wrong) {
        Some(row) => Err(Unfit::Row {
            panel: panel + 1,
            row: row + 1,
        }),
        None => Ok(()),
    }
}

/// Asks an instance how it fares.
pub(crate) async fn ask(house: &House, instance: &Instance) -> Result<Report, DeskError> {
    let text = house.client.report(instance.id.as_str()).await?;
    let text = text.ok_or_else(|| {
        let message = format!("{} does not run, and so tells nothing", instance.name);
        DeskError::new(axum::http::StatusCode::CONFLICT, message).hint("Start it first.")
    })?;
    Report::parse(&text).map_err(|error| {
        let name = &instance.name;
        let message = format!("what {name} tells cannot be shown: {error}");
        DeskError::new(axum::http::StatusCode::BAD_GATEWAY, message)
            .hint("docs/formats/report.md says what its app has to answer.")
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn good() -> Value {
        json!({"panels": [
            {"id": "reviews", "title": "Reviews", "kind": "table", "note": "newest first",
             "columns": [{"title": "Of", "kind": "text"}, {"title": "n", "kind": "number"}, {"title": "At", "kind": "time"}, {"title": "Cost", "kind": "money"}],
             "rows": [["a/b", 3, "2026-11-28T10:00:00Z", 0.01], [null, null, null, null]]},
            {"id": "findings", "title": "Findings", "kind": "series",
             "points": [{"at": "2026-11-28", "label": "blocker", "value": 2}]},
        ]})
    }

    fn parse(value: &Value) -> Result<Report, Unfit> {
        Report::parse(value.to_string().as_bytes())
    }

    #[test]
    fn what_a_report_may_be_is_read_and_written_again() {
        let report = parse(&good()).unwrap();
        let mut again = serde_json::to_value(&report).unwrap();
        // What was left out is written as nothing, and numbers as they are kept.
        assert_eq!(again["panels"][1]["note"].take(), Value::Null);
        again["panels"][1].as_object_mut().unwrap().remove("note");
        let mut expect = good();
        expect["panels"][0]["rows"][0][1] = json!(3.0);
        expect["panels"][1]["points"][0]["value"] = json!(2.0);
        assert_eq!(again, expect);
    }

    #[test]
    fn what_a_report_may_not_be_is_refused_by_its_place_alone() {
        let long = "x".repeat(TEXT_BYTES_MAX + 1);
        let many: Vec<Value> = (0..=ROWS_MAX)
            .map(|_| json!(["a", 1, null, null]))
            .collect();
        let points: Vec<Value> = (0..=ROWS_MAX)
            .map(|_| json!({"at": "2026-01-01", "label": "a", "value": 1}))
            .collect();
        let panel = good()["panels"][0].clone();
        let panels: Vec<Value> = (0..=PANELS_MAX).map(|_| panel.clone()).collect();
        let row = Unfit::Row { panel: 1, row: 1 };
        for (place, value, expect) in [
            ("/panels", json!(panels), Some(Unfit::Panels)),
            ("/panels/0/columns", json!([]), Some(Unfit::Panels)),
            ("/panels/0/rows", json!(many), Some(Unfit::Rows)),
            ("/panels/1/points", json!(points), Some(Unfit::Rows)),
            ("/panels/0/rows/0/0", json!(long), Some(Unfit::Text)),
            ("/panels/0/title", json!(long), Some(Unfit::Text)),
            ("/panels/0/id", json!("findings"), Some(Unfit::Id)),
            ("/panels/0/id", json!("Reviews"), Some(Unfit::Id)),
            (
                "/panels/0/rows/0",
                json!(["a"]),
                Some(Unfit::Row { panel: 1, row: 1 }),
            ),
            (
                "/panels/0/rows/0/0",
                json!(7),
                Some(Unfit::Row { panel: 1, row: 1 }),
            ),
            (
                "/panels/0/rows/0/1",
                json!("7"),
                Some(Unfit::Row { panel: 1, row: 1 }),
            ),
            ("/panels/0/rows/0/2", json!("today"), Some(row)),
            (
                "/panels/1/points/0/value",
                json!(-1),
                Some(Unfit::Point { panel: 2, point: 1 }),
            ),
            ("/panels/1/points/0/at", json!("canary"), None),
            ("/panels/0/kind", json!("html"), None),
            ("/panels/0/rows/0/0", json!({"canary": 1}), None),
        ] {
            let mut report = good();
            *report.pointer_mut(place).unwrap() = value;
            let refused = parse(&report).unwrap_err();
            match expect {
                Some(expect) => assert_eq!(refused, expect, "{place}"),
                None => {
                    assert!(matches!(refused, Unfit::Shape(_)), "{place}: {refused}");
                    assert!(!refused.to_string().contains("canary"), "{refused}");
                }
            }
        }
        for text in ["", "[]", "{}", "\"canary", "{\"panels\": [], \"more\": 1}"] {
            assert!(Report::parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
