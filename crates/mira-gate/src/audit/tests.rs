//! The record: what is in it, that it survives, that it stays bounded, and that it is closed where it cannot be written.

use std::collections::BTreeSet;
use std::fs::{self, File, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Command, Stdio};
use std::time::SystemTime;

use tempfile::TempDir;

use super::*;
use crate::policy::{Origin, Rule};

/// By this variable a test tells its other process which folder is meant.
const FOLDER: &str = "MIRA_TEST_AUDIT_FOLDER";

fn allowed() -> Verdict {
    Verdict::Allowed(Rule {
        hosts: "api.example.org".parse().unwrap(),
        allow: true,
        origin: Origin::Manifest,
    })
}

fn attempt<'a>(host: &'a str, verdict: &'a Verdict) -> Attempt<'a> {
    Attempt {
        service: Some("web"),
        host,
        address: None,
        port: 443,
        how: How::Tunnel,
        verdict,
    }
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn open(folder: &Path, keep: Keep) -> Audit {
    Audit::open(&folder.join("net"), "app", keep).unwrap()
}

fn rows(folder: &Path) -> Vec<Row> {
    Reader::new(&folder.join("net"), Filter::default())
        .read()
        .unwrap()
}

fn files(folder: &Path) -> Vec<(String, u64)> {
    let entries = fs::read_dir(folder.join("net"))
        .unwrap()
        .map(Result::unwrap);
    let mut files: Vec<_> = entries
        .map(|entry| {
            (
                entry.file_name().into_string().unwrap(),
                entry.metadata().unwrap().len(),
            )
        })
        .collect();
    files.sort();
    files
}

#[test]
fn an_attempt_is_a_row_with_all_that_became_of_it() {
    let folder = folder();
    let audit = open(folder.path(), Keep::default());
    let verdict = allowed();
    let entry = audit
        .begin(&Attempt {
            how: How::Request {
                method: "POST",
                secure: true,
            },
            ..attempt("api.example.org", &verdict)
        })
        .unwrap();
    let [row] = &*rows(folder.path()) else {
        panic!()
    };
    assert!(row.open, "it is there before it ends");
    assert_eq!((row.milliseconds, row.address), (None, None));
    entry.led_to("::ffff:203.0.113.5".parse().unwrap());
    entry.sent(10);
    entry.sent(5);
    entry.received(7);
    entry.status(200);
    entry.redacted(2);
    for name in ["B_KEY", "A_KEY", "B_KEY"] {
        entry.used(&name.parse().unwrap());
    }
    drop(entry);
    let [row] = &*rows(folder.path()) else {
        panic!()
    };
    let mut json = serde_json::to_value(row).unwrap();
    let fields = json.as_object_mut().unwrap();
    for changing in ["id", "time", "milliseconds"] {
        assert!(!fields.remove(changing).unwrap().is_null());
    }
    let expect = serde_json::json!({
        "instance": "app", "enforced": false, "service": "web", "host": "api.example.org", "address": "203.0.113.5", "port": 443,
        "how": "https", "what": "POST", "packets": null, "status": 200, "sent": 15, "received": 7, "redacted": 2,
        "secrets": ["A_KEY", "B_KEY"], "verdict": "allowed", "rule": "allow api.example.org (manifest)", "open": false,
    });
    assert_eq!(json, expect);
}

#[test]
fn a_refusal_is_one_row_at_once_or_after_the_beginning() {
    let folder = folder();
    let audit = open(folder.path(), Keep::default());
    let refused = Verdict::Refused(Reason::NotListed);
    audit.refused(&attempt("bad.test", &refused)).unwrap();
    let entry = audit
        .begin(&attempt("api.example.org", &allowed()))
        .unwrap();
    entry.refuse(&Reason::Mismatch("SNI"));
    entry.refuse(&Reason::Mismatch("Host"));
    drop(entry);
    let rows = rows(folder.path());
    let told: Vec<_> = rows
        .iter()
        .map(|row| (&*row.host, row.verdict, &*row.rule, row.open))
        .collect();
    let expect = [
        ("bad.test", Outcome::Refused, "not listed", false),
        (
            "api.example.org",
            Outcome::Refused,
            "SNI names another host",
            false,
        ),
    ];
    assert_eq!(told, expect);
}

#[test]
fn a_verdict_goes_with_its_kind_of_row_only() {
    let folder = folder();
    let audit = open(folder.path(), Keep::default());
    let refused = Verdict::Refused(Reason::NotListed);
    audit.begin(&attempt("a.test", &refused)).unwrap_err();
    audit.refused(&attempt("a.test", &allowed())).unwrap_err();
    assert_eq!(rows(folder.path()), []);
}

#[test]
fn whatever_a_program_asks_for_a_row_is_bounded_and_one_line() {
    let folder = folder();
    let audit = open(folder.path(), Keep::default());
    let refused = Verdict::Refused(Reason::NotAHost);
    let long = "é\"\n".repeat(1000);
    for how in [
        How::Request {
            method: &long,
            secure: false,
        },
        How::Lookup(&long),
    ] {
        audit
            .refused(&Attempt {
                how,
                ..attempt(&long, &refused)
            })
            .unwrap();
    }
    let rows = rows(folder.path());
    assert_eq!(rows.len(), 2);
    for row in rows {
        assert!(row.host.len() <= 253 && long.starts_with(&row.host));
        let what = row.what.unwrap();
        assert!(what.len() <= 24 && long.starts_with(&what));
    }
}

#[test]
fn rows_are_filtered() {
    let folder = folder();
    let audit = open(folder.path(), Keep::default());
    let refused = Verdict::Refused(Reason::NotListed);
    audit.refused(&attempt("a.test", &refused)).unwrap();
    audit
        .begin(&attempt("b.test", &allowed()))
        .unwrap()
        .status(200);
    audit
        .begin(&attempt("c.test", &allowed()))
        .unwrap()
        .refuse(&Reason::Mismatch("SNI"));
    let still_open = audit.begin(&attempt("d.test", &allowed())).unwrap();
    let check = |filter: Filter, expect: &str| {
        let rows = Reader::new(&folder.path().join("net"), filter.clone())
            .read()
            .unwrap();
        let hosts: Vec<_> = rows
            .iter()
            .map(|row| row.host.trim_end_matches(".test"))
            .collect();
        assert_eq!(hosts.concat(), expect, "{filter:?}");
    };
    let verdict = |verdict| Filter {
        verdict: Some(verdict),
        ..Filter::default()
    };
    check(Filter::default(), "abcd");
    check(verdict(Outcome::Refused), "ac");
    check(verdict(Outcome::Allowed), "bd");
    check(
        Filter {
            host: Some("B.test".into()),
            ..Filter::default()
        },
        "b",
    );
    let hour = jiff::SignedDuration::from_hours(1);
    check(
        Filter {
            since: Some(Timestamp::now() - hour),
            ..Filter::default()
        },
        "abcd",
    );
    check(
        Filter {
            since: Some(Timestamp::now() + hour),
            ..Filter::default()
        },
        "",
    );
    drop(still_open);
}

#[test]
fn a_record_that_is_not_there_has_no_rows() {
    let mut reader = Reader::new(Path::new("/no/such/folder"), Filter::default());
    assert_eq!(reader.read().unwrap(), []);
    assert_eq!(reader.unreadable(), 0);
}

#[test]
fn a_record_is_the_users_alone() {
    let folder = folder();
    let path = folder.path().join("net");
    drop(open(folder.path(), Keep::default()));
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&path), 0o700);
    assert_eq!(mode(&path.join("net.jsonl")), 0o600);

    fs::set_permissions(&path, Permissions::from_mode(0o750)).unwrap();
    let error = Audit::open(&path, "app", Keep::default()).unwrap_err();
    assert!(matches!(error, AuditError::NotPrivate(_)), "{error}");
    fs::set_permissions(&path, Permissions::from_mode(0o700)).unwrap();

    let link = folder.path().join("link");
    symlink(&path, &link).unwrap();
    let error = Audit::open(&link, "app", Keep::default()).unwrap_err();
    assert!(matches!(error, AuditError::NotPrivate(_)), "{error}");

    fs::remove_file(path.join("net.jsonl")).unwrap();
    symlink("/dev/null", path.join("net.jsonl")).unwrap();
    let error = Audit::open(&path, "app", Keep::default()).unwrap_err();
    assert!(matches!(error, AuditError::Io(_)), "{error}");
}

