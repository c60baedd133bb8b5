//! What must not be in a package, looked for in every file of it.

use std::fs;

use super::{folder, home_with_app, names, ok, says, write};
use crate::support::{VALUE, mira, set};

/// The value in base64, as a script might hold it.
const ENCODED: &str = "c2stcHJvai03RnEybVh2OUxyVDRiV2M4Wm5ZZA==";

#[test]
fn a_sealed_value_that_stands_in_a_file_stops_the_package() {
    let home = home_with_app();
    write(&home, "secrets.env", &format!("API_KEY={VALUE}\n"));
    write(&home, "app/lib/a.py", &format!("key = '{VALUE}'\n"));
    write(
        &home,
        "app/lib/b.py",
        &format!("# old\nkey = '{ENCODED}'\n"),
    );
    let before = names(&folder(&home));
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
    let refused = mira(&home, &args).run().assert_code(1);
    says(&refused, "lib/a.py, byte 7: API_KEY (raw)");
    says(&refused, "lib/b.py, byte 13: API_KEY (base64)");
    says(&refused, "in 2 places");
    assert_eq!(names(&folder(&home)), before);
    // Encrypted as a whole it is no better: each who opens it reads it.
    mira(&home, &[&args[..], &["--encrypt"]].concat())
        .run()
        .assert_code(1);
    write(&home, "app/.miraignore", "/lib\n");
    ok(&home, &args);
}

#[test]
fn so_does_a_value_of_the_vault_unless_it_is_said_to_be_none_to_hide() {
    let home = home_with_app();
    mira(&home, &["init", "--provider", "keyfile"])
        .run()
        .assert_code(0);
    set(&home, "MY_KEY", VALUE);
    write(&home, "app/a.py", &format!("key = '{VALUE}'\n"));
    let pack =
        |args: &[&str]| mira(&home, &[&["pack", "app", "-o", "a.mira"], args].concat()).run();
    let refused = pack(&[]).assert_code(1);
    says(&refused, "a.py, byte 7: MY_KEY (raw)");
    assert!(!format!("{refused:?}").contains(VALUE), "{refused:?}");
    pack(&["--may-contain", "OTHER"]).assert_code(1);
    pack(&["--may-contain", "MY_KEY"]).assert_code(0);

    fs::rename(
        folder(&home).join("app/a.py"),
        folder(&home).join(format!("app/{VALUE}.py")),
    )
    .unwrap();
    let refused = pack(&["--replace"]).assert_code(1);
    says(&refused, "the name of a file: MY_KEY");
    assert!(!format!("{refused:?}").contains(VALUE), "{refused:?}");
}

#[test]
fn a_vault_that_would_ask_is_not_opened_and_that_is_said() {
    let home = home_with_app();
    write(&home, "phrase", "correct horse battery staple");
    let init = [
        "init",
        "--provider",
        "passphrase",
        "--new-passphrase-file",
        "phrase",
    ];
    mira(&home, &init).run().assert_code(0);
    mira(&home, &["lock"]).run().assert_code(0);
    says(
        &ok(&home, &["pack", "app", "-o", "a.mira"]),
        "your vault's values were not looked for",
    );
    // No vault is nothing to tell.
    let without = home_with_app();
    let run = ok(&without, &["pack", "app", "-o", "a.mira"]);
    assert_eq!(run.stderr_text(), "");
}

#[test]
fn a_key_that_signs_is_never_packed() {
    let home = home_with_app();
    for args in [&["--no-password"] as &[&str], &["--password-file", "pw"]] {
        mira(&home, &[&["keygen", "-o", "app/mine.txt"], args].concat())
            .run()
            .assert_code(0);
        let refused = mira(&home, &["pack", "app", "-o", "a.mira"])
            .run()
            .assert_code(1);
        says(&refused, "mine.txt is a secret key that signs packages");
        for name in ["mine.txt", "mine.pub"] {
            fs::remove_file(folder(&home).join("app").join(name)).unwrap();
        }
    }
    ok(&home, &["pack", "app", "-o", "a.mira"]);
}
