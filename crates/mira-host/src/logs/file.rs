//! The file that a service's log is appended to.
//!
//! It is not synced: what a power failure loses is the last lines of a log. INVARIANT: a file holds whole lines, but for a
//! last one that a crash cut; the next run begins a new line after it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{OFlags, fstatvfs};
use rustix::io::Errno;

use super::{Rotation, file_name};

/// What a log leaves free of the disk that it is on, in bytes.
// LIMIT: enough for the vault and the database to be written: whoever has a full disk has to be able to stop what fills it.
const FREE_BYTES_MIN: u64 = 1024 * 1024;

/// What has to be free beyond that before a log goes on that found its disk full, in bytes.
// LIMIT: more than is usually appended at once, so that no short line gets in where many were lost: the log has one gap, and is
// in trouble for as long as nobody made room.
const ROOM_AGAIN_BYTES_MIN: u64 = 1024 * 1024;

/// A service's log. It is opened when it is first written to.
#[derive(Debug)]
pub(crate) struct LogFile {
    folder: PathBuf,
    service: String,
    rotation: Rotation,
    open: Option<Open>,
    /// The disk had no room for what was appended last.
    full: bool,
}

#[derive(Debug)]
struct Open {
    file: File,
    len: u64,
}

impl LogFile {
    pub(crate) fn new(folder: &Path, service: &str, rotation: Rotation) -> Self {
        Self {
            folder: folder.to_owned(),
            service: service.to_owned(),
            rotation,
            open: None,
            full: false,
        }
    }

    /// Appends whole lines: all of them, or none and the reason. The next call tries again.
    pub(crate) fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.open()?,
        };
        let added = lines.len() as u64;
        if open.len > 0 && open.len + added > self.rotation.file_bytes_max {
            drop(open);
            self.rotate()?;
            open = self.open()?;
        }
        let room = match self.full {
            true => added.max(ROOM_AGAIN_BYTES_MIN),
            false => added,
        };
        let written = has_room(&open.file, room).and_then(|()| open.file.write_all(lines));
        self.full = matches!(&written, Err(error) if error.kind() == io::ErrorKind::StorageFull);
        if written.is_ok() {
            open.len += added;
            self.open = Some(open);
        } else {
            // Half a line at the end would spoil the next one. If that fails too, opening again looks after it.
            open.file.set_len(open.len).ok();
        }
        written
    }

    fn path(&self, age: u32) -> PathBuf {
        self.folder.join(file_name(&self.service, age))
    }

    fn open(&self) -> io::Result<Open> {
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
            .open(self.path(0))?;
        let mut len = file.seek(SeekFrom::End(0))?;
        if len > 0 {
            file.seek(SeekFrom::Start(len - 1))?;
            let mut last = [0];
            file.read_exact(&mut last)?;
            if last != *b"\n" {
                file.write_all(b"\n")?;
                len += 1;
            }
        }
        Ok(Open { file, len })
    }

    /// Puts the current file aside, and removes the oldest.
    fn rotate(&self) -> io::Result<()> {
        let kept = self.rotation.files_max.saturating_sub(1);
        if kept == 0 {
            return fs::remove_file(self.path(0));
        }
        for age in (0..kept).rev() {
            match fs::rename(self.path(age), self.path(age + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

/// Says where a file may not grow so much, since too little would be left of its disk.
fn has_room(file: &File, added: u64) -> io::Result<()> {
    let disk = fstatvfs(file)?;
    match disk.f_bavail.saturating_mul(disk.f_frsize) < added.saturating_add(FREE_BYTES_MIN) {
        true => Err(Errno::NOSPC.into()),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn log(folder: &Path, file_bytes_max: u64, files_max: u32) -> LogFile {
        let rotation = Rotation {
            file_bytes_max,
            files_max,
        };
        LogFile::new(folder, "web", rotation)
    }

    fn content(folder: &Path) -> Vec<(String, String)> {
        let mut files: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| {
                let path = entry.unwrap().path();
                let name = path.file_name().unwrap().to_str().unwrap().to_owned();
                (name, fs::read_to_string(path).unwrap())
            })
            .collect();
        files.sort();
        files
    }

    #[test]
    fn files_are_put_aside_by_size_and_the_oldest_go() {
        let folder = tempfile::tempdir().unwrap();
        let check = |files_max: u32, expect: &[(&str, &str)]| {
            let mut log = log(folder.path(), 4, files_max);
            for line in ["1\n", "2\n", "3\n", "long line\n", "4\n", "5\n", "6\n"] {
                log.append(line.as_bytes()).unwrap();
            }
            let files = content(folder.path());
            let files: Vec<_> = files
                .iter()
                .map(|(n, t)| (n.as_str(), t.as_str()))
                .collect();
            assert_eq!(files, expect);
            for (name, _) in files {
                let path = folder.path().join(name);
                assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
                fs::remove_file(path).unwrap();
            }
        };
        check(1, &[("web.jsonl", "6\n")]);
        check(
            3,
            &[
                ("web.jsonl", "6\n"),
                ("web.jsonl.1", "4\n5\n"),
                ("web.jsonl.2", "long line\n"),
            ],
        );
    }

    #[test]
    fn the_next_run_goes_on_behind_a_line_that_was_cut() {
        let folder = tempfile::tempdir().unwrap();
        log(folder.path(), 1000, 2).append(b"one\n").unwrap();
        let path = folder.path().join("web.jsonl");
        fs::write(&path, "one\ntw").unwrap();
        log(folder.path(), 1000, 2).append(b"three\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "one\ntw\nthree\n");
    }

    #[test]
    fn what_cannot_be_written_is_told_and_tried_again() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = log(folder.path(), 1000, 2);
        let path = folder.path().join("web.jsonl");
        fs::create_dir(&path).unwrap();
        log.append(b"lost\n").unwrap_err();
        fs::remove_dir(&path).unwrap();
        // A link is not followed, wherever it leads.
        std::os::unix::fs::symlink("/dev/null", &path).unwrap();
        log.append(b"lost\n").unwrap_err();
        fs::remove_file(&path).unwrap();
        log.append(b"kept\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "kept\n");
    }
}