#[test]
fn a_line_that_was_cut_is_passed_over_and_told_and_the_next_is_whole() {
    let folder = folder();
    let refused = Verdict::Refused(Reason::NotListed);
    open(folder.path(), Keep::default())
        .refused(&attempt("a.test", &refused))
        .unwrap();
    let path = folder.path().join("net/net.jsonl");
    let cut = |line: &[u8]| {
        File::options()
            .append(true)
            .open(&path)
            .unwrap()
            .write_all(line)
            .unwrap()
    };
    cut(br#"{"begin":{"id":"1","ti"#);
    let mut reader = Reader::new(&folder.path().join("net"), Filter::default());
    assert_eq!(reader.read().unwrap().len(), 1);
    assert_eq!(reader.unreadable(), 1);

    let audit = open(folder.path(), Keep::default());
    audit.refused(&attempt("b.test", &refused)).unwrap();
    // Another process cuts one, of which this one does not know.
    cut(br#"{"end":{"id":"2","#);
    audit.refused(&attempt("c.test", &refused)).unwrap();
    let rows = reader.read().unwrap();
    let hosts: Vec<_> = rows.iter().map(|row| &*row.host).collect();
    assert_eq!(hosts, ["b.test", "c.test"]);
    assert_eq!(reader.unreadable(), 2);
}

#[test]
fn what_is_kept_is_bounded_and_the_newest() {
    let folder = folder();
    let keep = Keep {
        bytes: 64 * 1024,
        days: 90,
    };
    let audit = open(folder.path(), keep);
    let verdict = allowed();
    for n in 0..2_000 {
        drop(
            audit
                .begin(&attempt(&format!("n{n}.test"), &verdict))
                .unwrap(),
        );
        if n % 100 == 99 {
            let bytes: u64 = files(folder.path()).iter().map(|(_, len)| len).sum();
            assert!(bytes <= keep.bytes, "{bytes}");
        }
    }
    let files = files(folder.path());
    assert!((5..=9).contains(&files.len()), "{files:?}");
    let rows = rows(folder.path());
    assert!(rows.len() > 100);
    let first = 2_000 - rows.len();
    for (n, row) in (first..).zip(&rows) {
        assert_eq!(row.host, format!("n{n}.test"));
        assert!(!row.open);
    }
}

#[test]
fn what_is_old_goes() {
    let folder = folder();
    let keep = Keep {
        bytes: 64 * 1024,
        days: 8,
    };
    let day = std::time::Duration::from_secs(24 * 60 * 60);
    let refused = Verdict::Refused(Reason::NotListed);
    let name =
        |files: Vec<(String, u64)>| files.into_iter().map(|(name, _)| name).collect::<Vec<_>>();

    open(folder.path(), keep)
        .refused(&attempt("a.test", &refused))
        .unwrap();
    // A file whose first line is more than an eighth of that old is put aside, and goes when its last one is too old.
    let path = folder.path().join("net/net.jsonl");
    let line = fs::read_to_string(&path).unwrap();
    let time = rows(folder.path()).pop().unwrap().time;
    let older = time - jiff::SignedDuration::from_hours(25);
    let line = line.replace(
        &serde_json::to_string(&time).unwrap(),
        &serde_json::to_string(&older).unwrap(),
    );
    fs::write(&path, line).unwrap();
    open(folder.path(), keep)
        .refused(&attempt("b.test", &refused))
        .unwrap();
    assert_eq!(name(files(folder.path())), ["net.1.jsonl", "net.jsonl"]);
    let old = File::options()
        .append(true)
        .open(folder.path().join("net/net.1.jsonl"))
        .unwrap();
    old.set_modified(SystemTime::now() - 7 * day).unwrap();
    drop(open(folder.path(), keep));
    assert_eq!(rows(folder.path()).len(), 2);
    old.set_modified(SystemTime::now() - 9 * day).unwrap();
    drop(open(folder.path(), keep));
    assert_eq!(name(files(folder.path())), ["net.jsonl"]);
}

#[test]
fn a_file_that_somebody_removed_is_made_again() {
    let folder = folder();
    let audit = open(folder.path(), Keep::default());
    let refused = Verdict::Refused(Reason::NotListed);
    audit.refused(&attempt("a.test", &refused)).unwrap();
    fs::remove_file(folder.path().join("net/net.jsonl")).unwrap();
    audit.refused(&attempt("b.test", &refused)).unwrap();
    assert_eq!(rows(folder.path()).len(), 1);
    fs::remove_dir_all(folder.path().join("net")).unwrap();
    audit.refused(&attempt("c.test", &refused)).unwrap_err();
    audit.begin(&attempt("d.test", &allowed())).unwrap_err();
}

#[test]
fn a_reader_follows_through_the_files_while_they_are_put_aside() {
    let folder = folder();
    let keep = Keep {
        bytes: 8 * 32 * 1024,
        days: 90,
    };
    let audit = open(folder.path(), keep);
    let mut reader = Reader::new(&folder.path().join("net"), Filter::default());
    let writer = std::thread::spawn(move || {
        let verdict = allowed();
        for n in 0..400 {
            drop(
                audit
                    .begin(&attempt(&format!("n{n}.test"), &verdict))
                    .unwrap(),
            );
        }
    });
    let mut ended = Vec::new();
    while ended.len() < 400 {
        let rows = reader.read().unwrap();
        ended.extend(rows.into_iter().filter(|row| !row.open).map(|row| row.host));
    }
    writer.join().unwrap();
    let expect: Vec<_> = (0..400).map(|n| format!("n{n}.test")).collect();
    assert_eq!(ended, expect);
    assert_eq!(reader.unreadable(), 0);
    assert!(files(folder.path()).len() > 3);
}

#[test]
fn several_writers_share_a_record() {
    let folder = folder();
    let keep = Keep {
        bytes: 8 * 32 * 1024,
        days: 90,
    };
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let audit = open(folder.path(), keep);
            std::thread::spawn(move || {
                let verdict = allowed();
                for n in 0..100 {
                    drop(
                        audit
                            .begin(&attempt(&format!("w{writer}-{n}.test"), &verdict))
                            .unwrap(),
                    );
                }
            })
        })
        .collect();
    for writer in writers {
        writer.join().unwrap();
    }
    let rows = rows(folder.path());
    let hosts: BTreeSet<_> = rows.iter().map(|row| &*row.host).collect();
    assert_eq!((rows.len(), hosts.len()), (400, 400));
    assert!(rows.iter().all(|row| !row.open));
}

