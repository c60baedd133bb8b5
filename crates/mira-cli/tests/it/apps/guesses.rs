//! Wrong passwords: each makes the next wait, five lock, also for parallel processes and after a restart.

use std::fs;
use std::thread;

use mira_testkit::home::Run;
use serde_json::Value;

use super::app::{MANIFEST, password};
use super::house::House;
use crate::support::VALUE;

const PASSWORD: &str = "correct horse battery staple";

/// A package under a password, and the two files that a script would give.
struct Locked {
    house: House,
    package: String,
    right: String,
    wrong: String,
}

impl Locked {
    fn sealed(work_factor: u8) -> Self {
        Self::new(|house| {
            let to = mira_age::Recipients::dangerous_passphrase(
                mira_secret::SecretBytes::copy_from(PASSWORD.as_bytes()),
                work_factor,
            );
            house
                .app("parrot", MANIFEST)
                .pack_sealed(&[("API_KEY", VALUE)], &to)
        })
    }

    fn encrypted() -> Self {
        Self::new(|house| {
            house
                .app("parrot", MANIFEST)
                .pack_encrypted(password(PASSWORD))
        })
    }

    fn new(pack: impl Fn(&House) -> String) -> Self {
        let house = House::new();
        let package = pack(&house);
        let file = |name: &str, content: &str| {
            let path = house.home.path().join(name);
            fs::write(&path, content).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let (right, wrong) = (file("right", PASSWORD), file("wrong", "incorrect horse"));
        Self {
            house,
            package,
            right,
            wrong,
        }
    }

    fn open(&self, with: &str) -> Run {
        self.open_as("parrot", with)
    }

    fn open_as(&self, name: &str, with: &str) -> Run {
        self.house
            .mira(&[
                "open",
                &self.package,
                "--name",
                name,
                "-d",
                "--password-file",
                with,
            ])
            .run()
    }

    /// Returns what is remembered of wrong guesses; nothing is null.
    fn state(&self) -> Value {
        let state = self.sql("SELECT state FROM guesses");
        serde_json::from_str(&state).unwrap_or(Value::Null)
    }

    /// Lets time pass: what was remembered happened so many milliseconds earlier.
    fn let_pass(&self, ms: u64) {
        let (state, last) = (self.state(), "$.last");
        let earlier = state["last"]["since_boot_ms"].as_i64().unwrap() - i64::try_from(ms).unwrap();
        // A machine that was started less than that ago had the clock at zero then.
        let (earlier, more) = (earlier.max(0), (-earlier).max(0));
        let delay = state["last"]["delay_ms"].as_i64().unwrap() - more;
        self.sql(&format!(
            "UPDATE guesses SET state = json_set(state, '{last}.since_boot_ms', {earlier}, '{last}.delay_ms', {delay})"
        ));
    }

    fn sql(&self, statement: &str) -> String {
        let database = self.house.home.mira_home().join("mira.db");
        let run = self
            .house
            .home
            .mira("sqlite3")
            .args(["-cmd", ".timeout 60000"])
            .arg(database)
            .arg(statement)
            .run();
        run.assert_code(0).stdout_text().trim().to_owned()
    }
}

/// Returns the seconds that a message tells to wait.
fn seconds(run: &Run) -> u64 {
    let said = run.stderr_text();
    let words: Vec<&str> = said.split_whitespace().collect();
    let at = words.iter().position(|word| *word == "s" || *word == "s;");
    let number = at.and_then(|at| words[at - 1].parse().ok());
    number.unwrap_or_else(|| panic!("{said}"))
}

fn five_wrong_ones_lock(locked: &Locked) {
    for (failures, delay) in [(1, 1), (2, 2), (3, 4), (4, 8)] {
        let wrong = locked.open(&locked.wrong).assert_code(5);
        assert!(wrong.stderr_text().contains("wrong password"), "{wrong:?}");
        assert_eq!(locked.state()["failures"], failures);
        assert_eq!(locked.state()["last"]["delay_ms"], delay * 1000);
        // Not even the right one is tried before that.
        let early = locked.open(&locked.right).assert_code(5);
        assert!((1..=delay).contains(&seconds(&early)), "{early:?}");
        assert_eq!(locked.state()["failures"], failures);
        locked.let_pass(delay * 1000);
    }
    let fifth = locked.open(&locked.wrong).assert_code(6);
    assert!(fifth.stderr_text().contains("5 minutes"), "{fifth:?}");
    let early = locked.open(&locked.right).assert_code(6);
    assert!((200..=300).contains(&seconds(&early)), "{early:?}");
    // A restart of everything, and another name for the file, change nothing.
    locked.house.run(&["serve", "--stop"], 0);
    locked.let_pass(200_000);
    let early = locked.open(&locked.right).assert_code(6);
    assert!((1..=100).contains(&seconds(&early)), "{early:?}");
    let copy = locked.house.home.path().join("a copy.mira");
    fs::copy(&locked.package, &copy).unwrap();
    let args = [
        "open",
        copy.to_str().unwrap(),
        "--name",
        "copy",
        "-d",
        "--password-file",
    ];
    locked.house.run(&[&args[..], &[&locked.right]].concat(), 6);
    locked.let_pass(100_000);
}

#[test]
fn five_wrong_passwords_lock_sealed_secrets_and_the_right_one_resets() {
    let locked = Locked::sealed(10);
    five_wrong_ones_lock(&locked);
    locked.open(&locked.right).assert_code(0);
    assert_eq!(locked.state(), Value::Null);
}

#[test]
fn five_wrong_passwords_lock_an_encrypted_package() {
    let locked = Locked::encrypted();
    five_wrong_ones_lock(&locked);
    // It is open then; what it needs is the next question.
    locked.open(&locked.right).assert_code(3);
    assert_eq!(locked.state(), Value::Null);
}

#[test]
fn a_sixth_wrong_one_after_the_lock_locks_again() {
    let locked = Locked::sealed(10);
    five_wrong_ones_lock(&locked);
    locked.open(&locked.wrong).assert_code(6);
    assert_eq!(locked.state()["failures"], 6);
    let early = locked.open(&locked.right).assert_code(6);
    assert!(seconds(&early) > 200, "{early:?}");
}

/// Opens with the wrong password for 16 instances at once; returns how often a guess was taken.
fn sixteen_at_once(locked: &Locked) -> u64 {
    thread::scope(|scope| {
        let tries: Vec<_> = (0..16)
            .map(|number| {
                let name = format!("parrot-{number}");
                scope.spawn(move || locked.open_as(&name, &locked.wrong))
            })
            .collect();
        let taken = tries.into_iter().map(|one| {
            let run = one.join().unwrap();
            assert!(matches!(run.code(), Some(5 | 6)), "{run:?}");
            let said = run.stderr_text();
            u64::from(said.contains("wrong password; ") || said.contains("wrong password, "))
        });
        taken.sum()
    })
}

#[test]
fn sixteen_processes_at_once_have_no_more_guesses_than_one() {
    let locked = Locked::sealed(14);
    let mut taken = sixteen_at_once(&locked);
    while locked.state()["failures"].as_u64().unwrap() < 5 {
        locked.let_pass(locked.state()["last"]["delay_ms"].as_u64().unwrap());
        taken += sixteen_at_once(&locked);
    }
    assert_eq!(taken, 5);
    assert_eq!(locked.state()["failures"], 5);
    locked.open(&locked.right).assert_code(6);
}

#[test]
fn guesses_that_overlap_are_all_counted() {
    let locked = Locked::sealed(14);
    locked.open(&locked.wrong).assert_code(5);
    // With no delay at all, sixteen are at work at the same time.
    let at_once =
        "SET state = json_set(NEW.state, '$.last.delay_ms', 0) WHERE blob_key = NEW.blob_key";
    locked.sql(&format!(
        "CREATE TRIGGER impatient AFTER UPDATE OF state ON guesses
         WHEN json_extract(NEW.state, '$.last.delay_ms') <> 0
         BEGIN UPDATE guesses {at_once}; END"
    ));
    locked.let_pass(1000);
    assert_eq!(sixteen_at_once(&locked), 16);
    assert_eq!(locked.state()["failures"], 17);
}

#[test]
fn what_is_remembered_is_not_lost_by_damage() {
    let locked = Locked::sealed(10);
    locked.open(&locked.wrong).assert_code(5);
    locked.sql("UPDATE guesses SET state = '{}'");
    let refused = locked.open(&locked.right).assert_code(5);
    assert!(
        refused.stderr_text().contains("no password is tried"),
        "{refused:?}"
    );
}

#[test]
fn another_boot_with_the_clock_set_back_shortens_nothing() {
    let locked = Locked::sealed(10);
    locked.open(&locked.wrong).assert_code(5);
    // As if it had happened before a restart of the machine, an hour from now by the clock that somebody set back.
    let ahead = "json_extract(state, '$.last.wall_ms') + 3600000";
    locked.sql(&format!(
        "UPDATE guesses SET state = json_set(state, '$.failures', 5, '$.last.boot', 'another', \
         '$.last.wall_ms', {ahead}, '$.last.delay_ms', 300000)"
    ));
    let early = locked.open(&locked.right).assert_code(6);
    assert!((299..=300).contains(&seconds(&early)), "{early:?}");
    // What is left counts by the clock of this boot now, which nobody sets.
    assert_ne!(locked.state()["last"]["boot"], "another");
    locked.let_pass(300_000);
    locked.open(&locked.right).assert_code(0);
}
