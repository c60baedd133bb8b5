//! The unix sockets of other programs: by their paths, a process without a network would still reach them.
//!
//! The kernel lists sockets by the words that they were bound with: not by where a rename or another link has put them since. So every socket in the
//! folder of one that is listed is covered too. What is not found: one that was moved into another folder, one whose path is another here than
//! for the program that bound it (in a container), and what is bound by a relative path by a program that has left that folder, or may not be looked at.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Dir, FileType, Mode, OFlags, fstat, openat};
use rustix::io::{Errno, Result};

use crate::view::{attach, clone_tree, find};

/// LIMIT: processes that are looked at, each for some microseconds that every start of a program waits for.
const PROCESSES_MAX: usize = 4096;
/// LIMIT: namespaces whose sockets are read: more than a machine has containers.
const NAMESPACES_MAX: usize = 512;
/// LIMIT: of the sockets of one namespace, in bytes: some ten thousand.
const TABLE_BYTES_MAX: u64 = 4 << 20;
/// LIMIT: tries to find what was bound by a relative path: one for each such path and folder of a process.
const TRIES_MAX: usize = 16 << 10;
/// LIMIT: entries of folders that are looked through, for the tenth of a second that so many take.
const ENTRIES_MAX: usize = 256 << 10;

/// Where processes of the host listen.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    paths: BTreeSet<PathBuf>,
}

impl Sockets {
    /// Lists those of this process's network namespace, and of others as far as their processes are seen.
    ///
    /// # Errors
    ///
    /// The own ones cannot be read.
    pub(crate) fn of_host() -> io::Result<Self> {
        let own = File::open("/proc/net/unix")?;
        // Each namespace has a file of its own for it, also where the name of the namespace may not be read.
        let mut seen = BTreeSet::from([own.metadata()?.ino()]);
        let mut names = Names::default();
        names.read(own)?;
        let processes = processes()?;
        for process in &processes {
            let table = process.join("net/unix");
            if let Ok(found) = std::fs::metadata(&table)
                && !seen.contains(&found.ino())
                && seen.len() < NAMESPACES_MAX
                && File::open(&table).and_then(|file| names.read(file)).is_ok()
            {
                seen.insert(found.ino());
            }
        }
        let Names {
            mut paths,
            relative,
        } = names;
        if !relative.is_empty() {
            let folders = processes.iter();
            let folders =
                folders.filter_map(|process| std::fs::read_link(process.join("cwd")).ok());
            let folders: BTreeSet<PathBuf> = folders.collect();
            let tries = folders
                .iter()
                .flat_map(|folder| relative.iter().map(|name| folder.join(name)));
            paths.extend(tries.take(TRIES_MAX));
        }
        Ok(Self { paths })
    }

    /// Covers them, and every other socket beside one of them, in the view that this process has now.
    pub(crate) fn cover(&self, null: BorrowedFd<'_>) -> Result<()> {
        for path in &self.paths {
            cover(path, null)?;
        }
        let mut left = ENTRIES_MAX;
        let folders: BTreeSet<&Path> = self.paths.iter().filter_map(|path| path.parent()).collect();
        for folder in folders {
            let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
            // As in `cover`.
            let Ok(entries) = openat(CWD, folder, flags, Mode::empty()).and_then(Dir::new) else {
                continue;
            };
            for entry in entries.map_while(Result::ok) {
                left = match left.checked_sub(1) {
                    Some(left) => left,
                    None => return Ok(()),
                };
                if matches!(entry.file_type(), FileType::Socket | FileType::Unknown) {
                    let name = OsStr::from_bytes(entry.file_name().to_bytes());
                    cover(&folder.join(name), null)?;
                }
            }
        }
        Ok(())
    }
}

/// Returns the folders of processes in `/proc`.
fn processes() -> io::Result<Vec<PathBuf>> {
    let is_number = |name: &OsStr| name.as_bytes().iter().all(u8::is_ascii_digit);
    let entries = std::fs::read_dir("/proc")?.map_while(io::Result::ok);
    let processes = entries.filter(|entry| is_number(&entry.file_name()));
    Ok(processes
        .map(|entry| entry.path())
        .take(PROCESSES_MAX)
        .collect())
}

/// Covers a socket, if there is one at this path.
fn cover(path: &Path, null: BorrowedFd<'_>) -> Result<()> {
    let Ok(place) = find(path) else {
        // Whoever goes on inside has no more rights than this process, and does not get there either.
        return Ok(());
    };
    if FileType::from_raw_mode(fstat(&place)?.st_mode) == FileType::Socket {
        return match attach(clone_tree(null, c"")?, place) {
            // It was removed meanwhile.
            Err(Errno::NOENT) => Ok(()),
            covered => covered,
        };
    }
    Ok(())
}

/// What sockets were bound as.
#[derive(Debug, Default)]
struct Names {
    paths: BTreeSet<PathBuf>,
    relative: BTreeSet<PathBuf>,
}

impl Names {
    fn read(&mut self, table: File) -> io::Result<()> {
        let mut text = Vec::new();
        table.take(TABLE_BYTES_MAX).read_to_end(&mut text)?;
        for name in text.split(|byte| *byte == b'\n').filter_map(name) {
            let of_its_kind = match name.is_absolute() {
                true => &mut self.paths,
                false => &mut self.relative,
            };
            if !of_its_kind.contains(name) {
                of_its_kind.insert(name.to_owned());
            }
        }
        Ok(())
    }
}

/// Returns the path of a line, which has seven fields before it.
fn name(line: &[u8]) -> Option<&Path> {
    let mut rest = line;
    for _ in 0..7 {
        let end = rest
            .trim_ascii_start()
            .iter()
            .position(|byte| *byte == b' ')?;
        rest = rest.trim_ascii_start().get(end..)?;
    }
    let name = rest.strip_prefix(b" ").filter(|name| !name.is_empty())?;
    // An abstract name begins with `@`, and is out of reach anyway; the heading has a word here.
    let is_path = !name.starts_with(b"@") && !line.starts_with(b"Num ");
    is_path.then(|| Path::new(OsStr::from_bytes(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_a_socket_is_the_rest_of_its_line() {
        let check = |line: &str, expect: Option<&str>| {
            assert_eq!(name(line.as_bytes()), expect.map(Path::new), "{line}");
        };
        let start = "00000000289d873a: 00000002 00000000 00010000 0001 01";
        check(
            &format!("{start}  1451 /run/a b.sock"),
            Some("/run/a b.sock"),
        );
        check(&format!("{start} 145100 /x"), Some("/x"));
        check(&format!("{start}  1451 @abstract"), None);
        check(&format!("{start}  1451 ./relative"), Some("./relative"));
        check(&format!("{start}  1451 "), None);
        check(&format!("{start}  1451"), None);
        check(
            "Num       RefCount Protocol Flags    Type St Inode Path",
            None,
        );
        check("", None);
    }
}