#[tokio::test]
async fn whoever_follows_is_told_of_what_comes() {
    let folder = folder();
    let mut reader = Reader::new(&folder.path().join("net"), Filter::default());
    let path = folder.path().to_owned();
    let writer = async {
        let audit = open(&path, Keep::default());
        let entry = audit.begin(&attempt("a.test", &allowed())).unwrap();
        tokio::task::yield_now().await;
        entry.status(204);
    };
    let follow = async {
        loop {
            let rows = reader.read().unwrap();
            if let Some(row) = rows.into_iter().find(|row| !row.open) {
                return row;
            }
            tokio::task::yield_now().await;
        }
    };
    let (row, ()) = tokio::join!(follow, writer);
    assert_eq!((&*row.host, row.status), ("a.test", Some(204)));
}

/// Runs a test of this file once more, in a process of its own that is told a folder.
fn other_process(test: &str, folder: &Path, shell: &str) -> std::process::Child {
    Command::new("sh")
        .args(["-c", &format!("{shell} exec \"$@\""), "sh"])
        .arg(std::env::current_exe().unwrap())
        .args([&format!("audit::tests::{test}"), "--exact"])
        .env(FOLDER, folder)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn what_has_begun_is_there_after_a_kill() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        let folder = PathBuf::from(folder);
        let audit = open(&folder, Keep::default());
        let mut told = UnixStream::connect(folder.join("told")).unwrap();
        let verdict = allowed();
        // None ends, until it is killed, or nobody listens any more.
        let mut entries = Vec::new();
        while told.write_all(b".").is_ok() {
            let host = format!("n{}.test", entries.len());
            entries.push(audit.begin(&attempt(&host, &verdict)).unwrap());
        }
        return;
    }
    let folder = folder();
    let listener = UnixListener::bind(folder.path().join("told")).unwrap();
    let mut child = other_process("what_has_begun_is_there_after_a_kill", folder.path(), "");
    let (mut told, _) = listener.accept().unwrap();
    told.read_exact(&mut [0; 500]).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let mut rest = Vec::new();
    told.read_to_end(&mut rest).unwrap();
    // It tells of one before it begins the next.
    let begun = 499 + rest.len();
    let rows = rows(folder.path());
    assert!(
        (begun..=begun + 1).contains(&rows.len()),
        "{begun} {}",
        rows.len()
    );
    for (n, row) in rows.iter().enumerate() {
        assert_eq!(row.host, format!("n{n}.test"));
        assert!(row.open);
    }
}

