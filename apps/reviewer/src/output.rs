//! The findings of a local diff as text, JSON or SARIF 2.1.0 (OASIS, `sarif-schema-2.1.0.json`).

use serde_json::{Value, json};

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
        let Finding {
            path,
            line,
            title,
            category,
            ..
        } = finding;
        out.push_str(&format!(
            "{path}:{line}: {} ({category}): {}\n",
            finding.severity.word(),
            plain(title)
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
        "{} findings in {} files, {} left out; confidence {} of 5\n",
        filtered.kept.len(),
        outcome.reviewed.len(),
        filtered.dropped.len(),
        filtered.confidence
    ));
    for skipped in &outcome.skipped {
        out.push_str(&format!(
            "not looked at: {} ({})\n",
            plain(&skipped.path),
            skipped.why
        ));
    }
    out
}

/// Returns text without what a terminal would obey.
fn plain(text: &str) -> String {
    text.chars()
        .filter(|char| !char.is_control() || *char == '\t')
        .collect()
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
