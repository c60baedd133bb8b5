//! Tables and times, for people.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use unicode_width::UnicodeWidthStr;

/// Columns of a table, each as wide as its widest cell so far.
pub(crate) struct Columns<const N: usize>([usize; N]);

impl<const N: usize> Columns<N> {
    /// Returns columns that all of these rows fit in.
    pub(crate) fn of(header: [&str; N], rows: &[[String; N]]) -> Self {
        let mut widths = header.map(UnicodeWidthStr::width);
        for row in rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.width());
            }
        }
        Self(widths)
    }

    /// Renders a row; the last column is not padded, and a cell that is too wide pushes the others on.
    pub(crate) fn line(&self, cells: &[&str; N]) -> String {
        let mut line = String::new();
        for (cell, width) in cells.iter().zip(self.0) {
            line.push_str(cell);
            line.extend(std::iter::repeat_n(
                ' ',
                width.saturating_sub(cell.width()) + 2,
            ));
        }
        format!("{}\n", line.trim_end())
    }
}

/// Renders rows under a header, columns as wide as their widest cell.
pub(crate) fn table<const N: usize>(header: [&str; N], rows: &[[String; N]]) -> String {
    let columns = Columns::of(header, rows);
    let mut text = columns.line(&header);
    for row in rows {
        text.push_str(&columns.line(&row.each_ref().map(String::as_str)));
    }
    text
}

/// Renders a time in the person's time zone, to the minute.
pub(crate) fn minute(time: Timestamp) -> String {
    time.to_zoned_datetime(TimeZone::system())
        .strftime("%Y-%m-%d %H:%M")
        .to_string()
}

/// Renders a time in the person's time zone, to the second.
pub(crate) fn second(time: Timestamp) -> String {
    time.to_zoned_datetime(TimeZone::system())
        .strftime("%Y-%m-%d %H:%M:%S")
        .to_string()
}

/// Renders until when something is good.
pub(crate) fn expiry(expires: Timestamp) -> String {
    match expires <= Timestamp::now() {
        true => format!("{} (expired)", minute(expires)),
        false => minute(expires),
    }
}

/// Renders a count with its noun: `1 secret`, `2 secrets`.
pub(crate) fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// Renders a size: `812 B`, `1.4 MiB`.
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let power = bytes.ilog2() / 10;
    let index = usize::try_from(power).unwrap_or(1).min(UNITS.len()) - 1;
    let unit = UNITS.get(index).copied().unwrap_or("TiB");
    // Tenths, cut off: a size is never shown as more than it is.
    let tenths = (u128::from(bytes) * 10) >> (10 * (index + 1));
    format!("{}.{} {unit}", tenths / 10, tenths % 10)
}

/// Renders facts, one a line, what they are about in front; a fact without that goes on with the one before.
pub(crate) fn facts(facts: &[(&str, String)]) -> String {
    let width = facts.iter().map(|(what, _)| what.width()).max();
    let width = width.unwrap_or_default();
    let lines = facts
        .iter()
        .map(|(what, fact)| format!("{what:width$}  {fact}\n"));
    lines.collect()
}

/// Renders a path as a word for a shell.
pub(crate) fn quoted(path: &std::path::Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+,:@%=".contains(c);
    match !text.is_empty() && text.chars().all(is_plain) {
        true => text,
        false => format!("'{}'", text.replace('\'', "'\\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_they_look() {
        let rows = [
            ["A".to_owned(), "ключ".to_owned()],
            ["LONGER".to_owned(), String::new()],
        ];
        assert_eq!(
            table(["NAME", "LABEL"], &rows),
            "NAME    LABEL\nA       ключ\nLONGER\n"
        );
    }

    #[test]
    fn sizes_have_one_decimal_and_a_unit() {
        let check = |size: u64, expect: &str| assert_eq!(bytes(size), expect);
        check(0, "0 B");
        check(1023, "1023 B");
        check(1024, "1.0 KiB");
        check(1_048_575, "1023.9 KiB");
        check(1_572_864, "1.5 MiB");
        check(u64::MAX, "16777215.9 TiB");
    }

    #[test]
    fn nouns_agree() {
        assert_eq!(count(1, "secret"), "1 secret");
        assert_eq!(count(0, "secret"), "0 secrets");
    }

    #[test]
    fn paths_are_words_for_a_shell() {
        let check = |path: &str, expect: &str| assert_eq!(quoted(path.as_ref()), expect);
        check("../my-app_1.mira", "../my-app_1.mira");
        check("my app", "'my app'");
        check("it's", "'it'\\''s'");
    }
}
