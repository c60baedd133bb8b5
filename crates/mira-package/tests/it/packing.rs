//! Packing: what goes in, what does not, and that it is the same every time.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, SystemTime};

use mira_package::archive::{
    LayoutError, Limits, OpenError, Opened, PackError, PackOptions, Package, pack,
};
use mira_package::digest::{DIGESTS_PATH, Digest};
use mira_package::path::PathError;
use mira_package::sealed;
use mira_testkit::canary::{Canary, Sweep};
use mira_testkit::home::TestHome;
use proptest::prelude::*;

use crate::common::{App, Pair, cheap, passphrase, secret, set_mode};

fn refused(app: &App) -> PackError {
    let error =
        pack(&app.folder(), &app.package(), &PackOptions::default()).expect_err("it is refused");
    assert!(!app.package().exists());
    let left = fs::read_dir(app.place.path()).expect("our folder").count();
    assert!(left <= 2, "nothing is left beside the folder");
    error
}

#[test]
fn the_same_files_make_the_same_bytes() {
    let names = ["z", "a/b/c.txt", "a.txt", "für/日本", "A-B", "empty"];
    let make = |names: &[&str], mode: u32, time: u64| {
        let app = App::new();
        for name in names {
            app.put(name, name.repeat(1000));
            let file = app.folder().join(name);
            set_mode(&file, mode);
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(time);
            fs::File::open(&file).unwrap().set_modified(time).unwrap();
        }
        app.put("empty", "");
        fs::create_dir(app.folder().join("an empty folder")).unwrap();
        app.pack();
        app.bytes()
    };
    let mut backwards = names;
    backwards.reverse();
    let first = make(&names, 0o644, 0);
    assert_eq!(make(&backwards, 0o600, 1_700_000_000), first);
    assert_eq!(make(&names, 0o466, 4_000_000_000), first);
    assert_ne!(make(&names, 0o755, 0), first);
    // Written down once: another compressor or layout is a change of the format.
    let digest = Digest::of(&first).to_string();
    assert_eq!(
        digest,
        "0ba2296c8e8dd637e5f698a418bb883dc1979c73dbc9b0f36b01b18c219b0f85"
    );
}

#[test]
fn python_and_unzip_read_what_is_packed() {
    let app = App::new();
    app.put("für/日本.txt", "y");
    let packed = app.pack();
    let home = TestHome::new();
    let script = "import json, sys, zipfile\n\
        z = zipfile.ZipFile(sys.argv[1])\n\
        assert z.testzip() is None\n\
        d = json.loads(z.read('mira.digests.json'))\n\
        assert [i.filename for i in z.infolist()] == sorted([f['path'] for f in d['files']] + ['mira.digests.json'])\n\
        assert all(i.date_time == (1980, 1, 1, 0, 0, 0) and not i.extra for i in z.infolist())\n\
        print(oct(z.getinfo('web.py').external_attr >> 16), z.read('für/日本.txt').decode())";
    let python = home
        .mira("python3")
        .args(["-c", script])
        .arg(app.package())
        .run();
    assert_eq!(python.assert_code(0).stdout_text(), "0o100755 y\n");
    let out = home.path().join("out");
    let unzip = home
        .mira("unzip")
        .arg("-q")
        .arg(app.package())
        .arg("-d")
        .arg(&out)
        .run();
    unzip.assert_code(0);
    assert_eq!(fs::read(out.join("für/日本.txt")).unwrap(), b"y");
    let listed = fs::read(out.join(DIGESTS_PATH)).unwrap();
    assert_eq!(Digest::of(&listed), packed.digests.digest());
    assert_eq!(packed.bytes, app.bytes().len() as u64);
}

#[test]
fn what_is_ignored_stays_out() {
    let app = App::new();
    for left in [
        ".git/config",
        "sub/.git/x",
        ".web.py.swp",
        "web.py~",
        "#web.py#",
        ".#web.py",
        ".DS_Store",
        "a/__pycache__/x.pyc",
        "old.mira",
        "old.mira.minisig",
        ".env",
        "build/out",
        "notes.txt",
        "a/notes.txt",
    ] {
        app.put(left, "left out");
    }
    app.put("keep/notes.txt", "kept");
    app.put("keep/.web.py.swp", "kept");
    app.put(
        ".miraignore",
        "# mine\n.env\n/build/\nnotes.txt\n!keep/notes.txt\n!keep/.web.py.swp\n",
    );
    app.pack();
    assert_eq!(
        app.paths(),
        ["keep/.web.py.swp", "keep/notes.txt", "mira.yaml", "web.py"]
    );
}

