//! Opening a backup: all of it is read and checked into a folder of its own before anything of it is put to use.
//!
//! INVARIANT: whatever the archive says, nothing is written outside of that folder, and nothing but files, folders and
//! symbolic links is made.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Component, Path, PathBuf};

use tar::{Entry, EntryType};

use super::{FILES, FORMAT, INDEX, INSTANCES, Index, PACKAGES, RECOVERY, SHARED, VERSION};
use crate::error::{CommandError, Kind};
use crate::ui::Ui;

/// The longest index, in bytes.
// LIMIT: the names of ten thousand instances.
const INDEX_BYTES_MAX: u64 = 1024 * 1024;

/// What was in a backup.
pub(crate) struct Unpacked {
    pub(crate) index: Index,
    /// What is to become the home.
    pub(crate) home: PathBuf,
    /// What has another way: the recovery file, the tables that servers share.
    pub(crate) aside: PathBuf,
    pub(crate) files: u64,
    pub(crate) bytes: u64,
}

/// Unpacks the archive that `plain` is, to its end, into a private folder that is empty.
pub(crate) fn unpack(plain: impl Read, folder: &Path, ui: &Ui) -> Result<Unpacked, CommandError> {
    let (home, aside) = (folder.join("home"), folder.join("aside"));
    let (packages, instances) = (home.join(PACKAGES), home.join(INSTANCES));
    for made in [&home, &packages, &instances, &aside, &aside.join(SHARED)] {
        make_folder(made)?;
    }
    let mut archive = tar::Archive::new(plain);
    archive.set_overwrite(false);
    let mut progress = ui.progress("restoring");
    let (mut files, mut bytes) = (0, 0);
    let mut folders: BTreeMap<PathBuf, u32> = BTreeMap::new();
    let mut index = None;
    for entry in archive.entries().map_err(|error| damaged(&error))? {
        let mut entry = entry.map_err(|error| damaged(&error))?;
        let path = entry.path().map_err(|error| damaged(&error))?.into_owned();
        if index.is_none() {
            index = Some(read_index(&path, &mut entry)?);
            continue;
        }
        let root = match place(&path) {
            Some(Place::Home) => &home,
            Some(Place::Aside) => &aside,
            None => return Err(unknown(&path)),
        };
        match entry.header().entry_type() {
            EntryType::Directory => {
                let mode = entry.header().mode().map_err(|error| damaged(&error))?;
                let made = root.join(&path);
                inside(root, &made)?;
                make_folder(&made)?;
                folders.insert(made, mode);
            }
            EntryType::Regular | EntryType::Symlink => {
                inside(root, &root.join(&path))?;
                entry.unpack_in(root).map_err(|error| damaged(&error))?;
                files += 1;
                bytes += entry.size();
            }
            _ => return Err(unknown(&path)),
        }
        progress.show(files, bytes);
    }
    // Whether the file is whole is known at its very end.
    io::copy(&mut archive.into_inner(), &mut io::sink()).map_err(|error| damaged(&error))?;
    // Rights last, the innermost first: packages are read-only.
    for (made, mode) in folders.iter().rev() {
        fs::set_permissions(made, Permissions::from_mode(mode & 0o777))?;
    }
    let index = index.ok_or_else(|| damaged(&"it is empty"))?;
    Ok(Unpacked {
        index,
        home,
        aside,
        files,
        bytes,
    })
}

impl Unpacked {
    /// Returns the rows of a shared table, if there are any.
    pub(crate) fn rows_of(&self, table: &str) -> io::Result<Option<File>> {
        match File::open(self.aside.join(SHARED).join(format!("{table}.jsonl"))) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            opened => opened.map(Some),
        }
    }

    /// Returns the recovery file, if there is one.
    pub(crate) fn recovery(&self) -> io::Result<Option<Vec<u8>>> {
        match fs::read(self.aside.join(RECOVERY)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            read => read.map(Some),
        }
    }
}

/// Where something of the archive goes.
enum Place {
    Home,
    Aside,
}

fn place(path: &Path) -> Option<Place> {
    let mut parts = path.components().map(|part| match part {
        Component::Normal(part) => part.to_str(),
        _ => None,
    });
    let (first, alone) = (parts.next()??, path.components().count() == 1);
    let strange = path
        .components()
        .any(|part| !matches!(part, Component::Normal(_)));
    match first {
        _ if strange => None,
        PACKAGES | INSTANCES => Some(Place::Home),
        mira_store::FILE_NAME if alone => Some(Place::Home),
        file if alone && FILES.contains(&file) => Some(Place::Home),
        RECOVERY if alone => Some(Place::Aside),
        SHARED => Some(Place::Aside),
        _ => None,
    }
}

fn read_index(path: &Path, entry: &mut Entry<'_, impl Read>) -> Result<Index, CommandError> {
    let not_one = || {
        CommandError::new(
            Kind::Integrity,
            "the age file opens, but holds no backup of Mira's",
        )
        .hint("`mira import` takes a recovery file.")
    };
    if path != Path::new(INDEX) {
        return Err(not_one());
    }
    let mut text = Vec::new();
    let read = entry.take(INDEX_BYTES_MAX).read_to_end(&mut text);
    read.map_err(|error| damaged(&error))?;
    let index: Index = serde_json::from_slice(&text).map_err(|_| not_one())?;
    if index.format != FORMAT || index.version != VERSION {
        return Err(CommandError::new(
            Kind::Integrity,
            format!("the backup was made by another Mira, {}", index.mira),
        )
        .hint("Restore it with that one."));
    }
    Ok(index)
}

