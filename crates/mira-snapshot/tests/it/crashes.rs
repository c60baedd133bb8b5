//! `kill -9` at any instant: the repository stays whole, a volume is old or new, and nothing is left lying about.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use mira_snapshot::{Repository, Volume};

use crate::support::{Fixture, SECRET, contents, example, noise};

/// Runs the example until it is ready, lets it go on while `busy` spins so many times, then kills it.
///
/// Where it is by then is chance; many runs with ever more spins go through all of it.
fn killed(words: &[PathBuf], spins: u64) -> bool {
    let mut child = Command::new(example())
        .args(words)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    out.read_line(&mut line).unwrap();
    for spin in 0..spins {
        std::hint::black_box(noise(spin, 1000));
    }
    child.kill().unwrap();
    child.wait().unwrap().code() == Some(0)
}

struct Words {
    repository: PathBuf,
    password: PathBuf,
    secrets: PathBuf,
}

fn words(fixture: &Fixture) -> Words {
    let words = Words {
        repository: fixture.snapshots(),
        password: fixture.folder().join("password"),
        secrets: fixture.folder().join("secrets"),
    };
    fs::write(&words.password, fixture.password.expose()).unwrap();
    fs::write(&words.secrets, format!("API_KEY={SECRET}\n")).unwrap();
    words
}

fn ours(name: &&String) -> bool {
    !["password", "secrets", "two"].contains(&name.as_str())
}

/// Returns ever more spins, until the process ended by itself a few times.
fn until_done(mut run: impl FnMut(u64) -> bool) {
    let (mut spins, mut done) = (0_u64, 0);
    while done < 2 {
        if run(spins) {
            done += 1;
        }
        spins += spins / 4 + 20;
        assert!(spins < 1 << 24, "it never ends");
    }
}

#[test]
fn a_snapshot_that_is_cut_off_leaves_what_was_there() {
    let fixture = Fixture::new();
    let Words {
        repository,
        password,
        secrets,
    } = words(&fixture);
    fixture.write("base", noise(0, 1 << 20));
    drop(
        rusqlite::Connection::open(fixture.data().join("app.db")).and_then(|app| {
            app.execute_batch("CREATE TABLE note (text TEXT); INSERT INTO note VALUES ('one')")
        }),
    );
    let mut round = 0;
    until_done(|spins| {
        round += 1;
        fixture.write("changing", noise(round, 2 << 20));
        rusqlite::Connection::open(fixture.data().join("app.db"))
            .and_then(|app| app.execute("INSERT INTO note VALUES (?1)", [round.to_string()]))
            .unwrap();
        let before = fixture.repository.list().unwrap();
        let take = [
            "take".into(),
            repository.clone(),
            password.clone(),
            fixture.data(),
            secrets.clone(),
        ];
        let done = killed(&take, spins);
        let after = fixture.repository.list().unwrap();
        assert!(after.len() - before.len() <= 1);
        assert!(!done || after.len() > before.len());
        for old in &before {
            assert!(after.contains(old), "an old snapshot is gone");
        }
        fixture.repository.check(true).unwrap();
        done
    });
    // What a crash left goes with the next run, and restic finds nothing wrong.
    fixture.take().unwrap();
    assert_eq!(
        fixture.left_over().iter().filter(ours).count(),
        0,
        "{:?}",
        fixture.left_over()
    );
    let last = fixture.repository.find("latest").unwrap();
    let before = contents(&fixture.data());
    fixture.restore(&last);
    assert_eq!(
        contents(&fixture.data()).keys().collect::<Vec<_>>(),
        before.keys().collect::<Vec<_>>()
    );
    fixture.repository.forget(&[last]).unwrap();
    fixture.restic_ok(&["check", "--read-data"]);
}

