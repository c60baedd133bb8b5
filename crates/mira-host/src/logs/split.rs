//! A stream of bytes as lines.

/// The longest line, in bytes.
// LIMIT: as long as a pipe holds at once; a longer line goes on in the next.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// Splits a stream into lines; what has no line break yet is kept.
#[derive(Debug, Default)]
pub(crate) struct Splitter {
    rest: Vec<u8>,
}

impl Splitter {
    /// Takes bytes; calls `each` with every line that they complete, and whether the next line goes on with it.
    pub(crate) fn push(&mut self, bytes: &[u8], each: &mut dyn FnMut(&[u8], bool)) {
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            match piece.split_last() {
                Some((b'\n', line)) => self.take(line, true, each),
                _ => self.take(piece, false, each),
            }
        }
    }

    /// Ends the stream: what has no line break is a line too.
    pub(crate) fn finish(&mut self, each: &mut dyn FnMut(&[u8], bool)) {
        if !self.rest.is_empty() {
            self.take(&[], true, each);
        }
    }

    fn take(&mut self, mut piece: &[u8], ended: bool, each: &mut dyn FnMut(&[u8], bool)) {
        if ended && self.rest.is_empty() && piece.len() <= LINE_BYTES_MAX {
            each(piece, false);
            return;
        }
        while self.rest.len() + piece.len() > LINE_BYTES_MAX {
            let room = LINE_BYTES_MAX.saturating_sub(self.rest.len());
            let (now, after) = piece.split_at(room.min(piece.len()));
            self.rest.extend_from_slice(now);
            piece = after;
            let cut = whole_characters(&self.rest);
            each(self.rest.get(..cut).unwrap_or_default(), true);
            self.rest.drain(..cut);
        }
        self.rest.extend_from_slice(piece);
        if ended {
            each(&self.rest, false);
            // Its room goes too: most streams have no second half line.
            self.rest = Vec::new();
        }
    }
}

/// Returns how many bytes there are up to the last one that ends a character.
fn whole_characters(bytes: &[u8]) -> usize {
    for back in 1..=3 {
        let Some(at) = bytes.len().checked_sub(back) else {
            break;
        };
        let len = match bytes.get(at) {
            Some(0x80..=0xbf) => continue,
            Some(0xc2..=0xdf) => 2,
            Some(0xe0..=0xef) => 3,
            Some(0xf0..=0xf4) => 4,
            _ => 1,
        };
        if len > back {
            return at;
        }
        break;
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Splits `text` in pieces of each size up to a few, and whole; all must agree.
    fn check(text: &[u8], expect: &[(&[u8], bool)]) {
        for size in [1, 2, 3, 1000, text.len().max(1)] {
            let mut splitter = Splitter::default();
            let mut lines = Vec::new();
            let mut each = |line: &[u8], partial: bool| lines.push((line.to_vec(), partial));
            for piece in text.chunks(size) {
                splitter.push(piece, &mut each);
            }
            splitter.finish(&mut each);
            let lines: Vec<_> = lines
                .iter()
                .map(|(line, partial)| (&line[..], *partial))
                .collect();
            assert!(lines == expect, "in pieces of {size}");
        }
    }

    #[test]
    fn lines_do_not_depend_on_how_the_stream_was_cut() {
        check(b"", &[]);
        check(b"\n", &[(b"", false)]);
        check(b"a\r\n\nb", &[(b"a\r", false), (b"", false), (b"b", false)]);
    }

    #[test]
    fn a_long_line_comes_in_several_and_no_character_is_cut() {
        let max = LINE_BYTES_MAX;
        let just = vec![b'x'; max];
        check(&[&just[..], b"\n"].concat(), &[(&just, false)]);
        check(
            &[&just[..], b"y\n"].concat(),
            &[(&just, true), (b"y", false)],
        );
        check(&just, &[(&just, false)]);
        for (character, before) in [("ü", 1), ("€", 2), ("🦀", 3), ("€", 1), ("🦀", 1)] {
            let head = vec![b'x'; max - before];
            let text = [&head[..], character.as_bytes(), b"z\n"].concat();
            let tail = [character.as_bytes(), b"z"].concat();
            check(&text, &[(&head, true), (&tail, false)]);
        }
        // What is no text is cut anywhere.
        let odd = vec![0x80; max + 1];
        check(&odd, &[(&odd[..max], true), (&odd[max..], false)]);
    }
}
