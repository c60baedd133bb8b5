//! When secrets were handed out last: lines of ids and a time, appended, and folded together when they become many.
//!
//! INVARIANT: no name and no value, and a crash leaves the lines as they were before or after.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The file of the lines, and the one that is locked while they are written.
const FILE: &str = "used";
const LOCK: &str = "used.lock";

/// From which length on the lines are folded, in bytes.
// LIMIT: some thousand runs; it is read in less than a millisecond.
const FOLD_BYTES: u64 = 512 * 1024;

/// The longest file that is read, in bytes.
// LIMIT: 100,000 secrets, folded; a longer one is none of ours.
const FILE_BYTES_MAX: u64 = 8 * 1024 * 1024;

#[derive(Serialize, Deserialize)]
struct Line {
    at: Timestamp,
    ids: Vec<String>,
}

/// Appends a line.
pub(super) fn note<'a>(
    folder: &Path,
    ids: impl Iterator<Item = &'a str>,
    at: Timestamp,
) -> io::Result<()> {
    let ids: Vec<String> = ids.map(str::to_owned).collect();
    if ids.is_empty() {
        return Ok(());
    }
    let lock = private().write(true).open(folder.join(LOCK))?;
    lock.lock()?;
    let path = folder.join(FILE);
    let mut file = private().append(true).open(&path)?;
    file.write_all(&render(&Line { at, ids })?)?;
    if file.metadata()?.len() > FOLD_BYTES {
        fold(folder, &path)?;
    }
    Ok(())
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.create(true).mode(0o600);
    options
}

fn render(line: &Line) -> io::Result<Vec<u8>> {
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    Ok(text)
}

/// Replaces the lines by one for each time.
fn fold(folder: &Path, path: &Path) -> io::Result<()> {
    let mut by_time: BTreeMap<Timestamp, Vec<String>> = BTreeMap::new();
    for (id, at) in read(folder)? {
        by_time.entry(at).or_default().push(id);
    }
    let mut new = tempfile::NamedTempFile::new_in(folder)?;
    for (at, ids) in by_time {
        new.write_all(&render(&Line { at, ids })?)?;
    }
    new.as_file().sync_all()?;
    new.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// Returns when each secret was handed out last. A line that is not whole is none.
pub(super) fn read(folder: &Path) -> io::Result<BTreeMap<String, Timestamp>> {
    let mut text = String::new();
    match File::open(folder.join(FILE)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        file => drop(file?.take(FILE_BYTES_MAX).read_to_string(&mut text)?),
    }
    let mut last = BTreeMap::new();
    for line in text.lines() {
        let Ok(Line { at, ids }) = serde_json::from_str(line) else {
            continue;
        };
        for id in ids {
            let known = last.entry(id).or_insert(at);
            *known = at.max(*known);
        }
    }
    Ok(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn the_last_use_of_each_is_known_also_after_the_lines_were_folded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        assert!(read(path).unwrap().is_empty());
        note(path, ["a", "b"].into_iter(), at(5)).unwrap();
        note(path, ["a"].into_iter(), at(9)).unwrap();
        // A clock that was set back does not make a use older.
        note(path, ["a"].into_iter(), at(7)).unwrap();
        let long: Vec<String> = (0..40_000).map(|number| format!("{number:016}")).collect();
        note(path, long.iter().map(String::as_str), at(1)).unwrap();
        note(path, ["c"].into_iter(), at(8)).unwrap();
        let last = read(path).unwrap();
        assert_eq!((last["a"], last["b"], last["c"]), (at(9), at(5), at(8)));
        assert_eq!(last.len(), long.len() + 3);
    }

    #[test]
    fn half_a_line_is_none() {
        let folder = tempfile::tempdir().unwrap();
        note(folder.path(), ["a"].into_iter(), at(5)).unwrap();
        let mut file = private()
            .append(true)
            .open(folder.path().join(FILE))
            .unwrap();
        file.write_all(b"{\"at\":\"2026-").unwrap();
        assert_eq!(read(folder.path()).unwrap().len(), 1);
    }
}
