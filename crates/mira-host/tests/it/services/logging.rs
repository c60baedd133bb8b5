//! What services say: redacted, in lines, on disk and live.

use std::os::unix::fs::PermissionsExt;

use mira_host::logs::{Filter, Follower, Rotation, read};
use mira_run::Stream;
use mira_testkit::canary::{Canary, Form, Sweep};

use super::house::{House, names, value};

const SECRET: &str = "sk-proj-4f9Qm2ZrT7";
const MARKER: &str = "[redacted:API_KEY]";

fn with_secret(house: &House, script: &str) -> mira_host::service::InstanceSpec {
    let mut service = house.sh("web", script);
    service.env_secrets = names(&["API_KEY"]);
    let mut spec = house.spec(vec![service]);
    spec.values = vec![value("API_KEY", SECRET.as_bytes())];
    spec
}

#[test]
fn every_spelling_of_a_value_is_a_marker_wherever_it_shows() {
    let house = House::new();
    let canaries: Vec<Canary> = Canary::generate()
        .into_iter()
        .filter(|canary| !canary.value().contains(&0))
        .collect();
    let mut text = Vec::new();
    for canary in &canaries {
        for spelling in canary.spellings() {
            // Backwards stands for what nobody thinks of.
            if spelling.form != Form::Reversed {
                text.extend_from_slice(
                    format!("{} {:?}: <", canary.name(), spelling.form).as_bytes(),
                );
                text.extend_from_slice(&spelling.bytes);
                text.extend_from_slice(b">\n");
            }
        }
    }
    std::fs::write(house.path("package/said"), text).unwrap();
    let mut web = house.sh("web", "cat said; cat said >&2; echo done");
    web.env_secrets = names(&["OPENAI_API_KEY"]);
    // A service that gets no secret may learn of one all the same.
    let other = house.sh("other", "cat said; echo done");
    let mut spec = house.spec(vec![web, other]);
    spec.values = canaries
        .iter()
        .map(|canary| value(canary.name(), canary.value()))
        .collect();
    let mut followed = house.begin(spec);
    for _ in 0..2 {
        followed.line("done");
    }
    house.wait(house.supervisor.stop("app-1")).unwrap();
    let lines = followed.lines().join("\n");
    let sweep = Sweep::new(&canaries);
    sweep.bytes("events", lines.as_bytes()).assert_clean();
    sweep.folder(&house.path("logs")).assert_clean();
    for canary in &canaries {
        assert!(
            lines.contains(&format!("[redacted:{}]", canary.name())),
            "{lines}"
        );
    }
}

#[test]
fn a_value_is_found_however_it_is_written() {
    let house = House::new();
    let script = r#"
        half=${API_KEY%????????}; printf %s "a $half"; printf '%s\n' "${API_KEY#$half} b"
        printf '%s\n' "$API_KEY" | fold -w 1 | while read -r c; do printf %s "$c"; done; echo
        printf 'no end: %s' "$API_KEY"
        printf 'on both: %s\n' "$API_KEY" >&2"#;
    let lines = house.output(with_secret(&house, script));
    let all = lines.join("\n");
    assert!(all.contains(&format!("a {MARKER} b")), "{all}");
    assert!(all.contains(&format!("no end: {MARKER}")), "{all}");
    assert!(all.contains(&format!("on both: {MARKER}")), "{all}");
    assert_eq!(all.matches(MARKER).count(), 4, "{all}");
    assert!(!all.contains("4f9Qm2ZrT7"), "{all}");
}

#[test]
fn a_value_of_several_lines_is_found_across_their_ends() {
    let house = House::new();
    let key = "-----BEGIN KEY-----\nMIIBVgIBADANBgkqhkiG9w0B\nAQEFAASCAUAwggE8AgEAAkEA\n-----END KEY-----\n";
    let mut spec = with_secret(&house, "echo first; printf %s \"$API_KEY\"; echo last");
    spec.values = vec![value("API_KEY", key.as_bytes())];
    let all = house.output(spec).join("\n");
    assert!(all.contains(MARKER) && all.ends_with("last"), "{all}");
    assert!(!all.contains("MIIBVgIBADANBgkqhkiG9w0B"), "{all}");
}

