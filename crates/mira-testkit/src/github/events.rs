//! What GitHub delivers to a webhook, with the fields that reviewers read.

use serde_json::{Value, json};

use super::pulls;
use super::state::{Repository, user};

pub(super) fn pull_request(repository: &Repository, number: u64, action: &str, url: &str) -> Value {
    let pull = pulls::document(repository, number, url).unwrap_or_default();
    json!({
        "action": action,
        "number": number,
        "sender": pull["user"],
        "pull_request": pull,
        "repository": repository.document(url),
    })
}

pub(super) fn issue_comment(
    repository: &Repository,
    number: u64,
    comment: &Value,
    url: &str,
) -> Value {
    let pull = pulls::document(repository, number, url).unwrap_or_default();
    json!({
        "action": "created",
        "issue": {
            "number": number,
            "title": pull["title"],
            "user": pull["user"],
            "labels": pull["labels"],
            "state": pull["state"],
            "pull_request": {"url": pull["url"]},
        },
        "comment": comment,
        "sender": comment["user"],
        "repository": repository.document(url),
    })
}

pub(super) fn review_comment(
    repository: &Repository,
    number: u64,
    comment: &Value,
    url: &str,
) -> Value {
    json!({
        "action": "created",
        "comment": comment,
        "pull_request": pulls::document(repository, number, url),
        "sender": comment["user"],
        "repository": repository.document(url),
    })
}

pub(super) fn push(
    repository: &Repository,
    branch: &str,
    before: &str,
    after: &str,
    url: &str,
) -> Value {
    let mut added = Vec::new();
    let mut removed = Vec::new();
    let mut modified = Vec::new();
    for change in repository.git.changes(before, after) {
        match change.status {
            "added" => added.push(change.path),
            "removed" => removed.push(change.path),
            "renamed" => {
                removed.extend(change.previous);
                added.push(change.path);
            }
            _ => modified.push(change.path),
        }
    }
    json!({
        "ref": format!("refs/heads/{branch}"),
        "before": before,
        "after": after,
        "deleted": false,
        "forced": false,
        "commits": [{"id": after, "added": added, "removed": removed, "modified": modified}],
        "sender": user("alice"),
        "repository": repository.document(url),
    })
}
