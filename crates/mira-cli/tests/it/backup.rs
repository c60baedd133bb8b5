//! `mira backup` and `mira restore`: all of a home in a file that `age` and `tar` read, and back, whole or not at all.

mod crashes;
mod databases;

use std::fs;
use std::path::{Path, PathBuf};

use mira_testkit::canary::{Canary, Sweep};
use mira_testkit::home::TestHome;

use crate::apps::house::House;
use crate::snapshots::notes::{MANIFEST, Notes};
use crate::support::{VALUE, mira};

/// Makes a key pair of age's; returns the file and the recipient.
pub(crate) fn key(home: &TestHome) -> (String, String) {
    let path = home.path().join("identity.txt");
    let path = path.to_str().unwrap().to_owned();
    home.mira("age-keygen")
        .args(["-o", &path])
        .run()
        .assert_code(0);
    let told = home.mira("age-keygen").args(["-y", &path]).run();
    let recipient = told.assert_code(0).stdout_text().trim().to_owned();
    (path, recipient)
}

/// A home with all that a backup has, the key of a backup, and where it is to be.
struct Ground {
    notes: Notes,
    identity: String,
    recipient: String,
    file: String,
}

impl Ground {
    fn new() -> Self {
        let notes = Notes::new();
        let (identity, recipient) = key(&notes.home);
        let file = notes.home.path().join("backup.age");
        let file = file.to_str().unwrap().to_owned();
        Self {
            notes,
            identity,
            recipient,
            file,
        }
    }

    /// Fills the home.
    fn filled() -> Self {
        let ground = Self::new();
        let notes = &ground.notes;
        notes
            .mira(&["set", "OPENAI_API_KEY", "--stdin"])
            .stdin_bytes(VALUE)
            .run()
            .assert_code(0);
        notes.run(&["provider", "set", "openai", "--model", "small"], 0);
        notes.run(&["mcp", "add", "files", "--", "true"], 0);
        notes
            .mira(&["user", "add", "ada", "--role", "admin", "--stdin"])
            .stdin_bytes("four-words-nobody-guesses")
            .run()
            .assert_code(0);
        notes.write("monday", "milk");
        notes.run(&["snapshot", "create", "notes", "--label", "first"], 0);
        notes.write("monday", "tea");
        std::os::unix::fs::symlink("monday", notes.data().join("today")).unwrap();
        ground
    }

    #[track_caller]
    fn back_up(&self, more: &[&str]) {
        let args = ["backup", "--recipient", &self.recipient, &self.file];
        self.notes.run(&[&args, more].concat(), 0);
    }

    /// Unpacks the backup by the tools that everybody has.
    fn unpacked(&self, name: &str) -> PathBuf {
        let folder = self.notes.home.path().join(name);
        fs::create_dir(&folder).unwrap();
        let plain = self.notes.home.path().join("backup.tar");
        let plain = plain.to_str().unwrap();
        self.notes
            .home
            .mira("age")
            .args(["-d", "-i", &self.identity, "-o", plain, &self.file])
            .run()
            .assert_code(0);
        self.notes
            .home
            .mira("tar")
            .args(["-x", "-f", plain, "-C", folder.to_str().unwrap()])
            .run()
            .assert_code(0);
        folder
    }
}

/// A home without anything.
fn empty() -> House {
    House::without_vault(TestHome::new())
}

/// Returns the names that are beside a home.
fn beside(house: &House) -> Vec<String> {
    let entries = fs::read_dir(house.home.path()).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains("mira"))
        .collect();
    names.sort();
    names
}

fn copy_key(from: &TestHome, to: &House) {
    let key = |home: &TestHome| home.mira_home().join("root.key");
    fs::copy(key(from), key(&to.home)).unwrap();
}

