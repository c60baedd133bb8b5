//! Sealed secrets and encrypted packages: `age` opens them, whoever has no key does not, and no value is anywhere in plain.

use std::fs;
use std::path::Path;

use mira_testkit::canary::{Canary, Sweep};
use mira_testkit::home::{Run, TestHome};

use super::keys::start;
use super::{PASSWORD, folder, home_with_app, json, ok, read, says, write};
use crate::support::{MIRA, VALUE, mira};

/// An age key and an SSH key, as files of their secret halves, and their public halves.
fn recipients(home: &TestHome) -> [(&'static str, String); 2] {
    home.mira("age-keygen")
        .args(["-o", "age.key"])
        .run()
        .assert_code(0);
    let age = home
        .mira("age-keygen")
        .args(["-y", "age.key"])
        .run()
        .assert_code(0);
    let keygen = ["-q", "-t", "ed25519", "-N", "", "-f", "ssh.key"];
    home.mira("ssh-keygen").args(keygen).run().assert_code(0);
    let ssh = String::from_utf8(read(home, "ssh.key.pub")).unwrap();
    [
        ("age.key", age.stdout_text().trim().to_owned()),
        ("ssh.key", ssh.trim().to_owned()),
    ]
}

fn unzip(home: &TestHome, package: &str, file: &str) -> Run {
    home.mira("unzip")
        .args(["-p", package, file])
        .run()
        .assert_code(0)
}

/// Opens an age file under a password, at the terminal that `age` asks on.
fn age_opens(home: &TestHome, file: &str, output: &str) {
    let mut terminal = start(home, "age", &["-d", "-o", output, file]);
    terminal.expect("Enter passphrase");
    terminal.send(format!("{PASSWORD}\n"));
    assert!(terminal.wait().success(), "{}", terminal.transcript());
}

#[test]
fn age_opens_what_is_sealed_under_a_password() {
    let home = home_with_app();
    write(
        &home,
        "secrets.env",
        &format!("API_KEY={VALUE}\nTOKEN='two words'\n"),
    );
    let made = ok(
        &home,
        &[
            "pack",
            "app",
            "-o",
            "a.mira",
            "--seal",
            "secrets.env",
            "--password-file",
            "pw",
        ],
    );
    says(&made, "sealed     API_KEY, TOKEN (opened by a password)");
    says(&made, "secrets.env is still there with the values in plain");
    assert!(folder(&home).join("secrets.env").exists());
    fs::write(
        folder(&home).join("a.age"),
        unzip(&home, "a.mira", "secrets.encrypted").stdout,
    )
    .unwrap();
    age_opens(&home, "a.age", "a.env");
    assert_eq!(
        read(&home, "a.env"),
        format!("API_KEY=\"{VALUE}\"\nTOKEN=\"two words\"\n").into_bytes()
    );

    let closed = ok(&home, &["inspect", "a.mira"]);
    says(
        &closed,
        "API_KEY  yes       env       all              perhaps",
    );
    says(&closed, "--sealed-names");
    let open = [
        "inspect",
        "a.mira",
        "--json",
        "--sealed-names",
        "--password-file",
        "pw",
    ];
    let open = ok(&home, &open);
    assert_eq!(json(&open)["secrets"][1]["sealed"], true);
    assert!(!open.stdout_text().contains(VALUE));
}

#[test]
fn keys_open_what_is_sealed_and_encrypted_for_them_and_no_others_do() {
    let home = home_with_app();
    write(&home, "secrets.env", &format!("API_KEY={VALUE}\n"));
    let keys = recipients(&home);
    let mut args = vec![
        "pack",
        "app",
        "-o",
        "a.mira",
        "--seal",
        "secrets.env",
        "--encrypt",
    ];
    for (_, public) in &keys {
        args.extend(["--seal-to", public]);
    }
    says(&ok(&home, &args), "encrypted  as a whole (opened by keys)");
    for (file, _) in &keys {
        let opened = home
            .mira("age")
            .args(["-d", "-i", file, "-o", "a.zip", "a.mira"])
            .run();
        opened.assert_code(0);
        let sealed = unzip(&home, "a.zip", "secrets.encrypted").stdout;
        let opened = home
            .mira("age")
            .args(["-d", "-i", file])
            .stdin_bytes(sealed)
            .run();
        assert_eq!(
            opened.assert_code(0).stdout_text(),
            format!("API_KEY=\"{VALUE}\"\n")
        );
        let shown = ok(
            &home,
            &["inspect", "a.mira", "--identity", file, "--sealed-names"],
        );
        says(&shown, "API_KEY  yes       env       all              yes");
        says(&shown, "TOKEN    no        file      all              no");
    }
    says(
        &mira(&home, &["inspect", "a.mira"]).run().assert_code(3),
        "--identity FILE",
    );
    home.mira("age-keygen")
        .args(["-o", "other.key"])
        .run()
        .assert_code(0);
    let other = mira(&home, &["inspect", "a.mira", "--identity", "other.key"]).run();
    says(&other.assert_code(5), "encrypted to somebody else");
}

#[test]
fn a_password_is_asked_for_twice_and_not_shown() {
    let home = home_with_app();
    write(&home, "secrets.env", &format!("API_KEY={VALUE}\n"));
    let args = [
        "pack",
        "app",
        "-o",
        "a.mira",
        "--seal",
        "secrets.env",
        "--encrypt",
    ];
    says(
        &mira(&home, &args).run().assert_code(3),
        "--password-file FILE",
    );
    let mut terminal = start(&home, MIRA, &args);
    terminal.expect("New password of the package: ");
    terminal.send(format!("{PASSWORD}\n"));
    terminal.expect("The same again: ");
    terminal.send("another horse battery\n");
    terminal.expect("the two were not the same");
    assert_eq!(terminal.wait().code(), Some(1));
    assert!(!folder(&home).join("a.mira").exists());

    let mut terminal = start(&home, MIRA, &args);
    for prompt in ["New password of the package: ", "The same again: "] {
        terminal.expect(prompt);
        terminal.send(format!("{PASSWORD}\n"));
    }
    terminal.expect("encrypted  as a whole (opened by a password)");
    assert_eq!(terminal.wait().code(), Some(0));
    assert!(!terminal.transcript().contains(PASSWORD) && !terminal.transcript().contains(VALUE));
    age_opens(&home, "a.mira", "a.zip");
    unzip(&home, "a.zip", "mira.yaml");

    let mut terminal = start(&home, MIRA, &["inspect", "a.mira"]);
    terminal.expect("Password of the package: ");
    terminal.send(format!("{PASSWORD}\n"));
    terminal.expect("App 1.2.3");
    assert_eq!(terminal.wait().code(), Some(0));
    says(
        &mira(&home, &["inspect", "a.mira"]).run().assert_code(3),
        "--password-file FILE",
    );
}

#[test]
fn what_cannot_be_sealed_is_named_without_its_value() {
    let home = home_with_app();
    let pack = |text: &str| {
        write(&home, "secrets.env", text);
        let args = [
            "pack",
            "app",
            "-o",
            "a.mira",
            "--seal",
            "secrets.env",
            "--password-file",
            "pw",
        ];
        let run = mira(&home, &args).run().assert_code(1);
        assert!(!format!("{run:?}").contains(VALUE), "{run:?}");
        assert!(!folder(&home).join("a.mira").exists());
        run
    };
    let undeclared = pack(&format!("API_KEY=x1\nOTHER={VALUE}\nMORE={VALUE}\n"));
    says(&undeclared, "  OTHER\n  MORE\n");
    says(
        &pack(&format!("# nothing\nAPI_KEY=\"{VALUE}\n")),
        "secrets.env: line 2: a quote is not closed",
    );
    says(&pack("# nothing\n"), "no secret to seal");
    write(&home, "pw", "short");
    says(&pack(&format!("API_KEY={VALUE}\n")), "shorter than 10");
    let identity = "AGE-SECRET-KEY-1QQQQQQQQQQQQQQQQQQQQ";
    let args = [
        "pack",
        "app",
        "--seal",
        "secrets.env",
        "--seal-to",
        identity,
    ];
    let refused = mira(&home, &args).run().assert_code(2);
    assert!(!format!("{refused:?}").contains(identity), "{refused:?}");
}

#[test]
fn no_value_is_in_the_package_in_what_is_said_or_in_the_home() {
    let home = home_with_app();
    let canaries = [
        Canary::new("API_KEY", VALUE),
        Canary::new("PASSWORD", PASSWORD),
    ];
    let sweep = Sweep::new(&canaries);
    write(&home, "secrets.env", &format!("API_KEY={VALUE}\n"));
    let sealed = ["--seal", "secrets.env", "--password-file", "pw"];
    let runs: Vec<Run> = [
        &["pack", "app", "-o", "sealed.mira"] as &[&str],
        &["pack", "app", "-o", "closed.mira", "--encrypt"],
    ]
    .map(|args| ok(&home, &[args, &sealed].concat()))
    .into();
    let more = ["sealed.mira", "closed.mira"].map(|package| {
        ok(
            &home,
            &[
                "inspect",
                package,
                "--sealed-names",
                "--password-file",
                "pw",
            ],
        )
    });
    for run in runs.iter().chain(&more) {
        let said = sweep.bytes("stdout", &run.stdout);
        said.and(sweep.bytes("stderr", &run.stderr)).assert_clean();
    }
    // The sweep sees what it looks for.
    assert!(!sweep.folder(home.path()).is_clean());
    for plain in ["secrets.env", "pw"] {
        fs::remove_file(folder(&home).join(Path::new(plain))).unwrap();
    }
    sweep.folder(home.path()).assert_clean();
}
