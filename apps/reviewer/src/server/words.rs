//! What is posted, as Markdown. INVARIANT: all text of a model or of a repository goes through [`Rules`].

use serde_json::{Value, json};

use crate::config::Config;
use crate::neutral::Rules;
use crate::review::Outcome;
use crate::review::finding::Finding;

/// How many files that were not looked at are listed.
// LIMIT: a comment has at most 65,536 characters.
const SKIPPED_MAX: usize = 100;

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

/// Returns the text of the one comment that tells of the whole review.
pub(super) fn walkthrough(
    rules: &Rules,
    config: &Config,
    outcome: &Outcome,
    faults: &[String],
    lost: bool,
) -> String {
    let filtered = &outcome.filtered;
    let summary = rules.markdown(&outcome.summary);
    let mut out = format!(
        "## Walkthrough\n\n{summary}\n\nConfidence: {} of 5. Posted: {} findings. Left out: {}.\n",
        filtered.confidence,
        filtered.kept.len(),
        filtered.dropped.len()
    );
    if lost {
        out.push_str(
            "\nGitHub took no comments on the lines; the findings stand in the review's text.\n",
        );
    }
    for fault in faults {
        out.push_str(&format!(
            "\n`.mira.yaml` is not used: {}\n",
            rules.line(fault)
        ));
    }
    if config.review.walkthrough {
        for (why, title) in &filtered.dropped {
            out.push_str(&format!(
                "- left out: {} ({})\n",
                rules.line(title),
                why.reason()
            ));
        }
        for skipped in outcome.skipped.iter().take(SKIPPED_MAX) {
            out.push_str(&format!(
                "- not looked at: {} ({})\n",
                rules.line(&skipped.path),
                skipped.why
            ));
        }
    }
    out
}
