//! The findings of a local diff as text, JSON or SARIF 2.1.0 (OASIS, `sarif-schema-2.1.0.json`).
//!
//! INVARIANT: what a diff, a model or a repository wrote is printed for people by [`plain`] alone.

use serde_json::{Value, json};

use crate::neutral::is_hidden;
use crate::review::Outcome;
use crate::review::finding::{Finding, Severity};

/// How findings are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people
    Text,
    /// For programs
    Json,
    /// For code hosts and editors
    Sarif,
}

/// Writes an outcome.
pub(crate) fn write(outcome: &Outcome, format: Format) -> String {
    match format {
        Format::Text => text(outcome),
        Format::Json => format!("{:#}\n", as_json(outcome)),
        Format::Sarif => format!("{:#}\n", sarif(outcome)),
    }
}

fn text(outcome: &Outcome) -> String {
    let mut out = String::new();
    for finding in &outcome.filtered.kept {
        out.push_str(&format!(
            "{}:{}: {} ({}): {}\n",
            plain(&finding.path),
            finding.line,
            finding.severity.word(),
            plain(&finding.category),
            plain(&finding.title)
        ));
        for line in finding
            .body
            .lines()
            .chain(finding.suggestion.iter().flat_map(|code| code.lines()))
        {
            out.push_str(&format!("    {}\n", plain(line)));
        }
    }
    let filtered = &outcome.filtered;
    out.push_str(&format!(
        "{} in {}, {} left out; confidence {} of 5\n",
        count(filtered.kept.len(), "finding"),
        count(outcome.reviewed.len(), "file"),
        filtered.dropped.len(),
        filtered.confidence
    ));
    for (why, title) in &filtered.dropped {
        let title = match title.is_empty() {
            true => "an entry of the answer".to_owned(),
            false => plain(title),
        };
        out.push_str(&format!("left out: {title} ({})\n", why.reason()));
    }
    for skipped in &outcome.skipped {
        out.push_str(&format!(
            "not looked at: {} ({})\n",
            plain(&skipped.path),
            skipped.why
        ));
    }
    out
}

/// Returns text in one line, without what a terminal would obey and what nobody sees.
pub(crate) fn plain(text: &str) -> String {
    let is_seen = |char: &char| !is_hidden(*char) && *char != '\n';
    text.chars().filter(is_seen).collect()
}

/// Returns a count with its noun: `1 finding`, `2 findings`.
pub(crate) fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

fn as_json(outcome: &Outcome) -> Value {
    let dropped = outcome.filtered.dropped.iter();
    let dropped: Vec<_> = dropped
        .map(|(why, title)| json!({"why": why, "title": title}))
        .collect();
    json!({
        "summary": outcome.summary,
        "confidence": outcome.filtered.confidence,
        "findings": outcome.filtered.kept,
        "dropped": dropped,
        "reviewed": outcome.reviewed,
        "skipped": outcome.skipped,
        "model": outcome.model,
        "tokens": {"input": outcome.input_tokens, "output": outcome.output_tokens},
    })
}

fn sarif(outcome: &Outcome) -> Value {
    let result = |finding: &Finding| {
        let level = match finding.severity {
            Severity::Blocker => "error",
            Severity::Warning => "warning",
            Severity::Suggestion | Severity::Nitpick => "note",
        };
        let mut region = json!({"startLine": finding.start_line.unwrap_or(finding.line), "endLine": finding.line});
        region["snippet"] = json!({"text": finding.quote});
        json!({
            "ruleId": finding.category,
            "level": level,
            "message": {"text": format!("{}\n\n{}", finding.title, finding.body).trim_end()},
            "locations": [{"physicalLocation": {"artifactLocation": {"uri": encoded(&finding.path)}, "region": region}}],
            "rank": finding.confidence * 100.0,
        })
    };
    let findings = &outcome.filtered.kept;
    let rules: std::collections::BTreeSet<_> =
        findings.iter().map(|finding| &finding.category).collect();
    let rules: Vec<_> = rules.into_iter().map(|id| json!({"id": id})).collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {"name": "mira-reviewer", "rules": rules}},
            "results": findings.iter().map(result).collect::<Vec<_>>(),
        }],
    })
}

/// Returns a path as a relative reference (RFC 3986).
pub(crate) fn encoded(path: &str) -> String {
    use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
    const KEPT: &AsciiSet = &NON_ALPHANUMERIC
        .remove(b'/')
        .remove(b'.')
        .remove(b'-')
        .remove(b'_')
        .remove(b'~');
    utf8_percent_encode(path, KEPT).to_string()
}
