//! Signatures, made and checked together with the `minisign` of the system.

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::process::Command;

use mira_package::signature::{
    NewKey, PublisherKey, Signature, SignatureError, SigningKey, check, keygen, signature_path,
};
use mira_secret::SecretBytes;
use mira_testkit::home::TestHome;
use mira_testkit::terminal::Terminal;

use crate::common::{App, secret};

fn signed(key: &NewKey, content: &[u8]) -> String {
    let key = SigningKey::read(&key.secret_file, None).expect("a key");
    key.sign(content, "app 1.0.0").expect("it signs")
}

fn found(content: &[u8], signature: &str, keys: &[&PublisherKey]) -> Signature {
    check(Cursor::new(content), Some(signature.as_bytes()), keys).expect("it reads")
}

/// The files of a key pair.
struct Files {
    public: PathBuf,
    secret: PathBuf,
}

impl Files {
    fn new(home: &TestHome) -> Self {
        let [public, secret] = ["key.pub", "key.sec"].map(|name| home.path().join(name));
        Self { public, secret }
    }

    fn of(home: &TestHome, key: &NewKey) -> Self {
        let files = Self::new(home);
        fs::write(&files.public, &key.public_file).expect("our folder");
        fs::write(&files.secret, key.secret_file.expose()).expect("our folder");
        files
    }

    fn key(&self) -> PublisherKey {
        fs::read_to_string(&self.public)
            .expect("a key")
            .parse()
            .expect("a key")
    }

    fn secret(&self) -> SecretBytes {
        SecretBytes::from_vec(fs::read(&self.secret).expect("a key"))
    }

    /// Signs with minisign, which asks for the password if there is one.
    fn sign(&self, package: &Path, password: Option<&str>) {
        let mut command = Command::new("minisign");
        command.arg("-Sm").arg(package).arg("-s").arg(&self.secret);
        let mut terminal = Terminal::start(command);
        if let Some(password) = password {
            terminal.expect("Password:");
            terminal.send(format!("{password}\r"));
        }
        assert!(terminal.wait().success(), "{}", terminal.transcript());
    }
}

fn check_file(app: &App, key: &PublisherKey) -> Signature {
    let signature = fs::read(signature_path(&app.package())).expect("a signature");
    check(app.open().file(), Some(&signature), &[key]).expect("it reads")
}

#[test]
fn minisign_checks_what_was_signed() {
    let (home, app) = (TestHome::new(), App::new());
    app.pack();
    let key = keygen(None).unwrap();
    let files = Files::of(&home, &key);
    let text = SigningKey::read(&key.secret_file, None)
        .unwrap()
        .sign(app.open().file(), "app 1.0.0")
        .unwrap();
    fs::write(signature_path(&app.package()), text).unwrap();
    let verify = |key: &[&str]| {
        home.mira("minisign")
            .arg("-Vm")
            .arg(app.package())
            .args(key)
            .run()
    };
    let shown = verify(&["-p", files.public.to_str().unwrap()]).assert_code(0);
    assert!(shown.stdout_text().contains("Trusted comment: app 1.0.0"));
    verify(&["-P", &key.key.to_string()]).assert_code(0);
    assert_eq!(
        check_file(&app, &key.key),
        Signature::Valid {
            key: key.key.clone()
        }
    );
    assert_eq!(files.key(), key.key);

    fs::remove_file(signature_path(&app.package())).unwrap();
    files.sign(&app.package(), None);
    let valid = Signature::Valid {
        key: key.key.clone(),
    };
    assert_eq!(check_file(&app, &key.key), valid);

    let other = keygen(None).unwrap();
    verify(&["-P", &other.key.to_string()]).assert_code(1);
    let unknown = Signature::UnknownKey { id: key.key.id() };
    assert_eq!(check_file(&app, &other.key), unknown);
}

