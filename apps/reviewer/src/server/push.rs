//! A push to the default branch: the index takes what changed in the tree.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{App, EventError, note};
use crate::github::GitHub;
use crate::index::{FILE_BYTES_MAX, Index, Language, Source};
use crate::review::patterns;

/// How many files one push brings into the index; the next one brings more.
// LIMIT: each is a call, and GitHub allows 5,000 an hour.
const FILES_MAX: usize = 1_000;

pub(super) async fn update(
    app: &App,
    event: &Value,
    github: &GitHub,
) -> Result<&'static str, EventError> {
    let branch = event["repository"]["default_branch"]
        .as_str()
        .unwrap_or_default();
    let after = event["after"].as_str().ok_or(EventError::Odd("commit"))?;
    if event["ref"].as_str() != Some(&format!("refs/heads/{branch}")) || event["deleted"] == true {
        return Ok("not the default branch");
    }
    let repo = note(app, event).await?;
    let index = Index {
        db: app.db.clone(),
        repo,
    };
    let (config, _) = super::pull::config(github, after).await?;
    let excluded = patterns(&config.index.exclude);
    let tree = github
        .get(&format!("git/trees/{after}?recursive=1"))
        .await?;
    let mut now = BTreeMap::new();
    for entry in tree["tree"].as_array().into_iter().flatten() {
        let (Some(path), Some(blob)) = (entry["path"].as_str(), entry["sha"].as_str()) else {
            continue;
        };
        // A symbolic link has the mode 120000.
        let is_file = matches!(entry["mode"].as_str(), Some("100644" | "100755"));
        let fits = entry["size"].as_u64().unwrap_or(0) <= FILE_BYTES_MAX as u64;
        let known = Language::of(path).is_some();
        if is_file
            && fits
            && known
            && !excluded
                .matched_path_or_any_parents(path, false)
                .is_ignore()
        {
            now.insert(path.to_owned(), blob.to_owned());
        }
    }
    let known = index.blobs().await?;
    let gone: Vec<String> = known
        .keys()
        .filter(|path| !now.contains_key(*path))
        .cloned()
        .collect();
    let mut changed = Vec::new();
    let new = now
        .into_iter()
        .filter(|(path, blob)| known.get(path) != Some(blob));
    for (path, blob) in new.take(FILES_MAX) {
        let bytes = github.blob(&blob).await?;
        changed.push(Source { path, blob, bytes });
    }
    index.update(changed, &gone).await?;
    let head = [repo.into(), after.into()];
    app.db
        .execute("UPDATE rv_repository SET head = $2 WHERE repo = $1", &head)
        .await?;
    Ok("indexed")
}
