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
    let results = stage.run(&value);

    let (fine, results) = results.split_first().unwrap();
    each_was_refused(&tries, results);
    let heard = stage.heard();
    nobody_heard(&heard);
    the_value_went_where_it_may(&heard, &value);
    assert!(text(fine, "fine").contains("/fine"), "{fine}");
    each_is_recorded(&tries, stage.rows());

    // The app made a request with the secret, and has never had it.
    let process = stage.house.pid("corpus", "tries");
    sweep.memory(process).assert_clean();
    let environment = fs::read(format!("/proc/{process}/environ")).unwrap();
    sweep.bytes("its environment", &environment).assert_clean();
    sweep.folder(&stage.house.file("corpus", "")).assert_clean();
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

/// Tries that are refused, and of which the record has no row of their own, or one of another form: what is no request that anybody could
/// read is refused before it is known whom it is for, and the loopback of a room is not outside of it.
const WITHOUT_A_ROW: &[&str] = &[
    "chunk-overflows",
    "chunks-and-length",
    "chunks-folded",
    "chunks-misspelled",
    "chunks-not-last",
    "chunks-with-space",
    "direct-to-another-loopback",
    "direct-to-decimal",
    "direct-to-hex",
    "direct-to-loopback6",
    "direct-to-mapped",
    "direct-to-octal",
    "direct-to-short",
    "direct-to-zero",
    "empty-header-name",
    "header-without-colon",
    "host-behind-bare-return",
    "host-folded",
    "host-with-nul",
    "host-with-space-before-colon",
    "length-and-chunks",
    "length-and-chunks-inside-of-tls",
    "length-hex",
    "length-list",
    "length-overflows",
    "length-signed",
    "lengths-differ",
    "redirect-to-loopback",
    "request-for-https",
    "request-to-backslash",
    "request-to-fragment",
    "request-to-loopback6",
    "request-to-percent",
    "request-to-user",
    "tunnel-to-backslash",
    "tunnel-to-fragment",
    "tunnel-to-loopback6",
    "tunnel-to-percent",
    "tunnel-to-the-machine",
    "tunnel-to-the-proxy",
    "tunnel-to-user",
    "udp-broadcast",
    "udp-multicast",
    "udplite",
    "version-09",
    "websocket-on-a-stream",
];

/// Finds for each try a refused row of its own, but for those that have none.
fn each_is_recorded(tries: &[Value], rows: Vec<Value>) {
    let mut refused: Vec<Value> = rows
        .into_iter()
        .filter(|row| text(row, "verdict") == "refused")
        .collect();
    let mut faults = Vec::new();
    let has_row =
        |known: &&Value| known["row"].is_object() && !WITHOUT_A_ROW.contains(&text(known, "try"));
    let recorded: Vec<&Value> = tries.iter().filter(has_row).collect();
    assert!(recorded.len() >= 60, "{} tries", recorded.len());
    for known in recorded {
        let wanted = &known["row"];
        match refused.iter().position(|row| fits(row, wanted)) {
            Some(at) => drop(refused.swap_remove(at)),
            None => {
                let near = refused.iter().filter(|row| bare(row) == bare(wanted));
                let near: Vec<String> = near.map(Value::to_string).collect();
                faults.push(format!("{}: {wanted}, but {near:?}", text(known, "try")));
            }
        }
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
