//! `mira keygen`, and signing: pairs that `minisign` uses, and signatures that it checks.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use mira_testkit::home::TestHome;
use mira_testkit::terminal::Terminal;

use super::{PASSWORD, folder, home_with_app, key, name_publisher, names, ok, read, says, write};
use crate::support::{MIRA, mira};

/// Starts a program at a terminal, in the folder that commands run in.
pub(super) fn start(home: &TestHome, program: &str, args: &[&str]) -> Terminal {
    let mut command = Command::new(program);
    command
        .args(args)
        .current_dir(folder(home))
        .env_clear()
        .envs(home.env().iter().cloned());
    Terminal::start(command)
}

fn minisign(home: &TestHome, args: &[&str], code: i32) {
    let run = home.mira("minisign").args(args).run().assert_code(code);
    if code == 0 && args.contains(&"-V") {
        says(&run, "Trusted comment: org.example.app 1.2.3");
    }
}

#[test]
fn minisign_checks_with_the_pair_and_signs_with_it() {
    let home = home_with_app();
    let public = key(&home, "mine");
    let other = key(&home, "other");
    let mode = |name| {
        fs::metadata(folder(&home).join(name))
            .unwrap()
            .permissions()
            .mode()
            & 0o777
    };
    assert_eq!((mode("mine.key"), mode("mine.pub")), (0o600, 0o644));
    ok(
        &home,
        &["pack", "app", "-o", "a.mira", "--sign", "mine.key"],
    );
    minisign(&home, &["-V", "-m", "a.mira", "-p", "mine.pub"], 0);
    minisign(&home, &["-V", "-m", "a.mira", "-P", &public], 0);
    minisign(&home, &["-V", "-m", "a.mira", "-P", &other], 1);

    ok(&home, &["pack", "app", "-o", "b.mira"]);
    minisign(&home, &["-S", "-m", "b.mira", "-s", "mine.key"], 0);
    ok(&home, &["verify", "b.mira", "--key", &public]);
    mira(&home, &["verify", "b.mira", "--key", "other.pub"])
        .run()
        .assert_code(5);
}

#[test]
fn a_protected_key_signs_with_its_password_only_in_mira_and_in_minisign() {
    let home = home_with_app();
    write(&home, "wrong", "wrong horse battery");
    let mut terminal = start(&home, MIRA, &["keygen", "-o", "mine.key"]);
    for prompt in ["New password of the key: ", "The same again: "] {
        terminal.expect(prompt);
        terminal.send(format!("{PASSWORD}\n"));
    }
    terminal.expect("made the secret key mine.key and the public key mine.pub");
    assert_eq!(terminal.wait().code(), Some(0));
    assert!(!terminal.transcript().contains(PASSWORD));

    let pack = |more: &[&str]| {
        let args = ["pack", "app", "-o", "a.mira", "--sign", "mine.key"];
        mira(&home, &[&args, more].concat()).run()
    };
    says(&pack(&[]).assert_code(3), "--key-password-file FILE");
    says(
        &pack(&["--key-password-file", "wrong"]).assert_code(1),
        "not that of the secret key",
    );
    assert!(!folder(&home).join("a.mira").exists());
    pack(&["--key-password-file", "pw"]).assert_code(0);
    minisign(&home, &["-V", "-m", "a.mira", "-p", "mine.pub"], 0);

    let mut terminal = start(
        &home,
        MIRA,
        &["pack", "app", "-o", "b.mira", "--sign", "mine.key"],
    );
    terminal.expect("Password of the key mine.key: ");
    terminal.send(format!("{PASSWORD}\n"));
    terminal.expect("signed by");
    assert_eq!(terminal.wait().code(), Some(0));
    minisign(&home, &["-V", "-m", "b.mira", "-p", "mine.pub"], 0);

    let mut terminal = start(&home, "minisign", &["-S", "-m", "a.mira", "-s", "mine.key"]);
    terminal.expect("Password: ");
    terminal.send(format!("{PASSWORD}\r"));
    assert!(terminal.wait().success(), "{}", terminal.transcript());
    ok(&home, &["verify", "a.mira", "--key", "mine.pub"]);
}

#[test]
fn a_pair_is_never_written_over_and_no_half_of_it_is_left() {
    let home = TestHome::new();
    key(&home, "mine");
    let before = read(&home, "mine.key");
    let keygen = |args: &[&str]| mira(&home, &[&["keygen"], args].concat()).run();
    says(
        &keygen(&["--no-password", "-o", "mine.key"]).assert_code(1),
        "not written over",
    );
    fs::remove_file(folder(&home).join("mine.pub")).unwrap();
    says(
        &keygen(&["--no-password", "-o", "mine.key"]).assert_code(1),
        "not written over",
    );
    assert_eq!(read(&home, "mine.key"), before);
    write(&home, "half.pub", "there");
    says(
        &keygen(&["--no-password", "-o", "half.key"]).assert_code(1),
        "half.pub is there already",
    );
    assert!(!folder(&home).join("half.key").exists());
    says(&keygen(&["-o", "x.key"]).assert_code(3), "--no-password");
    keygen(&["--no-password", "-o", "x.pub"]).assert_code(2);
    keygen(&["--no-password", "-o", "nowhere/x.key"]).assert_code(1);
    write(&home, "short", "short\n");
    says(
        &keygen(&["-o", "x.key", "--password-file", "short"]).assert_code(1),
        "shorter than 10",
    );
    let mut terminal = start(&home, MIRA, &["keygen", "-o", "x.key"]);
    terminal.expect("New password of the key: ");
    terminal.send(format!("{PASSWORD}\n"));
    terminal.expect("The same again: ");
    terminal.send("correct horse batter\n");
    terminal.expect("the two were not the same");
    assert_eq!(terminal.wait().code(), Some(1));
    assert_eq!(
        names(&folder(&home))
            .iter()
            .filter(|name| name.starts_with('x'))
            .count(),
        0
    );
}

#[test]
fn without_a_path_the_pair_goes_into_the_home_and_not_into_an_app() {
    let home = home_with_app();
    let app = folder(&home).join("app");
    let before = names(&app);
    let made = mira(&home, &["keygen", "--no-password"])
        .current_dir(&app)
        .run()
        .assert_code(0);
    assert_eq!(names(&app), before);
    let path = home.mira_home().join("publisher.key");
    says(&made, path.to_str().unwrap());
    ok(&home, &["pack", "app", "--sign", path.to_str().unwrap()]);
}

#[test]
fn a_key_signs_only_what_names_it() {
    let home = home_with_app();
    let (mine, other) = (key(&home, "mine"), key(&home, "other"));
    name_publisher(&home, &other);
    let pack = |with: &str| mira(&home, &["pack", "app", "-o", "a.mira", "--sign", with]).run();
    let refused = pack("mine.key").assert_code(1);
    says(&refused, &mine);
    says(&refused, &other);
    assert!(!folder(&home).join("a.mira").exists());
    says(&pack("mine.pub").assert_code(1), "no minisign secret key");
    says(
        &pack("nowhere.key").assert_code(1),
        "cannot read nowhere.key",
    );
    pack("other.key").assert_code(0);
}
