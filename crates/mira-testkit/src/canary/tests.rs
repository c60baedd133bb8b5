//! Every spelling, planted in every kind of place, is found.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::*;

/// Returns what was found, as pairs of a name and a form, having checked that no report spells a value.
fn found(findings: &Findings, canaries: &[Canary]) -> BTreeSet<(&'static str, String)> {
    let report = format!("{findings} {findings:?}");
    for canary in canaries {
        for spelling in canary.spellings() {
            assert!(
                !contains(report.as_bytes(), &spelling.bytes),
                "the report spells {canary:?}"
            );
        }
    }
    findings
        .hits
        .iter()
        .map(|hit| (hit.canary, hit.form.to_string()))
        .collect()
}

fn contains(text: &[u8], needle: &[u8]) -> bool {
    text.windows(needle.len()).any(|window| window == needle)
}

/// Runs `check` for every spelling of every generated canary.
fn each_spelling(mut check: impl FnMut(&Sweep, &[Canary], &Canary, &Spelling)) {
    let canaries = Canary::generate();
    let sweep = Sweep::new(&canaries);
    for canary in &canaries {
        for spelling in canary.spellings() {
            check(&sweep, &canaries, canary, &spelling);
        }
    }
}

#[test]
fn the_base64_is_that_of_the_rfc() {
    // RFC 4648, section 10, without the characters that padding decides.
    for (plain, encoded) in [
        ("f", "Z"),
        ("fo", "Zm"),
        ("foo", "Zm9v"),
        ("foob", "Zm9vY"),
        ("foobar", "Zm9vYmFy"),
    ] {
        let inner = form::base64_inner(plain.as_bytes(), 0, form::BASE64);
        assert_eq!(String::from_utf8(inner).unwrap(), encoded);
    }
}

