//! One pass over a change: what is looked at, what the model is asked, and what stays of its answer. It knows no code host.

pub(crate) mod filter;
pub(crate) mod finding;

use std::borrow::Cow;
use std::collections::BTreeSet;

use ignore::gitignore::{Gitignore, GitignoreBuilder};
use serde::{Deserialize, Serialize};

use crate::budget::Purse;
use crate::config::Config;
use crate::diff::FileDiff;
use crate::model::{Ask, Model, ModelError};
use crate::prompt::{Prompt, numbered};
use filter::{Filtered, filter};
use finding::{Report, TOOL, tool_schema};

/// The longest answer, in tokens, unless the repository says otherwise.
pub(crate) const ANSWER_TOKENS: u32 = 8_000;

/// A change, with what others wrote of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Change {
    pub(crate) title: String,
    pub(crate) description: String,
    pub(crate) commits: String,
    pub(crate) files: Vec<FileDiff>,
    /// Files that are not in `files`, and why.
    pub(crate) skipped: Vec<Skipped>,
    /// Who uses what changed, from the index.
    pub(crate) users: String,
    /// Marks of findings of earlier passes.
    pub(crate) said: BTreeSet<String>,
    /// Marks of findings that people rejected.
    pub(crate) rejected: BTreeSet<String>,
}

impl Change {
    /// Returns whether it has no file at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.files.is_empty() && self.skipped.is_empty()
    }
}

/// A file that was not looked at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Skipped {
    pub(crate) path: String,
    pub(crate) why: Cow<'static, str>,
}

impl Skipped {
    pub(crate) fn new(path: String, why: &'static str) -> Self {
        Self {
            path,
            why: Cow::Borrowed(why),
        }
    }

    /// Returns one of a file that the diff names without lines.
    pub(crate) fn bare(path: String) -> Self {
        Self::new(path, NO_LINES)
    }

    /// Returns whether it was left out for a limit, so that another pass may look at it.
    pub(crate) fn is_for_a_limit(&self) -> bool {
        [FILE_SIZE, FILES, DIFF_SIZE].contains(&&*self.why)
    }
}

const NO_LINES: &str = "no lines changed, or it is binary";
const FILE_SIZE: &str = "larger than review.max_file_size";
const FILES: &str = "over filter.max_files";
const DIFF_SIZE: &str = "over review.max_diff_size";

/// What came of a pass.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) summary: String,
    pub(crate) filtered: Filtered,
    pub(crate) reviewed: Vec<String>,
    pub(crate) skipped: Vec<Skipped>,
    pub(crate) model: String,
    pub(crate) input_tokens: u64,
    pub(crate) output_tokens: u64,
}

/// Why a pass came to nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum ReviewError {
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error("the model's answer was no review; try another model")]
    NoReview,
    #[error("the system gives no random bytes")]
    Random,
}

/// Reviews a change. Without a file to look at, the model is not asked.
pub(crate) async fn review(
    model: &Model,
    config: &Config,
    change: Change,
    purse: Option<&Purse>,
) -> Result<Outcome, ReviewError> {
    let (files, skipped) = chosen(config, change.files, change.skipped);
    let mut outcome = Outcome {
        reviewed: files.iter().map(|file| file.path.clone()).collect(),
        skipped,
        filtered: Filtered {
            confidence: 5,
            ..Filtered::default()
        },
        ..Outcome::default()
    };
    if files.is_empty() {
        return Ok(outcome);
    }
    let prompt = Prompt::new().map_err(|_| ReviewError::Random)?;
    let (system, user) = prompt
        .data("title", &change.title)
        .data("description", &change.description)
        .data("commits", &change.commits)
        .data("guidelines", &config.review.guidelines)
        .data("users", &change.users)
        .data("diff", &numbered(&files))
        .for_review();
    let answer = model
        .ask(
            &Ask {
                system,
                user,
                tool: Some((TOOL, tool_schema())),
                temperature: config.llm.temperature,
                max_tokens: config.llm.max_tokens.unwrap_or(ANSWER_TOKENS),
            },
            purse,
        )
        .await?;
    let report = answer
        .call
        .as_ref()
        .and_then(Report::read)
        .ok_or(ReviewError::NoReview)?;
    outcome.filtered = filter(
        &report,
        &files,
        &config.filter,
        &change.said,
        &change.rejected,
    );
    outcome.summary = report.summary;
    outcome.model = answer.model;
    outcome.input_tokens = answer.input_tokens;
    outcome.output_tokens = answer.output_tokens;
    Ok(outcome)
}

/// Returns the files that are looked at, and the others with the reason.
fn chosen(
    config: &Config,
    files: Vec<FileDiff>,
    mut skipped: Vec<Skipped>,
) -> (Vec<FileDiff>, Vec<Skipped>) {
    let excluded = patterns(&config.filter.exclude_patterns);
    let mut kept = Vec::new();
    let mut bytes = 0;
    for file in files {
        let size = file.bytes();
        let why = if excluded
            .matched_path_or_any_parents(&file.path, false)
            .is_ignore()
        {
            "excluded by .mira.yaml"
        } else if file.hunks.is_empty() {
            NO_LINES
        } else if size > config.review.max_file_size {
            FILE_SIZE
        } else if kept.len() >= config.filter.max_files {
            FILES
        } else if bytes + size > config.review.max_diff_size {
            DIFF_SIZE
        } else {
            bytes += size;
            kept.push(file);
            continue;
        };
        skipped.push(Skipped::new(file.path, why));
    }
    (kept, skipped)
}

/// Makes a matcher of patterns. Those of a configuration can all be read, or it would be faulty.
pub(crate) fn patterns(patterns: &[String]) -> Gitignore {
    let mut builder = GitignoreBuilder::new("");
    for pattern in patterns {
        drop(builder.add_line(None, pattern));
    }
    builder.build().unwrap_or_else(|_| Gitignore::empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_looked_at_is_named_with_its_reason() {
        let mut config = Config::default();
        config.filter.exclude_patterns = vec!["gen/".to_owned(), "*.lock".to_owned()];
        config.filter.max_files = 1;
        let one = |path: &str| {
            FileDiff::of_patch(path, false, "@@ -0,0 +1 @@\n+// @generated\n").unwrap()
        };
        let empty = FileDiff {
            hunks: Vec::new(),
            ..one("bin")
        };
        let (kept, skipped) = chosen(
            &config,
            vec![
                one("gen/a.rs"),
                one("Cargo.lock"),
                empty,
                one("a.rs"),
                one("b.rs"),
            ],
            Vec::new(),
        );
        assert_eq!(kept.len(), 1);
        let whys: Vec<_> = skipped
            .iter()
            .map(|one| (one.path.as_str(), &*one.why))
            .collect();
        assert_eq!(whys[0], ("gen/a.rs", "excluded by .mira.yaml"));
        assert_eq!(whys[1].1, "excluded by .mira.yaml");
        assert_eq!(whys[2].1, "no lines changed, or it is binary");
        assert_eq!(whys[3], ("b.rs", "over filter.max_files"));
    }
}
