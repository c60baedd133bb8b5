//! What processes in a room see of the file system: all of it but the places where others' sockets and secrets are.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use mira_sandbox::{Shown, View};

/// What a room's processes are to see, and not to see.
#[derive(Clone, Debug, Default)]
pub struct Visible {
    /// Folders that are not there for them: empty ones are in their place.
    pub hidden: Vec<PathBuf>,
    /// Folders inside of those that are there nevertheless, to be written to.
    pub writable: Vec<PathBuf>,
    /// The same, to be read only.
    pub readable: Vec<PathBuf>,
    /// Whether they have a few devices of their own, rather than all of the system's: no disk, and no other's terminal.
    pub own_devices: bool,
}

/// Where sockets of other programs are: every system has the first, and some the others.
const RUNTIME: [&str; 2] = ["/run", "/var/run"];

/// Where anybody leaves files, and sockets.
const SHARED: [&str; 3] = ["/tmp", "/var/tmp", "/dev/shm"];

const HOSTS: &str = "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n";

/// The gate answers there.
const RESOLV_CONF: &str = "nameserver 127.0.0.1\noptions timeout:5 attempts:1\n";

/// Names are looked up in the file above, then by the server above: no other program is asked.
const NSSWITCH: &str = "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nnetworks: files\nprotocols: files\nservices: files\n";

impl Visible {
    /// Returns those of an instance: `home` is the user's, as is `runtime`, and neither is there for it, but for the folders of `path`, a search path, that
    /// programs are found in; nor are the folders of Mira's own, its home and the one that its supervisor is reached in.
    #[must_use]
    pub fn of_instance(
        home: Option<&Path>,
        runtime: Option<&Path>,
        mira: [&Path; 2],
        path: Option<&OsStr>,
    ) -> Self {
        let all = RUNTIME.iter().chain(&SHARED).map(PathBuf::from);
        let own = home.into_iter().chain(runtime).chain(mira);
        let hidden = all.chain(own.map(Path::to_owned));
        Self {
            own_devices: true,
            ..Self::hiding(hidden.collect(), path)
        }
    }

    /// Returns those of a command: the user's own files are there for it, but not Mira's, and no folder for sockets.
    #[must_use]
    pub fn of_command(runtime: Option<&Path>, mira: [&Path; 2], path: Option<&OsStr>) -> Self {
        let all = RUNTIME.iter().map(PathBuf::from);
        let own = runtime.into_iter().chain(mira);
        let hidden = all.chain(own.map(Path::to_owned));
        Self {
            // They would keep it from the name of its terminal; only root's commands could do harm with the others.
            own_devices: rustix::process::geteuid().is_root(),
            ..Self::hiding(hidden.collect(), path)
        }
    }

    fn hiding(hidden: Vec<PathBuf>, path: Option<&OsStr>) -> Self {
        // A folder that is a link, or is not there, hides nothing; the root would hide everything.
        let real = hidden
            .into_iter()
            .filter_map(|path| path.canonicalize().ok());
        let hidden: BTreeSet<PathBuf> = real.filter(|path| path.parent().is_some()).collect();
        let inside = |path: &PathBuf| hidden.iter().any(|hidden| path.starts_with(hidden));
        let folders = path.into_iter().flat_map(std::env::split_paths);
        let programs = folders.filter_map(|folder| folder.canonicalize().ok());
        let programs = programs.filter(inside).map(|folder| {
            // What a program needs is beside its folder: `bin`, `lib`, `share`.
            let beside = folder.parent().filter(|parent| !hidden.contains(*parent));
            beside.map_or_else(|| folder.clone(), Path::to_owned)
        });
        let readable: BTreeSet<PathBuf> = programs.filter(inside).collect();
        Self {
            readable: readable.into_iter().collect(),
            hidden: hidden.into_iter().collect(),
            writable: Vec::new(),
            own_devices: false,
        }
    }

    /// Returns it as a room takes it.
    pub(super) fn view(&self) -> View {
        let show = |writable: bool| {
            move |path: &PathBuf| {
                let shown = || Shown {
                    path: path.clone(),
                    writable,
                };
                // A folder for secret files is there only where there are any.
                path.exists().then(shown)
            }
        };
        let files = [
            ("/etc/hosts", HOSTS),
            ("/etc/resolv.conf", RESOLV_CONF),
            ("/etc/nsswitch.conf", NSSWITCH),
        ];
        View {
            own_devices: self.own_devices,
            hide: self.hidden.clone(),
            show: self
                .readable
                .iter()
                .filter_map(show(false))
                .chain(self.writable.iter().filter_map(show(true)))
                .collect(),
            files: files
                .map(|(path, text)| (path.into(), text.as_bytes().to_vec()))
                .into(),
        }
    }
}
