//! restore(snapshot(x)) = x, for trees of any shape.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;

use crate::support::{Fixture, contents, noise};

#[derive(Clone, Debug)]
enum Tree {
    File { bytes: usize, mode: u32 },
    Link(String),
    Folder(Vec<(Vec<u8>, Tree)>),
}

fn tree() -> impl Strategy<Value = Tree> {
    // Few of the last kind, which is read in another way: they take most of the time.
    let size = prop_oneof![
        4 => Just(0),
        6 => 1..100_usize,
        6 => 1..300_000_usize,
        1 => Just(9 << 20),
    ];
    let mode = prop_oneof![Just(0o600), Just(0o644), Just(0o755), Just(0o400)];
    let leaf = prop_oneof![
        8 => (size, mode).prop_map(|(bytes, mode)| Tree::File { bytes, mode }),
        1 => "[a-z./]{1,20}".prop_map(Tree::Link),
    ];
    leaf.prop_recursive(3, 40, 8, |inner| {
        vec((name(), inner), 0..8).prop_map(Tree::Folder)
    })
}

fn root() -> impl Strategy<Value = Tree> {
    vec((name(), tree()), 0..8).prop_map(Tree::Folder)
}

/// Names of any bytes but those that no name has.
fn name() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        6 => 0x20..0x7f_u8,
        1 => 1..0x20_u8,
        1 => 0x7f..=0xff_u8,
    ];
    vec(byte.prop_filter("no slash", |byte| *byte != b'/'), 1..24)
        .prop_filter("no dots", |name| name != b"." && name != b"..")
}

fn build(tree: &Tree, path: &Path, seed: &mut u64) {
    if fs::symlink_metadata(path).is_ok() {
        return;
    }
    *seed += 1;
    match tree {
        Tree::File { bytes, mode } => {
            fs::write(path, noise(*seed, *bytes)).unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(*mode)).unwrap();
        }
        Tree::Link(target) => std::os::unix::fs::symlink(target, path).unwrap(),
        Tree::Folder(entries) => {
            fs::create_dir(path).unwrap();
            for (name, inner) in entries {
                build(inner, &path.join(OsString::from_vec(name.clone())), seed);
            }
        }
    }
}

#[test]
fn what_is_restored_is_what_was_taken() {
    let fixture = Fixture::new();
    let config = ProptestConfig {
        cases: 12,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    proptest!(config, |(before in root(), after in root())| {
        let data = fixture.data();
        fs::remove_dir_all(&data).unwrap();
        build(&before, &data, &mut 0);
        let expected = contents(&data);
        let report = fixture.take().unwrap();
        prop_assert_eq!(&report.changed, &[""; 0]);
        // And taken again, on top of the one that was just taken.
        let again = fixture.take().unwrap();
        prop_assert_eq!(again.files_read, 0);
        fs::remove_dir_all(&data).unwrap();
        build(&after, &data, &mut 1000);
        for id in [report.snapshot.id, again.snapshot.id] {
            fixture.restore(&id);
            prop_assert_eq!(contents(&data), expected.clone());
        }
        prop_assert_eq!(fixture.left_over(), [""; 0]);
    });
    fixture.restic_ok(&["check", "--read-data"]);
}
