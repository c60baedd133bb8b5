//! A repository and a volume for one test, and what restic sees in them.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use mira_secret::SecretBytes;
use mira_snapshot::{Options, Report, Repository, Secrets, SnapshotError, SnapshotId, Volume};

/// A value that must not get into a snapshot.
pub(crate) const SECRET: &str = "sk-proj-4f9Qm2ZrT7xKw81Lc0bVn35Hd6Jg";

/// A folder with an instance's state and its snapshots.
pub(crate) struct Fixture {
    folder: tempfile::TempDir,
    pub(crate) repository: Repository,
    pub(crate) password: SecretBytes,
}

impl Fixture {
    /// With an empty volume `data` and an empty repository.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let password = Repository::make_password().unwrap();
        fs::create_dir_all(folder.path().join("state/data")).unwrap();
        let repository =
            Repository::open_or_create(&folder.path().join("snapshots"), &password).unwrap();
        Self {
            folder,
            repository,
            password,
        }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn snapshots(&self) -> PathBuf {
        self.folder.path().join("snapshots")
    }

    /// Returns the volume's folder.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("state/data")
    }

    pub(crate) fn volumes(&self) -> [Volume; 1] {
        [Volume::new("data", self.data())]
    }

    /// Writes a file of the volume.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.data().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Takes a snapshot of the volume, with one secret to look for.
    pub(crate) fn take(&self) -> Result<Report, SnapshotError> {
        self.take_with(&secrets(&[("API_KEY", SECRET)]), &options())
    }

    pub(crate) fn take_with(
        &self,
        secrets: &Secrets,
        options: &Options,
    ) -> Result<Report, SnapshotError> {
        self.settle();
        self.repository
            .snapshot(&self.volumes(), secrets, options, &mut |_| {})
    }

    /// Waits until the clock of the file system is past what was just written.
    fn settle(&self) {
        let path = self.folder().join("state/clock");
        let touched = |path: &Path| {
            fs::write(path, "").unwrap();
            fs::metadata(path).unwrap().modified().unwrap()
        };
        let start = touched(&path);
        while touched(&path)
            .duration_since(start)
            .unwrap_or_default()
            .as_millis()
            < 25
        {
            std::thread::yield_now();
        }
        fs::remove_file(&path).unwrap();
    }

    pub(crate) fn restore(&self, id: &SnapshotId) {
        self.repository
            .restore(id, &self.volumes(), &mut |_| {})
            .unwrap();
    }

    /// Runs restic on the repository.
    pub(crate) fn restic(&self, words: &[&str]) -> Output {
        restic(&self.snapshots(), &self.password, words)
    }

    /// Runs restic and returns what it says, if it says that all is well.
    pub(crate) fn restic_ok(&self, words: &[&str]) -> String {
        let output = self.restic(words);
        assert!(output.status.success(), "{words:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Returns everything that the repository's packs hold, decrypted, also of packs that no index names.
    pub(crate) fn decrypted(&self) -> Vec<u8> {
        let copy = tempfile::tempdir().unwrap();
        copy_tree(&self.snapshots(), copy.path());
        let run = |words: &[&str]| {
            let output = restic(copy.path(), &self.password, words);
            assert!(output.status.success(), "{words:?}: {output:?}");
            output.stdout
        };
        run(&["rebuild-index"]);
        let blobs = String::from_utf8(run(&["list", "blobs"])).unwrap();
        let mut all = Vec::new();
        for line in blobs.lines() {
            let id = line.split_whitespace().nth(1).unwrap();
            all.extend(run(&["cat", "blob", id]));
        }
        for line in String::from_utf8(run(&["list", "snapshots"]))
            .unwrap()
            .lines()
        {
            all.extend(run(&["cat", "snapshot", line]));
        }
        all
    }

    /// Returns the names of what stands beside the volumes and the repository.
    pub(crate) fn left_over(&self) -> Vec<String> {
        let mut names: Vec<String> = ["", "state"]
            .iter()
            .flat_map(|folder| fs::read_dir(self.folder().join(folder)).unwrap())
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| {
                !["state", "snapshots", "snapshots.lock", "data"].contains(&name.as_str())
            })
            .collect();
        names.sort();
        names
    }
}

pub(crate) fn options() -> Options {
    Options {
        instance: "readlater-3kq7mzpa".into(),
        ..Options::default()
    }
}

pub(crate) fn secrets(values: &[(&str, &str)]) -> Secrets {
    let mut builder = Secrets::builder();
    for (name, value) in values {
        builder.add(name, value.as_bytes());
    }
    builder.build()
}

pub(crate) fn restic(repository: &Path, password: &SecretBytes, words: &[&str]) -> Output {
    // EXPOSE: to restic, in the test's own environment.
    let password = OsStr::from_bytes(password.expose());
    Command::new("restic")
        .args(["--no-cache", "--quiet", "--repo"])
        .arg(repository)
        .args(words)
        .env("RESTIC_PASSWORD", password)
        .output()
        .unwrap()
}

/// Returns what a folder holds, for comparison: kind, mode, times and content of all below it.
pub(crate) fn contents(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut all = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let metadata = fs::symlink_metadata(&path).unwrap();
            let (mode, mtime) = (metadata.mode(), (metadata.mtime(), metadata.mtime_nsec()));
            let what = if metadata.is_dir() {
                folders.push(path.clone());
                format!("folder {mode:o} {mtime:?}")
            } else if metadata.is_symlink() {
                format!("link {:?} {mtime:?}", fs::read_link(&path).unwrap())
            } else {
                let bytes = fs::read(&path).unwrap();
                let (links, len) = (metadata.nlink(), bytes.len());
                format!(
                    "file {mode:o} {mtime:?} {links} links, {len}: {}",
                    hash(&bytes)
                )
            };
            all.insert(path.strip_prefix(root).unwrap().to_owned(), what);
        }
    }
    all
}

fn hash(bytes: &[u8]) -> u64 {
    use std::hash::{DefaultHasher, Hasher as _};
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    hasher.finish()
}

pub(crate) fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_tree(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), &to).unwrap();
        }
    }
    fs::set_permissions(to, fs::Permissions::from_mode(0o700)).unwrap();
}

/// Returns pseudo-random text that no compressor makes small.
pub(crate) fn noise(seed: u64, bytes: usize) -> Vec<u8> {
    let mut noise = vec![0; bytes];
    fastrand::Rng::with_seed(seed).fill(&mut noise);
    noise
}

/// Returns the built example.
pub(crate) fn example() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    tests.ancestors().nth(2).unwrap().join("examples/snapshots")
}
