//! Reading logs: the files of some services, merged by time.
//!
//! All files are opened at once, the newest first, so that a rotation meanwhile neither hides a line nor shows it twice. Lines
//! that are none, which a crash can leave, are passed over.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;

use super::{LogLine, wire};

/// The longest line of a file that is looked at, in bytes.
// LIMIT: a line of 64 KiB in which every byte is escaped, and its frame; anything longer is none of ours.
const LINE_BYTES_MAX: u64 = 512 * 1024;

/// How much is read at once on the way back from a file's end.
const BLOCK_BYTES: usize = 64 * 1024;

/// Which lines are wanted; all by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of this service only.
    pub service: Option<String>,
    /// From this time on.
    pub since: Option<Timestamp>,
    /// Of those, this many of the last.
    pub tail: Option<usize>,
}

/// Lines of several logs, by time.
#[derive(Debug)]
pub struct Lines {
    logs: Vec<Log>,
    since: Option<Timestamp>,
}

/// Reads the logs in a folder.
///
/// # Errors
///
/// Returns the system's error if the folder or a file cannot be read. That there is no folder yet is fine.
pub fn read(folder: &Path, filter: &Filter) -> io::Result<Vec<LogLine>> {
    let mut lines = lines(folder, filter)?;
    let Some(tail) = filter.tail else {
        return lines.collect();
    };
    lines
        .try_fold(VecDeque::new(), |mut last, line| {
            if last.len() == tail {
                last.pop_front();
            }
            if tail > 0 {
                last.push_back(line?);
            }
            Ok(last)
        })
        .map(Vec::from)
}

/// Returns the lines one by one, without those that a tail leaves out for certain.
fn lines(folder: &Path, filter: &Filter) -> io::Result<Lines> {
    let mut logs = Vec::new();
    for service in services(folder)? {
        if filter
            .service
            .as_ref()
            .is_none_or(|wanted| *wanted == service)
        {
            logs.push(Log::open(folder, &service, filter.tail)?);
        }
    }
    Ok(Lines {
        logs,
        since: filter.since,
    })
}

fn services(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut services = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        let parts = name.to_str().and_then(|name| name.split_once(".jsonl"));
        if let Some((service, _)) = parts {
            services.push(service.to_owned());
        }
    }
    services.sort();
    services.dedup();
    Ok(services)
}

impl Iterator for Lines {
    type Item = io::Result<LogLine>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            for log in &mut self.logs {
                if let Err(error) = log.peek() {
                    return Some(Err(error));
                }
            }
            let earliest = self
                .logs
                .iter_mut()
                .filter(|log| log.next.is_some())
                .min_by_key(|log| log.next.as_ref().map(|line| line.time));
            let line = earliest?.next.take()?;
            if self.since.is_none_or(|since| since <= line.time) {
                return Some(Ok(line));
            }
        }
    }
}

/// The files of one service, oldest first, and the next line of them.
#[derive(Debug)]
struct Log {
    service: Arc<str>,
    files: VecDeque<BufReader<File>>,
    next: Option<LogLine>,
}

impl Log {
    fn open(folder: &Path, service: &str, tail: Option<usize>) -> io::Result<Self> {
        let mut files: VecDeque<BufReader<File>> = VecDeque::new();
        let mut known = Vec::new();
        let mut wanted = tail;
        for age in 0.. {
            let name = match age {
                0 => format!("{service}.jsonl"),
                age => format!("{service}.jsonl.{age}"),
            };
            let mut file = match File::open(folder.join(name)) {
                // The current one may be missing for a moment, while it is put aside.
                Err(error) if error.kind() == io::ErrorKind::NotFound && age > 0 => break,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                other => other?,
            };
            let metadata = file.metadata()?;
            let id = (metadata.dev(), metadata.ino());
            if known.contains(&id) {
                continue;
            }
            known.push(id);
            if let Some(lines) = wanted {
                wanted = Some(lines - seek_to_tail(&mut file, lines)?);
            }
            files.push_front(BufReader::new(file));
            if wanted == Some(0) {
                break;
            }
        }
        Ok(Self {
            service: service.into(),
            files,
            next: None,
        })
    }

