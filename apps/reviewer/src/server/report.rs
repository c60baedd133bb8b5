//! What a desk is told: repositories, reviews, what waits, the index, and findings over time, as tables and series.
//!
//! INVARIANT: names of repositories, numbers, times and our own words; nothing of a repository's content or of a model's text.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::App;
use super::work::State;

/// How many rows a table has, the newest ones.
const ROWS_MAX: i64 = 200;

/// How far findings over time go back, in days.
const DAYS: i64 = 90;

const DAY_S: i64 = 24 * 3600;

/// Returns the report.
///
/// # Errors
///
/// Returns what the database says against it.
pub(super) async fn report(app: &App) -> Result<Value, sqlx::Error> {
    let panels = [
        repositories(app).await?,
        reviews(app).await?,
        queue(app).await?,
        index(app).await?,
        findings(app).await?,
    ];
    Ok(json!({"panels": panels}))
}

fn table(id: &str, title: &str, columns: &[(&str, &str)], rows: Vec<Value>) -> Value {
    let columns: Vec<Value> = columns
        .iter()
        .map(|(title, kind)| json!({"title": title, "kind": kind}))
        .collect();
    json!({"id": id, "title": title, "kind": "table", "columns": columns, "rows": rows})
}

/// Returns a time as RFC 3339, or nothing for one that is not known.
fn time(second: i64) -> Value {
    match second {
        0 => Value::Null,
        second => Timestamp::from_second(second).map_or(Value::Null, |at| at.to_string().into()),
    }
}

fn short(commit: &str) -> &str {
    commit.get(..12).unwrap_or(commit)
}

/// Returns millionths as a sum.
fn money(cost: i64) -> f64 {
    cost as f64 / 1e6
}

async fn repositories(app: &App) -> Result<Value, sqlx::Error> {
    let sql = "SELECT r.name, r.private, \
               (SELECT COUNT(*) FROM rv_pull p WHERE p.repo = r.repo), \
               (SELECT COUNT(*) FROM rv_pass s WHERE s.repo = r.repo AND s.state = 'posted' AND s.head <> ''), \
               CAST((SELECT COALESCE(SUM(m.tokens), 0) FROM rv_spend m WHERE m.repo = r.repo AND m.month = $1) AS BIGINT), \
               CAST((SELECT COALESCE(SUM(m.cost), 0) FROM rv_spend m WHERE m.repo = r.repo AND m.month = $1) AS BIGINT) \
               FROM rv_repository r ORDER BY r.name LIMIT $2";
    let month = Timestamp::now().strftime("%Y-%m").to_string();
    let rows = app.db.rows(sql, &[month.into(), ROWS_MAX.into()]).await?;
    let rows = rows.iter().map(|row| {
        let kind = if row.int(1) == 0 { "public" } else { "private" };
        json!([
            row.text(0),
            kind,
            row.int(2),
            row.int(3),
            row.int(4),
            money(row.int(5))
        ])
    });
    let columns = [
        ("Repository", "text"),
        ("Kind", "text"),
        ("Open pull requests", "number"),
        ("Reviews posted", "number"),
        ("Tokens this month", "number"),
        ("Cost this month", "money"),
    ];
    Ok(table(
        "repositories",
        "Repositories",
        &columns,
        rows.collect(),
    ))
}

async fn reviews(app: &App) -> Result<Value, sqlx::Error> {
    let sql = "SELECT r.name, s.pull, s.head, s.state, s.computed, s.blocker + s.warning + s.suggestion + s.nitpick, s.posted, s.dropped, s.error, s.at, \
               CAST(COALESCE(SUM(m.tokens), 0) AS BIGINT), CAST(COALESCE(SUM(m.cost), 0) AS BIGINT) \
               FROM rv_pass s JOIN rv_repository r ON r.repo = s.repo \
               LEFT JOIN rv_spend m ON m.repo = s.repo AND m.pull = s.pull AND m.what = s.head || ' ' || s.cause \
               WHERE s.head <> '' \
               GROUP BY r.name, s.repo, s.pull, s.head, s.cause, s.state, s.computed, s.blocker, s.warning, s.suggestion, s.nitpick, s.posted, s.dropped, s.error, s.at \
               ORDER BY s.at DESC, r.name, s.pull, s.head, s.cause LIMIT $1";
    let rows = app.db.rows(sql, &[ROWS_MAX.into()]).await?;
    let rows = rows.iter().map(|row| {
        let why: Value = serde_json::from_str(row.text(7)).unwrap_or_default();
        let why = why.as_object().into_iter().flatten();
        let why: Vec<String> = why
            .map(|(reason, count)| format!("{reason}: {count}"))
            .collect();
        // Our own words on a budget or a draft; what a service said stays out.
        let note = match row.text(3) {
            word if word == State::Skipped.word() => row.text(8).to_owned(),
            _ => why.join(", "),
        };
        json!([
            row.text(0),
            row.int(1),
            short(row.text(2)),
            row.text(3),
            row.int(4),
            row.int(5),
            row.int(6),
            row.int(4) - row.int(5),
            note,
            row.int(10),
            money(row.int(11)),
            time(row.int(9)),
        ])
    });
    let columns = [
        ("Repository", "text"),
        ("Pull request", "number"),
        ("Head", "text"),
        ("State", "text"),
        ("Computed", "number"),
        ("Kept", "number"),
        ("Posted on lines", "number"),
        ("Left out", "number"),
        ("Why", "text"),
        ("Tokens", "number"),
        ("Cost", "money"),
        ("When", "time"),
    ];
    Ok(table("reviews", "Reviews", &columns, rows.collect()))
}