#[test]
fn a_value_has_these_spellings_and_no_others() {
    let value = "it's \"q\" $d\\e/f~?>&\n\tj\u{e9}kl0 end";
    // As Python's base64, binascii, urllib, json, shlex, html and bash's printf write it; the rest by hand.
    let expected: [(Form, &str); 30] = [
        (Form::Raw, value),
        (Form::Line, "it's \"q\" $d\\e/f~?>&"),
        (Form::CrLf, "it's \"q\" $d\\e/f~?>&\r\n\tj\u{e9}kl0 end"),
        (Form::Joined, "it's \"q\" $d\\e/f~?>& \tj\u{e9}kl0 end"),
        (
            Form::Base64 { before: 0 },
            "aXQncyAicSIgJGRcZS9mfj8+JgoJasOpa2wwIGVuZ",
        ),
        (
            Form::Base64Url { before: 0 },
            "aXQncyAicSIgJGRcZS9mfj8-JgoJasOpa2wwIGVuZ",
        ),
        (
            Form::Base64 { before: 1 },
            "l0J3MgInEiICRkXGUvZn4/PiYKCWrDqWtsMCBlbm",
        ),
        (
            Form::Base64Url { before: 1 },
            "l0J3MgInEiICRkXGUvZn4_PiYKCWrDqWtsMCBlbm",
        ),
        (
            Form::Base64 { before: 2 },
            "pdCdzICJxIiAkZFxlL2Z+Pz4mCglqw6lrbDAgZW5k",
        ),
        (
            Form::Base64Url { before: 2 },
            "pdCdzICJxIiAkZFxlL2Z-Pz4mCglqw6lrbDAgZW5k",
        ),
        (
            Form::HexLower,
            "69742773202271222024645c652f667e3f3e260a096ac3a96b6c3020656e64",
        ),
        (
            Form::HexUpper,
            "69742773202271222024645C652F667E3F3E260A096AC3A96B6C3020656E64",
        ),
        (
            Form::Percent,
            "it%27s%20%22q%22%20%24d%5Ce%2Ff~%3F%3E%26%0A%09j%C3%A9kl0%20end",
        ),
        (
            Form::PercentLower,
            "it%27s%20%22q%22%20%24d%5ce%2ff~%3f%3e%26%0a%09j%c3%a9kl0%20end",
        ),
        (
            Form::PercentPath,
            "it's%20%22q%22%20$d%5Ce%2Ff~%3F%3E&%0A%09j%C3%A9kl0%20end",
        ),
        (
            Form::PercentForm,
            "it%27s+%22q%22+%24d%5Ce%2Ff%7E%3F%3E%26%0A%09j%C3%A9kl0+end",
        ),
        (
            Form::PercentPlus,
            "it%27s+%22q%22+%24d%5Ce%2Ff~%3F%3E%26%0A%09j%C3%A9kl0+end",
        ),
        (
            Form::PercentAll,
            "%69%74%27%73%20%22%71%22%20%24%64%5C%65%2F%66%7E%3F%3E%26%0A%09%6A%C3%A9%6B%6C%30%20%65%6E%64",
        ),
        (
            Form::ShellSingle,
            "it'\\''s \"q\" $d\\e/f~?>&\n\tj\u{e9}kl0 end",
        ),
        (
            Form::ShellSingleDouble,
            "it'\"'\"'s \"q\" $d\\e/f~?>&\n\tj\u{e9}kl0 end",
        ),
        (
            Form::ShellDouble,
            "it's \\\"q\\\" \\$d\\\\e/f~?>&\n\tj\u{e9}kl0 end",
        ),
        (
            Form::ShellBackslash,
            "it\\'s\\ \\\"q\\\"\\ \\$d\\\\e/f~\\?\\>\\&\n\tj\u{e9}kl0\\ end",
        ),
        (
            Form::ShellAnsi,
            "it\\'s \"q\" $d\\\\e/f~?>&\\n\\tj\u{e9}kl0 end",
        ),
        (
            Form::ShellAnsiOctal,
            "it\\'s \"q\" $d\\\\e/f~?>&\\n\\tj\\303\\251kl0 end",
        ),
        (
            Form::ByteEscapes,
            "it's \"q\" $d\\\\e/f~?>&\\n\\tj\\xc3\\xa9kl0 end",
        ),
        (Form::Sql, "it''s \"q\" $d\\e/f~?>&\n\tj\u{e9}kl0 end"),
        (
            Form::Html,
            "it&#39;s &quot;q&quot; $d\\e/f~?&gt;&amp;\n\tj\u{e9}kl0 end",
        ),
        (
            Form::HtmlHex,
            "it&#x27;s &quot;q&quot; $d\\e/f~?&gt;&amp;\n\tj\u{e9}kl0 end",
        ),
        (
            Form::Json,
            "it's \\\"q\\\" $d\\\\e/f~?>&\\n\\tj\u{e9}kl0 end",
        ),
        (
            Form::JsonAscii,
            "it's \\\"q\\\" $d\\\\e/f~?>&\\n\\tj\\u00e9kl0 end",
        ),
    ];
    let mut expected: Vec<_> = expected
        .map(|(form, text)| (form, text.as_bytes().to_vec()))
        .into();
    expected.push((
        Form::JsonSlash,
        b"it's \\\"q\\\" $d\\\\e\\/f~?>&\\n\\tj\xc3\xa9kl0 end".to_vec(),
    ));
    expected.push((
        Form::Utf16Le,
        value.encode_utf16().flat_map(u16::to_le_bytes).collect(),
    ));
    expected.push((Form::Reversed, value.bytes().rev().collect()));
    let spelt: Vec<_> = Canary::new("KEY", format!("{value}\n"))
        .spellings()
        .into_iter()
        .map(|spelling| (spelling.form, spelling.bytes))
        .collect();
    for (spelt, expected) in spelt.iter().zip(&expected) {
        let text = (
            String::from_utf8_lossy(&spelt.1),
            String::from_utf8_lossy(&expected.1),
        );
        assert_eq!(spelt, expected, "{text:?}");
    }
    assert_eq!(spelt.len(), expected.len());
}