#[test]
fn a_home_comes_back_on_another_machine_with_all_that_was_in_it() {
    let ground = Ground::filled();
    ground.back_up(&[]);
    let house = empty();
    let restored = house.run(
        &["restore", "--identity", &ground.identity, &ground.file],
        0,
    );
    let told = restored.stderr_text();
    assert!(told.contains("1 instance"), "{told}");
    assert!(told.contains("put it back at"), "{told}");
    // Nothing of the work is left, and there was nothing to keep.
    assert_eq!(beside(&house), ["mira"]);
    house.run(&["list"], 4);
    copy_key(&ground.notes.home, &house);
    let names = house.run(&["list", "--json"], 0).stdout_text();
    assert!(names.contains("OPENAI_API_KEY"), "{names}");
    let value = house.run(
        &[
            "run",
            "--",
            "sh",
            "-c",
            "test \"$OPENAI_API_KEY\" = \"$0\"",
            VALUE,
        ],
        0,
    );
    assert_eq!(value.stderr_text(), "");
    assert!(
        house
            .run(&["provider", "list"], 0)
            .stdout_text()
            .contains("small")
    );
    assert!(
        house
            .run(&["mcp", "list"], 0)
            .stdout_text()
            .contains("files")
    );
    assert!(
        house
            .run(&["user", "list"], 0)
            .stdout_text()
            .contains("ada")
    );
    let data = house.file("notes", "state/data");
    assert_eq!(fs::read_to_string(data.join("monday")).unwrap(), "tea");
    assert_eq!(
        fs::read_link(data.join("today")).unwrap(),
        Path::new("monday")
    );
    house.run(&["start", "notes", "-d"], 0);
    house.run(&["stop", "notes"], 0);
    house.run(&["snapshot", "check", "notes"], 0);
    house.run(&["snapshot", "restore", "notes", "latest", "--yes"], 0);
    assert_eq!(fs::read_to_string(data.join("monday")).unwrap(), "milk");
    house.run(&["doctor"], 0);
}

#[test]
fn age_and_tar_read_a_backup_and_no_value_is_in_it() {
    let ground = Ground::filled();
    ground.back_up(&["--with-recovery"]);
    let canaries = [
        Canary::new("VALUE", VALUE),
        Canary::new("PASSWORD", "four-words-nobody-guesses"),
    ];
    let folder = ground.unpacked("unpacked");
    let found: Vec<&str> = [
        "mira-backup.json",
        "credentials.json",
        "settings.json",
        "mcp.json",
    ]
    .into_iter()
    .chain(["mira.db", "recovery.age", "packages", "instances"])
    .filter(|name| folder.join(name).exists())
    .collect();
    assert_eq!(found.len(), 8, "{found:?}");
    assert!(!folder.join("root.key").exists());
    let sweep = Sweep::new(&canaries);
    sweep.folder(&folder).assert_clean();
    sweep.file(ground.file.as_ref()).assert_clean();
    // The sweep sees what is there: what the recovery file holds is sealed, and opens.
    let opened = ground.notes.home.mira("age");
    let recovery = folder.join("recovery.age");
    let opened = opened
        .args(["-d", "-i", &ground.identity, recovery.to_str().unwrap()])
        .run()
        .assert_code(0);
    assert!(!sweep.bytes("opened", &opened.stdout).is_clean());
}

#[test]
fn a_lost_key_is_no_loss_with_a_recovery_file_in_the_backup() {
    let ground = Ground::filled();
    ground.back_up(&["--with-recovery"]);
    let house = empty();
    let args = [
        "restore",
        "--identity",
        &ground.identity,
        "--provider",
        "keyfile",
    ];
    house.run(&[&args[..], &[&ground.file]].concat(), 0);
    let value = [
        "run",
        "--",
        "sh",
        "-c",
        "test \"$OPENAI_API_KEY\" = \"$0\"",
        VALUE,
    ];
    house.run(&value, 0);
    // The password of the snapshots came along too.
    house.run(&["snapshot", "check", "notes"], 0);
    // Without one there is nothing to make a vault of.
    let plain = Ground::new();
    plain.back_up(&[]);
    let refused = empty();
    let run = refused.run(
        &[
            &args[..2],
            &[&plain.identity, "--provider", "keyfile", &plain.file],
        ]
        .concat(),
        3,
    );
    assert!(run.stderr_text().contains("no recovery file"), "{run:?}");
    assert_eq!(fs::read_dir(refused.home.mira_home()).unwrap().count(), 0);
}

#[test]
fn a_passphrase_seals_a_backup_and_a_wrong_one_does_not_open_it() {
    let ground = Ground::new();
    let word = "five words that nobody guesses";
    let short = ground
        .notes
        .mira(&["backup", "--passphrase-stdin", &ground.file]);
    short.stdin_bytes("short").run().assert_code(1);
    let seal = ground
        .notes
        .mira(&["backup", "--passphrase-stdin", &ground.file]);
    seal.stdin_bytes(word).run().assert_code(0);
    let again = ground
        .notes
        .mira(&["backup", "--passphrase-stdin", &ground.file]);
    let again = again.stdin_bytes(word).run().assert_code(1);
    assert!(again.stderr_text().contains("is there already"));
    let house = empty();
    let open = |word: &str| {
        let restore = house.mira(&["restore", "--passphrase-stdin", &ground.file]);
        restore.stdin_bytes(word).run()
    };
    open("another").assert_code(4);
    house.run(&["restore", &ground.file], 3);
    house.run(
        &["restore", "--identity", &ground.identity, &ground.file],
        4,
    );
    assert_eq!(fs::read_dir(house.home.mira_home()).unwrap().count(), 0);
    open(word).assert_code(0);
}

