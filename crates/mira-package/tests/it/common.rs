//! Apps to pack, packages to open, and keys that `age-keygen` makes.

use std::fs;
use std::path::{Path, PathBuf};

use mira_age::{Key, Recipients};
use mira_package::archive::{Limits, OpenError, Opened, PackOptions, Package, Packed, pack};
use mira_secret::{SecretBytes, SecretName, SecretValue};
use mira_testkit::home::TestHome;
use tempfile::TempDir;

pub(crate) const YAML: &str = "kind: mira.app/v1\n";

/// A folder with an app, and beside it a place for its package.
pub(crate) struct App {
    pub(crate) place: TempDir,
}

impl App {
    /// Makes an app of a manifest and a program.
    pub(crate) fn new() -> Self {
        let place = tempfile::tempdir().expect("a temporary folder");
        let app = Self { place };
        app.put("mira.yaml", YAML);
        app.put("web.py", "print('hello')\n");
        app.make_executable("web.py");
        app
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.place.path().join("app")
    }

    pub(crate) fn package(&self) -> PathBuf {
        self.place.path().join("app.mira")
    }

    pub(crate) fn put(&self, path: &str, content: impl AsRef<[u8]>) {
        let file = self.folder().join(path);
        fs::create_dir_all(file.parent().expect("it is below the folder")).expect("a folder");
        fs::write(file, content).expect("a file");
    }

    pub(crate) fn make_executable(&self, path: &str) {
        set_mode(&self.folder().join(path), 0o755);
    }

    pub(crate) fn pack(&self) -> Packed {
        self.pack_with(&PackOptions::default())
    }

    pub(crate) fn pack_with(&self, options: &PackOptions) -> Packed {
        pack(&self.folder(), &self.package(), options).expect("it can be packed")
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        fs::read(self.package()).expect("it was packed")
    }

    /// Opens the package that was packed.
    pub(crate) fn open(&self) -> Package {
        plain(Package::open(&self.package(), self.place.path())).expect("it can be opened")
    }

    /// Returns the paths in the package.
    pub(crate) fn paths(&self) -> Vec<String> {
        let package = self.open();
        let files = package.digests().files().iter();
        files.map(|file| file.path.to_string()).collect()
    }
}

pub(crate) fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is ours");
}

/// Opens a package that is not encrypted, and reads all its files.
pub(crate) fn plain(opened: Result<Opened, OpenError>) -> Result<Package, OpenError> {
    match opened? {
        Opened::Package(mut package) => package.verify().map(|()| *package),
        other => panic!("it is encrypted: {other:?}"),
    }
}

/// Opens a package that is in memory.
pub(crate) fn open_bytes(bytes: Vec<u8>) -> Result<Package, OpenError> {
    plain(Package::from_bytes(bytes, Limits::default()))
}

pub(crate) fn secret(text: &str) -> SecretBytes {
    SecretBytes::copy_from(text.as_bytes())
}

pub(crate) fn cheap(passphrase: &str) -> Recipients {
    Recipients::dangerous_passphrase(secret(passphrase), 4)
}

pub(crate) fn passphrase(text: &str) -> Key {
    Key::Passphrase(secret(text))
}

/// Makes secrets as they are sealed.
pub(crate) fn secrets<V: AsRef<[u8]>>(pairs: &[(&str, V)]) -> Vec<(SecretName, SecretValue)> {
    let make = |(name, value): &(&str, V)| {
        let name: SecretName = name.parse().expect("a name");
        let bytes = SecretBytes::copy_from(value.as_ref());
        let value = SecretValue::new(&name, bytes).expect("a value");
        (name, value)
    };
    pairs.iter().map(make).collect()
}

pub(crate) fn shown(secrets: &[(SecretName, SecretValue)]) -> Vec<(String, Vec<u8>)> {
    let show =
        |(name, value): &(SecretName, SecretValue)| (name.to_string(), value.expose().to_vec());
    secrets.iter().map(show).collect()
}

/// A key pair that `age-keygen` made.
pub(crate) struct Pair {
    pub(crate) identity: String,
    pub(crate) recipient: String,
}

impl Pair {
    pub(crate) fn make(home: &TestHome) -> Self {
        let made = home.mira("age-keygen").run();
        let identity = made.assert_code(0).stdout_text();
        let public = home
            .mira("age-keygen")
            .arg("-y")
            .stdin_bytes(identity.clone())
            .run();
        let recipient = public.assert_code(0).stdout_text().trim().to_owned();
        Self {
            identity,
            recipient,
        }
    }

    pub(crate) fn key(&self) -> Key {
        Key::Identities(secret(&self.identity))
    }

    pub(crate) fn recipients(&self) -> Recipients {
        Recipients::parse(&[&self.recipient]).expect("age-keygen made it")
    }
}