/// Refuses what a symbolic link of the archive's would lead elsewhere.
fn inside(root: &Path, path: &Path) -> Result<(), CommandError> {
    let parent = path.parent().unwrap_or(root);
    let within = parent.strip_prefix(root).unwrap_or(Path::new(""));
    let mut at = root.to_owned();
    for part in within.components() {
        at.push(part);
        let found = fs::symlink_metadata(&at).map_err(|error| damaged(&error))?;
        if !found.is_dir() {
            return Err(unknown(path));
        }
    }
    Ok(())
}

fn make_folder(path: &Path) -> Result<(), CommandError> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let found = fs::symlink_metadata(path).map_err(|error| damaged(&error))?;
            found.is_dir().then_some(()).ok_or_else(|| unknown(path))
        }
        made => made.map_err(|error| damaged(&error)),
    }
}

fn damaged(error: &dyn std::fmt::Display) -> CommandError {
    CommandError::new(
        Kind::Integrity,
        format!("the backup cannot be read to its end: {error}"),
    )
    .hint("Nothing was changed. It is damaged, or there is no room to unpack it.")
}

fn unknown(path: &Path) -> CommandError {
    CommandError::new(
        Kind::Integrity,
        format!("the backup holds what no Mira put there: {path:?}"),
    )
    .hint("Nothing was changed.")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns an archive of an index and other entries.
    fn archive(entries: &[(EntryType, &str, &str)]) -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        let index = serde_json::to_vec(&Index::new(false, Vec::new())).unwrap();
        let mut header = tar::Header::new_gnu();
        header.set_size(index.len() as u64);
        tar.append_data(&mut header, INDEX, &index[..]).unwrap();
        for (kind, path, content) in entries {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(*kind);
            header.set_mode(0o755);
            // As a hostile program would write it, unchecked.
            let name = &mut header.as_gnu_mut().unwrap().name;
            name[..path.len()].copy_from_slice(path.as_bytes());
            if *kind == EntryType::Symlink || *kind == EntryType::Link {
                header.set_link_name_literal(content).unwrap();
                header.set_size(0);
                header.set_cksum();
                tar.append(&header, io::empty()).unwrap();
            } else {
                header.set_size(content.len() as u64);
                header.set_cksum();
                tar.append(&header, content.as_bytes()).unwrap();
            }
        }
        tar.into_inner().unwrap()
    }

    #[test]
    fn what_an_archive_says_stays_inside_of_the_folder() {
        use EntryType::{Directory, Fifo, Link, Regular, Symlink};
        let ui = Ui::new();
        let check = |entries: &[(EntryType, &str, &str)], expect: bool| {
            let folder = tempfile::tempdir().unwrap();
            let (inner, outer) = (folder.path().join("in"), folder.path().join("out"));
            fs::create_dir(&inner).unwrap();
            fs::create_dir(&outer).unwrap();
            let entries: Vec<_> = entries
                .iter()
                .map(|(kind, path, content)| {
                    (
                        *kind,
                        *path,
                        content.replace("OUT", outer.to_str().unwrap()),
                    )
                })
                .collect();
            let entries: Vec<_> = entries
                .iter()
                .map(|(kind, path, content)| (*kind, *path, content.as_str()))
                .collect();
            let done = unpack(&archive(&entries)[..], &inner, &ui);
            assert_eq!(done.is_ok(), expect, "{entries:?}: {:?}", done.err());
            assert_eq!(fs::read_dir(&outer).unwrap().count(), 0, "{entries:?}");
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
        };
        check(&[(Regular, "settings.json", "{}")], true);
        check(
            &[
                (Directory, "instances", ""),
                (Directory, "instances/a", ""),
                (Regular, "instances/a/b", "x"),
                (Symlink, "instances/a/c", "OUT"),
            ],
            true,
        );
        check(&[(Regular, "../escaped", "x")], false);
        check(&[(Regular, "instances/../../escaped", "x")], false);
        check(&[(Regular, "/escaped", "x")], false);
        check(&[(Regular, "root.key", "x")], false);
        check(&[(Regular, "leases/1", "x")], false);
        check(&[(Regular, "settings.json/x", "x")], false);
        check(&[(Fifo, "settings.json", "")], false);
        check(&[(Link, "settings.json", "mcp.json")], false);
        check(
            &[
                (Regular, "settings.json", "1"),
                (Regular, "settings.json", "2"),
            ],
            false,
        );
        for kind in [Regular, Directory] {
            check(
                &[
                    (Directory, "instances", ""),
                    (Symlink, "instances/a", "OUT"),
                    (kind, "instances/a/b", ""),
                ],
                false,
            );
        }
    }

    #[test]
    fn something_else_than_a_backup_is_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(1);
        tar.append_data(&mut header, "x", &b"x"[..]).unwrap();
        let other = tar.into_inner().unwrap();
        let refused = unpack(&other[..], folder.path(), &Ui::new()).err().unwrap();
        assert!(refused.in_one_line().contains("no backup"));
    }
}
