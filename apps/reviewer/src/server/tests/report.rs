//! What the desk is told.

use axum::extract::State;

use super::*;

fn panel<'a>(report: &'a Value, id: &str) -> &'a Value {
    let mut panels = report["panels"].as_array().unwrap().iter();
    panels.find(|panel| panel["id"] == id).unwrap()
}

/// Returns the cell of a table's first row below this title.
fn cell<'a>(panel: &'a Value, title: &str) -> &'a Value {
    let mut columns = panel["columns"].as_array().unwrap().iter();
    let at = columns.position(|column| column["title"] == title).unwrap();
    &panel["rows"][0][at]
}

fn with(token: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let value = format!("Bearer {token}");
    headers.insert("authorization", value.parse().unwrap());
    headers
}

impl World {
    async fn report(&self) -> Value {
        let headers = with("delivery-token-1");
        panels(State(Arc::clone(&self.app)), headers)
            .await
            .unwrap()
            .0
    }
}

#[tokio::test]
async fn the_report_is_for_the_deliverer_alone() {
    let world = world("Fine.").await;
    for headers in [HeaderMap::new(), with("wrong"), with("")] {
        let answer = panels(State(Arc::clone(&world.app)), headers).await;
        assert_eq!(answer.unwrap_err().0, StatusCode::UNAUTHORIZED);
    }
    let report = world.report().await;
    let all = report["panels"].as_array().unwrap();
    let ids: Vec<_> = all
        .iter()
        .map(|panel| panel["id"].as_str().unwrap())
        .collect();
    assert_eq!(
        ids,
        ["repositories", "reviews", "queue", "index", "findings"]
    );
}

#[tokio::test]
async fn the_manifest_names_the_report_that_the_program_answers_with() {
    let manifest = include_str!("../../../mira.yaml");
    let named = manifest
        .lines()
        .find_map(|line| line.strip_prefix("report: web"));
    let named = named.expect("the manifest names a report of the service");
    let world = world("Fine.").await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}{named}", listener.local_addr().unwrap());
    let served = axum::serve(listener, routes(Arc::clone(&world.app)));
    let asked = world.app.client.get(url).bearer_auth("delivery-token-1");
    let answer = tokio::select! {
        ended = served => panic!("{ended:?}"),
        answer = async { asked.send().await.unwrap().text().await.unwrap() } => answer,
    };
    let report: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(report["panels"][0]["id"], "repositories", "{answer}");
}

#[tokio::test]
async fn each_pass_is_reported_with_what_it_cost_and_nothing_of_what_it_said() {
    let mut world = world("Fine.").await;
    world.app().limits.price = crate::budget::Price {
        input: 500_000.0,
        output: 1_500_000.0,
    };
    let mut unsure = finding("a.rs", 1, "fn a() { b().unwrap() }", "blocker");
    unsure["confidence"] = json!(0.1);
    world.model.script(findings(&[
        finding("a.rs", 1, "fn a() { b().unwrap() }", "warning"),
        unsure,
    ]));
    world.opened().await;
    world.model.script(Reply::trouble());
    world.app().model.retries = 0;
    world
        .repo
        .commit("feature", "More", &[("c.rs", Some("fn c() {}\n"))]);
    world.opened().await;
    let report = world.report().await;

    let queue = panel(&report, "queue");
    assert_eq!(cell(queue, "State"), "waiting");
    let reviews = panel(&report, "reviews");
    assert_eq!(reviews["rows"].as_array().unwrap().len(), 2);
    let mut posted = reviews.clone();
    let rows = posted["rows"].as_array_mut().unwrap();
    rows.retain(|row| row[3] == "posted");
    for (title, expect) in [
        ("Repository", json!("octo-org/app")),
        ("Pull request", json!(world.pull)),
        ("Computed", json!(2)),
        ("Kept", json!(1)),
        ("Posted on lines", json!(1)),
        ("Left out", json!(1)),
        ("Why", json!("below the confidence threshold: 1")),
        ("Tokens", json!(2)),
        ("Cost", json!(2.0)),
    ] {
        assert_eq!(*cell(&posted, title), expect, "{title}");
    }
    let when = cell(&posted, "When").as_str().unwrap();
    assert!(when.parse::<jiff::Timestamp>().is_ok(), "{when}");
    let points = panel(&report, "findings")["points"].as_array().unwrap();
    assert_eq!((points.len(), &points[0]["label"]), (1, &json!("warning")));
    let repositories = panel(&report, "repositories");
    assert_eq!(*cell(repositories, "Tokens this month"), json!(2));
    let text = report.to_string();
    for never in ["a.rs", "unwrap", "It panics", "Fine.", "delivery-token"] {
        assert!(!text.contains(never), "{never}");
    }
}

#[tokio::test]
async fn the_index_is_reported_and_every_table_is_bounded() {
    let world = world("Fine.").await;
    let before = world.repo.commit("other", "Begin", &[]);
    let after = world
        .repo
        .commit("main", "Code", &[("u.rs", Some("fn u() {}\nfn v() {}\n"))]);
    let event = world.repo.push_event("main", &before, &after);
    world.deliver("push", &event).await;
    let report = world.report().await;
    let index = panel(&report, "index");
    assert_eq!(*cell(index, "Commit"), json!(after.get(..12)));
    assert_eq!(
        (cell(index, "Files"), cell(index, "Symbols")),
        (&json!(1), &json!(2))
    );
    for at in 0..210 {
        let about = About {
            repo: 1_000 + at,
            name: format!("o/r{at}"),
            ..About::default()
        };
        note(&world.app, &about).await.unwrap();
    }
    let report = world.report().await;
    let rows = panel(&report, "repositories")["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 200);
}
