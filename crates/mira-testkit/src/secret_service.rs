//! A real gnome-keyring over a real D-Bus session, private to one test.
//!
//! Both daemons run with folders of their own and no service files, so nothing else can be started on the bus: a prompt finds nobody to
//! show it. Not a mock: what a test sees is what a desktop's keyring does.
//!
//! INVARIANT: a [`SecretService`] that is dropped has ended its daemons and removed its folder, also when the test panics.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// The well-known name that a Secret Service owns.
const NAME: &str = "org.freedesktop.secrets";
// LIMIT: starting takes well under a second; a minute tells a loaded machine from a broken one.
const START_WAIT_SECS: &str = "60";
const PASSWORD: &[u8] = b"the keyring's password";

/// A running session bus with an unlocked keyring on it.
#[derive(Debug)]
pub struct SecretService {
    keyring: Option<Daemon>,
    bus: Daemon,
    bus_address: String,
    // Declared last, so removed after the daemons have ended.
    folder: TempDir,
}

impl SecretService {
    /// Starts a bus with an empty, unlocked keyring; returns when it answers.
    ///
    /// # Panics
    ///
    /// Panics where `dbus-daemon`, `gnome-keyring-daemon` or `gdbus` is missing or does not start.
    #[must_use]
    pub fn start() -> Self {
        let mut service = Self::start_bus();
        service.start_keyring();
        service
    }

    /// Starts a bus with no Secret Service on it.
    ///
    /// # Panics
    ///
    /// Panics where `dbus-daemon` is missing or does not start.
    #[must_use]
    pub fn start_bus() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("mira-bus-")
            .tempdir()
            .expect("a temporary folder");
        let config = folder.path().join("session.conf");
        std::fs::write(&config, bus_config(folder.path())).expect("the bus's configuration");
        let mut command = clean_command("dbus-daemon", folder.path());
        command
            .arg(format!("--config-file={}", config.display()))
            .args(["--nofork", "--nopidfile", "--print-address"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut bus = Daemon::spawn(&mut command);
        // The address is printed once the bus listens.
        let stdout = bus.0.stdout.take().expect("stdout is piped");
        let mut bus_address = String::new();
        BufReader::new(stdout)
            .read_line(&mut bus_address)
            .expect("the bus's address");
        assert!(!bus_address.is_empty(), "dbus-daemon ended at once");
        Self {
            keyring: None,
            bus,
            bus_address: bus_address.trim_end().to_owned(),
            folder,
        }
    }

    /// Starts the keyring that [`SecretService::stop_keyring`] stopped; what it held on disk is there again.
    ///
    /// # Panics
    ///
    /// Panics where it does not start, or runs.
    pub fn start_keyring(&mut self) {
        assert!(self.keyring.is_none(), "the keyring runs");
        let mut command = clean_command("gnome-keyring-daemon", self.folder.path());
        command
            .args(["--foreground", "--unlock", "--components=secrets"])
            .envs(self.env())
            .stdin(Stdio::piped())
            .stdout(Stdio::null());
        let mut keyring = Daemon::spawn(&mut command);
        let mut stdin = keyring.0.stdin.take().expect("stdin is piped");
        stdin.write_all(PASSWORD).expect("the keyring's password");
        drop(stdin);
        self.keyring = Some(keyring);
        // Returns when the name is owned, without polling.
        let mut wait = self.gdbus();
        wait.args(["wait", "--session", "--timeout", START_WAIT_SECS, NAME]);
        succeed(&mut wait);
    }

    /// Ends the keyring at once, as a crash would; the bus stays.
    ///
    /// # Panics
    ///
    /// Panics where the keyring does not run.
    pub fn stop_keyring(&mut self) {
        assert!(self.keyring.take().is_some(), "the keyring does not run");
    }

    /// Stops the keyring from running without ending it: it takes requests and answers none.
    ///
    /// # Panics
    ///
    /// Panics where the keyring does not run.
    pub fn freeze_keyring(&self) {
        let keyring = self.keyring.as_ref().expect("the keyring runs");
        let pid = rustix::process::Pid::from_child(&keyring.0);
        rustix::process::kill_process(pid, rustix::process::Signal::STOP).expect("it is ours");
    }

    /// Ends the bus and with it the session.
    pub fn stop_bus(&mut self) {
        self.keyring = None;
        self.bus.stop();
    }

    /// Locks the keyring; on this bus nobody can unlock it again.
    ///
    /// # Panics
    ///
    /// Panics where the keyring does not run.
    pub fn lock(&self) {
        self.call_service(
            "org.freedesktop.Secret.Service.Lock",
            &["['/org/freedesktop/secrets/collection/login']"],
        );
    }

    /// Returns the D-Bus address of the bus.
    #[must_use]
    pub fn bus_address(&self) -> &str {
        &self.bus_address
    }

    /// Returns the variables by which a child process finds this session.
    #[must_use]
    pub fn env(&self) -> Vec<(&'static str, OsString)> {
        vec![("DBUS_SESSION_BUS_ADDRESS", self.bus_address().into())]
    }

    /// Returns the folder that the keyring keeps its files in.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Calls a method of the service's root object and returns what `gdbus` prints.
    ///
    /// # Panics
    ///
    /// Panics where the call fails.
    #[must_use = "the answer is what the call is for; `drop` it otherwise"]
    fn call(&self, method: &str, arguments: &[&str]) -> String {
        let mut call = self.gdbus();
        call.args(["call", "--session", "--dest", NAME])
            .args(["--object-path", "/org/freedesktop/secrets"])
            .args(["--method", method])
            .args(arguments);
        succeed(&mut call)
    }

    fn call_service(&self, method: &str, arguments: &[&str]) {
        drop(self.call(method, arguments));
    }

    fn gdbus(&self) -> Command {
        let mut command = clean_command("gdbus", self.folder.path());
        command.envs(self.env()).stdin(Stdio::null());
        command
    }
}

/// A process that ends with its owner.
#[derive(Debug)]
struct Daemon(Child);

impl Daemon {
    fn spawn(command: &mut Command) -> Self {
        let child = command.spawn();
        Self(child.unwrap_or_else(|error| panic!("{command:?} does not start: {error}")))
    }

