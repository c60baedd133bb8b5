//! What a pass looks at: the change as GitHub shows it, less what earlier passes looked at, with who uses it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::EventError;
use super::work::{Known, Work};
use crate::diff::{self, FileDiff, LineKind};
use crate::github::GitHubError;
use crate::index::lines;
use crate::review::{Change, Skipped};

/// How much of a change a pass looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    All,
    /// What changed since the last head that was reviewed, for an event; `new` where commits came to a known pull request.
    Since {
        new: bool,
    },
    /// What was left out for a limit.
    Rest,
}

/// The lines that were added since a commit, by file; none where all of a file counts as new.
type Added = BTreeMap<String, Option<BTreeSet<u32>>>;

impl Work<'_> {
    /// Gathers the change.
    pub(super) async fn change(&self, known: &Known, scope: Scope) -> Result<Change, EventError> {
        let since = async {
            match scope {
                Scope::Since { .. } => self.since(&known.reviewed).await,
                Scope::All | Scope::Rest => Ok(None),
            }
        };
        let messages = async {
            let path = format!("pulls/{}/commits", self.number);
            Ok(self.github.list(&path).await?)
        };
        let asked = tokio::try_join!(self.changed(), since, messages);
        let ((mut files, mut skipped), since, messages) = asked?;
        match scope {
            Scope::All => {}
            Scope::Rest => {
                files.retain(|file| known.rest.contains(&file.path));
                skipped.clear();
            }
            Scope::Since { .. } => {
                if let Some(added) = since {
                    files = newer(files, &added, &mut skipped);
                }
            }
        }
        let index = self.index();
        let mut touched = BTreeSet::new();
        for file in &files {
            let numbers: Vec<u32> = file.new_lines().map(|(number, _)| number).collect();
            touched.extend(index.symbols_at(&file.path, &numbers).await?);
        }
        let mut commits = String::new();
        for commit in messages {
            commits.push_str(&format!("{}\n", text(&commit["commit"]["message"])));
        }
        let (said, rejected) = self.said().await?;
        Ok(Change {
            title: self.text("/title").to_owned(),
            description: self.text("/body").to_owned(),
            commits,
            files,
            skipped,
            users: lines(&index.users(touched).await?),
            said,
            rejected,
        })
    }

    /// Returns what the pull request changes, and the files that GitHub does not show.
    pub(super) async fn changed(&self) -> Result<(Vec<FileDiff>, Vec<Skipped>), EventError> {
        let whole = match self.github.diff(self.number).await {
            Ok(text) => text,
            // Too large to be given whole: it is listed file by file.
            Err(error) if error.is(406) => return self.listed().await,
            Err(error) => return Err(error.into()),
        };
        let Ok(files) = diff::parse(&whole) else {
            return self.listed().await;
        };
        let skipped = diff::without_lines(&whole).into_iter().map(Skipped::bare);
        Ok((files, skipped.collect()))
    }

    async fn listed(&self) -> Result<(Vec<FileDiff>, Vec<Skipped>), EventError> {
        let (mut files, mut skipped) = (Vec::new(), Vec::new());
        for file in self
            .github
            .list(&format!("pulls/{}/files", self.number))
            .await?
        {
            let path = text(&file["filename"]);
            match patch(&file) {
                Some(Ok(diff)) => files.push(diff),
                Some(Err(_)) => skipped.push(Skipped::new(path, "its diff cannot be read")),
                None => skipped.push(Skipped::new(
                    path,
                    "binary, renamed, or too large for GitHub to show",
                )),
            }
        }
        Ok((files, skipped))
    }

    /// Returns what was added since a commit; none where that is not there any more, as after a forced push.
    async fn since(&self, reviewed: &str) -> Result<Option<Added>, EventError> {
        if reviewed.is_empty() || reviewed == self.head() {
            return Ok(None);
        }
        let path = format!("compare/{reviewed}...{}", self.head());
        let compared = match self.github.get(&path).await {
            Ok(compared) => compared,
            Err(GitHubError::NotFound(_)) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let mut added = Added::new();
        for file in compared["files"].as_array().into_iter().flatten() {
            let lines = match patch(file) {
                Some(Ok(diff)) => Some(added_lines(&diff)),
                _ => None,
            };
            added.insert(text(&file["filename"]), lines);
        }
        Ok(Some(added))
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Reads the hunks that GitHub gives of a file, if it does.
fn patch(file: &Value) -> Option<Result<FileDiff, diff::DiffError>> {
    let patch = file["patch"].as_str()?;
    let path = text(&file["filename"]);
    Some(FileDiff::of_patch(
        &path,
        file["status"] == "removed",
        patch,
    ))
}

fn added_lines(file: &FileDiff) -> BTreeSet<u32> {
    let lines = file.hunks.iter().flat_map(|hunk| &hunk.lines);
    let added = lines.filter(|line| line.kind == LineKind::Added);
    added.filter_map(|line| line.number).collect()
}

/// Returns the hunks that have a line that was added since. Both diffs lead to the same commit, so lines have the same numbers.
fn newer(files: Vec<FileDiff>, added: &Added, skipped: &mut Vec<Skipped>) -> Vec<FileDiff> {
    let mut kept = Vec::new();
    for mut file in files {
        match added.get(&file.path) {
            None => file.hunks.clear(),
            Some(None) => {}
            Some(Some(lines)) => file
                .hunks
                .retain(|hunk| lines.iter().any(|number| hunk.line(*number).is_some())),
        }
        match file.hunks.is_empty() {
            true => skipped.push(Skipped::new(file.path, "unchanged since the last review")),
            false => kept.push(file),
        }
    }
    kept
}
