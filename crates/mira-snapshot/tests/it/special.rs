//! What is not an ordinary file, and files that are not what they were a moment ago.

use std::fs;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;

use mira_snapshot::{Options, Place, Repository, SkippedKind, SnapshotError, Volume};

use crate::support::{Fixture, contents, noise, options, secrets};

#[test]
fn sockets_and_pipes_are_skipped_and_told() {
    let fixture = Fixture::new();
    fixture.write("file", "content");
    let _socket = UnixListener::bind(fixture.data().join("socket")).unwrap();
    let fifo = fixture.data().join("fifo");
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, mode).unwrap();
    let report = fixture.take().unwrap();
    let skipped: Vec<_> = report
        .skipped
        .iter()
        .map(|one| (&*one.path, one.kind))
        .collect();
    let expected = [
        ("/data/fifo", SkippedKind::Fifo),
        ("/data/socket", SkippedKind::Socket),
    ];
    assert_eq!(skipped, expected);
    assert_eq!(report.snapshot.files, 1);
}

#[test]
fn links_are_stored_as_links_and_lead_nowhere() {
    let fixture = Fixture::new();
    let outside = fixture.folder().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("private"), "not the app's").unwrap();
    let link = |target: &str, name: &str| {
        std::os::unix::fs::symlink(target, fixture.data().join(name)).unwrap();
    };
    link("../../outside", "folder");
    link("../../outside/private", "file");
    link("nowhere", "dangling");
    link(".", "itself");
    let before = contents(&fixture.data());
    let report = fixture.take().unwrap();
    assert!(!String::from_utf8_lossy(&fixture.decrypted()).contains("not the app's"));
    fs::remove_file(fixture.data().join("folder")).unwrap();
    fixture.restore(&report.snapshot.id);
    assert_eq!(contents(&fixture.data()), before);
}

#[test]
fn hard_links_and_holes_come_back() {
    let fixture = Fixture::new();
    fixture.write("one", "content");
    fs::hard_link(fixture.data().join("one"), fixture.data().join("two")).unwrap();
    let holes = fs::File::create(fixture.data().join("holes")).unwrap();
    holes.set_len(64 << 20).unwrap();
    holes.write_all_at(b"end", (64 << 20) - 3).unwrap();
    let before = contents(&fixture.data());
    let report = fixture.take().unwrap();
    fixture.write("three", "later");
    fixture.restore(&report.snapshot.id);
    assert_eq!(contents(&fixture.data()), before);
    let inode = |name: &str| fs::metadata(fixture.data().join(name)).unwrap().ino();
    assert_eq!(inode("one"), inode("two"));
    let blocks = fs::metadata(fixture.data().join("holes")).unwrap().blocks();
    assert!(blocks < 1024, "{blocks} blocks for a file of holes");
}

#[test]
fn modes_times_and_attributes_come_back() {
    let fixture = Fixture::new();
    fixture.write("sub/file", "content");
    let path = fixture.data().join("sub/file");
    let flags = rustix::fs::XattrFlags::empty();
    rustix::fs::setxattr(&path, "user.note", b"\x00\xffbytes", flags).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o4751)).unwrap();
    let folder = fixture.data().join("sub");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o1550)).unwrap();
    let before = contents(&fixture.data());
    let report = fixture.take().unwrap();
    fixture.restore(&report.snapshot.id);
    assert_eq!(contents(&fixture.data()), before);
    let mut value = vec![0; 16];
    let len = rustix::fs::getxattr(&path, "user.note", value.as_mut_slice()).unwrap();
    assert_eq!(&value[..len], b"\x00\xffbytes");
    // A folder without the right to write in it does not stand in a later restore's way.
    fixture.restore(&report.snapshot.id);
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn volumes_keep_their_names_and_have_good_ones() {
    let fixture = Fixture::new();
    let media = fixture.folder().join("state/some-other-place");
    fs::create_dir(&media).unwrap();
    fs::write(media.join("picture"), "bytes").unwrap();
    fixture.write("file", "content");
    let volumes = [
        Volume::new("media", &media),
        Volume::new("data", fixture.data()),
    ];
    let none = secrets(&[]);
    let take = |volumes: &[Volume]| {
        fixture
            .repository
            .snapshot(volumes, &none, &options(), &mut |_| {})
    };
    let report = take(&volumes).unwrap();
    assert_eq!(report.snapshot.volumes, ["data", "media"]);
    let id = report.snapshot.id;
    let picture = fixture.restic_ok(&["dump", id.as_str(), "/media/picture"]);
    assert_eq!(picture, "bytes");
    // One volume alone goes back, and to another place, too.
    let target = [Volume::new("media", fixture.folder().join("state/data"))];
    fixture
        .repository
        .restore(&id, &target, &mut |_| {})
        .unwrap();
    assert!(fixture.data().join("picture").exists());

    let missing = [Volume::new("cache", fixture.data())];
    let error = fixture
        .repository
        .restore(&id, &missing, &mut |_| {})
        .unwrap_err();
    assert!(
        matches!(error, SnapshotError::NoSuchVolume { .. }),
        "{error}"
    );
    for name in ["", ".", "..", "a/b", ".hidden", "a b", "ä"] {
        let error = take(&[Volume::new(name, fixture.data())]).unwrap_err();
        assert!(
            matches!(error, SnapshotError::VolumeName { .. }),
            "{name}: {error}"
        );
    }
    let twice = [
        Volume::new("data", &media),
        Volume::new("data", fixture.data()),
    ];
    assert!(matches!(
        take(&twice),
        Err(SnapshotError::VolumeName { .. })
    ));
    assert!(matches!(take(&[]), Err(SnapshotError::VolumeName { .. })));
}

