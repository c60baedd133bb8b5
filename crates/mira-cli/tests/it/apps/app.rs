//! The apps that tests open: folders with a manifest and a shell script, packed as their test wants it.

use std::fs;
use std::path::{Path, PathBuf};

use mira_age::Recipients;
use mira_package::archive::{PackOptions, pack};
use mira_package::sealed::seal;
use mira_package::signature::{NewKey, SigningKey, keygen, signature_path};
use mira_secret::{SecretBytes, SecretName, SecretValue};

/// Writes its environment into its volume, says that it is ready, and goes on until it is stopped.
const PARROT: &str = r#"
env -0 > "$DATA/$MIRA_SERVICE.new"
mv "$DATA/$MIRA_SERVICE.new" "$DATA/$MIRA_SERVICE.env"
echo "$MIRA_SERVICE was started"
: > "$TMPDIR/$MIRA_SERVICE.ready"
exec sleep infinity
"#;

/// Two services that say what they got, a secret that is required, and one that is not.
pub(crate) const MANIFEST: &str = r#"
kind: mira.app/v1
id: org.example.parrot
name: Parrot
version: 1.0.0
services:
  - name: web
    command: [sh, service.sh]
    env: {DATA: "${volume:data}", PORT: "${port:http}", STORE_PORT: "${port:store/tcp}"}
    ports: [{name: http, open: true}]
    health: {command: [sh, -c, 'test -e "$$TMPDIR/$$MIRA_SERVICE.ready"'], interval: 100ms, startPeriod: 60s}
    dependsOn: [store]
  - name: store
    command: [sh, service.sh]
    env: {DATA: "${volume:data}", PORT: "${port:tcp}"}
    ports: [{name: tcp}]
    health: {command: [sh, -c, 'test -e "$$TMPDIR/$$MIRA_SERVICE.ready"'], interval: 100ms, startPeriod: 60s}
secrets:
  - name: API_KEY
    required: true
    description: The key of the model.
    howToObtain: https://example.org/keys
    services: [web]
  - name: EXTRA_KEY
    howToObtain: Ask somebody.
state: {volumes: [{name: data}]}
"#;

/// The folder of an app.
pub(crate) struct App {
    pub(crate) folder: PathBuf,
}

impl App {
    pub(crate) fn new(folder: PathBuf, manifest: &str) -> Self {
        fs::create_dir_all(&folder).unwrap();
        let app = Self { folder };
        app.write("service.sh", PARROT);
        app.write("mira.yaml", manifest);
        app
    }

    /// Writes a file of the app.
    pub(crate) fn write(&self, name: &str, content: &str) {
        fs::write(self.folder.join(name), content).unwrap();
    }

    /// Returns the folder as an argument.
    pub(crate) fn path(&self) -> &str {
        self.folder.to_str().unwrap()
    }

    /// Packs it.
    pub(crate) fn pack(&self) -> String {
        self.pack_with(&PackOptions::default())
    }

    /// Packs it with secrets that are sealed.
    pub(crate) fn pack_sealed(&self, secrets: &[(&str, &str)], to: &Recipients) -> String {
        let secrets: Vec<(SecretName, SecretValue)> = secrets
            .iter()
            .map(|(name, value)| {
                let name: SecretName = name.parse().unwrap();
                let value = SecretBytes::copy_from(value.as_bytes());
                let value = SecretValue::new(&name, value).unwrap();
                (name, value)
            })
            .collect();
        let mut options = PackOptions::default();
        options.sealed = Some(seal(&secrets, to).unwrap());
        self.pack_with(&options)
    }

    /// Packs it, encrypted as a whole.
    pub(crate) fn pack_encrypted(&self, to: Recipients) -> String {
        let mut options = PackOptions::default();
        options.encrypt = Some(to);
        self.pack_with(&options)
    }

    fn pack_with(&self, options: &PackOptions) -> String {
        let file = self.folder.with_extension("mira");
        pack(&self.folder, &file, options).unwrap();
        file.to_str().unwrap().to_owned()
    }
}

/// A cheap lock: guesses at it cost milliseconds.
pub(crate) fn password(text: &str) -> Recipients {
    Recipients::dangerous_passphrase(SecretBytes::copy_from(text.as_bytes()), 10)
}

/// A publisher who signs packages.
pub(crate) struct Publisher(pub(crate) NewKey);

impl Publisher {
    pub(crate) fn new() -> Self {
        Self(keygen(None).unwrap())
    }

    /// Returns the lines of a manifest that name the key.
    pub(crate) fn declared(&self) -> String {
        format!("publisher: {{name: Somebody, key: \"{}\"}}\n", self.0.key)
    }

    /// Signs a package file.
    pub(crate) fn sign(&self, package: &str) {
        let key = SigningKey::read(&self.0.secret_file, None).unwrap();
        let file = fs::File::open(package).unwrap();
        let signature = key.sign(file, "a test's package").unwrap();
        fs::write(signature_path(Path::new(package)), signature).unwrap();
    }
}