#[test]
fn what_minisign_signed_is_checked_and_its_keys_are_read() {
    let (home, app) = (TestHome::new(), App::new());
    app.pack();
    let files = Files::new(&home);
    let keygen = home
        .mira("minisign")
        .args(["-G", "-W", "-p"])
        .arg(&files.public);
    keygen.arg("-s").arg(&files.secret).run().assert_code(0);
    files.sign(&app.package(), None);
    let key = files.key();
    assert_eq!(
        check_file(&app, &key),
        Signature::Valid { key: key.clone() }
    );

    assert!(!SigningKey::is_protected(&files.secret()).unwrap());
    let signing = SigningKey::read(&files.secret(), None).unwrap();
    assert_eq!(signing.key().unwrap(), key);
    let text = signing
        .sign(app.open().file(), "by another program")
        .unwrap();
    fs::write(signature_path(&app.package()), text).unwrap();
    let verify = home
        .mira("minisign")
        .arg("-Vm")
        .arg(app.package())
        .arg("-p");
    verify.arg(&files.public).run().assert_code(0);

    // A damaged key signs nothing, though it has no checksum.
    let damaged = fs::read_to_string(&files.secret).unwrap();
    let (at, _) = damaged.match_indices('\n').next().unwrap();
    let mut damaged = damaged.into_bytes();
    damaged[at + 100] ^= 1;
    let damaged = SigningKey::read(&SecretBytes::from_vec(damaged), None);
    let signs = damaged.and_then(|key| key.sign(app.open().file(), "damaged"));
    assert!(signs.is_err());

    // Signatures over the file itself, as before minisign 0.6, are refused.
    let legacy = home
        .mira("minisign")
        .arg("-lSm")
        .arg(app.package())
        .arg("-s");
    legacy.arg(&files.secret).run().assert_code(0);
    assert_eq!(check_file(&app, &key), Signature::Invalid);
}

#[test]
fn a_password_protects_the_key_here_and_there() {
    let (home, app) = (TestHome::new(), App::new());
    app.pack();
    let key = keygen(Some(&secret("open sesame"))).unwrap();
    assert!(SigningKey::is_protected(&key.secret_file).unwrap());
    let read = |password: Option<&SecretBytes>| SigningKey::read(&key.secret_file, password);
    assert_eq!(
        read(Some(&secret("open sesame"))).unwrap().key().unwrap(),
        key.key
    );
    assert_eq!(read(None).err(), Some(SignatureError::PasswordNeeded));
    assert_eq!(
        read(Some(&secret("canary"))).err(),
        Some(SignatureError::WrongPassword)
    );
    let binary = SecretBytes::copy_from(b"\xff");
    assert_eq!(
        read(Some(&binary)).err(),
        Some(SignatureError::PasswordNotText)
    );
    assert_eq!(
        keygen(Some(&binary)).err(),
        Some(SignatureError::PasswordNotText)
    );
    Files::of(&home, &key).sign(&app.package(), Some("open sesame"));
    assert_eq!(
        check_file(&app, &key.key),
        Signature::Valid {
            key: key.key.clone()
        }
    );
}

/// The key is in the repository: minisign asks for 1 GiB of work each time that it makes one.
#[test]
fn a_key_that_minisign_protected_is_read() {
    let file = secret(include_str!("../data/minisign-protected.key"));
    let public: PublisherKey = include_str!("../data/minisign-protected.pub")
        .parse()
        .unwrap();
    let key = SigningKey::read(&file, Some(&secret("x"))).unwrap();
    assert_eq!(key.key().unwrap(), public);
    let text = key.sign(&b"the package"[..], "app 1.0.0").unwrap();
    let valid = Signature::Valid {
        key: public.clone(),
    };
    assert_eq!(found(b"the package", &text, &[&public]), valid);
}

#[test]
fn what_was_changed_does_not_hold() {
    let content = b"the package";
    let key = keygen(None).unwrap();
    let text = signed(&key, content);
    let valid = Signature::Valid {
        key: key.key.clone(),
    };
    assert_eq!(found(content, &text, &[&key.key]), valid);
    assert_eq!(
        check(Cursor::new(content), None, &[&key.key]),
        Ok(Signature::Missing)
    );
    assert_eq!(
        found(b"the Package", &text, &[&key.key]),
        Signature::Invalid
    );
    // What is before the first line break is the comment that nobody signs.
    let from = text.find('\n').unwrap();
    for at in from..text.len() - 1 {
        let mut changed = text.clone().into_bytes();
        changed[at] ^= 1;
        let changed = check(Cursor::new(content), Some(&changed), &[&key.key]).unwrap();
        assert_ne!(changed, valid, "byte {at}");
    }
    for len in 0..text.len() - 2 {
        assert_eq!(
            check(
                Cursor::new(content),
                Some(&text.as_bytes()[..len]),
                &[&key.key]
            ),
            Ok(Signature::Invalid),
            "{len}"
        );
    }
}