#[test]
fn what_real_programs_write_is_found() {
    let script = r#"
import base64, html, json, os, shlex, sys, urllib.parse, binascii
value = sys.stdin.buffer.read()
text = None
try: text = value.decode()
except UnicodeDecodeError: pass
out = {}
for n in range(4):
    out[f"b64-{n}"] = base64.b64encode(b"x" * n + value + b"y" * n)
    out[f"b64url-{n}"] = base64.urlsafe_b64encode(b"x" * n + value + b"y" * (n + 1)).rstrip(b"=")
out["hex"] = binascii.hexlify(value)
out["HEX"] = binascii.hexlify(value).upper()
out["quote"] = urllib.parse.quote_from_bytes(value, safe="").encode()
out["quote_plus"] = urllib.parse.quote_plus(value).encode()
out["percent-all"] = b"".join(b"%%%02X" % byte for byte in value)
if text is not None:
    out["json"] = json.dumps(text).encode()
    out["json-utf8"] = json.dumps(text, ensure_ascii=False).encode()
    out["shlex"] = shlex.quote(text).encode()
    out["utf16"] = text.encode("utf-16-le")
    out["crlf"] = text.replace("\n", "\r\n").encode()
for name, spelt in out.items():
    print(name, binascii.hexlify(spelt).decode())
"#;
    for canary in Canary::generate() {
        let sweep = Sweep::new(std::slice::from_ref(&canary));
        let mut python = Command::new("python3")
            .args(["-c", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        python
            .stdin
            .take()
            .unwrap()
            .write_all(canary.value())
            .unwrap();
        let output = python.wait_with_output().unwrap();
        assert!(output.status.success());
        let mut count = 0;
        for line in String::from_utf8(output.stdout).unwrap().lines() {
            let (name, hex) = line.split_once(' ').unwrap();
            let spelt = unhex(hex);
            assert!(
                !sweep.bytes(name, &spelt).hits.is_empty(),
                "{canary:?} as {name} is missed"
            );
            count += 1;
        }
        assert!(count >= 13);
    }
}

fn unhex(hex: &str) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).unwrap() as u8;
    hex.as_bytes()
        .chunks(2)
        .map(|pair| digit(pair[0]) << 4 | digit(pair[1]))
        .collect()
}

#[test]
fn what_bash_writes_is_found() {
    for canary in Canary::generate() {
        // Variables of a shell hold no zero bytes.
        if canary.value().contains(&0) {
            continue;
        }
        let sweep = Sweep::new(std::slice::from_ref(&canary));
        let script = "IFS= read -r -d '' V; printf '%q\\n' \"$V\"; printf '%s\\n' \"${V@Q}\"; declare -p V; echo $V";
        let mut bash = Command::new("bash")
            .args(["-c", script])
            .env_clear()
            .env("LC_ALL", "C.UTF-8")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        bash.stdin
            .take()
            .unwrap()
            .write_all(canary.value())
            .unwrap();
        let output = bash.wait_with_output().unwrap();
        let lines = String::from_utf8(output.stdout).unwrap();
        assert!(!sweep.bytes("bash", lines.as_bytes()).hits.is_empty());
        if !canary.value().contains(&b'\n') {
            for line in lines.lines() {
                assert!(
                    !sweep.bytes("bash", line.as_bytes()).hits.is_empty(),
                    "{canary:?}: {}",
                    line.len()
                );
            }
        }
    }
}

#[test]
fn generated_canaries_are_fresh_and_named_apart() {
    let one = Canary::generate();
    let two = Canary::generate();
    let names: BTreeSet<_> = one.iter().map(Canary::name).collect();
    assert_eq!(names.len(), one.len());
    for canary in &one {
        assert_eq!(
            format!("{canary:?}"),
            format!("Canary(\"{}\")", canary.name())
        );
    }
    for canary in &two {
        let findings = Sweep::new(&one).bytes(canary.name(), canary.value());
        findings.assert_clean();
    }
}

