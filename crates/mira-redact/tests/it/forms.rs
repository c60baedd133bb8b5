//! Each spelling of a value is found, alone and inside other text.

use crate::common::{redact, set, text};

const KEY: &[u8] = b"sk-proj-4fXq81LmZ0pTw7Rk";

fn check(value: &[u8], input: &str, expect: &str) {
    let set = set(&[("K", value)]);
    assert_eq!(text(&redact(&set, input.as_bytes())), expect, "{input}");
}

fn hides(value: &[u8], spelled: &str) {
    for (before, after) in [("", ""), ("key=", " done"), ("\"", "\",\n")] {
        check(
            value,
            &format!("{before}{spelled}{after}"),
            &format!("{before}[redacted:K]{after}"),
        );
    }
}

#[test]
fn raw_and_escaped() {
    hides(KEY, "sk-proj-4fXq81LmZ0pTw7Rk");
    hides(KEY, r"sk\-proj\-4fXq81LmZ0pTw7Rk");
    hides(KEY, "sk%2Dproj%2d4fXq81LmZ0pTw7Rk");
    let odd = br#"p@s"s'w\o/r%d&X9kTq2Lm8Vd <z>"#;
    hides(odd, r#"p@s"s'w\o/r%d&X9kTq2Lm8Vd <z>"#);
    // JSON, with and without the optional escapes, and JSON inside JSON.
    hides(odd, r#"p@s\"s'w\\o/r%d&X9kTq2Lm8Vd <z>"#);
    hides(
        odd,
        r#"p@s\"s\u0027w\\o\/r%d\u0026X9kTq2Lm8Vd \u003cz\u003E"#,
    );
    hides(odd, r#"p@s\\\"s'w\\\\o/r%d&X9kTq2Lm8Vd <z>"#);
    // Percent, twice, and as a form.
    hides(odd, "p%40s%22s%27w%5Co%2Fr%25d%26X9kTq2Lm8Vd%20%3Cz%3E");
    hides(
        odd,
        "p%2540s%2522s%2527w%255Co%252Fr%2525d%2526X9kTq2Lm8Vd%2520%253Cz%253E",
    );
    hides(odd, "p%40s%22s%27w%5co%2fr%25d%26X9kTq2Lm8Vd+%3cz%3e");
    // HTML, with names, decimal and hex.
    hides(odd, r"p@s&quot;s&#39;w\o/r%d&amp;X9kTq2Lm8Vd &lt;z&gt;");
    hides(
        odd,
        r"p&#64;s&#34;s&apos;w&#92;o&#x2F;r%d&#x26;X9kTq2Lm8Vd&#32;&LT;z&gt;",
    );
    // Shell: single quotes, double quotes, backslashes, ANSI-C.
    hides(odd, r#"p@s"s'\''w\o/r%d&X9kTq2Lm8Vd <z>"#);
    hides(odd, r#"p@s"s'"'"'w\o/r%d&X9kTq2Lm8Vd <z>"#);
    hides(odd, r#"p@s\"s\'w\\o/r%d\&X9kTq2Lm8Vd\ \<z\>"#);
    // SQL and CSV.
    hides(odd, r#"p@s"s''w\o/r%d&X9kTq2Lm8Vd <z>"#);
    hides(odd, r#"p@s""s'w\o/r%d&X9kTq2Lm8Vd <z>"#);
    // Octal and hex escapes of single characters.
    hides(odd, r#"p\100s\042s\47w\134o\x2fr\x25d&X9kTq2Lm8Vd\040<z>"#);
}

#[test]
fn values_without_a_run_of_letters_and_digits() {
    let odd = b"a#b-c d&e\"f'g/h";
    hides(odd, "a#b-c d&e\"f'g/h");
    hides(odd, "a%23b-c%20d%26e%22f%27g%2Fh");
    hides(odd, "a%23b-c+d%26e%22f%27g%2Fh");
    hides(odd, r#"a#b-c d&e\"f'g/h"#);
    hides(odd, r#"a#b-c d&e\"f'g\/h"#);
    hides(odd, "a#b-c d&amp;e&quot;f&#39;g/h");
    hides(odd, r#"a\#b\-c\ d\&e\"f\'g\/h"#);
    hides(odd, r#"a#b-c d&e"f'\''g/h"#);
    hides(odd, r#"a#b-c d&e"f''g/h"#);
}

#[test]
fn characters_beyond_ascii() {
    let value = "pässwörd-Qx81LmZ0pTw😀".as_bytes();
    hides(value, "pässwörd-Qx81LmZ0pTw😀");
    hides(value, r"p\u00e4ssw\u00f6rd-Qx81LmZ0pTw\ud83d\ude00");
    hides(value, r"p\u{e4}ssw\u{F6}rd-Qx81LmZ0pTw\u{1f600}");
    hides(value, r"p\xc3\xa4ssw\xc3\xb6rd-Qx81LmZ0pTw\xf0\x9f\x98\x80");
    hides(value, r"p\303\244ssw\303\266rd-Qx81LmZ0pTw\360\237\230\200");
    hides(value, "p%C3%A4ssw%c3%b6rd-Qx81LmZ0pTw%F0%9F%98%80");
    hides(value, "p&#228;ssw&#xf6;rd-Qx81LmZ0pTw&#128512;");
}

#[test]
fn base64_at_every_alignment_with_its_neighbours() {
    // `printf %s ... | base64`, for 0 to 3 bytes before and behind the value.
    let check = |input: &str, expect: &str| check(b"hunter2hunter2", input, expect);
    check("aHVudGVyMmh1bnRlcjI=", "[redacted:K]");
    check("eGh1bnRlcjJodW50ZXIy", "e[redacted:K]");
    check("eHhodW50ZXIyaHVudGVyMg==", "eH[redacted:K]");
    check("eHh4aHVudGVyMmh1bnRlcjI=", "eHh4[redacted:K]");
    check("aHVudGVyMmh1bnRlcjJ5", "[redacted:K]5");
    check("aHVudGVyMmh1bnRlcjJ5eXk=", "[redacted:K]5eXk=");
    check("dXNlcjpodW50ZXIyaHVudGVyMg==", "dXNlcj[redacted:K]");
    check("Basic aHVudGVyMmh1bnRlcjI", "Basic [redacted:K]");
    check("aHVudGVyMmh1bnRlcjI%3D&x", "[redacted:K]&x");
}

#[test]
fn base64_in_both_alphabets_escaped_and_wrapped() {
    let value = b"\xfb\xef\xbe~~~???>>>\xff\xfe";
    // base64: ++++fn5+Pz8/Pj4+//4=
    check(value, "++++fn5+Pz8/Pj4+//4=", "[redacted:K]");
    check(value, "----fn5-Pz8_Pj4-__4=", "[redacted:K]");
    check(value, "----fn5-Pz8_Pj4-__4", "[redacted:K]");
    check(
        value,
        "q=%2B%2B%2B%2Bfn5%2BPz8%2FPj4%2B%2F%2F4%3D&r",
        "q=[redacted:K]&r",
    );
    check(value, r#""++++fn5+Pz8\/Pj4+\/\/4=""#, r#""[redacted:K]""#);
    let long = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-";
    let encoded =
        "MDEyMzQ1Njc4OWFiY2RlZmdoaWprbG1ub3BxcnN0dXZ3eHl6QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVouLQ==";
    for width in [10, 24, 57, 60, 64, 70, 76] {
        for end in ["\n", "\r\n", "\n    ", r"\n"] {
            let lines: Vec<String> = encoded.as_bytes().chunks(width).map(text).collect();
            if width >= 57 {
                check(long, &lines.join(end), "[redacted:K]");
            }
        }
    }
}

#[test]
fn hex_and_every_byte_escaped() {
    hides(b"hunter2~Z", "68756e746572327e5a");
    hides(b"hunter2~Z", "68756E746572327E5A");
    hides(b"hunter2~Z", "68:75:6e:74:65:72:32:7e:5a");
    hides(b"hunter2~Z", "%68%75%6E%74%65%72%32%7E%5A");
    hides(b"hunter2~Z", "%68%75%6e%74%65%72%32%7e%5a");
    hides(b"hunter2~Z", r"\x68\x75\x6e\x74\x65\x72\x32\x7e\x5a");
    hides(b"hunter2~Z", "h\0u\0n\0t\0e\0r\x002\0~\0Z");
}

#[test]
fn colours_inside_a_value() {
    let long = b"4fXq81LmZ0pTw7RkQ2Lm8Vd1sN5bYc3GhJ6eUa9o";
    for at in 8..long.len() {
        let (head, tail) = long.split_at(at);
        check(
            long,
            &format!("{}\x1b[01;31m\x1b[K{}\x1b[m ok", text(head), text(tail)),
            "[redacted:K]\x1b[m ok",
        );
    }
}

const PEM: &str = "-----BEGIN PRIVATE KEY-----
MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj
MzEfYyjiWA4R4/M2bS1GB4t7NXp98C3SC6dVMvDuictGeurT8jNbvJZHtCSuYEvu
NMoSfm76oqFvAp8Gy0iz5sxjZmSnXyCdPEovGhLa0VzMaQ8s+CLOyS56YyCFGeJZ
qgtzJ6GR3eqoYSW9b9UMvkBpZODSctWSNGj3P7jRFDO5VoTwCQAWbFnOjDfH5Ulg
-----END PRIVATE KEY-----
";

#[test]
fn keys_of_many_lines() {
    let check = |input: &str, expect: &str| check(PEM.as_bytes(), input, expect);
    let trimmed = PEM.trim_end();
    check(PEM, "[redacted:K]\n");
    check(&PEM.replace('\n', "\r\n"), "[redacted:K]\r\n");
    check(&PEM.replace('\n', "\r\r\n"), "[redacted:K]\r\r\n");
    check(&trimmed.replace('\n', "\n    "), "[redacted:K]");
    check(&trimmed.replace('\n', r"\n"), "[redacted:K]");
    check(&trimmed.replace('\n', r"\\n"), "[redacted:K]");
    check(&trimmed.replace('\n', r"\r\n"), "[redacted:K]");
    check(&trimmed.replace('\n', " "), "[redacted:K]");
    check(&trimmed.replace('\n', "%0A"), "[redacted:K]");
    check(&trimmed.replace('\n', "&#10;"), "[redacted:K]");
    check(&trimmed.replace('\n', r"'$'\n''"), "[redacted:K]");
    // A body line that appears alone, behind the prefix of a log or cut by `head`.
    let line = PEM.lines().nth(3).unwrap();
    check(&format!("web-1  | {line}\n"), "web-1  | [redacted:K]\n");
    // Armour lines and short lines are nobody's secret.
    check(
        "-----BEGIN PRIVATE KEY-----\nother\n-----END PRIVATE KEY-----\n",
        "-----BEGIN PRIVATE KEY-----\nother\n-----END PRIVATE KEY-----\n",
    );
    let json =
        "{\n  \"type\": \"service_account\",\n  \"id\": 7,\n  \"key\": \"4fXq81LmZ0pTw7Rk\"\n}\n";
    let set = set(&[("K", json.as_bytes())]);
    assert_eq!(
        text(&redact(&set, b"{\n}\n  \"id\": 7,\n")),
        "{\n}\n  \"id\": 7,\n"
    );
    assert_eq!(text(&redact(&set, json.as_bytes())), "[redacted:K]\n");
}

#[test]
fn short_values() {
    check(b"abc", "abc YWJj 616263", "abc YWJj 616263");
    check(
        b"abcd",
        "abcd YWJjZA== 61626364",
        "[redacted:K] YWJjZA== 61626364",
    );
    check(b"abcdefg", "xabcdefgx", "x[redacted:K]x");
    check(b"  hunter2hunter2\n", "hunter2hunter2", "[redacted:K]");
}
