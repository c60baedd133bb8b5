//! What the format keeps of a file beside its content, read and put into the format's terms.

use std::io;
use std::path::Path;

use rustic_core::jiff::{SignedDuration, Timestamp};
use rustic_core::repofile::Metadata;
use rustix::fs::{FileType, Stat};

/// Returns what the format keeps of a file, but for its extended attributes.
pub(crate) fn metadata(stat: &Stat) -> Metadata {
    let is_folder = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
    let time = |seconds, nanoseconds| Timestamp::new(seconds, nanoseconds).ok();
    let mtime = time(stat.st_mtime, stat.st_mtime_nsec as i32);
    Metadata {
        mode: Some(go_mode(stat.st_mode)),
        mtime,
        // Reading changes it, so two snapshots of one state would differ.
        atime: mtime,
        ctime: time(stat.st_ctime, stat.st_ctime_nsec as i32),
        uid: Some(stat.st_uid),
        gid: Some(stat.st_gid),
        inode: stat.st_ino,
        // It tells hard links apart, and is of no use otherwise.
        device_id: if stat.st_nlink > 1 && !is_folder {
            stat.st_dev
        } else {
            0
        },
        size: if is_folder {
            0
        } else {
            u64::try_from(stat.st_size).unwrap_or(0)
        },
        links: if is_folder { 0 } else { stat.st_nlink },
        ..Metadata::default()
    }
}

/// Returns the time of a file's last change as the snapshot keeps it.
///
/// A change in the same tick of the system's clock leaves the time as it is. So the time of a file that changed just now is
/// kept as one that it never had, and the next snapshot reads the file again.
pub(crate) fn settled(changed: Timestamp, now: Timestamp) -> Timestamp {
    if now.duration_since(changed) < SignedDuration::from_millis(UNSETTLED_MS) {
        let never = changed.checked_sub(SignedDuration::from_nanos(1));
        never.unwrap_or(changed)
    } else {
        changed
    }
}

/// For how long a file that changed may change again without a trace in its times.
// LIMIT: two ticks of a kernel with 100 a second, the slowest that there is.
pub(crate) const UNSETTLED_MS: i64 = 20;

/// Returns a mode as the format has it: that of Go, <https://pkg.go.dev/io/fs#FileMode>.
fn go_mode(mode: u32) -> u32 {
    let kind = match FileType::from_raw_mode(mode) {
        FileType::Directory => 1 << 31,
        FileType::Symlink => 1 << 27,
        _ => 0,
    };
    let bits = [(0o4000, 1 << 23), (0o2000, 1 << 22), (0o1000, 1 << 20)];
    bits.iter()
        .filter(|(unix, _)| mode & unix != 0)
        .fold(mode & 0o777 | kind, |mode, (_, go)| mode | go)
}

/// Returns a file's extended attributes; a file system without them has none.
pub(crate) fn attributes(place: &Path) -> io::Result<Vec<(String, Vec<u8>)>> {
    use rustix::io::Errno;
    let none = |error| matches!(error, Errno::NOTSUP | Errno::PERM | Errno::ACCESS);
    let names = loop {
        // The usual case is none, for one call.
        let bytes = match rustix::fs::llistxattr_query(place) {
            Ok(0) => return Ok(Vec::new()),
            Ok(bytes) => bytes,
            Err(error) if none(error) => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        let mut names: Vec<u8> = Vec::with_capacity(bytes);
        match rustix::fs::llistxattr(place, rustix::buffer::spare_capacity(&mut names)) {
            Ok(_) => break names,
            Err(Errno::RANGE) => {}
            Err(error) => return Err(error.into()),
        }
    };
    let mut pairs = Vec::new();
    for name in names
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
    {
        let mut value: Vec<u8> = Vec::with_capacity(64 * 1024);
        let read = rustix::fs::lgetxattr(place, name, rustix::buffer::spare_capacity(&mut value));
        match read {
            Ok(_) => pairs.push((String::from_utf8_lossy(name).into_owned(), value)),
            Err(error) if none(error) || error == Errno::NODATA => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_just_now_is_read_again_next_time() {
        let changed = Timestamp::from_millisecond(1_700_000_000_000).unwrap();
        let check = |later_ms: i64, settles: bool| {
            let now = changed + SignedDuration::from_millis(later_ms);
            assert_eq!(settled(changed, now) == changed, settles, "{later_ms}");
        };
        check(0, false);
        check(UNSETTLED_MS - 1, false);
        check(UNSETTLED_MS, true);
        check(86_400_000, true);
        // A clock that was set back: nobody knows.
        check(-1, false);
    }

    #[test]
    fn modes_are_those_of_go() {
        for (unix, go) in [
            (0o100_644, 0o644),
            (0o040_755, 1 << 31 | 0o755),
            (0o120_777, 1 << 27 | 0o777),
            (0o104_755, 1 << 23 | 0o755),
            (0o041_777, 1 << 31 | 1 << 20 | 0o777),
        ] {
            assert_eq!(go_mode(unix), go, "{unix:o}");
        }
    }
}
