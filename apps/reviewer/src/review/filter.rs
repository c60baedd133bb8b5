//! Which findings stay: those that the diff bears out, that are sure and grave enough, once each, and not too many.
//!
//! INVARIANT: what is left out is named with its reason; blockers and warnings are never left out for their number.

use std::collections::BTreeSet;

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::finding::{Finding, Report, Severity};
use crate::config::Filter;
use crate::diff::FileDiff;

/// Why a finding was left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Dropped {
    NotInDiff,
    QuoteNotThere,
    Unsure,
    TooMinor,
    SaidTwice,
    Rejected,
    TooMany,
    Unreadable,
}

impl Dropped {
    /// Says it to people.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::NotInDiff => "not on a line of the diff",
            Self::QuoteNotThere => "its quoted code is not in the diff",
            Self::Unsure => "below the confidence threshold",
            Self::TooMinor => "below the minimum severity",
            Self::SaidTwice => "said already",
            Self::Rejected => "rejected by a person before",
            Self::TooMany => "over the limit for suggestions",
            Self::Unreadable => "not readable",
        }
    }
}

/// What stays, the gravest first, and what does not.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Filtered {
    pub(crate) kept: Vec<Finding>,
    pub(crate) dropped: Vec<(Dropped, String)>,
    /// From 1 to 5, and not above 2 beside a blocker, nor above 4 beside a warning.
    pub(crate) confidence: u8,
}

/// Checks a report against the diff. `said` holds the [`mark`]s of findings of earlier passes, `rejected` those that people did not want.
pub(crate) fn filter(
    report: &Report,
    files: &[FileDiff],
    rules: &Filter,
    said: &BTreeSet<String>,
    rejected: &BTreeSet<String>,
) -> Filtered {
    let mut out = Filtered::default();
    let mut seen = said.clone();
    let mut kept = Vec::new();
    for finding in &report.findings {
        let mut drop = |why| out.dropped.push((why, finding.title.clone()));
        let placed = match place(finding, files) {
            Ok(placed) => placed,
            Err(why) => {
                drop(why);
                continue;
            }
        };
        if placed.confidence < rules.confidence_threshold {
            drop(Dropped::Unsure);
        } else if placed.severity < rules.min_severity {
            drop(Dropped::TooMinor);
        } else if rejected.contains(&mark(&placed)) {
            drop(Dropped::Rejected);
        } else if !seen.insert(mark(&placed)) {
            drop(Dropped::SaidTwice);
        } else {
            kept.push(placed);
        }
    }
    kept.sort_by(|a, b| {
        let grave = b.severity.cmp(&a.severity);
        grave.then(b.confidence.total_cmp(&a.confidence))
    });
    let mut minor = 0;
    for finding in kept {
        minor += usize::from(finding.severity < Severity::Warning);
        if finding.severity < Severity::Warning && minor > rules.max_comments {
            out.dropped.push((Dropped::TooMany, finding.title));
        } else {
            out.kept.push(finding);
        }
    }
    for _ in 0..report.unreadable {
        out.dropped.push((Dropped::Unreadable, String::new()));
    }
    let most = match out.kept.first().map(|finding| finding.severity) {
        Some(Severity::Blocker) => 2,
        Some(Severity::Warning) => 4,
        _ => 5,
    };
    out.confidence = report.confidence.clamp(1, most);
    out
}

/// Returns what makes a finding the same as another: its file, its code and its category, wherever the lines have moved to. It is a digest, so
/// that what is kept of a finding says nothing of the code.
pub(crate) fn mark(finding: &Finding) -> String {
    let code: String = finding.quote.split_whitespace().collect();
    let category = finding.category.to_lowercase();
    let digest = Sha256::digest(format!("{}\n{category}\n{code}", finding.path));
    HEXLOWER.encode(digest.get(..16).unwrap_or_default())
}

/// Returns the finding where the diff has its code: on the lines that it names, or on the only other ones that read the same.
fn place(finding: &Finding, files: &[FileDiff]) -> Result<Finding, Dropped> {
    let file = files
        .iter()
        .find(|file| file.path == finding.path && !file.removed)
        .ok_or(Dropped::NotInDiff)?;
    let quoted: Vec<&str> = finding.quote.lines().map(str::trim).collect();
    let quoted = trimmed(&quoted);
    if quoted.is_empty() {
        return Err(Dropped::QuoteNotThere);
    }
    let mut ends = Vec::new();
    for hunk in &file.hunks {
        let lines: Vec<(u32, &str)> = hunk
            .lines
            .iter()
            .filter_map(|line| Some((line.number?, line.text.trim())))
            .collect();
        for window in lines.windows(quoted.len()) {
            if window.iter().map(|(_, text)| text).eq(quoted.iter())
                && let (Some(first), Some(last)) = (window.first(), window.last())
            {
                ends.push((first.0, last.0));
            }
        }
    }
    let named = ends
        .iter()
        .find(|(first, last)| *last == finding.line || (*first..=*last).contains(&finding.line));
    let (first, last) = match (named, ends.as_slice()) {
        (Some(found), _) => *found,
        (None, [only]) => *only,
        (None, []) if file.hunk_of(finding.line).is_none() => return Err(Dropped::NotInDiff),
        _ => return Err(Dropped::QuoteNotThere),
    };
    let mut placed = finding.clone();
    placed.line = last;
    placed.start_line = (first < last).then_some(first);
    placed.confidence = placed.confidence.clamp(0.0, 1.0);
    Ok(placed)
}

