//! Making a backup: files and folders on their way into the archive.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use tar::{Builder, EntryType, Header, HeaderMode};

use crate::error::CommandError;
use crate::ui::Ui;
use crate::ui::progress::Progress;
use crate::whole::packaging::cannot;

/// An archive that is being written.
pub(crate) struct Archive<W: Write> {
    tar: Builder<W>,
    progress: Progress,
    /// How many files there are in it.
    pub(crate) files: u64,
    /// How many bytes they have.
    pub(crate) bytes: u64,
    /// What no archive holds: sockets, devices.
    pub(crate) left_out: Vec<PathBuf>,
}

impl<W: Write> Archive<W> {
    /// Begins an archive.
    pub(crate) fn begin(output: W, ui: &Ui) -> Self {
        Self {
            tar: Builder::new(output),
            progress: ui.progress("backing up"),
            files: 0,
            bytes: 0,
            left_out: Vec::new(),
        }
    }

    /// Adds a private file with this content.
    pub(crate) fn bytes(&mut self, name: &str, content: &[u8]) -> Result<(), CommandError> {
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Regular);
        header.set_mode(0o600);
        header.set_size(content.len() as u64);
        header.set_mtime(u64::try_from(jiff::Timestamp::now().as_second()).unwrap_or_default());
        self.tar.append_data(&mut header, name, content)?;
        self.count(content.len() as u64);
        Ok(())
    }

    /// Adds what is in an open file, as a private file.
    pub(crate) fn content(&mut self, name: &str, file: &File) -> Result<(), CommandError> {
        let metadata = file.metadata()?;
        let mut header = Header::new_gnu();
        header.set_metadata_in_mode(&metadata, HeaderMode::Complete);
        header.set_mode(0o600);
        self.data(&mut header, Path::new(name), file, metadata.len())
            .map_err(CommandError::from)
    }

    /// Adds a folder and all in it, in the order of names; `wanted` says of each path within it whether it is.
    pub(crate) fn tree(
        &mut self,
        name: &Path,
        folder: &Path,
        wanted: impl Fn(&Path) -> bool,
    ) -> Result<(), CommandError> {
        let mut left = vec![PathBuf::new()];
        while let Some(within) = left.pop() {
            let path = folder.join(&within);
            let failed = |error: io::Error| cannot("back up", &path, &error);
            let metadata = fs::symlink_metadata(&path).map_err(failed)?;
            let mut header = Header::new_gnu();
            header.set_metadata_in_mode(&metadata, HeaderMode::Complete);
            let entry = match within.as_os_str().is_empty() {
                true => name.to_owned(),
                false => name.join(&within),
            };
            let kind = metadata.file_type();
            if kind.is_dir() {
                header.set_size(0);
                self.tar
                    .append_data(&mut header, &entry, io::empty())
                    .map_err(failed)?;
                let found = fs::read_dir(&path).and_then(Iterator::collect::<io::Result<Vec<_>>>);
                let mut inside: Vec<PathBuf> = found
                    .map_err(failed)?
                    .into_iter()
                    .map(|found| within.join(found.file_name()))
                    .filter(|path| wanted(path))
                    .collect();
                // The last one is taken first.
                inside.sort_unstable_by(|one, other| other.cmp(one));
                left.append(&mut inside);
            } else if kind.is_file() {
                let mut options = OpenOptions::new();
                let flags = OFlags::NOFOLLOW.bits();
                options.read(true).custom_flags(flags.cast_signed());
                let file = options.open(&path).map_err(failed)?;
                self.data(&mut header, &entry, &file, metadata.size())
                    .map_err(failed)?;
            } else if kind.is_symlink() {
                header.set_size(0);
                let target = fs::read_link(&path).map_err(failed)?;
                self.tar
                    .append_link(&mut header, &entry, target)
                    .map_err(failed)?;
                self.count(0);
            } else {
                self.left_out.push(path);
            }
        }
        Ok(())
    }

    /// Ends the archive, and returns what it was written to.
    pub(crate) fn finish(self) -> Result<W, CommandError> {
        Ok(self.tar.into_inner()?)
    }

    /// Adds a file of a size that was looked at before.
    fn data(&mut self, header: &mut Header, name: &Path, file: &File, size: u64) -> io::Result<()> {
        header.set_size(size);
        let data = Whole { file, left: size };
        self.tar.append_data(header, name, data)?;
        self.count(size);
        Ok(())
    }

    fn count(&mut self, size: u64) {
        self.files += 1;
        self.bytes += size;
        self.progress.show(self.files, self.bytes);
    }
}

/// As many bytes of a file as were announced: one that became shorter is an error, and what was added is not looked at.
struct Whole<'a> {
    file: &'a File,
    left: u64,
}

impl Read for Whole<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.take(self.left).read(buffer)?;
        if read == 0 && self.left > 0 && !buffer.is_empty() {
            let message = "it was made shorter meanwhile; try again";
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, message));
        }
        self.left -= read as u64;
        Ok(read)
    }
}