    /// Has the next line ready, if there is one.
    fn peek(&mut self) -> io::Result<()> {
        let mut text = Vec::new();
        while self.next.is_none() {
            let Some(file) = self.files.front_mut() else {
                return Ok(());
            };
            text.clear();
            if file.take(LINE_BYTES_MAX).read_until(b'\n', &mut text)? == 0 {
                self.files.pop_front();
                continue;
            }
            // One that is written at this moment has no end yet: it comes live.
            let line = text.strip_suffix(b"\n");
            self.next = line
                .and_then(|line| serde_json::from_slice::<wire::Line<'_>>(line).ok())
                .map(|line| line.into_line(&self.service));
        }
        Ok(())
    }
}

/// Goes to where a file's last `lines` lines begin; returns how many there are from there.
fn seek_to_tail(file: &mut File, lines: usize) -> io::Result<usize> {
    let mut end = file.seek(SeekFrom::End(0))?;
    let mut found = 0;
    let mut block = vec![0; BLOCK_BYTES];
    while end > 0 {
        let start = end.saturating_sub(BLOCK_BYTES as u64);
        let len = usize::try_from(end - start).unwrap_or(BLOCK_BYTES);
        let block = block.get_mut(..len).unwrap_or_default();
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(block)?;
        let ends = block.iter().enumerate().rev();
        for (at, _) in ends.filter(|(_, byte)| **byte == b'\n') {
            if found == lines {
                file.seek(SeekFrom::Start(start + at as u64 + 1))?;
                return Ok(found);
            }
            found += 1;
        }
        end = start;
    }
    file.seek(SeekFrom::Start(0))?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(second: i64, service: &str, text: &str) -> String {
        let time = Timestamp::from_second(1_800_000_000 + second).unwrap();
        format!(
            "{{\"time\":\"{time}\",\"service\":\"{service}\",\"stream\":\"stdout\",\"line\":\"{text}\"}}\n"
        )
    }

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, lines: &[String]| {
            std::fs::write(folder.path().join(name), lines.concat()).unwrap();
        };
        put("web.jsonl.2", &[line(0, "web", "a"), line(2, "web", "c")]);
        put(
            "web.jsonl.1",
            &[line(4, "web", "e"), "{\"time\":\"20\n".to_owned()],
        );
        let half = line(9, "web", "half").trim_end().to_owned();
        put("web.jsonl", &[line(5, "web", "f"), half]);
        put(
            "db.jsonl",
            &[line(1, "db", "b"), line(3, "db", "d"), line(6, "db", "g")],
        );
        put("notes.txt", &["nothing".to_owned()]);
        folder
    }

    #[test]
    fn logs_are_merged_by_time_and_filtered() {
        let folder = folder();
        let check =
            |service: Option<&str>, since: Option<i64>, tail: Option<usize>, expect: &str| {
                let filter = Filter {
                    service: service.map(str::to_owned),
                    since: since
                        .map(|second| Timestamp::from_second(1_800_000_000 + second).unwrap()),
                    tail,
                };
                let read = read(folder.path(), &filter).unwrap();
                let text: String = read.into_iter().map(|line| line.line).collect();
                assert_eq!(text, expect, "{filter:?}");
            };
        check(None, None, None, "abcdefg");
        check(Some("db"), None, None, "bdg");
        check(Some("none"), None, None, "");
        check(None, Some(3), None, "defg");
        check(None, Some(3), Some(2), "fg");
        for tail in 0..9_usize {
            let all = "abcdefg".chars();
            let last: String = all.skip(7_usize.saturating_sub(tail)).collect();
            check(None, None, Some(tail), &last);
        }
    }

    #[test]
    fn a_folder_that_is_not_there_holds_nothing() {
        let read = read(Path::new("/no/such/folder"), &Filter::default());
        assert_eq!(read.unwrap(), []);
    }

    #[test]
    fn the_tail_of_a_file_is_found_across_blocks() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        let text: String = (0..3_000).map(|n| format!("{n:050}\n")).collect();
        std::fs::write(&path, &text).unwrap();
        for lines in [0, 1, 1284, 1285, 1286, 2_999, 3_000, 4_000] {
            let mut file = File::open(&path).unwrap();
            assert_eq!(seek_to_tail(&mut file, lines).unwrap(), lines.min(3_000));
            let mut rest = String::new();
            file.read_to_string(&mut rest).unwrap();
            assert_eq!(rest.lines().count(), lines.min(3_000));
            assert!(text.ends_with(&rest));
        }
    }
}
