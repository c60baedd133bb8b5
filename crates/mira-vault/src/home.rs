//! The folder that holds everything of Mira's: where it is, and whether it may be trusted.
//!
//! It reads no environment itself: [`default_home`] is given the variables. It opens no file in the folder.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::private_file::{self, FileError};

const CREDENTIALS: &str = "credentials.json";
const GENERATION: &str = "credentials.generation";
const LEASES: &str = "leases";
const LOCK: &str = "credentials.lock";
const KEYFILE: &str = "root.key";
const SETTINGS: &str = "settings.json";

/// An operating system, as far as folders differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Platform {
    /// Linux and the other Unixes: the XDG base directories.
    Linux,
    /// macOS.
    MacOs,
    /// Windows.
    Windows,
}

impl Platform {
    /// The system that this program was built for.
    pub const CURRENT: Self = if cfg!(windows) {
        Self::Windows
    } else if cfg!(target_os = "macos") {
        Self::MacOs
    } else {
        Self::Linux
    };
}

/// Returns the folder that Mira uses when it is told no other.
///
/// `var` returns an environment variable. `None` means that the variables name no home: `HOME` (on Windows `APPDATA`)
/// is absent or not absolute.
#[must_use]
pub fn default_home(platform: Platform, var: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    // The XDG specification says to ignore a relative path; one from elsewhere is no better.
    let folder = |name: &str| {
        var(name)
            .map(PathBuf::from)
            .filter(|path| is_absolute(platform, path))
    };
    match platform {
        Platform::Linux => folder("XDG_CONFIG_HOME")
            .or_else(|| folder("HOME").map(|home| home.join(".config")))
            .map(|config| config.join("mira")),
        Platform::MacOs => folder("HOME").map(|home| home.join("Library/Application Support/mira")),
        Platform::Windows => folder("APPDATA").map(|data| data.join("mira")),
    }
}

fn is_absolute(platform: Platform, path: &Path) -> bool {
    // `Path::is_absolute` follows the rules of the system it was built for, not of `platform`.
    let text = path.as_os_str().as_encoded_bytes();
    match platform {
        Platform::Linux | Platform::MacOs => text.starts_with(b"/"),
        Platform::Windows => {
            text.starts_with(br"\\")
                || matches!(text, [drive, b':', b'\\' | b'/', ..] if drive.is_ascii_alphabetic())
        }
    }
}

/// Mira's folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home(PathBuf);

impl Home {
    /// Names the folder; nothing is looked at yet.
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        Self(folder)
    }

    /// Creates the folder with mode 0700, and those above it where they are missing, then checks it.
    ///
    /// # Errors
    ///
    /// As [`check`](Self::check), or the system's refusal.
    pub fn create(&self) -> Result<(), FileError> {
        private_file::create_folder(&self.0)?;
        self.check()
    }

    /// Checks that the folder is a real one (no symbolic link), ours, and closed to everybody else.
    ///
    /// # Errors
    ///
    /// Returns which of these does not hold, with the command that repairs it.
    pub fn check(&self) -> Result<(), FileError> {
        private_file::check_folder(&self.0)
    }

    /// Returns the folder's path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Returns the path of the vault's document.
    #[must_use]
    pub fn credentials(&self) -> PathBuf {
        self.0.join(CREDENTIALS)
    }

    /// Returns the path of the record of the highest generation that was seen.
    #[must_use]
    pub fn generation(&self) -> PathBuf {
        self.0.join(GENERATION)
    }

    /// Returns the folder that says which processes hold secrets.
    #[must_use]
    pub fn leases(&self) -> PathBuf {
        self.0.join(LEASES)
    }

    /// Returns the path of the file that writers of the vault lock.
    #[must_use]
    pub fn lock(&self) -> PathBuf {
        self.0.join(LOCK)
    }

    /// Returns the path of what is no secret: regions, addresses of providers, models.
    #[must_use]
    pub fn settings(&self) -> PathBuf {
        self.0.join(SETTINGS)
    }

    /// Returns where a keyfile is kept when no other place is named.
    #[must_use]
    pub fn default_keyfile(&self) -> PathBuf {
        self.0.join(KEYFILE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_system_has_its_folder() {
        let check = |platform, variables: &[(&str, &str)], expect: Option<&str>| {
            let var = |name: &str| {
                variables
                    .iter()
                    .find(|(known, _)| *known == name)
                    .map(|(_, value)| OsString::from(value))
            };
            // Joined with the separator of the system that runs the test.
            let found =
                default_home(platform, var).map(|path| path.to_string_lossy().replace('\\', "/"));
            assert_eq!(found.as_deref(), expect, "{platform:?} {variables:?}");
        };
        use Platform::{Linux, MacOs, Windows};
        check(Linux, &[("HOME", "/home/a")], Some("/home/a/.config/mira"));
        check(
            Linux,
            &[("HOME", "/home/a"), ("XDG_CONFIG_HOME", "/cfg")],
            Some("/cfg/mira"),
        );
        check(
            Linux,
            &[("HOME", "/home/a"), ("XDG_CONFIG_HOME", "cfg")],
            Some("/home/a/.config/mira"),
        );
        check(
            Linux,
            &[("HOME", "/home/a"), ("XDG_CONFIG_HOME", "")],
            Some("/home/a/.config/mira"),
        );
        check(Linux, &[("XDG_CONFIG_HOME", "/cfg")], Some("/cfg/mira"));
        check(Linux, &[("HOME", "a")], None);
        check(Linux, &[("APPDATA", "/x")], None);
        check(
            MacOs,
            &[("HOME", "/Users/a"), ("XDG_CONFIG_HOME", "/cfg")],
            Some("/Users/a/Library/Application Support/mira"),
        );
        check(MacOs, &[], None);
        check(
            Windows,
            &[
                ("APPDATA", r"C:\Users\a\AppData\Roaming"),
                ("HOME", "/home/a"),
            ],
            Some("C:/Users/a/AppData/Roaming/mira"),
        );
        check(
            Windows,
            &[("APPDATA", r"\\server\share")],
            Some("//server/share/mira"),
        );
        check(Windows, &[("APPDATA", r"AppData\Roaming")], None);
        check(Windows, &[("HOME", "/home/a")], None);
    }
}
