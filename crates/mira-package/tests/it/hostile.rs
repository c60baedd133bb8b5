//! Packages that Python wrote, and what is refused of them.

use std::fs;
use std::path::Path;

use mira_package::archive::{LayoutError, Limits, OpenError, Opened, Package};
use mira_testkit::home::TestHome;

use crate::common::{App, open_bytes, plain};

/// Returns the first word of the names of packages that have the fault.
fn fault(error: &OpenError) -> &'static str {
    match error {
        OpenError::Layout(layout) => match layout {
            LayoutError::NotZip => "not-zip",
            LayoutError::End => "end",
            LayoutError::Gap { .. } => "gap",
            LayoutError::Name { .. } | LayoutError::NotText => "name",
            LayoutError::Order { .. } => "order",
            LayoutError::Kind { .. } => "kind",
            LayoutError::Feature { .. } => "feature",
            LayoutError::Differ { .. } => "differ",
            LayoutError::Files { .. } => "files",
            LayoutError::Unpacked { .. } => "unpacked",
            _ => "another",
        },
        OpenError::Digests(mira_package::digest::DigestsError::Collision { .. }) => "collision",
        OpenError::Digests(_) => "digests",
        OpenError::Missing { .. } => "missing",
        OpenError::Undescribed { .. } => "undescribed",
        OpenError::Content { .. } => "content",
        _ => "another",
    }
}

/// Runs the script that makes the packages; returns them by name.
fn packages() -> Vec<(String, Vec<u8>)> {
    let home = TestHome::new();
    let folder = home.path().join("tmp");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/hostile.py");
    home.mira("python3")
        .arg(script)
        .arg(&folder)
        .run()
        .assert_code(0);
    let listed = fs::read_dir(&folder)
        .expect("it was made")
        .map(|entry| entry.expect("it was made").path());
    let read = |path: std::path::PathBuf| {
        let name = path
            .file_name()
            .expect("a plain name")
            .to_str()
            .expect("a plain name")
            .to_owned();
        (name, fs::read(&path).expect("it is readable"))
    };
    listed.map(read).collect()
}

#[test]
fn each_hostile_package_is_refused_for_its_fault() {
    let packages = packages();
    assert!(packages.len() > 80);
    let mut wrong = Vec::new();
    for (name, bytes) in packages {
        let found = open_bytes(bytes);
        let found_fault = found.as_ref().map_or_else(fault, |_| "good");
        let rest = name.strip_prefix(found_fault);
        // One that is as large as can be is good as well.
        let fits = found_fault == "good" && name == "files-all-that-fit";
        if !fits && !rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-')) {
            wrong.push(format!("{name}: {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_changed_byte_is_noticed_or_means_nothing() {
    let app = App::new();
    app.put("data.txt", "some text that is compressed, text, text");
    app.pack();
    let (bytes, digest) = (app.bytes(), app.open().digest());
    for at in 0..bytes.len() {
        for flip in [1, 0x80] {
            let mut changed = bytes.clone();
            changed[at] ^= flip;
            // What is left is what does not matter: another version of the maker, another way to compress.
            if let Ok(package) = open_bytes(changed) {
                assert_eq!(package.digest(), digest, "byte {at}");
            }
        }
        assert!(open_bytes(bytes[..at].to_vec()).is_err(), "cut at {at}");
    }
}

#[test]
fn a_package_is_bounded() {
    let app = App::new();
    app.put("data", vec![7; 5000]);
    app.pack();
    let open = |change: fn(&mut Limits)| {
        let mut limits = Limits::default();
        change(&mut limits);
        plain(Package::open_within(
            &app.package(),
            app.place.path(),
            limits,
        ))
    };
    assert!(open(|_| {}).is_ok());
    assert!(matches!(
        open(|limits| limits.package_bytes_max = 100),
        Err(OpenError::TooLong { bytes_max: 100 })
    ));
    assert!(open(|limits| limits.files_max = 3).is_ok());
    let refused = |opened: Result<Package, OpenError>| match opened {
        Err(OpenError::Layout(error)) => error,
        other => panic!("{other:?}"),
    };
    let error = refused(open(|limits| limits.files_max = 2));
    assert_eq!(error, LayoutError::Files { found: 3, max: 2 });
    assert!(open(|limits| limits.file_bytes_max = 5000).is_ok());
    let error = refused(open(|limits| limits.file_bytes_max = 4999));
    let name = "data".to_owned();
    assert_eq!(
        error,
        LayoutError::FileSize {
            name,
            size: 5000,
            max: 4999
        }
    );
    let error = refused(open(|limits| limits.unpacked_bytes_max = 5000));
    assert!(matches!(error, LayoutError::Unpacked { max: 5000, .. }));
}

#[test]
fn what_is_no_file_is_told() {
    let app = App::new();
    let open = |path: &Path| Package::open(path, app.place.path());
    assert!(matches!(open(&app.folder()), Err(OpenError::NoFile { .. })));
    assert!(matches!(open(&app.package()), Err(OpenError::Io { .. })));
    let fifo = app.place.path().join("fifo");
    let home = TestHome::new();
    home.mira("mkfifo").arg(&fifo).run().assert_code(0);
    assert!(matches!(open(&fifo), Err(OpenError::NoFile { .. })));
}

#[test]
fn a_package_that_changes_under_us_is_read_as_it_was() {
    let app = App::new();
    // Longer than what is held in memory.
    let noise: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..))
        .take(9 << 20)
        .collect();
    app.put("noise", &noise);
    app.pack();
    for zeros in [false, true] {
        let opened = Package::open(&app.package(), app.place.path()).unwrap();
        let Opened::Package(mut package) = opened else {
            panic!("it is not encrypted");
        };
        let len = app.bytes().len();
        let other = if zeros { vec![0; len] } else { Vec::new() };
        let kept = app.bytes();
        fs::write(app.package(), other).unwrap();
        assert_eq!(
            package.read("noise", u64::MAX).unwrap(),
            Some(noise.clone())
        );
        fs::write(app.package(), kept).unwrap();
    }
    let left: Vec<_> = fs::read_dir(app.place.path()).unwrap().collect();
    assert_eq!(left.len(), 2, "{left:?}");
}
