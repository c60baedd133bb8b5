//! `mira run`: the program's environment, its end, and who is recorded as holding what.

use crate::support::{MIRA, VALUE, keyfile_home, list, mira, set};

#[test]
fn the_program_gets_its_variables_and_nothing_else_changes() {
    let home = keyfile_home();
    set(&home, "KEY", VALUE);
    let script = "env | grep -v '^_=' | sort";
    let bare = home.mira("sh").args(["-c", script]).run().assert_code(0);
    let with = mira(
        &home,
        &[
            "run",
            "--with",
            "REGION=eu-west-1",
            "--",
            "sh",
            "-c",
            script,
        ],
    )
    .run()
    .assert_code(0);
    let mut expect: Vec<_> = bare.stdout_text().lines().map(str::to_owned).collect();
    expect.extend([
        "KEY=[redacted:KEY]".to_owned(),
        "REGION=eu-west-1".to_owned(),
    ]);
    expect.sort();
    let mut got: Vec<_> = with.stdout_text().lines().map(str::to_owned).collect();
    got.sort();
    assert_eq!(got, expect);
}

#[test]
fn only_and_except_choose() {
    let home = keyfile_home();
    for name in ["A_KEY", "B_KEY", "C_KEY"] {
        set(&home, name, &format!("value-of-{name}"));
    }
    let names = |args: &[&str]| {
        let all = [
            &["run"],
            args,
            &[
                "--",
                "sh",
                "-c",
                "env | grep -o '^._KEY' | sort | tr '\\n' ' '",
            ],
        ]
        .concat();
        mira(&home, &all).run().assert_code(0).stdout_text()
    };
    assert_eq!(names(&[]), "A_KEY B_KEY C_KEY ");
    assert_eq!(names(&["--only", "A_KEY,C_KEY"]), "A_KEY C_KEY ");
    assert_eq!(names(&["--except", "A_KEY", "--except", "B_KEY"]), "C_KEY ");
    let missing = mira(&home, &["run", "--only", "A_KEY,X_KEY,Y_KEY", "--", "true"])
        .run()
        .assert_code(3);
    let said = missing.stderr_text();
    assert!(
        said.contains("X_KEY") && said.contains("Y_KEY") && !said.contains("A_KEY"),
        "{said}"
    );
    mira(
        &home,
        &["run", "--only", "A_KEY", "--except", "B_KEY", "--", "true"],
    )
    .run()
    .assert_code(2);
}

#[test]
fn the_programs_end_is_mira_s_end() {
    let home = keyfile_home();
    for code in [0, 1, 3, 126, 127, 255] {
        let script = format!("exit {code}");
        mira(&home, &["run", "--", "sh", "-c", &script])
            .run()
            .assert_code(code);
    }
    let killed = mira(&home, &["run", "--", "sh", "-c", "kill -TERM $$"]).run();
    assert_eq!(
        std::os::unix::process::ExitStatusExt::signal(&killed.status),
        Some(15)
    );
    let absent = mira(&home, &["run", "--", "no-such-program"])
        .run()
        .assert_code(127);
    assert!(
        absent.stderr_text().contains("no-such-program"),
        "{absent:?}"
    );
    let folder = mira(&home, &["run", "--", "/etc"]).run().assert_code(126);
    assert!(folder.stderr_text().contains("/etc"), "{folder:?}");
    mira(&home, &["run"]).run().assert_code(2);
}

#[test]
fn a_name_with_two_values_is_an_error_until_one_is_preferred() {
    let home = keyfile_home();
    set(&home, "KEY", VALUE);
    let run = |args: &[&str], inherited: &str| {
        let all = [&["run"], args, &["--", "sh", "-c", "echo $KEY | cut -c1-5"]].concat();
        mira(&home, &all).env("KEY", inherited).run()
    };
    let refused = run(&[], "other-value").assert_code(2);
    assert!(
        refused.stderr_text().contains("--prefer vault"),
        "{refused:?}"
    );
    assert!(
        !refused.stderr_text().contains("other-value"),
        "{refused:?}"
    );
    assert_eq!(
        run(&["--prefer", "vault"], "other-value")
            .assert_code(0)
            .stdout_text(),
        "sk-pr\n"
    );
    assert_eq!(
        run(&["--prefer", "inherited"], "other-value")
            .assert_code(0)
            .stdout_text(),
        "other\n"
    );
    assert_eq!(run(&[], VALUE).assert_code(0).stdout_text(), "sk-pr\n");
    let refused = mira(&home, &["run", "--with", "KEY=x", "--", "true"])
        .run()
        .assert_code(2);
    assert!(
        refused.stderr_text().contains("--except KEY"),
        "{refused:?}"
    );
}

#[test]
fn holders_are_listed_while_they_run_and_stale_after_a_rotation() {
    let home = keyfile_home();
    set(&home, "KEY", VALUE);
    // The program itself looks: it runs `mira` inside of `mira run`, while it surely holds the secret.
    let script = format!(
        "{MIRA} list --json; printf 'rotated-value-1' | {MIRA} set KEY --stdin --replace; \
         {MIRA} explain KEY --json"
    );
    let ran = mira(&home, &["run", "--", "sh", "-c", &script])
        .run()
        .assert_code(0);
    let mut values =
        serde_json::Deserializer::from_slice(&ran.stdout).into_iter::<serde_json::Value>();
    let listed = values.next().unwrap().unwrap();
    let holder = &listed[0]["held_by"][0];
    assert_eq!(holder["program"], "sh");
    assert_eq!(
        (&holder["version"], &holder["stale_since"]),
        (&1.into(), &().into())
    );
    let explained = values.next().unwrap().unwrap();
    assert_eq!(explained["version"], 2);
    assert_eq!(explained["held_by"][0]["version"], 1);
    assert!(
        explained["held_by"][0]["stale_since"].is_string(),
        "{explained}"
    );
    assert!(
        ran.stderr_text()
            .contains("keep the old value until restarted"),
        "{ran:?}"
    );
    // It has ended, so nobody holds anything.
    assert_eq!(list(&home)[0]["held_by"], serde_json::json!([]));
}

#[test]
fn explain_tells_where_a_value_comes_from() {
    let home = keyfile_home();
    set(&home, "KEY", VALUE);
    let source = |inherited: Option<&str>, name: &str| {
        let mut run = mira(&home, &["explain", name, "--json"]);
        if let Some(value) = inherited {
            run = run.env(name, value);
        }
        let told: serde_json::Value =
            serde_json::from_slice(&run.run().assert_code(0).stdout).unwrap();
        told["source"].as_str().unwrap().to_owned()
    };
    assert_eq!(source(None, "KEY"), "vault");
    assert_eq!(source(Some(VALUE), "KEY"), "vault");
    assert_eq!(source(Some("other"), "KEY"), "undecided");
    assert_eq!(source(Some("other"), "UNSAVED"), "environment");
    let text = mira(&home, &["explain", "KEY"])
        .run()
        .assert_code(0)
        .stdout_text();
    assert!(text.contains("in every known spelling"), "{text}");
}