#[test]
fn a_volume_that_is_not_there_is_an_error_that_names_it() {
    let fixture = Fixture::new();
    fs::remove_dir(fixture.data()).unwrap();
    let error = fixture.take().unwrap_err();
    assert!(error.to_string().contains("/data ("), "{error}");
    assert!(matches!(error, SnapshotError::Unreadable { .. }), "{error}");
    assert!(fixture.repository.list().unwrap().is_empty());
}

/// A writer that shortens and lengthens a file as fast as it can: whatever is stored fits what is said of it.
fn changing(size: usize) {
    use std::sync::atomic::{AtomicBool, Ordering};
    let fixture = Fixture::new();
    fixture.write("busy", noise(1, size));
    let stop = AtomicBool::new(false);
    let taken = std::thread::scope(|scope| {
        let path = fixture.data().join("busy");
        scope.spawn(|| {
            let file = fs::OpenOptions::new().write(true).open(path).unwrap();
            let mut number = 0_u64;
            while !stop.load(Ordering::Relaxed) {
                number += 1;
                file.set_len(size as u64 - number % 4096).unwrap();
                let bytes = number.to_le_bytes();
                file.write_all_at(&bytes, number % 4096).unwrap();
            }
        });
        let taken = fixture.take();
        stop.store(true, Ordering::Relaxed);
        taken
    });
    match taken {
        Ok(report) => {
            // A small one may have been read between two changes.
            assert!(size < 8 << 20 || report.changed == ["/data/busy"]);
            fixture.restore(&report.snapshot.id);
        }
        Err(SnapshotError::Unstable { files }) => assert_eq!(files, ["/data/busy"]),
        Err(error) => panic!("{error}"),
    }
    fixture.restic_ok(&["check", "--read-data"]);
    let report = fixture.take().unwrap();
    assert_eq!(report.changed, [""; 0]);
    let before = contents(&fixture.data());
    fixture.restore(&report.snapshot.id);
    assert_eq!(contents(&fixture.data()), before);
}

#[test]
fn a_large_file_that_changes_all_the_time_is_stored_whole_or_told() {
    changing(9 << 20);
}

#[test]
fn a_small_file_that_changes_all_the_time_is_stored_whole_or_told() {
    changing(1 << 20);
}

#[test]
fn progress_is_told_on_the_callers_thread_and_adds_up() {
    let fixture = Fixture::new();
    fixture.write("a", noise(1, 3 << 20));
    fixture.write("b", noise(2, 9 << 20));
    let here = std::thread::current().id();
    let mut last = mira_snapshot::Progress::default();
    let report = fixture
        .repository
        .snapshot(&fixture.volumes(), &secrets(&[]), &options(), &mut |now| {
            assert_eq!(std::thread::current().id(), here);
            assert!(now.files >= last.files && now.bytes >= last.bytes);
            last = now;
        })
        .unwrap();
    assert_eq!((last.files, last.bytes), (2, 12 << 20));
    assert_eq!(
        (report.snapshot.files, report.snapshot.bytes),
        (2, 12 << 20)
    );
    let mut last = mira_snapshot::Progress::default();
    let restored = fixture
        .repository
        .restore(&report.snapshot.id, &fixture.volumes(), &mut |now| {
            last = now
        })
        .unwrap();
    assert_eq!((last.files, last.bytes), (2, 12 << 20));
    assert_eq!((restored.files, restored.bytes), (2, 12 << 20));
}

#[test]
fn an_unreadable_file_is_named() {
    if rustix::process::geteuid().is_root() {
        // Root reads everything; an I/O error stands for the refusal: a folder's entry that cannot be opened.
        return;
    }
    let fixture = Fixture::new();
    fixture.write("closed", "content");
    let closed = fixture.data().join("closed");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o0)).unwrap();
    let error = fixture.take().unwrap_err();
    assert!(error.to_string().contains("/data/closed ("), "{error}");
}

#[test]
fn places_have_names() {
    assert_eq!(Place::LinkTarget.to_string(), "link target");
    assert!(!Options::default().leave_out);
    assert_ne!(
        format!("{:?}", Repository::make_password().unwrap()),
        String::new()
    );
}