#[test]
fn what_looks_like_a_mistake_is_refused() {
    let app = App::new();
    for name in [
        ".env",
        "config/secrets.env",
        ".env.production",
        "keys/id_ed25519",
    ] {
        app.put(name, "KEY=canary");
        let error = refused(&app);
        assert!(
            matches!(&error, PackError::PlaintextSecrets { path } if path == name),
            "{error}"
        );
        assert!(error.to_string().contains(".miraignore"));
        fs::remove_file(app.folder().join(name)).unwrap();
    }
    app.put(".env.example", "KEY=");
    app.put("secrets.encrypted", "KEY=canary");
    assert!(matches!(refused(&app), PackError::SecretsNotSealed));
    fs::remove_file(app.folder().join("secrets.encrypted")).unwrap();
    app.put("sub/mira.yaml", "");
    fs::remove_file(app.folder().join("mira.yaml")).unwrap();
    assert!(matches!(refused(&app), PackError::NoManifest));
    assert!(matches!(
        pack(
            Path::new("/nonexistent"),
            &app.package(),
            &PackOptions::default()
        ),
        Err(PackError::Io { .. })
    ));
}

#[test]
fn links_stay_inside_and_only_files_are_packed() {
    let app = App::new();
    app.put("real/data.txt", "content");
    let link = app.folder().join("link");
    symlink("real/data.txt", &link).unwrap();
    app.pack();
    assert_eq!(app.open().read("link", 100).unwrap().unwrap(), b"content");
    fs::remove_file(app.package()).unwrap();

    let check = |target: &str, expect: fn(&PackError) -> bool| {
        fs::remove_file(&link).unwrap();
        symlink(target, &link).unwrap();
        let error = refused(&app);
        assert!(expect(&error), "{target}: {error}");
    };
    fs::write(app.place.path().join("outside"), "canary").unwrap();
    check("../outside", |error| {
        matches!(error, PackError::LinkOut { .. })
    });
    check("/etc/passwd", |error| {
        matches!(error, PackError::LinkOut { .. })
    });
    check("real", |error| matches!(error, PackError::Kind { .. }));
    check("nowhere", |error| matches!(error, PackError::Io { .. }));
    check("link", |error| matches!(error, PackError::Io { .. }));
    fs::remove_file(&link).unwrap();
    app.put(".miraignore", ".env");
    app.put(".env", "KEY=canary");
    symlink(".env", &link).unwrap();
    assert!(matches!(refused(&app), PackError::PlaintextSecrets { path } if path == "link"));
    fs::remove_file(&link).unwrap();
    let socket = std::os::unix::net::UnixListener::bind(app.folder().join("socket")).unwrap();
    assert!(matches!(refused(&app), PackError::Kind { path } if path == "socket"));
    drop(socket);
}

#[test]
fn names_that_some_system_cannot_have_are_refused() {
    for (name, error) in [
        ("a:b", PathError::Character),
        ("line\nbreak", PathError::Character),
        ("aux.txt", PathError::Reserved),
        ("fu\u{308}r", PathError::NotComposed),
    ] {
        let app = App::new();
        app.put(name, "");
        assert!(matches!(refused(&app), PackError::Path { error: found, .. } if found == error));
    }
    let app = App::new();
    app.put("README", "");
    app.put("readme", "");
    assert!(matches!(refused(&app), PackError::Digests(_)));
    let app = App::new();
    app.put(DIGESTS_PATH, "");
    assert!(matches!(refused(&app), PackError::Digests(_)));
    let app = App::new();
    let name = std::os::unix::ffi::OsStrExt::from_bytes(b"f\xfc");
    fs::write(app.folder().join::<&std::ffi::OsStr>(name), "").unwrap();
    assert!(matches!(refused(&app), PackError::NotText { .. }));
}

#[test]
fn nothing_is_packed_that_would_not_be_opened() {
    let app = App::new();
    app.put("zeros", vec![0; 20 << 20]);
    assert!(matches!(
        refused(&app),
        PackError::Refused(LayoutError::Unpacked { .. })
    ));
    let app = App::new();
    let with = |change: fn(&mut Limits)| {
        let mut options = PackOptions::default();
        change(&mut options.limits);
        pack(&app.folder(), &app.package(), &options).unwrap_err()
    };
    assert!(matches!(
        with(|limits| limits.files_max = 1),
        PackError::Files { max: 1 }
    ));
    assert!(matches!(
        with(|limits| limits.package_bytes_max = 9),
        PackError::TooLong { max: 9, .. }
    ));
    let error = with(|limits| limits.file_bytes_max = 3);
    assert!(matches!(
        error,
        PackError::Refused(LayoutError::FileSize { .. })
    ));
}

#[test]
fn a_package_that_is_there_is_replaced_whole_or_not_at_all() {
    let app = App::new();
    app.pack();
    let before = app.bytes();
    app.put(".env", "KEY=canary");
    assert!(pack(&app.folder(), &app.package(), &PackOptions::default()).is_err());
    assert_eq!(app.bytes(), before);
    fs::remove_file(app.folder().join(".env")).unwrap();
    app.put("more", "more");
    app.pack();
    assert_ne!(app.bytes(), before);
}

