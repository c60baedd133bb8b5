//! Unpacked copies: whole, read-only, verified, and whole again after anything.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use mira_package::archive::{OpenError, Opened, Package};
use mira_package::digest::DIGESTS_PATH;
use mira_package::unpacked::{Packages, UnpackError};

use crate::common::{App, set_mode};

struct Place {
    app: App,
    packages: Packages,
    folder: PathBuf,
}

impl Place {
    fn new() -> Self {
        let app = App::new();
        app.put("lib/deep/data.txt", "content");
        app.pack();
        let folder = app.place.path().join("packages");
        fs::create_dir(&folder).expect("our folder");
        let packages = Packages::new(folder.clone());
        Self {
            app,
            packages,
            folder,
        }
    }

    fn names(&self) -> Vec<String> {
        names(&self.folder)
    }
}

fn names(folder: &Path) -> Vec<String> {
    let listed = fs::read_dir(folder).expect("our folder");
    listed
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .into_string()
                .expect("an entry")
        })
        .collect()
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).expect("it is there").mode() & 0o7777
}

#[test]
fn a_copy_is_whole_read_only_and_named_by_its_digest() {
    let place = Place::new();
    let mut package = place.app.open();
    let digest = package.digest();
    assert_eq!(place.packages.find(&digest).unwrap(), None);
    let copy = place.packages.unpack(&mut package).unwrap();
    assert_eq!(copy.folder, place.folder.join(digest.to_string()));
    assert_eq!(
        fs::read(copy.folder.join("lib/deep/data.txt")).unwrap(),
        b"content"
    );
    assert_eq!(&copy.digests, package.digests());
    for (path, expected) in [
        ("", 0o555),
        ("lib", 0o555),
        ("lib/deep/data.txt", 0o444),
        ("web.py", 0o555),
        (DIGESTS_PATH, 0o444),
    ] {
        assert_eq!(mode(&copy.folder.join(path)), expected, "{path}");
    }
    let inode = fs::metadata(&copy.folder).unwrap().ino();
    assert_eq!(place.packages.unpack(&mut package).unwrap(), copy);
    assert_eq!(
        fs::metadata(&copy.folder).unwrap().ino(),
        inode,
        "it is used again"
    );
    assert_eq!(place.packages.find(&digest).unwrap(), Some(copy));
    assert_eq!(place.packages.list().unwrap(), [digest]);

    assert!(place.packages.remove(&digest).unwrap());
    assert!(!place.packages.remove(&digest).unwrap());
    assert_eq!(place.names(), [""; 0]);
}