#[test]
fn what_is_no_signature_is_invalid() {
    let content = b"the package";
    let key = keygen(None).unwrap();
    let text = signed(&key, content);
    let lines: Vec<&str> = text.lines().collect();
    let with = |at: usize, line: &str| {
        let mut lines = lines.clone();
        lines[at] = line;
        found(content, &lines.join("\n"), &[&key.key])
    };
    assert!(matches!(
        with(0, "untrusted comment: another"),
        Signature::Valid { .. }
    ));
    for (at, line) in [
        (0, "comment"),
        (1, ""),
        (1, "RUR"),
        (1, lines[3]),
        (2, "trusted comment: another"),
        (2, "another"),
        (3, ""),
        (3, "AAAA"),
        (3, lines[1]),
    ] {
        assert_eq!(with(at, line), Signature::Invalid, "{at}: {line}");
    }
    for bytes in [
        &b"\xff"[..],
        b"",
        b"\n\n\n\n",
        &[b'a'; 40_000],
        &[text.as_bytes(), b"more\n"].concat(),
    ] {
        let found = check(Cursor::new(content), Some(bytes), &[&key.key]);
        assert_eq!(found, Ok(Signature::Invalid));
    }
}

#[test]
fn a_key_is_chosen_by_its_id_and_compared_whole() {
    let content = b"the package";
    let (key, other) = (keygen(None).unwrap(), keygen(None).unwrap());
    let text = signed(&key, content);
    let valid = Signature::Valid {
        key: key.key.clone(),
    };
    assert_eq!(found(content, &text, &[&other.key, &key.key]), valid);
    assert_eq!(
        found(content, &text, &[]),
        Signature::UnknownKey { id: key.key.id() }
    );
    // Somebody else's key under the same id.
    let bytes = |key: &PublisherKey| {
        data_encoding::BASE64
            .decode(key.to_string().as_bytes())
            .unwrap()
    };
    let forged = [&bytes(&key.key)[..10], &bytes(&other.key)[10..]].concat();
    let forged: PublisherKey = data_encoding::BASE64.encode(&forged).parse().unwrap();
    assert_eq!(forged.id(), key.key.id());
    assert_ne!(forged, key.key);
    assert_eq!(found(content, &text, &[&forged]), Signature::Invalid);
    assert_eq!(found(content, &text, &[&forged, &key.key]), valid);
}

#[test]
fn keys_are_parsed_strictly_and_print_nothing_secret() {
    let key = keygen(None).unwrap();
    let text = key.key.to_string();
    assert!(text.starts_with("RW") && text.len() == 56);
    assert_eq!(text.parse(), Ok(key.key.clone()));
    assert_eq!(key.public_file.parse(), Ok(key.key.clone()));
    for wrong in [
        "",
        "RW",
        text.trim_start_matches('R'),
        &text.replacen("RW", "AA", 1),
        "a\nb\nc",
        &format!("{text}\n{text}"),
    ] {
        assert_eq!(
            wrong.parse::<PublisherKey>(),
            Err(SignatureError::PublicKey),
            "{wrong}"
        );
    }
    for wrong in ["", "one line", "untrusted comment: x\nAAAA\n"] {
        let read = SigningKey::read(&secret(wrong), None);
        assert_eq!(read.err(), Some(SignatureError::SecretKey), "{wrong}");
    }
    let signing = SigningKey::read(&key.secret_file, None).unwrap();
    assert_eq!(format!("{signing:?}"), "SigningKey");
    let file = String::from_utf8_lossy(key.secret_file.expose()).into_owned();
    let line = file.lines().nth(1).unwrap();
    assert!(!format!("{key:?}").contains(line));
    let refused = signing.sign(&b""[..], "two\nlines");
    assert_eq!(refused, Err(SignatureError::Comment));
}
