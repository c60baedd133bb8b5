//! Reading one byte of a value out of text that may have escaped it.
//!
//! It knows the character-wise escapes only (percent, backslash, HTML, shell and SQL quoting); encodings of whole
//! values are patterns of their own. It holds no state and decides nothing about matches.
//!
//! INVARIANT: every look past the end of the text sets [`Ends::cut`], so that a reader who gets more text later can
//! never come to another result without having been warned.

/// The most bytes that one escaped character takes.
// LIMIT: `&amp;amp;amp;#x0001f600;` has 24; longer spellings are not recognised.
pub(crate) const UNIT_BYTES_MAX: usize = 40;

/// The most bytes that one line break takes, with the blanks around it.
// LIMIT: bounds how much text one value can span and so what a stream holds back.
pub(crate) const BREAK_BYTES_MAX: usize = 256;

/// Where the reading of one character may end: text offset and index in the body.
pub(crate) struct Ends {
    list: [(usize, usize); Self::MAX],
    len: usize,
    /// Whether the text ended before an alternative was decided.
    pub(crate) cut: bool,
}

impl Ends {
    // LIMIT: no character has more spellings that fit one place of one text.
    const MAX: usize = 12;

    pub(crate) fn new() -> Self {
        Self {
            list: [(0, 0); Self::MAX],
            len: 0,
            cut: false,
        }
    }

    pub(crate) fn as_slice(&self) -> &[(usize, usize)] {
        self.list.get(..self.len).unwrap_or_default()
    }

    pub(crate) fn push(&mut self, pos: usize, index: usize) {
        if self.as_slice().contains(&(pos, index)) {
            return;
        }
        if let Some(slot) = self.list.get_mut(self.len) {
            *slot = (pos, index);
            self.len += 1;
        }
    }
}

/// Whether a byte is a letter or digit, which no character-wise escape touches.
pub(crate) const fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
}

/// Whether a byte can begin another spelling of a character than the character itself.
pub(crate) const fn is_intro(byte: u8) -> bool {
    matches!(
        byte,
        b'\\' | b'%' | b'&' | b'\'' | b'"' | b'^' | b'`' | b'$' | b'=' | b'+' | b'-' | b'_'
    ) || is_blank_or_break(byte)
}

