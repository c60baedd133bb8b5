//! `mira pack`: what is written, where, and what is left alone.

use std::fs;

use super::{folder, home_with_app, json, key, names, ok, read, says, write};
use crate::support::mira;

#[test]
fn a_package_has_a_name_of_its_own_and_unzip_lists_it() {
    let home = home_with_app();
    let made = json(&ok(&home, &["pack", "app", "--json"]));
    assert_eq!(made["file"], "app-1.2.3.mira");
    assert_eq!(made["files"], 2);
    assert_eq!(made["bytes"], read(&home, "app-1.2.3.mira").len());
    let listed = home
        .mira("unzip")
        .args(["-l", "app-1.2.3.mira"])
        .run()
        .assert_code(0);
    for name in ["main.py", "mira.yaml", "mira.digests.json"] {
        says(&listed, name);
    }
    // From inside, and a second time: the package before it is not taken along.
    let app = folder(&home).join("app");
    for more in [&[] as &[&str], &["--replace"]] {
        let inside = mira(&home, &[&["pack", "--json"], more].concat());
        let inside = json(&inside.current_dir(&app).run().assert_code(0));
        assert_eq!(inside["digest"], made["digest"]);
        assert_eq!(names(&app), ["app-1.2.3.mira", "main.py", "mira.yaml"]);
    }
    assert_eq!(
        read(&home, "app/app-1.2.3.mira"),
        read(&home, "app-1.2.3.mira")
    );
}

#[test]
fn nothing_is_written_over_unless_it_is_said_and_then_the_signature_goes_too() {
    let home = home_with_app();
    key(&home, "mine");
    ok(
        &home,
        &["pack", "app", "-o", "a.mira", "--sign", "mine.key"],
    );
    let before = (read(&home, "a.mira"), read(&home, "a.mira.minisig"));
    write(&home, "app/main.py", "print('another')\n");
    says(
        &mira(&home, &["pack", "app", "-o", "a.mira"])
            .run()
            .assert_code(1),
        "--replace",
    );
    assert_eq!(
        (read(&home, "a.mira"), read(&home, "a.mira.minisig")),
        before
    );
    ok(&home, &["pack", "app", "-o", "a.mira", "--replace"]);
    assert_ne!(read(&home, "a.mira"), before.0);
    assert!(!folder(&home).join("a.mira.minisig").exists());
    // A signature that is left over would not be that of a new package.
    write(&home, "b.mira.minisig", "left over");
    says(
        &mira(&home, &["pack", "app", "-o", "b.mira"])
            .run()
            .assert_code(1),
        "b.mira.minisig",
    );
    mira(&home, &["pack", "app", "-o", "app"])
        .run()
        .assert_code(2);
}

#[test]
fn what_is_refused_leaves_nothing_behind() {
    let home = home_with_app();
    let before = names(&folder(&home));
    let pack = |args: &[&str]| mira(&home, &[&["pack"], args].concat()).run();
    write(&home, "app/.env", "API_KEY=x\n");
    says(
        &pack(&["app"]).assert_code(1),
        "looks like secrets in plain",
    );
    fs::remove_file(folder(&home).join("app/.env")).unwrap();
    says(
        &pack(&["app", "-o", "nowhere/a.mira"]).assert_code(1),
        "cannot write into nowhere",
    );
    says(
        &pack(&["nowhere"]).assert_code(1),
        "there is no nowhere/mira.yaml",
    );
    says(
        &pack(&["app", "--seal-to", "age1x"]).assert_code(2),
        "--seal FILE or --encrypt",
    );
    says(
        &pack(&["app", "--password-file", "pw"]).assert_code(2),
        "--seal FILE or --encrypt",
    );
    pack(&["app", "--key-password-file", "pw"]).assert_code(2);
    says(
        &pack(&["app", "--may-contain", "no name"]).assert_code(2),
        "that is no name",
    );
    // It would be packed into the next one.
    ok(&home, &["pack", "app", "-o", "app/a.pkg"]);
    says(
        &pack(&["app", "-o", "app/a.pkg", "--replace"]).assert_code(1),
        "would hold the one before",
    );
    fs::remove_file(folder(&home).join("app/a.pkg")).unwrap();
    let path = folder(&home).join("app/mira.yaml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(
        &path,
        text.replace("version: 1.2.3", "version: one")
            .replace("id: ", "ID: "),
    )
    .unwrap();
    let faults = pack(&["app", "--json"]).assert_code(1);
    says(&faults, "mira.yaml:2:1: ");
    says(&faults, "mira.yaml:4:10: ");
    assert_eq!(json(&faults)["error"]["kind"], "failed");
    assert_eq!(names(&folder(&home)), before);
}
