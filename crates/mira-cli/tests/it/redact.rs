//! `mira redact`: the filter and the scanner.

use crate::support::{VALUE, keyfile_home, mira, set};

#[test]
fn the_filter_replaces_values_and_nothing_else() {
    let home = keyfile_home();
    set(&home, "KEY", VALUE);
    let binary: Vec<u8> = (0..=255u8).cycle().take(300_000).collect();
    let input = [
        &binary[..],
        format!("key={VALUE}\n").as_bytes(),
        &binary[..],
    ]
    .concat();
    let expect = [&binary[..], b"key=[redacted:KEY]\n", &binary[..]].concat();
    let run = mira(&home, &["redact"])
        .stdin_bytes(input)
        .run()
        .assert_code(0);
    assert!(run.stdout == expect);
    assert_eq!(run.stderr_text(), "");
}

#[test]
fn the_scanner_reports_offsets_and_exits_with_1() {
    let home = keyfile_home();
    set(&home, "KEY", VALUE);
    let file = home.path().join("build.log");
    let clean = home.path().join("clean.log");
    std::fs::write(&file, format!("0123456789{VALUE}\n")).unwrap();
    std::fs::write(&clean, "nothing here\n").unwrap();
    let (file, clean) = (file.to_str().unwrap(), clean.to_str().unwrap());
    let found = mira(&home, &["redact", "--scan", clean, file])
        .run()
        .assert_code(1);
    assert!(
        found
            .stdout_text()
            .starts_with(&format!("{file}:10: KEY (")),
        "{found:?}"
    );
    let json = mira(&home, &["redact", "--scan", "--json"])
        .stdin_bytes(format!("x{VALUE}"))
        .run()
        .assert_code(1);
    let list: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(
        (&list[0]["offset"], &list[0]["name"]),
        (&1.into(), &"KEY".into())
    );
    assert_eq!(list[0]["bytes"], VALUE.len());
    mira(&home, &["redact", "--scan", clean])
        .run()
        .assert_code(0);
    mira(&home, &["redact", "--scan", "/no/such/file"])
        .run()
        .assert_code(1);
    mira(&home, &["redact", clean]).run().assert_code(2);
}
