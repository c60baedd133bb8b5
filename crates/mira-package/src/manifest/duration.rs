//! Spans of time as a manifest writes them: `500ms`, `10s`, `5m`, `1h`, `1d`.

use std::time::Duration;

// LIMIT: more digits than any span here needs, and few enough that no unit overflows.
const DIGITS_MAX: usize = 9;

/// Returns the span, or nothing if the text is not spelled as one.
pub(super) fn parse(text: &str) -> Option<Duration> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit())?;
    let (digits, unit) = text.split_at_checked(unit_at)?;
    let leading_zero = digits.len() > 1 && digits.starts_with('0');
    if digits.len() > DIGITS_MAX || leading_zero {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    let seconds = match unit {
        "ms" => return Some(Duration::from_millis(number)),
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86400,
        _ => return None,
    };
    Some(Duration::from_secs(number * seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_a_number_and_a_unit() {
        let check = |text: &str, millis: Option<u64>| {
            assert_eq!(parse(text), millis.map(Duration::from_millis), "{text:?}");
        };
        check("500ms", Some(500));
        check("10s", Some(10_000));
        check("5m", Some(300_000));
        check("1h", Some(3_600_000));
        check("1d", Some(86_400_000));
        check("0s", Some(0));
        check("999999999d", Some(999_999_999 * 86_400_000));
        check("1000000000ms", None);
        check("", None);
        check("s", None);
        check("10", None);
        check("01s", None);
        check("1.5s", None);
        check("-1s", None);
        check("1 s", None);
        check("1S", None);
        check("1w", None);
        check("1s ", None);
        check("١s", None);
    }
}