#[test]
fn a_changed_copy_is_refused_and_made_again() {
    let place = Place::new();
    let mut package = place.app.open();
    let digest = package.digest();
    let copy = place.packages.folder_of(&digest);
    let open_up = |path: &str| {
        for folder in ["", "lib", "lib/deep"] {
            set_mode(&copy.join(folder), 0o755);
        }
        set_mode(&copy.join(path), 0o644);
    };
    let close = || {
        for folder in ["", "lib", "lib/deep"] {
            set_mode(&copy.join(folder), 0o555);
        }
    };
    let changes: &[(&str, &dyn Fn())] = &[
        ("lib/deep/data.txt", &|| {
            fs::write(copy.join("lib/deep/data.txt"), "CONTENT").unwrap();
            set_mode(&copy.join("lib/deep/data.txt"), 0o444);
        }),
        ("lib/deep/data.txt", &|| {
            fs::write(copy.join("lib/deep/data.txt"), "longer content").unwrap()
        }),
        ("lib/deep/data.txt", &|| {
            fs::remove_file(copy.join("lib/deep/data.txt")).unwrap()
        }),
        ("lib/deep/data.txt", &|| {
            set_mode(&copy.join("lib/deep/data.txt"), 0o644)
        }),
        ("lib/deep/data.txt", &|| {
            let file = copy.join("lib/deep/data.txt");
            fs::rename(&file, place.app.place.path().join("moved")).unwrap();
            symlink("/dev/null", &file).unwrap();
        }),
        ("web.py", &|| set_mode(&copy.join("web.py"), 0o444)),
        ("lib/more", &|| {
            fs::write(copy.join("lib/more"), "").unwrap()
        }),
        ("lib", &|| {
            fs::rename(
                copy.join("lib"),
                place.app.place.path().join(fastrand::u64(..).to_string()),
            )
            .unwrap();
        }),
    ];
    for (path, change) in changes {
        place.packages.unpack(&mut package).unwrap();
        open_up(if copy.join(path).exists() { path } else { "" });
        if *path != "web.py" {
            set_mode(&copy.join("web.py"), 0o555);
        }
        change();
        if copy.join("lib").exists() {
            close();
        } else {
            set_mode(&copy, 0o555);
        }
        let found = place.packages.find(&digest);
        let expected = |error: &UnpackError| matches!(error, UnpackError::Changed { path: found, .. } if found == path);
        assert!(found.as_ref().is_err_and(expected), "{path}: {found:?}");
        place.packages.unpack(&mut package).unwrap();
        assert!(place.packages.find(&digest).unwrap().is_some());
    }
    set_mode(&copy, 0o755);
    assert!(place.packages.find(&digest).is_err(), "writable");
    set_mode(&copy.join(DIGESTS_PATH), 0o644);
    fs::write(copy.join(DIGESTS_PATH), "{}").unwrap();
    assert!(matches!(
        place.packages.find(&digest),
        Err(UnpackError::Manifest { .. })
    ));
    place.packages.unpack(&mut package).unwrap();
    assert_eq!(place.names(), [digest.to_string()]);
    // Not even a folder.
    place.packages.remove(&digest).unwrap();
    fs::write(&copy, "").unwrap();
    assert!(place.packages.find(&digest).is_err());
    place.packages.unpack(&mut package).unwrap();
    assert!(place.packages.find(&digest).unwrap().is_some());
}

#[test]
fn a_file_without_its_digest_leaves_nothing() {
    let place = Place::new();
    // The content of a stored file, changed behind the archive's own checksum.
    let script = "import sys, zipfile, json, hashlib\n\
        files = {'mira.yaml': b'kind: mira.app/v1\\n', 'z': b'good'}\n\
        listed = [{'path': p, 'size': len(c), 'sha256': hashlib.sha256(c).hexdigest(), 'executable': False} for p, c in files.items()]\n\
        files['z'] = b'evil'\n\
        files['mira.digests.json'] = (json.dumps({'format': 'mira-package', 'version': 1, 'files': listed}, indent=2) + '\\n').encode()\n\
        z = zipfile.ZipFile(sys.argv[1], 'w')\n\
        for path in sorted(files):\n\
        \x20 info = zipfile.ZipInfo(path)\n\
        \x20 info.create_system, info.external_attr = 3, 0o100644 << 16\n\
        \x20 z.writestr(info, files[path])\n\
        z.close()";
    let made = Command::new("python3")
        .args(["-c", script])
        .arg(place.app.package())
        .status();
    assert!(made.unwrap().success());
    let Opened::Package(mut package) = Package::open(&place.app.package(), &place.folder).unwrap()
    else {
        panic!("it is not encrypted");
    };
    let refused = place.packages.unpack(&mut package);
    assert!(
        matches!(refused, Err(UnpackError::Package(OpenError::Content { path })) if path == "z")
    );
    assert_eq!(place.names(), [""; 0]);
}

#[test]
fn what_a_killed_process_left_goes_with_the_next_copy() {
    let place = Place::new();
    let mut package = place.app.open();
    let left = place.folder.join(".unpacking-left");
    let held = place.folder.join(".unpacking-held");
    for folder in [&left, &held] {
        let copy = folder.with_extension("copy");
        fs::create_dir(folder).unwrap();
        fs::create_dir(&copy).unwrap();
        fs::write(copy.join("file"), "half").unwrap();
        set_mode(&copy, 0o555);
    }
    // Somebody is still at it.
    let lock = fs::File::open(&held).unwrap();
    lock.lock().unwrap();
    let digest = package.digest();
    place.packages.unpack(&mut package).unwrap();
    let mut names = place.names();
    names.sort();
    let held = [".unpacking-held", ".unpacking-held.copy"];
    assert_eq!(names, [&held, &[&*digest.to_string()] as &[&str]].concat());
    drop(lock);
    place.packages.remove(&digest).unwrap();
    assert_eq!(place.names(), [""; 0]);
}