#[test]
fn each_spelling_is_found_in_bytes_at_its_offset() {
    each_spelling(|sweep, canaries, canary, spelling| {
        let text = [b"log: ".as_slice(), &spelling.bytes, b"."].concat();
        let findings = sweep.bytes("captured output", &text);
        let pair = (canary.name(), spelling.form.to_string());
        assert!(found(&findings, canaries).contains(&pair), "{pair:?}");
        let exact = findings
            .hits
            .iter()
            .find(|hit| hit.form == spelling.form)
            .unwrap();
        assert_eq!((exact.offset, exact.canary), (5, canary.name()));
        let cut = [b"log: ", spelling.bytes.split_last().unwrap().1].concat();
        let rest = sweep.bytes("captured output", &cut);
        assert!(
            !found(&rest, canaries).contains(&pair),
            "{pair:?} is found by its head alone"
        );
    });
}

#[test]
fn each_spelling_is_found_in_files_of_every_kind() {
    let folder = tempfile::tempdir().unwrap();
    let names = [
        "vault.json",
        "mira.db",
        "mira.db-wal",
        "mira.db-journal",
        ".credentials.json.tmp3",
        "core.17",
    ];
    for (index, name) in names.iter().enumerate() {
        fs::create_dir_all(folder.path().join(format!("deep/{index}"))).unwrap();
        fs::write(
            folder.path().join(format!("deep/{index}/{name}")),
            b"SQLite format 3\0",
        )
        .unwrap();
    }
    let canaries = Canary::generate();
    let sweep = Sweep::new(&canaries);
    sweep.folder(folder.path()).assert_clean();
    for (index, name) in names.iter().enumerate() {
        let path = folder.path().join(format!("deep/{index}/{name}"));
        for canary in &canaries {
            for spelling in canary.spellings() {
                fs::write(&path, [b"\0\0\x17", spelling.bytes.as_slice()].concat()).unwrap();
                let findings = sweep.folder(path.parent().unwrap());
                let pair = (canary.name(), spelling.form.to_string());
                assert!(
                    found(&findings, &canaries).contains(&pair),
                    "{pair:?} in {name}"
                );
                assert!(
                    findings
                        .hits
                        .iter()
                        .all(|hit| hit.place == Place::File(path.clone()))
                );
                assert_eq!(findings.hits, sweep.file(&path).hits);
            }
        }
        fs::write(&path, b"").unwrap();
    }
}

#[test]
fn a_spelling_across_two_blocks_is_found_once() {
    let canaries = Canary::generate();
    let sweep = Sweep::new(&canaries);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("big");
    let secret = canaries[0].value();
    // The first block is cut somewhere in here, whatever the longest spelling is.
    for offset in ((1 << 20) - 64..(1 << 20) + 4096).step_by(29) {
        let mut content = vec![b'.'; 3 << 20];
        content[offset..offset + secret.len()].copy_from_slice(secret);
        fs::write(&path, &content).unwrap();
        let findings = sweep.file(&path);
        let raw: Vec<_> = findings
            .hits
            .iter()
            .filter(|hit| hit.form == Form::Raw)
            .collect();
        assert_eq!(raw.len(), 1, "at {offset}");
        assert_eq!(raw[0].offset, offset as u64);
        assert_eq!(findings.bytes_seen, content.len() as u64 + 3);
    }
}

#[test]
fn names_and_links_are_swept_too() {
    let canary = Canary::new("KEY", "sk-proj-name-of-a-file-0123456789");
    let canaries = [canary.clone()];
    let sweep = Sweep::new(&canaries);
    let value = String::from_utf8(canary.value().to_vec()).unwrap();
    let plant: [&dyn Fn(&Path); 3] = [
        &|folder| fs::write(folder.join(format!("{value}.log")), b"").unwrap(),
        &|folder| fs::create_dir_all(folder.join(&value).join("below")).unwrap(),
        &|folder| {
            std::os::unix::fs::symlink(format!("/nowhere/{value}"), folder.join("link")).unwrap()
        },
    ];
    for plant in plant {
        let folder = tempfile::tempdir().unwrap();
        plant(folder.path());
        let findings = sweep.folder(folder.path());
        assert_eq!(
            found(&findings, &canaries),
            [("KEY", "Raw".to_owned())].into()
        );
        assert_eq!(
            findings.hits[0].place,
            Place::Name(folder.path().to_owned())
        );
    }
}