/// Returns lines without the empty ones around them.
fn trimmed<'a>(lines: &'a [&'a str]) -> &'a [&'a str] {
    let first = lines.iter().position(|line| !line.is_empty());
    let last = lines.iter().rposition(|line| !line.is_empty());
    match (first, last) {
        (Some(first), Some(last)) => lines.get(first..=last).unwrap_or_default(),
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    const DIFF: &str = "--- a/a.rs\n+++ b/a.rs\n@@ -9,2 +9,4 @@\n fn a() {\n+    let x = 1;\n+    x.unwrap();\n }\n";

    fn finding(line: u32, quote: &str, severity: Severity) -> Finding {
        Finding {
            path: "a.rs".to_owned(),
            line,
            start_line: None,
            quote: quote.to_owned(),
            severity,
            category: "bug".to_owned(),
            title: format!("{quote} {line}"),
            body: String::new(),
            suggestion: None,
            confidence: 0.9,
        }
    }

    fn filtered(findings: Vec<Finding>) -> Filtered {
        let report = Report {
            findings,
            confidence: 5,
            ..Report::default()
        };
        let files = crate::diff::parse(DIFF).unwrap();
        filter(
            &report,
            &files,
            &Config::default().filter,
            &BTreeSet::new(),
            &BTreeSet::new(),
        )
    }

    #[track_caller]
    fn check(finding: Finding, expect: Result<(Option<u32>, u32), Dropped>) {
        let out = filtered(vec![finding]);
        let got = match out.kept.first() {
            Some(kept) => Ok((kept.start_line, kept.line)),
            None => Err(out.dropped[0].0),
        };
        assert_eq!(got, expect);
    }

    #[test]
    fn a_finding_stands_where_the_diff_has_its_code() {
        use Severity::Warning;
        check(finding(11, "x.unwrap();", Warning), Ok((None, 11)));
        check(finding(40, "x.unwrap();", Warning), Ok((None, 11)));
        let two = "let x = 1;\nx.unwrap();";
        check(finding(11, two, Warning), Ok((Some(10), 11)));
        check(
            finding(11, "y.unwrap();", Warning),
            Err(Dropped::QuoteNotThere),
        );
        check(finding(99, "y", Warning), Err(Dropped::NotInDiff));
        check(finding(11, " \n", Warning), Err(Dropped::QuoteNotThere));
        let mut elsewhere = finding(11, "x.unwrap();", Warning);
        elsewhere.path = "../etc/passwd".to_owned();
        check(elsewhere, Err(Dropped::NotInDiff));
        let mut unsure = finding(11, "x.unwrap();", Warning);
        unsure.confidence = 0.1;
        check(unsure, Err(Dropped::Unsure));
    }

    #[test]
    fn blockers_and_warnings_are_never_capped_and_confidence_cannot_contradict_them() {
        let code = ["fn a() {", "let x = 1;", "x.unwrap();", "}"];
        let mut findings = Vec::new();
        for (at, quote) in code.iter().enumerate() {
            for category in 0..5 {
                let severity = [
                    Severity::Blocker,
                    Severity::Suggestion,
                    Severity::Warning,
                    Severity::Nitpick,
                ][at];
                let mut one = finding(9 + at as u32, quote, severity);
                one.category = format!("c{category}");
                findings.push(one);
            }
        }
        let out = filtered(findings);
        let grave = out
            .kept
            .iter()
            .filter(|one| one.severity >= Severity::Warning);
        assert_eq!(grave.count(), 10);
        assert_eq!(out.kept.len(), 15);
        assert_eq!(out.confidence, 2);
        assert!(out.dropped.iter().all(|(why, _)| *why == Dropped::TooMany));
    }

    #[test]
    fn the_same_finding_is_kept_once() {
        let one = finding(11, "x.unwrap();", Severity::Warning);
        let out = filtered(vec![one.clone(), one]);
        assert_eq!((out.kept.len(), out.dropped[0].0), (1, Dropped::SaidTwice));
    }
}
