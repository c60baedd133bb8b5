//! Packages of any bytes: nothing panics, what is opened is described by its own digest manifest, and reading it twice
//! gives the same.
//!
//! The first byte chooses what the rest is: a whole file; or changes to a package that is good.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use mira_package::archive::{Limits, Opened, PackOptions, Package, pack};
use mira_package::digest::{Digest, Digests};
use mira_package::path::PackagePath;

static GOOD: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let place = tempfile::tempdir().expect("a temporary folder");
    let folder = place.path().join("app");
    std::fs::create_dir_all(folder.join("lib")).expect("a folder");
    for (name, content) in [
        ("mira.yaml", "kind: mira.app/v1\n"),
        ("lib/a", "aaaa"),
        ("für", ""),
    ] {
        std::fs::write(folder.join(name), content).expect("a file");
    }
    let package = place.path().join("app.mira");
    pack(&folder, &package, &PackOptions::default()).expect("it can be packed");
    std::fs::read(package).expect("it was packed")
});

static GOOD_CONTENT: LazyLock<(Digest, Vec<Vec<u8>>)> =
    LazyLock::new(|| read(&GOOD).expect("it is good"));

fn changed(changes: &[u8]) -> Vec<u8> {
    let mut bytes = GOOD.clone();
    for change in changes.chunks_exact(3) {
        let at = usize::from(u16::from_le_bytes([change[0], change[1]])) % bytes.len();
        bytes[at] ^= change[2];
    }
    bytes
}

fn read(bytes: &[u8]) -> Option<(Digest, Vec<Vec<u8>>)> {
    let opened = Package::from_bytes(bytes.to_vec(), Limits::default()).ok()?;
    let Opened::Package(mut package) = opened else {
        return None;
    };
    let files = package.digests().files().to_vec();
    let contents = files
        .iter()
        .map(|file| package.read(file.path.as_str(), 1 << 20).ok().flatten())
        .collect::<Option<Vec<_>>>()?;
    for (file, content) in files.iter().zip(&contents) {
        assert_eq!(Digest::of(content), file.sha256);
        assert_eq!(file.path.as_str().parse(), Ok(file.path.clone()));
        let below = file.path.below(std::path::Path::new("/x"));
        let plain = |part| matches!(part, std::path::Component::Normal(_));
        assert!(below.components().skip(1).all(plain), "{below:?}");
    }
    let document = package.digests().to_bytes();
    assert_eq!(Digests::parse(&document).as_ref(), Ok(package.digests()));
    Some((package.digest(), contents))
}

fuzz_target!(|data: &[u8]| {
    let Some((choice, rest)) = data.split_first() else {
        return;
    };
    match choice % 3 {
        0 => drop(read(rest)),
        1 => {
            if let Some(found) = read(&changed(rest)) {
                assert_eq!(
                    found, *GOOD_CONTENT,
                    "a change that is not noticed changes nothing"
                );
            }
        }
        _ => {
            if let Ok(path) = String::from_utf8_lossy(rest).parse::<PackagePath>() {
                assert!(!path.as_str().contains(['\\', '\0', ':']));
            }
            Digests::parse(rest).ok();
        }
    }
});
