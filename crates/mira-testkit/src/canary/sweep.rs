//! Looking for canaries in bytes, files, folders and processes.
//!
//! A place that cannot be read is reported, not skipped. Two exceptions, where there is nothing to read: what vanished meanwhile, and
//! environments that belong to other users' processes.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use aho_corasick::AhoCorasick;

use super::{Canary, Findings, Form, Hit, Place};

// LIMIT: a block of this size, plus the longest spelling, is what a sweep of any file keeps in memory.
const BLOCK_BYTES: usize = 1 << 20;

/// A search for a set of canaries.
#[derive(Debug)]
pub struct Sweep {
    needles: AhoCorasick,
    /// Whose spelling each needle is.
    labels: Vec<(&'static str, Form)>,
    longest: usize,
}

impl Sweep {
    /// Prepares a search for every spelling of the canaries.
    ///
    /// # Panics
    ///
    /// Panics if there are no canaries: such a sweep would always be clean.
    #[must_use]
    pub fn new(canaries: &[Canary]) -> Self {
        assert!(!canaries.is_empty(), "a sweep for nothing finds nothing");
        let mut labels = Vec::new();
        let mut needles = Vec::new();
        for canary in canaries {
            for spelling in canary.spellings() {
                labels.push((canary.name(), spelling.form));
                needles.push(spelling.bytes);
            }
        }
        let longest = needles.iter().map(Vec::len).max().unwrap_or(0);
        let needles = AhoCorasick::new(needles).expect("spellings are small");
        Self {
            needles,
            labels,
            longest,
        }
    }

    /// Sweeps bytes, such as a captured output, that a report calls `name`.
    pub fn bytes(&self, name: &str, bytes: &[u8]) -> Findings {
        let mut findings = Findings::default();
        self.search_all(&Place::Bytes(name.to_owned()), bytes, &mut findings);
        findings
    }

    /// Sweeps a file's content and its name.
    pub fn file(&self, path: &Path) -> Findings {
        let mut findings = Findings::default();
        self.visit(path, path.parent().unwrap_or(path), &mut findings);
        findings
    }

    /// Sweeps everything below a folder: contents, names, and where symlinks point; links are not followed.
    pub fn folder(&self, path: &Path) -> Findings {
        self.file(path)
    }

    /// Sweeps the arguments and environments of all processes but this one and the `exempt`.
    ///
    /// Processes that other users run are swept as far as the system shows them: their arguments, not their environments.
    pub fn processes(&self, exempt: &[u32]) -> Findings {
        let mut findings = Findings::default();
        let own = std::process::id();
        let Ok(entries) = fs::read_dir("/proc") else {
            let all = Place::Bytes("/proc".to_owned());
            findings.unread.push((all, "no process list".to_owned()));
            return findings;
        };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            if pid != own && !exempt.contains(&pid) {
                self.process_file(
                    &entry.path().join("cmdline"),
                    Place::Arguments(pid),
                    &mut findings,
                );
                self.process_file(
                    &entry.path().join("environ"),
                    Place::Environment(pid),
                    &mut findings,
                );
            }
        }
        findings
    }

    /// Sweeps the memory of a process, which this one must be allowed to trace.
    #[cfg(target_os = "linux")]
    pub fn memory(&self, pid: u32) -> Findings {
        let place = Place::Memory(pid);
        let mut findings = Findings::default();
        if let Err(error) = self.memory_maps(pid, &place, &mut findings) {
            findings.unread.push((place, error.to_string()));
        }
        findings
    }

    #[cfg(target_os = "linux")]
    fn memory_maps(&self, pid: u32, place: &Place, findings: &mut Findings) -> io::Result<()> {
        use std::os::unix::fs::FileExt as _;
        let maps = fs::read_to_string(format!("/proc/{pid}/maps"))?;
        let memory = File::open(format!("/proc/{pid}/mem"))?;
        for (start, end) in maps.lines().filter_map(readable_range) {
            let mut at = start;
            let reader = ReadWith(|buffer: &mut [u8]| {
                let left = usize::try_from(end - at)
                    .unwrap_or(usize::MAX)
                    .min(buffer.len());
                let part = buffer.get_mut(..left).unwrap_or_default();
                // Pages that a map names and nobody may read, such as a device's, end their map.
                let count = memory.read_at(part, at).unwrap_or(0);
                at += count as u64;
                Ok(count)
            });
            self.read_from(place, start, reader, findings);
        }
        if findings.bytes_seen == 0 {
            return Err(io::Error::other("none of its memory can be read"));
        }
        Ok(())
    }