#[test]
fn secrets_go_in_sealed_only() {
    let canaries = Canary::generate();
    let values: Vec<_> = canaries
        .iter()
        .filter(|canary| std::str::from_utf8(canary.value()).is_ok())
        .map(|canary| (canary.name(), canary.value()))
        .collect();
    let secrets = crate::common::secrets(&values);
    let seal = || sealed::seal(&secrets, &cheap("open sesame")).unwrap();
    let app = App::new();
    let mut options = PackOptions::default();
    options.sealed = Some(seal());
    app.pack_with(&options);
    let mut package = app.open();
    let found = package.sealed().unwrap().unwrap();
    assert_eq!(found.open(&passphrase("open sesame")).unwrap(), secrets);
    let sweep = Sweep::new(&canaries);
    sweep.folder(app.place.path()).assert_clean();
    app.put("secrets.encrypted", seal().as_bytes());
    assert!(matches!(
        pack(&app.folder(), &app.package(), &options),
        Err(PackError::SecretsTwice)
    ));
    app.pack();
    assert!(app.open().sealed().unwrap().is_some());
}

#[test]
fn an_encrypted_package_opens_with_its_password_and_with_age() {
    let home = TestHome::new();
    let pair = Pair::make(&home);
    let app = App::new();
    // Several chunks of age's stream, of which the last one is full or nearly.
    let noise: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..))
        .take(300_000)
        .collect();
    app.put("noise", &noise);
    let plain = app.pack();
    let bytes = app.bytes();
    for (recipients, key) in [
        (cheap("one"), passphrase("one")),
        (pair.recipients(), pair.key()),
    ] {
        let mut options = PackOptions::default();
        options.encrypt = Some(recipients);
        assert_eq!(app.pack_with(&options).digests, plain.digests);
        let Opened::Encrypted(encrypted) = Package::open(&app.package(), app.place.path()).unwrap()
        else {
            panic!("it is encrypted");
        };
        assert_eq!(encrypted.blob(), Digest::of(&app.bytes()));
        let mut package = encrypted.open(&key).unwrap();
        package.verify().unwrap();
        assert!(package.is_encrypted());
        assert_eq!(package.digest(), plain.digests.digest());
        assert_eq!(package.read("noise", u64::MAX).unwrap().unwrap(), noise);
        let wrong = encrypted.open(&passphrase("another"));
        assert!(
            matches!(wrong, Err(OpenError::Age(mira_age::AgeError::WrongKey))),
            "{wrong:?}"
        );
    }
    let identity = home.path().join("identity");
    fs::write(&identity, &pair.identity).unwrap();
    let age = |arguments: &[&str], from: &Path| {
        let run = home.mira("age").args(arguments).arg(from).run();
        run.assert_code(0).stdout.clone()
    };
    assert_eq!(
        age(&["-d", "-i", identity.to_str().unwrap()], &app.package()),
        bytes
    );
    // And the other way round.
    fs::write(app.package(), &bytes).unwrap();
    let by_age = age(&["-r", &pair.recipient], &app.package());
    let Opened::Encrypted(encrypted) = Package::from_bytes(by_age, Limits::default()).unwrap()
    else {
        panic!("it is encrypted");
    };
    assert!(!encrypted.asks_for_passphrase().unwrap());
    encrypted.open(&pair.key()).unwrap().verify().unwrap();
    let armored = age(&["-a", "-r", &pair.recipient], &app.package());
    let refused = Package::from_bytes(armored, Limits::default());
    assert!(matches!(refused, Err(OpenError::Armored)));
}

#[test]
fn an_encrypted_package_that_was_changed_is_refused() {
    let home = TestHome::new();
    let pair = Pair::make(&home);
    let app = App::new();
    let mut options = PackOptions::default();
    options.encrypt = Some(pair.recipients());
    app.pack_with(&options);
    let bytes = app.bytes();
    let open = |bytes: Vec<u8>| match Package::from_bytes(bytes, Limits::default())? {
        Opened::Encrypted(encrypted) => encrypted.open(&pair.key())?.verify(),
        _ => panic!("it is encrypted"),
    };
    open(bytes.clone()).unwrap();
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        assert!(open(changed).is_err(), "byte {at}");
        assert!(open(bytes[..at].to_vec()).is_err(), "cut at {at}");
    }
    let longer = [&bytes[..], b"x"].concat();
    assert!(open(longer).is_err());
    let keys = mira_age::Key::Identities(secret("# none\n"));
    let Opened::Encrypted(encrypted) = Package::from_bytes(bytes, Limits::default()).unwrap()
    else {
        panic!("it is encrypted");
    };
    assert!(encrypted.open(&keys).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn what_is_packed_comes_out(
        files in proptest::collection::btree_map("f[a-z]{0,7}(/f[a-z0-9 _é]{0,8}[a-z]){0,2}", proptest::collection::vec(any::<u8>(), 0..2000), 0..8),
    ) {
        let app = App::new();
        let mut kept = Vec::new();
        for (path, content) in &files {
            let file = app.folder().join(path);
            // One path may be another's folder.
            if fs::create_dir_all(file.parent().unwrap()).is_ok() && fs::write(&file, content).is_ok() {
                kept.push((path, content));
            }
        }
        app.pack();
        let mut package = app.open();
        prop_assert_eq!(package.digests().files().len(), kept.len() + 2);
        for (path, content) in kept {
            prop_assert_eq!(&package.read(path, u64::MAX).unwrap().unwrap(), content);
        }
    }
}