#[test]
#[cfg(target_os = "linux")]
fn who_has_no_more_rights_than_others_may_unpack_and_replace_and_remove() {
    use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

    // Of this thread alone: root's rights over files are gone then.
    let mut rights = capabilities(None).unwrap();
    rights.effective = CapabilitySet::empty();
    set_capabilities(None, rights).unwrap();
    let place = Place::new();
    let mut package = place.app.open();
    let digest = package.digest();
    let copy = place.packages.unpack(&mut package).unwrap().folder;
    set_mode(&copy.join("web.py"), 0o444);
    place.packages.unpack(&mut package).unwrap();
    assert!(place.packages.find(&digest).unwrap().is_some());
    assert!(place.packages.remove(&digest).unwrap());
    assert_eq!(place.names(), [""; 0]);
}

const CHILD: &str = "MIRA_TEST_UNPACK";

/// No test of its own: what the tests below start as other processes.
#[test]
fn child() {
    let Some(package) = std::env::var_os(CHILD).map(PathBuf::from) else {
        return;
    };
    let folder = package.with_file_name("packages");
    let packages = Packages::new(folder.clone());
    let Opened::Package(mut package) = Package::open(&package, &folder).unwrap() else {
        panic!("it is not encrypted");
    };
    let digest = package.digest();
    for _ in 0..5 {
        let copy = packages.unpack(&mut package).unwrap();
        assert_eq!(copy.digests.digest(), digest);
    }
}

fn start_child(place: &Place) -> Child {
    let mut command = Command::new(std::env::current_exe().expect("a test"));
    command
        .args(["--exact", "unpacked::child"])
        .env(CHILD, place.app.package());
    command
        .stdout(std::process::Stdio::null())
        .spawn()
        .expect("it starts")
}

#[test]
fn processes_that_unpack_at_once_get_one_whole_copy() {
    let place = Place::new();
    for at in 0..80 {
        place.app.put(&format!("files/{at}"), at.to_string());
    }
    place.app.pack();
    let children: Vec<Child> = (0..6).map(|_| start_child(&place)).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let digest = place.app.open().digest();
    assert!(place.packages.find(&digest).unwrap().is_some());
    assert_eq!(place.names(), [digest.to_string()]);
}

#[test]
fn a_killed_process_leaves_nothing_that_is_believed() {
    let place = Place::new();
    for at in 0..100 {
        place.app.put(&format!("files/{at}"), at.to_string());
    }
    place.app.pack();
    let mut package = place.app.open();
    let digest = package.digest();
    for files in [0, 1, 60] {
        let mut child = start_child(&place);
        // Killed once so many files are there: or once it has ended, which proves nothing and harms nothing.
        while child.try_wait().unwrap().is_none() && written(&place) < files {
            std::thread::yield_now();
        }
        child.kill().ok();
        child.wait().unwrap();
        assert!(place.packages.find(&digest).is_ok());
        place.packages.unpack(&mut package).unwrap();
        // Leftovers go with the next copy that is made or removed.
        place.packages.remove(&digest).unwrap();
        assert_eq!(place.names(), [""; 0]);
    }
}

/// Counts the files of the copy that is being made.
fn written(place: &Place) -> usize {
    let temporary = |name: &String| name.starts_with(".unpacking-") && name.ends_with(".copy");
    let found = place.names().into_iter().find(temporary);
    let files = found.map(|name| place.folder.join(name).join("files"));
    files
        .and_then(|files| fs::read_dir(files).ok())
        .map_or(0, Iterator::count)
}
