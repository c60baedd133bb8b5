//! What is posted, as Markdown. INVARIANT: all text of a model or of a repository goes through [`Rules`].

use serde_json::{Value, json};

use super::pull::Draft;
use crate::neutral::Rules;
use crate::output::count;
use crate::review::finding::Finding;

/// How many findings that were left out, and files that were not looked at, are listed.
// LIMIT: a comment has at most 65,536 characters.
const LISTED_MAX: usize = 100;

/// Returns the text of a finding.
pub(super) fn said(rules: &Rules, finding: &Finding) -> String {
    let suggestion = finding.suggestion.as_ref();
    let suggestion = suggestion.map(|code| format!("\n\n{}", rules.suggestion(code)));
    format!(
        "**{}** ({}): {}\n\n{}{}",
        finding.severity.word(),
        rules.line(&finding.category),
        rules.line(&finding.title),
        rules.markdown(&finding.body),
        suggestion.unwrap_or_default()
    )
}

/// Returns a comment on the lines of a finding.
pub(super) fn inline(rules: &Rules, finding: &Finding) -> Value {
    let body = said(rules, finding);
    let mut comment =
        json!({"path": finding.path, "line": finding.line, "side": "RIGHT", "body": body});
    if let Some(start) = finding.start_line {
        comment["start_line"] = start.into();
        comment["start_side"] = "RIGHT".into();
    }
    comment
}

/// Returns in one line what became of the findings.
pub(super) fn counts(draft: &Draft) -> String {
    let filtered = &draft.outcome.filtered;
    let mut out = format!(
        "Computed: {}. Kept: {}.",
        count(draft.computed(), "finding"),
        filtered.kept.len()
    );
    if !draft.lost.is_empty() {
        out.push_str(&format!(
            " Posted on lines: {}. In the walkthrough: {}.",
            draft.posted(),
            draft.lost.len()
        ));
    }
    out.push_str(&format!(" Confidence: {} of 5.", filtered.confidence));
    out
}

/// Returns the text of the one comment that tells of the whole review.
pub(super) fn walkthrough(rules: &Rules, draft: &Draft) -> String {
    let outcome = &draft.outcome;
    let filtered = &outcome.filtered;
    let summary = rules.markdown(&outcome.summary);
    let mut out = format!("## Walkthrough\n\n{summary}\n\n{}\n", counts(draft));
    for note in &draft.notes {
        out.push_str(&format!("\n{}\n", rules.line(note)));
    }
    let lost = draft.lost.iter().filter_map(|at| filtered.kept.get(*at));
    for finding in lost {
        out.push_str(&format!(
            "\n{}, line {} (GitHub takes no comment there)\n\n{}\n\n",
            rules.line(&finding.path),
            finding.line,
            said(rules, finding)
        ));
    }
    if draft.lists {
        for (why, title) in filtered.dropped.iter().take(LISTED_MAX) {
            out.push_str(&format!(
                "- left out: {} ({})\n",
                rules.line(title),
                why.reason()
            ));
        }
        for skipped in outcome.skipped.iter().take(LISTED_MAX) {
            out.push_str(&format!(
                "- not looked at: {} ({})\n",
                rules.line(&skipped.path),
                skipped.why
            ));
        }
    }
    out
}