#[test]
fn a_full_disk_refuses_and_spoils_nothing() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        let folder = PathBuf::from(folder);
        let audit = open(&folder, Keep::default());
        let verdict = allowed();
        let begin = |n: usize| audit.begin(&attempt(&format!("n{n}.test"), &verdict));
        let begun: Vec<_> = (0..1000).map_while(|n| begin(n).ok()).collect();
        assert!(begun.len() < 1000);
        begin(begun.len()).unwrap_err();
        fs::write(folder.join("begun"), begun.len().to_string()).unwrap();
        return;
    }
    let folder = folder();
    let shell = "trap '' XFSZ; ulimit -f 16;";
    let mut child = other_process(
        "a_full_disk_refuses_and_spoils_nothing",
        folder.path(),
        shell,
    );
    assert!(child.wait().unwrap().success());
    let begun: usize = fs::read_to_string(folder.path().join("begun"))
        .unwrap()
        .parse()
        .unwrap();
    assert_eq!(rows(folder.path()).len(), begun);

    let audit = open(folder.path(), Keep::default());
    audit
        .refused(&attempt("z.test", &Verdict::Refused(Reason::NotListed)))
        .unwrap();
    let rows = rows(folder.path());
    assert_eq!(rows.len(), begun + 1);
    assert_eq!(rows.last().unwrap().host, "z.test");
}