#[test]
fn a_file_in_a_folder_named_by_a_value_is_reported_without_it() {
    let canaries = [Canary::new("KEY", "sk-proj-name-of-a-folder-0123456789")];
    let folder = tempfile::tempdir().unwrap();
    let named = folder
        .path()
        .join(String::from_utf8(canaries[0].value().to_vec()).unwrap());
    fs::create_dir(&named).unwrap();
    fs::write(named.join("log"), canaries[0].value()).unwrap();
    let findings = Sweep::new(&canaries).folder(folder.path());
    assert_eq!(
        found(&findings, &canaries),
        [("KEY", "Raw".to_owned())].into()
    );
    let shown = folder.path().join("[KEY]/log");
    assert_eq!(findings.hits.last().unwrap().place, Place::File(shown));
}

#[test]
fn what_cannot_be_read_is_not_clean() {
    let sweep = Sweep::new(&Canary::generate());
    let folder = tempfile::tempdir().unwrap();
    // A file that opens and refuses to be read, also for root.
    let unreadable = PathBuf::from("/proc/self/mem");
    assert!(!sweep.file(&unreadable).unread.is_empty());
    let report = std::panic::catch_unwind(|| sweep.file(&unreadable).assert_clean());
    assert!(report.is_err());
    sweep.file(&folder.path().join("gone")).assert_clean();
}

/// Runs a process that waits on its input, with the value in one of its places, and sweeps it.
fn sweep_process(value: &str, arguments: bool, look: impl Fn(u32)) {
    let mut command = Command::new("sh");
    command
        .args(["-c", "echo ready; read -r line", "sh"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    if arguments {
        command.arg(value);
    } else {
        command.env("PLANTED", value);
    }
    let mut child = command.spawn().unwrap();
    let mut ready = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut ready)
        .unwrap();
    look(child.id());
    drop(child.stdin.take());
    child.wait().unwrap();
}

#[test]
fn arguments_and_environments_are_swept() {
    each_spelling(|sweep, canaries, canary, spelling| {
        // Neither place can hold a zero byte; one process each is enough for the rest.
        let Ok(text) = String::from_utf8(spelling.bytes.clone()) else {
            return;
        };
        if text.contains('\0') || canary.name() != "ODD_PASSWORD" {
            return;
        }
        for arguments in [true, false] {
            sweep_process(&text, arguments, |pid| {
                let place = if arguments {
                    Place::Arguments(pid)
                } else {
                    Place::Environment(pid)
                };
                let findings = sweep.processes(&[]);
                let pair = (canary.name(), spelling.form.to_string());
                assert!(found(&findings, canaries).contains(&pair), "{pair:?}");
                assert!(findings.hits.iter().all(|hit| hit.place == place));
                sweep.processes(&[pid]).assert_clean();
            });
        }
    });
}

#[cfg(target_os = "linux")]
#[test]
fn memory_is_swept() {
    let canaries = Canary::generate();
    let sweep = Sweep::new(&canaries);
    sweep_process("nothing", false, |pid| sweep.memory(pid).assert_clean());
    let value = String::from_utf8(canaries[0].value().to_vec()).unwrap();
    sweep_process(&value, false, |pid| {
        let findings = sweep.memory(pid);
        assert!(found(&findings, &canaries).contains(&(canaries[0].name(), "Raw".to_owned())));
        assert!(findings.unread.is_empty());
    });
    assert!(!sweep.memory(u32::MAX).is_clean());
}