    fn stop(&mut self) {
        // Killing a process that has ended already fails, and is what was wanted.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Returns a command that sees of this process's environment nothing but the search path.
fn clean_command(program: &str, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
        .env("LANG", "C.UTF-8")
        .env("HOME", folder)
        .env("XDG_CONFIG_HOME", folder.join("config"))
        .env("XDG_DATA_HOME", folder.join("data"))
        .env("XDG_CACHE_HOME", folder.join("cache"))
        .env("XDG_RUNTIME_DIR", folder)
        .current_dir(folder)
        .stderr(Stdio::null());
    command
}

fn succeed(command: &mut Command) -> String {
    let output = command.stderr(Stdio::piped()).output();
    let output = output.unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    assert!(
        output.status.success(),
        "{command:?} failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A session bus that only its owner's processes may use, and that starts nothing.
fn bus_config(folder: &Path) -> String {
    format!(
        r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path={}/bus</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
"#,
        folder.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns whether a process exists that has the folder in its arguments or environment.
    fn uses(folder: &Path) -> bool {
        let needle = folder.as_os_str().as_encoded_bytes();
        std::fs::read_dir("/proc").unwrap().flatten().any(|entry| {
            ["cmdline", "environ"].iter().any(|file| {
                let bytes = std::fs::read(entry.path().join(file)).unwrap_or_default();
                bytes.windows(needle.len()).any(|window| window == needle)
            })
        })
    }

    #[test]
    fn a_keyring_answers_and_leaves_nothing_behind() {
        let service = SecretService::start();
        let folder = service.folder().to_owned();
        let alias = service.call("org.freedesktop.Secret.Service.ReadAlias", &["default"]);
        assert!(
            alias.contains("/org/freedesktop/secrets/collection/"),
            "{alias}"
        );
        assert!(uses(&folder));
        drop(service);
        assert!(!uses(&folder));
        assert!(!folder.exists());
    }

    #[test]
    fn a_panic_leaves_nothing_behind() {
        let folder = std::sync::Mutex::new(None);
        let panicked = std::panic::catch_unwind(|| {
            let service = SecretService::start();
            *folder.lock().unwrap() = Some(service.folder().to_owned());
            panic!("as a failing test does");
        });
        assert!(panicked.is_err());
        let folder = folder.into_inner().unwrap().unwrap();
        assert!(!uses(&folder));
        assert!(!folder.exists());
    }

    #[test]
    fn several_run_side_by_side() {
        let services: Vec<_> = (0..3).map(|_| SecretService::start()).collect();
        for service in &services {
            drop(service.call("org.freedesktop.DBus.Peer.Ping", &[]));
        }
    }
}