    /// Sweeps what is at `path`; reports call its folder `shown`, where names that spell a canary are masked.
    fn visit(&self, path: &Path, shown: &Path, findings: &mut Findings) {
        let name = path.file_name().unwrap_or_default();
        let in_folder = Place::Name(shown.to_owned());
        let before = findings.hits.len();
        self.search_all(&in_folder, name.as_encoded_bytes(), findings);
        let shown = match findings.hits.get(before) {
            Some(hit) => shown.join(format!("[{}]", hit.canary)),
            None => shown.join(name),
        };
        let looked = fs::symlink_metadata(path).and_then(|metadata| {
            let kind = metadata.file_type();
            if kind.is_symlink() {
                let target = fs::read_link(path)?;
                self.search_all(&in_folder, target.as_os_str().as_encoded_bytes(), findings);
            } else if kind.is_dir() {
                let entries = fs::read_dir(path)?.collect::<io::Result<Vec<_>>>()?;
                for entry in entries {
                    self.visit(&entry.path(), &shown, findings);
                }
            } else if kind.is_file() {
                self.read(&Place::File(shown.clone()), File::open(path)?, findings);
            }
            Ok(())
        });
        if let Err(error) = looked
            && error.kind() != io::ErrorKind::NotFound
        {
            findings
                .unread
                .push((Place::File(shown), error.to_string()));
        }
    }

    fn process_file(&self, path: &Path, place: Place, findings: &mut Findings) {
        // A process may end at any time; another user's environment stays closed.
        if let Ok(file) = File::open(path) {
            self.read(&place, ReadUntilGone(file), findings);
        }
    }

    fn read(&self, place: &Place, source: impl Read, findings: &mut Findings) {
        self.read_from(place, 0, source, findings);
    }

    /// Searches a stream in blocks, each behind as much of the one before as an occurrence could begin in.
    fn read_from(&self, place: &Place, start: u64, mut source: impl Read, findings: &mut Findings) {
        let mut seen = BTreeSet::new();
        let mut buffer = vec![0; BLOCK_BYTES + self.longest];
        let mut kept = 0;
        let mut offset = start;
        loop {
            let count = match source.read(buffer.get_mut(kept..).unwrap_or_default()) {
                Ok(0) => return,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    findings.unread.push((place.clone(), error.to_string()));
                    return;
                }
            };
            findings.bytes_seen += count as u64;
            let filled = kept + count;
            let block = buffer.get(..filled).unwrap_or_default();
            self.search(place, offset, block, &mut seen, findings);
            let tail = filled.min(self.longest - 1);
            buffer.copy_within(filled - tail..filled, 0);
            offset += (filled - tail) as u64;
            kept = tail;
        }
    }

    fn search_all(&self, place: &Place, bytes: &[u8], findings: &mut Findings) {
        findings.bytes_seen += bytes.len() as u64;
        self.search(place, 0, bytes, &mut BTreeSet::new(), findings);
    }

    /// Searches a block that stands at `offset` of its place; `seen` are the needles found there already.
    fn search(
        &self,
        place: &Place,
        offset: u64,
        block: &[u8],
        seen: &mut BTreeSet<usize>,
        findings: &mut Findings,
    ) {
        for found in self.needles.find_overlapping_iter(block) {
            let needle = found.pattern().as_usize();
            if seen.insert(needle)
                && let Some(&(canary, form)) = self.labels.get(needle)
            {
                findings.hits.push(Hit {
                    place: place.clone(),
                    canary,
                    form,
                    offset: offset + found.start() as u64,
                });
            }
        }
    }
}

/// Returns the addresses of a line of `/proc/PID/maps` whose memory can be read.
#[cfg(target_os = "linux")]
fn readable_range(line: &str) -> Option<(u64, u64)> {
    let mut fields = line.split_ascii_whitespace();
    let (start, end) = fields.next()?.split_once('-')?;
    let readable = fields.next()?.starts_with('r');
    // The kernel's own pages have no bytes of the process, and some end above what an offset can say.
    let kernels = line.ends_with("[vvar]") || line.ends_with("[vsyscall]");
    (readable && !kernels).then_some(())?;
    Some((
        u64::from_str_radix(start, 16).ok()?,
        u64::from_str_radix(end, 16).ok()?,
    ))
}

/// A file of `/proc` that ends where its process does.
struct ReadUntilGone(File);

impl Read for ReadUntilGone {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(self.0.read(buffer).unwrap_or(0))
    }
}

/// A reader made of a function.
#[cfg(target_os = "linux")]
struct ReadWith<F>(F);

#[cfg(target_os = "linux")]
impl<F: FnMut(&mut [u8]) -> io::Result<usize>> Read for ReadWith<F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (self.0)(buffer)
    }
}
