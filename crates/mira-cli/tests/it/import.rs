//! `mira import` from dotenv files.

use crate::support::{keyfile_home, list, mira, set};

#[test]
fn a_dotenv_file_is_taken_and_its_plaintext_removed() {
    let home = keyfile_home();
    let file = home.path().join("app.env");
    std::fs::write(
        &file,
        "# app\nOPENAI_API_KEY=sk-proj-1234567890\nPORT=3000\n",
    )
    .unwrap();
    let path = file.to_str().unwrap();
    let args = ["import", "--only", "OPENAI_API_KEY", "--yes", path];
    let kept = mira(&home, &args).run().assert_code(0);
    assert!(
        kept.stderr_text().contains("--remove-plaintext"),
        "{kept:?}"
    );
    assert!(kept.stderr_text().contains("18 bytes"), "{kept:?}");
    assert!(std::fs::read_to_string(&file).unwrap().contains("sk-proj-"));
    assert_eq!(list(&home).len(), 1);

    let again = [
        "import",
        "--only",
        "OPENAI_API_KEY",
        "--yes",
        "--replace",
        "--remove-plaintext",
        path,
    ];
    mira(&home, &again).run().assert_code(0);
    assert_eq!(
        std::fs::read_to_string(&file).unwrap(),
        "# app\nPORT=3000\n"
    );
    assert_eq!(list(&home)[0]["version"], 2);

    mira(&home, &["import", "--yes", "--remove-plaintext", path])
        .run()
        .assert_code(0);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "# app\n");
    assert_eq!(list(&home).len(), 2);
}

#[test]
fn nothing_is_replaced_or_taken_without_consent() {
    let home = keyfile_home();
    set(&home, "KEY", "the-saved-value");
    let from_stdin = |args: &[&str]| {
        mira(&home, args)
            .stdin_bytes("KEY=the-file-value\nNEW=fresh-value\n")
            .run()
    };
    let asked = from_stdin(&["import", "-"]).assert_code(3);
    assert!(asked.stderr_text().contains("--yes"), "{asked:?}");
    assert_eq!(list(&home).len(), 1);
    let taken = from_stdin(&["import", "--yes", "-"]).assert_code(0);
    assert!(taken.stderr_text().contains("left as it is"), "{taken:?}");
    let versions: Vec<_> = list(&home)
        .iter()
        .map(|entry| entry["version"].clone())
        .collect();
    assert_eq!(versions, [1, 1]);
    let missing = from_stdin(&["import", "--yes", "--only", "OTHER", "-"]).assert_code(3);
    assert!(missing.stderr_text().contains("OTHER"), "{missing:?}");
}

#[test]
fn a_broken_file_takes_nothing_and_shows_nothing() {
    let home = keyfile_home();
    let broken = mira(&home, &["import", "--yes", "-"])
        .stdin_bytes("GOOD=value-one\nBAD=\"sk-proj-canary\n")
        .run()
        .assert_code(1);
    assert!(broken.stderr_text().contains("line 2"), "{broken:?}");
    assert!(!broken.stderr_text().contains("canary"), "{broken:?}");
    assert!(list(&home).is_empty());
    mira(&home, &["import", "--yes", "/no/such/file"])
        .run()
        .assert_code(1);
}