#[test]
fn lines_are_whole_in_order_and_for_nobody_else() {
    let house = House::new();
    let script = r#"
        printf '\xff bytes\n'; echo err >&2
        head -c 150000 /dev/zero | tr '\0' x; echo; printf 'no end'"#;
    let mut followed = house.begin(house.spec(vec![house.sh("web", script)]));
    followed.phase("web", "ended");
    let log = house.log();
    let out: Vec<_> = log
        .iter()
        .filter(|line| line.stream == Stream::Stdout)
        .map(|line| (line.line.len(), line.partial))
        .collect();
    assert_eq!(
        out,
        [
            (9, false),
            (65536, true),
            (65536, true),
            (18928, false),
            (6, false)
        ]
    );
    assert_eq!(
        log.iter()
            .filter(|line| line.stream == Stream::Stderr)
            .count(),
        1
    );
    assert!(log.iter().any(|line| line.line == "\u{fffd} bytes"));
    assert!(log.is_sorted_by(|one, next| one.time < next.time));
    let path = house.path("logs/web.jsonl");
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let folder = house.path("logs").metadata().unwrap().permissions();
    assert_eq!(folder.mode() & 0o777, 0o700);
    house.wait(house.supervisor.stop("app-1")).unwrap();
    // What was followed live is what was written.
    let live = followed.lines();
    assert_eq!(live.len(), log.len());
}

#[test]
fn a_log_is_rotated_and_goes_on_over_runs() {
    let house = House::with(|config| {
        config.rotation = Rotation {
            file_bytes_max: 100_000,
            files_max: 3,
        };
    });
    for run in 1..=3 {
        let script = format!("for i in $(seq 1000); do echo run {run} line $i; done");
        house.output(house.spec(vec![house.sh("web", &script)]));
    }
    let files = || std::fs::read_dir(house.path("logs")).unwrap();
    assert_eq!(files().count(), 3);
    let log = house.log();
    assert!(log.is_sorted_by(|one, next| one.time < next.time));
    assert_eq!(log.last().unwrap().line, "run 3 line 1000");
    assert!(
        log.iter()
            .all(|line| !line.line.starts_with("run 1 line 1 "))
    );
    let filter = Filter {
        tail: Some(1200),
        since: Some(log[log.len() - 1300].time),
        service: Some("web".to_owned()),
    };
    let tail = read(&house.path("logs"), &filter).unwrap();
    assert_eq!(tail, log[log.len() - 1200..]);
}

#[test]
fn a_log_that_cannot_be_written_is_told_and_stops_nothing() {
    let house = House::new();
    let blocked = house.path("logs/web.jsonl");
    std::fs::create_dir_all(&blocked).unwrap();
    let script =
        "echo one; while [ ! -e $HOME/go ]; do sleep 0.01; done; echo two; exec sleep 1000";
    let mut followed = house.begin(house.spec(vec![house.sh("web", script)]));
    followed.line("one");
    while followed.phase("web", "up").log_trouble.is_none() {}
    std::fs::remove_dir(&blocked).unwrap();
    std::fs::write(house.path("home/go"), "").unwrap();
    followed.line("two");
    while followed.phase("web", "up").log_trouble.is_some() {}
    let log = house.log();
    assert_eq!(
        log.iter()
            .map(|line| line.line.as_str())
            .collect::<Vec<_>>(),
        ["two"]
    );
}

#[test]
fn who_reads_files_and_goes_on_live_misses_and_repeats_nothing() {
    let house = House::with(|config| config.backlog_bytes_max = 64 << 20);
    let script = "for i in $(seq 20000); do echo $i; done; exec sleep 1000";
    let spec = house.spec(vec![house.sh("web", script)]);
    house.begin(spec).line("500");
    let mut events = house.supervisor.subscribe("app-1").unwrap();
    let mut follower = Follower::default();
    let mut seen = Vec::new();
    for line in house.log() {
        follower.saw(&line);
        seen.push(line.line);
    }
    assert!(seen.len() >= 500);
    while seen.last().unwrap() != "20000" {
        if let Some(mira_host::supervisor::Event::Line(line)) = house.wait(events.next())
            && follower.is_new(&line)
        {
            seen.push(line.line.clone());
        }
    }
    let all: Vec<String> = (1..=20000).map(|number| number.to_string()).collect();
    assert!(seen == all);
}

#[test]
fn a_stream_that_a_stranger_holds_open_does_not_keep_a_service() {
    let house = House::new();
    let script = "echo ready; printf rest; while [ ! -e $HOME/go ]; do sleep 0.01; done";
    house
        .begin(house.spec(vec![house.sh("web", script)]))
        .line("ready");
    let mut followed = house.follow();
    let pid = followed.phase("web", "up").pid.unwrap();
    let stdout = format!("/proc/{pid}/fd/1");
    let held = std::fs::OpenOptions::new()
        .write(true)
        .open(stdout)
        .unwrap();
    std::fs::write(house.path("home/go"), "").unwrap();
    followed.phase("web", "ended");
    drop(held);
    assert_eq!(house.log().last().unwrap().line, "rest");
}