async fn queue(app: &App) -> Result<Value, sqlx::Error> {
    let sql = "SELECT r.name, s.pull, s.head, s.state, s.at, CASE WHEN p.until > $1 THEN 1 ELSE 0 END \
               FROM rv_pass s JOIN rv_repository r ON r.repo = s.repo JOIN rv_pull p ON p.repo = s.repo AND p.pull = s.pull \
               WHERE s.state IN ('started', 'waiting', 'computed', 'posting') ORDER BY s.at, r.name, s.pull, s.cause LIMIT $2";
    let now = Timestamp::now().as_second();
    let rows = app.db.rows(sql, &[now.into(), ROWS_MAX.into()]).await?;
    let rows = rows.iter().map(|row| {
        let what = if row.text(2).is_empty() {
            "answer"
        } else {
            "review"
        };
        let at_work = if row.int(5) == 1 { "yes" } else { "no" };
        json!([
            row.text(0),
            row.int(1),
            what,
            row.text(3),
            at_work,
            time(row.int(4))
        ])
    });
    let columns = [
        ("Repository", "text"),
        ("Pull request", "number"),
        ("What", "text"),
        ("State", "text"),
        ("At work", "text"),
        ("Since", "time"),
    ];
    let mut panel = table("queue", "Queue", &columns, rows.collect());
    panel["note"] =
        "What is begun and not done. Events that wait are in the deliverer's queue.".into();
    Ok(panel)
}

async fn index(app: &App) -> Result<Value, sqlx::Error> {
    let sql = "SELECT r.name, r.head, (SELECT COUNT(*) FROM rv_file f WHERE f.repo = r.repo), \
               (SELECT COUNT(*) FROM rv_symbol y WHERE y.repo = r.repo), r.indexed FROM rv_repository r ORDER BY r.name LIMIT $1";
    let rows = app.db.rows(sql, &[ROWS_MAX.into()]).await?;
    let rows = rows.iter().map(|row| {
        json!([
            row.text(0),
            short(row.text(1)),
            row.int(2),
            row.int(3),
            time(row.int(4))
        ])
    });
    let columns = [
        ("Repository", "text"),
        ("Commit", "text"),
        ("Files", "number"),
        ("Symbols", "number"),
        ("Last update", "time"),
    ];
    let mut panel = table("index", "Index", &columns, rows.collect());
    panel["note"] = "A repository is indexed with the first push to its default branch.".into();
    Ok(panel)
}

async fn findings(app: &App) -> Result<Value, sqlx::Error> {
    let sql = "SELECT at / 86400, CAST(SUM(blocker) AS BIGINT), CAST(SUM(warning) AS BIGINT), CAST(SUM(suggestion) AS BIGINT), CAST(SUM(nitpick) AS BIGINT) \
               FROM rv_pass WHERE state = 'posted' AND head <> '' AND at > $1 GROUP BY at / 86400 ORDER BY at / 86400";
    let since = Timestamp::now().as_second() - DAYS * DAY_S;
    let rows = app.db.rows(sql, &[since.into()]).await?;
    let mut points = Vec::new();
    for row in &rows {
        let day = Timestamp::from_second(row.int(0) * DAY_S)
            .map(|at| at.strftime("%Y-%m-%d").to_string());
        for (at, label) in ["blocker", "warning", "suggestion", "nitpick"]
            .into_iter()
            .enumerate()
        {
            let count = row.int(at + 1);
            if let (Ok(day), true) = (&day, count > 0) {
                points.push(json!({"at": day, "label": label, "value": count}));
            }
        }
    }
    Ok(json!({"id": "findings", "title": "Findings over time", "kind": "series", "points": points}))
}