#[test]
fn what_runs_is_not_copied_unless_it_may_be_stopped_and_runs_again_afterwards() {
    let ground = Ground::new();
    let notes = &ground.notes;
    notes.run(&["start", "notes", "-d"], 0);
    let args = ["backup", "--recipient", &ground.recipient, &ground.file];
    let refused = notes.run(&args, 1);
    assert!(refused.stderr_text().contains("--stop"), "{refused:?}");
    assert!(!Path::new(&ground.file).exists());
    ground.back_up(&["--stop"]);
    let state = notes.json(&["ps", "--json", "notes"], 0);
    assert_eq!(state[0]["state"], "up");
    // A restore has to have the home for itself.
    let busy = [
        "restore",
        "--replace",
        "--identity",
        &ground.identity,
        &ground.file,
    ];
    let busy = notes.run(&busy, 1);
    assert!(busy.stderr_text().contains("mira serve --stop"), "{busy:?}");
    notes.run(&["stop", "notes"], 0);
}

#[test]
fn a_vault_is_replaced_only_if_that_is_wanted_and_is_kept() {
    let ground = Ground::filled();
    ground.back_up(&[]);
    let notes = &ground.notes;
    let set = notes.mira(&["set", "OPENAI_API_KEY", "--stdin", "--replace"]);
    set.stdin_bytes("sk-a-newer-value-0123")
        .run()
        .assert_code(0);
    let args = ["restore", "--identity", &ground.identity, &ground.file];
    let refused = notes.run(&args, 1);
    assert!(refused.stderr_text().contains("--replace"), "{refused:?}");
    let restored = notes.run(&[&args[..], &["--replace"]].concat(), 0);
    // The key file is the home's, and opens both.
    let value = ["run", "--", "sh", "-c", "test \"$OPENAI_API_KEY\" = \"$0\""];
    notes.run(&[&value[..], &[VALUE]].concat(), 0);
    let told = restored.stderr_text();
    let kept = told
        .lines()
        .find_map(|line| line.split_once("before is in "));
    let (_, kept) = kept.unwrap_or_else(|| panic!("{told}"));
    let of_old = notes.mira(&[&value[..], &["sk-a-newer-value-0123"]].concat());
    of_old.env("MIRA_HOME", kept).run().assert_code(0);
}

#[test]
fn a_backup_that_is_not_whole_changes_nothing() {
    let ground = Ground::filled();
    ground.back_up(&[]);
    let whole = fs::read(&ground.file).unwrap();
    let house = empty();
    let path = house.home.path().join("damaged.age");
    let check = |bytes: &[u8], what: &str| {
        fs::write(&path, bytes).unwrap();
        let args = [
            "restore",
            "--identity",
            &ground.identity,
            path.to_str().unwrap(),
        ];
        let run = house.run(&args, 5);
        assert_eq!(
            fs::read_dir(house.home.mira_home()).unwrap().count(),
            0,
            "{what}: {run:?}"
        );
        assert_eq!(beside(&house), ["mira"], "{what}");
    };
    for part in 1..8 {
        let at = whole.len() * part / 8;
        check(whole.get(..at).unwrap(), "cut");
        let mut flipped = whole.clone();
        flipped[at] ^= 1;
        check(&flipped, "flipped");
    }
    check(whole.get(..whole.len() - 1).unwrap(), "cut at the end");
    check(b"no age file at all", "no age file");
    // It is age's, and something else.
    let other = house.home.path().join("other");
    fs::write(&other, MANIFEST).unwrap();
    let sealed = house.home.mira("age").args([
        "-r",
        &ground.recipient,
        "-o",
        path.to_str().unwrap(),
        other.to_str().unwrap(),
    ]);
    sealed.run().assert_code(0);
    check(&fs::read(&path).unwrap(), "something else");
}

#[test]
fn a_backup_goes_through_a_pipe() {
    let ground = Ground::new();
    let args = ["backup", "--recipient", &ground.recipient, "-"];
    let run = ground.notes.run(&args, 0);
    fs::write(&ground.file, &run.stdout).unwrap();
    assert!(ground.unpacked("piped").join("mira-backup.json").exists());
    let nothing = TestHome::new();
    fs::remove_dir(nothing.mira_home()).unwrap();
    mira(&nothing, &args).run().assert_code(3);
}
