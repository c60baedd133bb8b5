//! What packages promise, tested through the crate's public API.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on ends here, and says where"
)]

mod common;
mod hostile;
mod manifest;
mod manifest_template;
mod packing;
mod sealed;
mod signature;
mod unpacked;

#[test]
fn every_file_is_part_of_the_suite() {
    let main = include_str!("main.rs");
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it");
    for entry in std::fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let module = name.strip_suffix(".rs").unwrap();
        assert!(
            module == "main" || main.contains(&format!("mod {module};")),
            "{name}"
        );
    }
}
