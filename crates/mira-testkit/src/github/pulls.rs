//! Pull requests, their files and their diffs.

use serde_json::{Value, json};

use super::files::commit;
use super::git::Change;
use super::serve::{Query, Reply};
use super::state::{Pull, Repository, user};

pub(super) fn answer(repository: &mut Repository, query: &Query, rest: &[&str]) -> Reply {
    let url = &query.at.url;
    if rest.len() == 1 && query.method == "GET" {
        let wanted = query.parameter("state").unwrap_or("open");
        let numbers = repository.pulls.iter();
        let numbers = numbers.filter(|(_, pull)| wanted == "all" || pull.state == wanted);
        let all = numbers.filter_map(|(number, _)| document(repository, *number, url));
        return query.page(all.collect());
    }
    let number = rest.get(1).and_then(|number| number.parse().ok());
    let Some((number, pull)) =
        number.and_then(|number| Some((number, repository.pulls.get(&number)?)))
    else {
        return Reply::not_found();
    };
    let shown =
        |repository: &Repository| Reply::ok(&document(repository, number, url).unwrap_or_default());
    match (&*query.method, rest.get(2..).unwrap_or_default()) {
        ("GET", []) if query.accept.contains("diff") || query.accept.contains("patch") => {
            diff(repository, pull, query.at.diff_lines_max)
        }
        ("GET", []) => shown(repository),
        ("PATCH", []) => {
            let body = query.body["body"].as_str().map(str::to_owned);
            let title = query.body["title"].as_str().map(str::to_owned);
            if let Some(pull) = repository.pulls.get_mut(&number) {
                pull.body = body.or_else(|| pull.body.take());
                pull.title = title.unwrap_or_else(|| std::mem::take(&mut pull.title));
            }
            shown(repository)
        }
        ("GET", ["files"]) => {
            let (base, head) = repository.range(pull);
            query.page(changed_files(
                repository,
                &base,
                &head,
                query.at.patch_lines_max,
            ))
        }
        ("GET", ["commits"]) => {
            let (base, head) = repository.range(pull);
            let all = repository.git.between(&base, &head);
            query.page(all.iter().map(|id| commit(repository, id, url)).collect())
        }
        _ => Reply::not_found(),
    }
}

/// Returns a pull request as the API shows it.
pub(super) fn document(repository: &Repository, number: u64, url: &str) -> Option<Value> {
    let pull = repository.pulls.get(&number)?;
    let name = &repository.full_name;
    let (start, head) = repository.range(pull);
    let base = repository.git.at(&pull.base)?;
    let (added, removed) = counts(&repository.git.diff(&start, &head, &[]));
    let here = repository.document(url);
    let head_repo = match &pull.fork {
        None => here.clone(),
        Some(fork) => {
            let mut repo = here.clone();
            let (owner, fork_name) = fork.split_once('/').unwrap_or(("", fork));
            repo["id"] = json!(repository.id + 500_000);
            repo["name"] = json!(fork_name);
            repo["full_name"] = json!(fork);
            repo["owner"] = user(owner);
            repo["fork"] = json!(true);
            repo["url"] = json!(format!("{url}/repos/{fork}"));
            repo
        }
    };
    let side = |repo: &Value, branch: &str, sha: &str| {
        let owner = repo["owner"]["login"].as_str().unwrap_or_default();
        json!({"label": format!("{owner}:{branch}"), "ref": branch, "sha": sha, "user": repo["owner"], "repo": repo})
    };
    let permission = repository
        .collaborators
        .get(&pull.author)
        .map(String::as_str);
    let association = match permission {
        Some("admin" | "write") => "COLLABORATOR",
        _ => "CONTRIBUTOR",
    };
    Some(json!({
        "id": repository.id * 1000 + number,
        "node_id": format!("PR_{}_{number}", repository.id),
        "number": number,
        "state": pull.state,
        "draft": pull.draft,
        "locked": false,
        "merged": false,
        "title": pull.title,
        "body": pull.body,
        "user": user(&pull.author),
        "author_association": association,
        "labels": pull.labels.iter().map(|name| json!({"name": name})).collect::<Value>(),
        "created_at": "2026-01-01T00:00:00Z",
        "updated_at": "2026-01-01T00:00:00Z",
        "head": side(&head_repo, &pull.head_ref, &pull.head_sha),
        "base": side(&here, &pull.base, &base),
        "changed_files": repository.git.changes(&start, &head).len(),
        "additions": added,
        "deletions": removed,
        "commits": repository.git.between(&start, &head).len(),
        "url": format!("{url}/repos/{name}/pulls/{number}"),
        "html_url": format!("https://github.com/{name}/pull/{number}"),
        "diff_url": format!("https://github.com/{name}/pull/{number}.diff"),
    }))
}

fn diff(repository: &Repository, pull: &Pull, lines_max: usize) -> Reply {
    let (base, head) = repository.range(pull);
    let diff = repository.git.diff(&base, &head, &[]);
    if diff.iter().filter(|byte| **byte == b'\n').count() > lines_max {
        let message = format!("Sorry, the diff exceeded the maximum number of lines ({lines_max})");
        return Reply::json(
            406,
            &json!({
                "message": message,
                "errors": [{"resource": "PullRequest", "field": "diff", "code": "too_large"}],
                "documentation_url": "https://docs.github.com/rest/pulls/pulls#list-pull-requests-files",
                "status": "406",
            }),
        );
    }
    Reply::bytes("application/vnd.github.diff; charset=utf-8", diff)
}

/// Returns the files that differ between two commits, as the API shows them.
pub(super) fn changed_files(
    repository: &Repository,
    base: &str,
    head: &str,
    lines_max: usize,
) -> Vec<Value> {
    let changes = repository.git.changes(base, head);
    changes
        .iter()
        .map(|change| file(repository, base, head, change, lines_max))
        .collect()
}

fn file(
    repository: &Repository,
    base: &str,
    head: &str,
    change: &Change,
    lines_max: usize,
) -> Value {
    let git = &repository.git;
    let mut only = vec![&*change.path];
    only.extend(change.previous.as_deref());
    let diff = git.diff(base, head, &only);
    let (added, removed) = counts(&diff);
    let side = if change.status == "removed" {
        base
    } else {
        head
    };
    let tree = git.tree(side, true).unwrap_or_default();
    let blob = tree.into_iter().find(|entry| entry.path == change.path);
    let mut shown = json!({
        "sha": blob.map(|entry| entry.sha),
        "filename": change.path,
        "status": change.status,
        "additions": added,
        "deletions": removed,
        "changes": added + removed,
    });
    if let Some(previous) = &change.previous {
        shown["previous_filename"] = json!(previous);
    }
    let text = String::from_utf8_lossy(&diff);
    let hunks = text.find("\n@@ ").and_then(|place| text.get(place + 1..));
    if let Some(hunks) = hunks.filter(|hunks| hunks.lines().count() <= lines_max) {
        shown["patch"] = json!(hunks.trim_end_matches('\n'));
    }
    shown
}

fn counts(diff: &[u8]) -> (usize, usize) {
    let text = String::from_utf8_lossy(diff);
    let mut set = unidiff::PatchSet::new();
    set.parse(text).expect("git writes diffs that can be read");
    let files = set.files().iter();
    files.fold((0, 0), |(added, removed), file| {
        (added + file.added(), removed + file.removed())
    })
}
