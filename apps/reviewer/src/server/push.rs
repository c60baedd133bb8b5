//! The index of a repository's default branch: made when the App may see the repository, and brought up with each push by what changed in the tree.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::wanted::About;
use super::work::config;
use super::{App, EventError, note};
use crate::github::GitHub;
use crate::index::{FILE_BYTES_MAX, Index, Language, Source};
use crate::output::encoded;
use crate::review::patterns;
use crate::secret::Key;

/// How many files one push brings into the index; the next one brings more.
// LIMIT: each is a call, and GitHub allows 5,000 an hour.
const FILES_MAX: usize = 1_000;

/// How long repositories are taken up within one delivery.
// LIMIT: the deliverer waits for a quarter of an hour; what is left is made when it comes again.
const MAKE_MAX: Duration = Duration::from_secs(10 * 60);

/// Makes the indexes of repositories, those that there are tokens for, while reviews go first. What cannot be made does not keep the others from it.
pub(super) async fn make_all(
    app: &App,
    all: &[About],
    github: &GitHub,
    tokens: &BTreeMap<&str, Key>,
) -> Result<&'static str, EventError> {
    let begun = Instant::now();
    let _turn = app.turns.other().await;
    let mut left = None;
    for about in all {
        let Some(token) = tokens.get(about.name.as_str()) else {
            continue;
        };
        app.turns.make_way().await;
        if begun.elapsed() > MAKE_MAX {
            left = Some(EventError::Unfinished);
            break;
        }
        let github = GitHub {
            token: Some(token.clone()),
            repository: about.name.clone(),
            ..github.clone()
        };
        match make(app, about, &github).await {
            Ok(()) => {}
            Err(error) if error.may_pass() => left = Some(error),
            Err(error) => crate::say(&format!("no index of {}: {error}", about.name)),
        }
    }
    left.map_or(Ok("indexed"), Err)
}

async fn make(app: &App, about: &About, github: &GitHub) -> Result<(), EventError> {
    let repository = github.get("").await?;
    let branch = repository["default_branch"].as_str();
    let branch = branch.ok_or(EventError::Odd("default branch"))?;
    let head = github.get(&format!("branches/{}", encoded(branch))).await?;
    let head = head["commit"]["sha"].as_str();
    let head = head.ok_or(EventError::Odd("head"))?;
    let sql = "SELECT 1 FROM rv_repository WHERE repo = $1 AND head = $2";
    let known = app.db.rows(sql, &[about.repo.into(), head.into()]).await?;
    if known.is_empty() {
        update(app, about, github, head).await?;
    }
    Ok(())
}

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