#[test]
fn a_restore_that_is_cut_off_leaves_every_volume_old_or_new_and_is_ended_later() {
    let fixture = Fixture::new();
    let Words {
        repository,
        password,
        ..
    } = words(&fixture);
    let two = fixture.folder().join("two");
    let fill = |seed: u64| {
        for (volume, path) in [(0, fixture.data()), (1, two.clone())] {
            fs::create_dir_all(path.join("sub")).unwrap();
            for number in 0..12 {
                let file = path.join(format!("sub/{number}"));
                fs::write(file, noise(seed * 100 + volume * 50 + number, 100_000)).unwrap();
            }
            // Many, so that writing and removing them takes a while in which to be killed.
            for number in 0..300 {
                fs::write(path.join(format!("sub/tiny-{number}")), [seed as u8]).unwrap();
            }
            fs::write(path.join("which"), seed.to_string()).unwrap();
        }
    };
    let volumes = [
        Volume::new("data", fixture.data()),
        Volume::new("two", &two),
    ];
    let secrets = crate::support::secrets(&[]);
    let states: Vec<_> = (0..2)
        .map(|seed| {
            fill(seed);
            let report = fixture
                .repository
                .snapshot(&volumes, &secrets, &crate::support::options(), &mut |_| {})
                .unwrap();
            (
                report.snapshot.id,
                contents(&fixture.data()),
                contents(&two),
            )
        })
        .collect();
    let current = |path: &Path| -> usize {
        fs::read_to_string(path.join("which"))
            .unwrap()
            .parse()
            .unwrap()
    };
    let targets: Vec<PathBuf> = volumes
        .iter()
        .map(|volume| format!("{}={}", volume.name, volume.path.display()).into())
        .collect();
    let mut seen_unfinished = 0;
    until_done(|spins| {
        let to = 1 - current(&two);
        let mut restore = vec!["restore".into(), repository.clone(), password.clone()];
        restore.push(states[to].0.as_str().into());
        restore.extend(targets.clone());
        let done = killed(&restore, spins);
        // At this instant each is whole.
        for (path, which) in [(fixture.data(), 0), (two.clone(), 1)] {
            let state = &states[current(&path)];
            let expected = if which == 0 { &state.1 } else { &state.2 };
            assert_eq!(contents(&path), *expected);
        }
        seen_unfinished += usize::from(!fixture.left_over().iter().all(|name| !ours(&name)));
        Repository::recover(&fixture.snapshots()).unwrap();
        assert_eq!(
            current(&fixture.data()),
            current(&two),
            "both old, or both new"
        );
        assert_eq!(
            fixture.left_over().iter().filter(ours).count(),
            0,
            "{:?}",
            fixture.left_over()
        );
        assert!(!done || current(&two) == to);
        done
    });
    assert!(seen_unfinished > 0, "no run was cut off in the middle");
}

/// Somebody who looks all the time: what a crash would leave is what is there at that instant.
#[test]
fn a_volume_is_never_seen_without_its_files() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let fixture = Fixture::new();
    for number in 0..300 {
        fixture.write(&format!("file-{number}"), "content");
    }
    fixture.write("which", "one");
    let id = fixture.take().unwrap().snapshot.id;
    let which = fixture.data().join("which");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut missing = 0;
            while !stop.load(Ordering::Relaxed) {
                // Twice, since the first look may begin in the old volume and end after its removal.
                missing += usize::from(!which.exists() && !which.exists());
            }
            missing
        });
        for _ in 0..6 {
            fixture.restore(&id);
        }
        stop.store(true, Ordering::Relaxed);
        assert_eq!(watcher.join().unwrap(), 0);
    });
}

#[test]
fn a_prune_that_is_cut_off_loses_nothing_that_is_kept() {
    let fixture = Fixture::new();
    let Words {
        repository,
        password,
        ..
    } = words(&fixture);
    let mut round = 0;
    until_done(|spins| {
        for _ in 0..3 {
            round += 1;
            for number in 0..6 {
                fixture.write(
                    &format!("file-{number}"),
                    noise(round * 10 + number % 3, 300_000),
                );
            }
            fixture.take().unwrap();
        }
        let latest = fixture.repository.find("latest").unwrap();
        let keep = [
            "keep".into(),
            repository.clone(),
            password.clone(),
            "2".into(),
        ];
        let done = killed(&keep, spins);
        fixture.repository.check(true).unwrap();
        assert_eq!(fixture.repository.find("latest").unwrap(), latest);
        done
    });
    fixture.restic_ok(&["check", "--read-data"]);
}
