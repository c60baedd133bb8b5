//! A push to the default branch: the index takes what changed in the tree.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::wanted::About;
use super::work::config;
use super::{App, EventError, note};
use crate::github::GitHub;
use crate::index::{FILE_BYTES_MAX, Index, Language, Source};
use crate::review::patterns;

/// How many files one push brings into the index; the next one brings more.
// LIMIT: each is a call, and GitHub allows 5,000 an hour.
const FILES_MAX: usize = 1_000;

pub(super) async fn update(
    app: &App,
    about: &About,
    github: &GitHub,
    after: &str,
) -> Result<&'static str, EventError> {
    let repo = about.repo;
    let index = Index {
        db: app.db.clone(),
        repo,
    };
    let (config, _) = config(github, after).await?;
    let excluded = patterns(&config.index.exclude);
    let tree = github
        .get(&format!("git/trees/{after}?recursive=1"))
        .await?;
    note(app, about).await?;
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
    // A tree that GitHub cut off says nothing of what is not in it.
    let is_whole = tree["truncated"] != true;
    let gone: Vec<String> = known
        .keys()
        .filter(|path| is_whole && !now.contains_key(*path))
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
    let head = [
        repo.into(),
        after.into(),
        Timestamp::now().as_second().into(),
    ];
    let sql = "UPDATE rv_repository SET head = $2, indexed = $3 WHERE repo = $1";
    if app.db.execute(sql, &head).await? == 0 {
        // It was erased while this went on.
        app.db.erase(repo).await?;
    }
    Ok("indexed")
}
