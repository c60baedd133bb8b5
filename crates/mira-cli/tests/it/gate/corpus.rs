//! The ways out of an instance that are known, each tried inside of a real one: refused, heard by nobody, and recorded.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use mira_testkit::canary::{Canary, Sweep};
use serde_json::Value;

use super::stage::{PUBLIC, Stage, corpus, tries};

/// What must not get out holds this word.
const MARK: &str = "contraband";

/// As many as the project promises; there are more.
const TRIES_MIN: usize = 60;

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

#[test]
fn every_way_out_is_refused_and_recorded_and_would_be_noticed() {
    let tries = tries();
    let value = format!("sk-proj-{}", fastrand::u128(..));
    let canary = Canary::new("KEY", value.clone());
    let sweep = Sweep::new(&[canary]);
    let stage = Stage::new(&tries);
    stage.open(&value);
    let files = stage.files();
    let results = stage.run();
    assert!(
        stage.files() == files,
        "a file of somebody else's was changed"
    );

    let (fine, results) = results.split_first().unwrap();
    each_was_refused(&tries, results);
    let heard = stage.heard();
    nobody_heard(&heard);
    the_value_went_where_it_may(&heard, &value);
    assert!(text(fine, "fine").contains("/fine"), "{fine}");
    each_is_recorded(&tries, results, stage.rows());

    // The app made a request with the secret, and has never had it.
    let process = stage.house.pid("corpus", "tries");
    sweep.memory(process).assert_clean();
    let environment = fs::read(format!("/proc/{process}/environ")).unwrap();
    sweep.bytes("its environment", &environment).assert_clean();
    sweep.folder(&stage.house.file("corpus", "")).assert_clean();
    let record = sweep.folder(&stage.outside());
    assert!(!record.is_clean(), "the sweep sees what it looks for");
    stage.mira(&["stop", "corpus"], 0);

    each_gets_through_where_nobody_refuses(&tries, &stage.control());
}

/// Fails with all of the tries for which something is to be said.
#[track_caller]
fn none(what: &str, faults: Vec<String>) {
    assert!(faults.is_empty(), "{what}:\n{}", faults.join("\n"));
}

fn each_was_refused(tries: &[Value], results: &[Value]) {
    let known: BTreeSet<&str> = tries.iter().map(|known| text(known, "try")).collect();
    assert!(known.len() >= TRIES_MIN && known.len() == tries.len());
    let tried: BTreeSet<&str> = results.iter().map(|result| text(result, "try")).collect();
    assert_eq!(known, tried);
    let others = results
        .iter()
        .filter(|result| text(result, "outcome") != "refused");
    none("not refused", others.map(Value::to_string).collect());
}

/// Looks at what arrived outside: nothing that must not, and no packet but to where the app may call.
fn nobody_heard(heard: &[Value]) {
    let may = [80, 443, 2525].map(|port| format!("{PUBLIC} {port}"));
    let faults = heard.iter().filter(|line| {
        let said = text(line, "heard").to_lowercase();
        let elsewhere =
            text(line, "how") == "packet" && !may.contains(&text(line, "to").to_owned());
        said.contains(MARK) || said.contains("\r\nproxy-") || elsewhere
    });
    none("heard outside", faults.map(Value::to_string).collect());
}

/// The value arrived once, in place of the placeholder, and nowhere else.
fn the_value_went_where_it_may(heard: &[Value], value: &str) {
    let with: Vec<&str> = heard
        .iter()
        .map(|line| text(line, "heard"))
        .filter(|said| said.contains(value))
        .collect();
    let [request] = with.as_slice() else {
        panic!("{} requests have the value", with.len());
    };
    let request = request.to_lowercase();
    assert!(request.starts_with("get /fine http/1.1\r\n"));
    assert!(request.contains("\r\nhost: api.allowed.test\r\n"));
    assert!(request.contains(&format!("\r\nauthorization: bearer {value}\r\n")));
    assert_eq!(request.matches(value).count(), 1);
}

/// Finds for each try a refused row of its own.
fn each_is_recorded(tries: &[Value], results: &[Value], rows: Vec<Value>) {
    let mut refused: Vec<Value> = rows
        .into_iter()
        .filter(|row| text(row, "verdict") == "refused")
        .collect();
    let mut faults = Vec::new();
    for known in tries.iter().filter(|known| known["row"].is_object()) {
        let wanted = &known["row"];
        match refused.iter().position(|row| fits(row, wanted)) {
            Some(at) => drop(refused.swap_remove(at)),
            None => {
                let result = results.iter().find(|result| result["try"] == known["try"]);
                faults.push(format!("{wanted} of {}", result.unwrap()));
            }
        }
    }
    if !faults.is_empty() {
        let left = refused.iter();
        faults.extend(left.map(|row| format!("not expected: {row}")));
    }
    none("not recorded", faults);
}

fn fits(row: &Value, wanted: &Value) -> bool {
    bare(row) == bare(wanted)
        && (wanted["port"] == 0 || row["port"] == wanted["port"])
        && text(row, "rule").contains(text(wanted, "rule"))
        && (wanted["how"].is_null() || row["how"] == wanted["how"])
}

/// Returns the host of a row without the brackets of an IPv6 address.
fn bare(row: &Value) -> &str {
    text(row, "host")
        .trim_start_matches('[')
        .trim_end_matches(']')
}

fn each_gets_through_where_nobody_refuses(tries: &[Value], results: &[Value]) {
    let outcomes: BTreeMap<&str, &Value> = results
        .iter()
        .map(|result| (text(result, "try"), result))
        .collect();
    let controls = tries.iter().filter(|known| known["control"] == true);
    let mut categories = BTreeSet::new();
    let mut faults = Vec::new();
    for known in controls {
        let result = outcomes.get(text(known, "try")).unwrap();
        match text(result, "outcome") {
            "reached" => drop(categories.insert(text(known, "category"))),
            _ => faults.push(result.to_string()),
        }
    }
    none("did not get through", faults);
    let all: BTreeSet<&str> = tries.iter().map(|known| text(known, "category")).collect();
    assert_eq!(categories, all, "a try of each category gets through");
}

#[test]
fn the_page_lists_what_is_tried() {
    let page = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../docs/security/bypass-corpus.md"
    );
    assert_eq!(
        fs::read_to_string(page).unwrap(),
        corpus("document"),
        "write it anew: python3 crates/mira-cli/tests/data/gate/corpus document > docs/security/bypass-corpus.md"
    );
}