const fn is_blank_or_break(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// Collects every way to read `body[index]` at `text[pos..]`.
pub(crate) fn read(text: &[u8], pos: usize, body: &[u8], index: usize, ends: &mut Ends) {
    let Some(&want) = body.get(index) else { return };
    let Some(&first) = text.get(pos) else {
        ends.cut = true;
        return;
    };
    if want == b'\n' {
        line_break(text, pos, index, ends);
        return;
    }
    if first == want {
        ends.push(pos + 1, index + 1);
    }
    if !is_plain(want) {
        escaped(text, pos, &Want::at(body, index), ends);
    }
}

/// The character that is wanted: one byte, or the code point that begins there.
struct Want {
    byte: u8,
    index: usize,
    code: Option<(u32, usize)>,
}

impl Want {
    fn at(body: &[u8], index: usize) -> Self {
        let rest = body.get(index..).unwrap_or_default();
        let head = rest.get(..rest.len().min(4)).unwrap_or_default();
        let text = match std::str::from_utf8(head) {
            Ok(text) => text,
            Err(error) => head
                .get(..error.valid_up_to())
                .and_then(|valid| std::str::from_utf8(valid).ok())
                .unwrap_or_default(),
        };
        Self {
            byte: rest.first().copied().unwrap_or_default(),
            index,
            code: text.chars().next().map(|c| (u32::from(c), c.len_utf8())),
        }
    }

    const fn control(byte: u8, index: usize) -> Self {
        Self {
            byte,
            index,
            code: Some((byte as u32, 1)),
        }
    }

    fn take_byte(&self, value: u32, pos: usize, ends: &mut Ends) {
        if value == u32::from(self.byte) {
            ends.push(pos, self.index + 1);
        }
    }

    fn take_code(&self, value: u32, pos: usize, ends: &mut Ends) {
        if let Some((code, len)) = self.code
            && code == value
        {
            ends.push(pos, self.index + len);
        }
    }
}

fn escaped(text: &[u8], pos: usize, want: &Want, ends: &mut Ends) {
    match text.get(pos) {
        None => ends.cut = true,
        Some(b'\\') => backslash(text, pos, want, ends),
        Some(b'%') => percent(text, pos, want, ends),
        Some(b'&') => entity(text, pos, want, ends),
        Some(b'=') => {
            if let Some(value) = digits(text, pos + 1, 2, 16, ends) {
                want.take_byte(value, pos + 3, ends);
            }
        }
        Some(b'+') if want.byte == b' ' => ends.push(pos + 1, want.index + 1),
        Some(&quote @ (b'\'' | b'"')) if want.byte == quote => quotes(text, pos, want, ends),
        Some(b'^' | b'`') => match text.get(pos + 1) {
            None => ends.cut = true,
            Some(&next) => want.take_byte(u32::from(next), pos + 2, ends),
        },
        Some(b'$') if want.byte == b'$' => literal_end(text, pos, b"$$", want, ends),
        Some(_) => {}
    }
}

/// Reads `\c`, `\n`, `\xNN`, `\uNNNN`, `\u{N}`, `\UNNNNNNNN` and octal, behind any run of up to 8 backslashes, as
/// text that was escaped twice or three times has it.
fn backslash(text: &[u8], pos: usize, want: &Want, ends: &mut Ends) {
    let run = run_of(text, pos, b'\\', 8, ends);
    if want.byte == b'\\' {
        for times in [2, 4] {
            if run >= times {
                ends.push(pos + times, want.index + 1);
            }
        }
    }
    let at = pos + run;
    let Some(&kind) = text.get(at) else {
        ends.cut = true;
        return;
    };
    if kind == want.byte && !is_plain(kind) && kind != b'\\' {
        ends.push(at + 1, want.index + 1);
    }
    let control = match kind {
        b'n' => Some(b'\n'),
        b'r' => Some(b'\r'),
        b't' => Some(b'\t'),
        b'b' => Some(8),
        b'f' => Some(12),
        b'v' => Some(11),
        b'a' => Some(7),
        b'e' | b'E' => Some(27),
        _ => None,
    };
    if control == Some(want.byte) {
        ends.push(at + 1, want.index + 1);
    }
    match kind {
        b'x' => {
            if let Some(value) = digits(text, at + 1, 2, 16, ends) {
                want.take_byte(value, at + 3, ends);
            }
        }
        b'u' => unicode(text, at, want, ends),
        b'U' => {
            if let Some(value) = digits(text, at + 1, 8, 16, ends) {
                want.take_code(value, at + 9, ends);
            }
        }
        b'0'..=b'7' => {
            for count in 1..=4 {
                if let Some(value) = digits(text, at, count, 8, ends) {
                    want.take_byte(value, at + count, ends);
                }
            }
        }
        _ => {}
    }
}

/// Reads what follows the backslashes of `\uNNNN`, of a surrogate pair, and of `\u{N}`; `at` is the `u`.
fn unicode(text: &[u8], at: usize, want: &Want, ends: &mut Ends) {
    match text.get(at + 1) {
        None => ends.cut = true,
        Some(b'{') => {
            let count = count_digits(text, at + 2, 16, 8, ends);
            if let Some(value) = digits(text, at + 2, count, 16, ends) {
                match text.get(at + 2 + count) {
                    None => ends.cut = true,
                    Some(b'}') => want.take_code(value, at + 3 + count, ends),
                    Some(_) => {}
                }
            }
        }
        Some(_) => {
            let Some(value) = digits(text, at + 1, 4, 16, ends) else {
                return;
            };
            want.take_code(value, at + 5, ends);
            if (0xd800..0xdc00).contains(&value) {
                let run = run_of(text, at + 5, b'\\', 8, ends);
                match text.get(at + 5 + run) {
                    None => ends.cut = true,
                    Some(b'u') if run > 0 => {
                        if let Some(low) = digits(text, at + 6 + run, 4, 16, ends)
                            && (0xdc00..0xe000).contains(&low)
                        {
                            let code = 0x1_0000 + ((value - 0xd800) << 10) + (low - 0xdc00);
                            want.take_code(code, at + 10 + run, ends);
                        }
                    }
                    Some(_) => {}
                }
            }
        }
    }
}

/// Reads `%NN` and `%uNNNN`, with the percent sign itself escaped up to 4 times (`%2525NN`), and `%%`.
fn percent(text: &[u8], pos: usize, want: &Want, ends: &mut Ends) {
    if want.byte == b'%' {
        literal_end(text, pos, b"%%", want, ends);
    }
    let mut at = pos + 1;
    for _ in 0..5 {
        match text.get(at) {
            None => ends.cut = true,
            Some(b'u' | b'U') => {
                if let Some(value) = digits(text, at + 1, 4, 16, ends) {
                    want.take_code(value, at + 5, ends);
                }
            }
            Some(_) => {}
        }
        let Some(value) = digits(text, at, 2, 16, ends) else {
            return;
        };
        want.take_byte(value, at + 2, ends);
        if value != u32::from(b'%') {
            return;
        }
        at += 2;
    }
}

/// Reads `&name;`, `&#N;` and `&#xN;`, with the ampersand itself escaped up to 4 times.
fn entity(text: &[u8], pos: usize, want: &Want, ends: &mut Ends) {
    let mut at = pos + 1;
    for _ in 0..4 {
        if !literal(text, at, b"amp;", ends) {
            break;
        }
        if want.byte == b'&' {
            ends.push(at + 4, want.index + 1);
        }
        at += 4;
    }
    let names: &[&[u8]] = match want.byte {
        b'<' => &[b"lt;", b"LT;"],
        b'>' => &[b"gt;", b"GT;"],
        b'"' => &[b"quot;", b"QUOT;"],
        b'\'' => &[b"apos;"],
        _ => &[],
    };
    for name in names {
        if literal(text, at, name, ends) {
            ends.push(at + name.len(), want.index + 1);
        }
    }
    match text.get(at) {
        None => ends.cut = true,
        Some(b'#') => {
            let (from, radix) = match text.get(at + 1) {
                None => {
                    ends.cut = true;
                    return;
                }
                Some(b'x' | b'X') => (at + 2, 16),
                Some(_) => (at + 1, 10),
            };
            let count = count_digits(text, from, radix, 8, ends);
            if let Some(value) = digits(text, from, count, radix, ends) {
                match text.get(from + count) {
                    None => ends.cut = true,
                    Some(b';') => want.take_code(value, from + count + 1, ends),
                    Some(_) => {}
                }
            }
        }
        Some(_) => {}
    }
}

/// Reads a quote inside quotes: doubled (SQL, CSV), or closed, escaped and reopened (shell).
fn quotes(text: &[u8], pos: usize, want: &Want, ends: &mut Ends) {
    let spellings: &[&[u8]] = if want.byte == b'\'' {
        &[b"''", br"'\''", br"'\\''", br#"'"'"'"#, br#"'\"'\"'"#]
    } else {
        &[b"\"\"", br#""'"'""#]
    };
    for spelling in spellings {
        literal_end(text, pos, spelling, want, ends);
    }
}

/// Reads the end of a line: blanks, carriage returns and line feeds in any number, the indentation of the next line,
/// any escape of these, or the single blank that an unquoted `echo` leaves.
fn line_break(text: &[u8], pos: usize, index: usize, ends: &mut Ends) {
    if matches!(text.get(pos), Some(b' ' | b'\t')) {
        ends.push(pos + 1, index + 1);
    }
    let limit = pos + BREAK_BYTES_MAX;
    let (mut at, mut fed) = (pos, false);
    while at < limit {
        match text.get(at) {
            None => {
                ends.cut = true;
                break;
            }
            Some(b' ' | b'\t' | b'\r') => at += 1,
            Some(b'\n') => {
                at += 1;
                fed = true;
            }
            Some(_) => {
                // What looks like an escaped blank may be the next line's own beginning.
                if fed {
                    ends.push(at, index + 1);
                }
                match escaped_blank(text, at, ends) {
                    Some((next, feed)) => {
                        at = next;
                        fed |= feed;
                    }
                    None => break,
                }
            }
        }
    }
    if fed {
        ends.push(at, index + 1);
    }
}

/// Reads one escaped blank, carriage return or line feed; returns where it ends and whether it was a line feed.
fn escaped_blank(text: &[u8], pos: usize, ends: &mut Ends) -> Option<(usize, bool)> {
    for (prefix, suffix) in [(&b""[..], &b""[..]), (b"$'", b"'"), (b"'$'", b"''")] {
        if !literal(text, pos, prefix, ends) {
            continue;
        }
        for byte in *b"\n\r\t " {
            let mut inner = Ends::new();
            escaped(
                text,
                pos + prefix.len(),
                &Want::control(byte, 0),
                &mut inner,
            );
            ends.cut |= inner.cut;
            let longest = inner.as_slice().iter().map(|&(end, _)| end).max();
            if let Some(end) = longest
                && literal(text, end, suffix, ends)
            {
                return Some((end + suffix.len(), byte == b'\n'));
            }
        }
    }
    None
}

/// Returns whether `spelling` stands at `pos`; notes when the text ends inside it.
fn literal(text: &[u8], pos: usize, spelling: &[u8], ends: &mut Ends) -> bool {
    let rest = text.get(pos..).unwrap_or_default();
    if rest.len() < spelling.len() {
        ends.cut |= spelling.starts_with(rest);
        return false;
    }
    rest.starts_with(spelling)
}

fn literal_end(text: &[u8], pos: usize, spelling: &[u8], want: &Want, ends: &mut Ends) {
    if literal(text, pos, spelling, ends) {
        ends.push(pos + spelling.len(), want.index + 1);
    }
}

fn run_of(text: &[u8], pos: usize, byte: u8, max: usize, ends: &mut Ends) -> usize {
    let rest = text.get(pos..).unwrap_or_default();
    let run = rest.iter().take(max).take_while(|&&b| b == byte).count();
    ends.cut |= run == rest.len() && run < max;
    run
}

fn count_digits(text: &[u8], pos: usize, radix: u32, max: usize, ends: &mut Ends) -> usize {
    let rest = text.get(pos..).unwrap_or_default();
    let count = rest
        .iter()
        .take(max)
        .take_while(|&&b| char::from(b).is_digit(radix))
        .count();
    ends.cut |= count == rest.len() && count < max;
    count
}

/// Reads exactly `count` digits.
fn digits(text: &[u8], pos: usize, count: usize, radix: u32, ends: &mut Ends) -> Option<u32> {
    let mut value: u32 = 0;
    for at in pos..pos + count {
        let Some(&byte) = text.get(at) else {
            ends.cut = true;
            return None;
        };
        value = value
            .checked_mul(radix)?
            .checked_add(char::from(byte).to_digit(radix)?)?;
    }
    (count > 0).then_some(value)
}

/// Returns where a terminal's control sequence (ECMA-48, section 5.4) that begins at `pos` ends.
pub(crate) fn control_sequence(text: &[u8], pos: usize, cut: &mut bool) -> Option<usize> {
    if text.get(pos) != Some(&0x1b) {
        return None;
    }
    let end = pos + UNIT_BYTES_MAX;
    let mut at = pos + 1;
    while at < end {
        match text.get(at) {
            None => {
                *cut = true;
                return None;
            }
            Some(b'[') if at == pos + 1 => at += 1,
            Some(0x20..=0x3f) if at > pos + 1 => at += 1,
            Some(0x40..=0x7e) if at > pos + 1 => return Some(at + 1),
            Some(_) => return None,
        }
    }
    None
}

/// Returns where a line break inside wrapped base64 or hex that begins at `pos` ends.
pub(crate) fn wrap(text: &[u8], pos: usize, cut: &mut bool) -> Option<usize> {
    if !matches!(text.get(pos), Some(b'\r' | b'\n' | b'\\')) {
        return None;
    }
    let limit = pos + UNIT_BYTES_MAX;
    let (mut at, mut fed) = (pos, false);
    while at < limit {
        let mut ends = Ends::new();
        match text.get(at) {
            None => {
                *cut = true;
                break;
            }
            Some(&byte) if is_blank_or_break(byte) => {
                fed |= byte == b'\n';
                at += 1;
            }
            Some(b'\\') => {
                let run = run_of(text, at, b'\\', 8, &mut ends);
                *cut |= ends.cut;
                match text.get(at + run) {
                    Some(b'n') => fed = true,
                    Some(b'r') => {}
                    Some(_) => break,
                    None => {
                        *cut = true;
                        break;
                    }
                }
                at += run + 1;
            }
            Some(_) => break,
        }
    }
    fed.then_some(at)
}
