//! The content of a repository: files, trees, blobs, commits, archives.

use data_encoding::BASE64;
use serde_json::{Value, json};

use super::pulls::changed_files;
use super::serve::{Query, Reply};
use super::state::Repository;

/// The largest file whose content is in the answer: larger ones are had as raw only.
// LIMIT: GitHub's own.
const CONTENT_BYTES_MAX: usize = 1024 * 1024;
// LIMIT: GitHub's own, in entries; a tree with more is cut.
const TREE_ENTRIES_MAX: usize = 100_000;

pub(super) fn answer(repository: &Repository, query: &Query, rest: &[&str]) -> Reply {
    if query.method != "GET" {
        return Reply::not_found();
    }
    let url = &query.at.url;
    let git = &repository.git;
    match rest {
        ["contents", path @ ..] => contents(repository, query, &path.join("/")),
        ["git", "trees", name] => {
            let found = git.at(name).and_then(|commit| git.tree_of(&commit));
            let found = found.or_else(|| git.tree_of(name));
            found.map_or_else(Reply::not_found, |sha| tree(repository, query, &sha))
        }
        ["git", "blobs", sha] => match git.blob(sha) {
            None => Reply::not_found(),
            Some(content) if query.accept.contains("raw") => {
                Reply::bytes("application/vnd.github.raw", content)
            }
            Some(content) => Reply::ok(&json!({
                "sha": sha,
                "size": content.len(),
                "encoding": "base64",
                "content": BASE64.encode(&content),
            })),
        },
        ["git", "ref", "heads", name @ ..] | ["branches", name @ ..] => {
            let name = name.join("/");
            match git.at(&name) {
                None => Reply::not_found(),
                Some(sha) => Reply::ok(&json!({
                    "ref": format!("refs/heads/{name}"),
                    "name": name,
                    "object": {"type": "commit", "sha": sha},
                    "commit": {"sha": sha},
                })),
            }
        }
        ["commits"] => {
            let from = query.parameter("sha").unwrap_or("main");
            match git.at(from) {
                None => Reply::not_found(),
                Some(from) => {
                    let all = git.log(&from);
                    query.page(all.iter().map(|id| commit(repository, id, url)).collect())
                }
            }
        }
        ["commits", name @ ..] => match git.at(&name.join("/")) {
            None => Reply::error(422, &format!("No commit found for SHA: {}", name.join("/"))),
            Some(id) => {
                let mut shown = commit(repository, &id, url);
                let (_, _, parents) = git.about(&id);
                if let Some(parent) = parents.first() {
                    let files = changed_files(repository, parent, &id, query.at.patch_lines_max);
                    shown["files"] = Value::Array(files);
                }
                Reply::ok(&shown)
            }
        },
        ["compare", range] => compare(repository, query, range),
        ["tarball"] => tarball(repository, "main"),
        ["tarball", name @ ..] => tarball(repository, &name.join("/")),
        _ => Reply::not_found(),
    }
}

/// Returns a commit as the API shows it.
pub(super) fn commit(repository: &Repository, id: &str, url: &str) -> Value {
    let (message, time, parents) = repository.git.about(id);
    let by = json!({"name": "Test Author", "email": "author@example.org", "date": time});
    json!({
        "sha": id,
        "commit": {"message": message, "author": by, "committer": by, "tree": {"sha": repository.git.tree_of(id)}},
        "author": super::state::user("alice"),
        "parents": parents.iter().map(|sha| json!({"sha": sha})).collect::<Value>(),
        "url": format!("{url}/repos/{}/commits/{id}", repository.full_name),
    })
}

fn compare(repository: &Repository, query: &Query, range: &str) -> Reply {
    let git = &repository.git;
    let sides = range.split_once("...");
    let sides = sides.and_then(|(base, head)| Some((git.at(base)?, git.at(head)?)));
    let Some((base, head)) = sides else {
        return Reply::not_found();
    };
    let start = git.merge_base(&base, &head);
    if query.accept.contains("diff") {
        return Reply::bytes(
            "application/vnd.github.diff; charset=utf-8",
            git.diff(&start, &head, &[]),
        );
    }
    let commits = git.between(&base, &head);
    let behind = git.between(&head, &base).len();
    let status = match (commits.len(), behind) {
        (0, 0) => "identical",
        (_, 0) => "ahead",
        (0, _) => "behind",
        _ => "diverged",
    };
    let url = &query.at.url;
    Reply::ok(&json!({
        "status": status,
        "ahead_by": commits.len(),
        "behind_by": behind,
        "total_commits": commits.len(),
        "merge_base_commit": commit(repository, &start, url),
        "commits": commits.iter().map(|id| commit(repository, id, url)).collect::<Value>(),
        "files": changed_files(repository, &start, &head, query.at.patch_lines_max),
    }))
}

fn contents(repository: &Repository, query: &Query, path: &str) -> Reply {
    let git = &repository.git;
    let name = query.parameter("ref").unwrap_or("main");
    let Some(at) = git.at(name) else {
        return Reply::error(404, &format!("No commit found for the ref {name}"));
    };
    let entries = git.tree(&at, true).unwrap_or_default();
    let path = path.trim_matches('/');
    let file = entries
        .iter()
        .find(|entry| entry.path == path && entry.kind == "blob");
    if let Some(entry) = file {
        let content = git.blob(&entry.sha).unwrap_or_default();
        if query.accept.contains("raw") {
            return Reply::bytes("application/vnd.github.raw", content);
        }
        let large = content.len() > CONTENT_BYTES_MAX;
        // GitHub breaks the text into lines of 60 characters.
        let encoded = BASE64.encode(&content);
        let lines: Vec<&[u8]> = encoded.as_bytes().chunks(60).collect();
        let lines = String::from_utf8(lines.join(&b'\n')).expect("it is ASCII");
        return Reply::ok(&json!({
            "type": if entry.mode == "120000" { "symlink" } else { "file" },
            "name": path.rsplit('/').next(),
            "path": path,
            "sha": entry.sha,
            "size": content.len(),
            "encoding": if large { "none" } else { "base64" },
            "content": if large { String::new() } else { lines + "\n" },
        }));
    }
    let prefix = if path.is_empty() {
        String::new()
    } else {
        format!("{path}/")
    };
    let inside = entries.iter().filter_map(|entry| {
        let rest = entry.path.strip_prefix(&prefix)?;
        let kind = if entry.kind == "tree" { "dir" } else { "file" };
        (!rest.contains('/')).then(|| json!({
            "type": kind, "name": rest, "path": entry.path, "sha": entry.sha, "size": entry.size.unwrap_or(0),
        }))
    });
    let inside: Vec<Value> = inside.collect();
    match inside.is_empty() {
        true => Reply::not_found(),
        false => Reply::ok(&Value::Array(inside)),
    }
}

fn tree(repository: &Repository, query: &Query, sha: &str) -> Reply {
    let recursive = query.parameter("recursive").is_some();
    let entries = repository.git.tree(sha, recursive).unwrap_or_default();
    let shown = entries.iter().take(TREE_ENTRIES_MAX).map(|entry| {
        let mut shown =
            json!({"path": entry.path, "mode": entry.mode, "type": entry.kind, "sha": entry.sha});
        if let Some(size) = entry.size {
            shown["size"] = json!(size);
        }
        shown
    });
    Reply::ok(&json!({
        "sha": sha,
        "tree": shown.collect::<Value>(),
        "truncated": entries.len() > TREE_ENTRIES_MAX,
    }))
}

/// GitHub answers with the address of another host, which needs no token; here the archive comes at once.
fn tarball(repository: &Repository, name: &str) -> Reply {
    let Some(id) = repository.git.at(name) else {
        return Reply::not_found();
    };
    let short = id.get(..7).unwrap_or_default();
    let prefix = format!("{}-{short}", repository.full_name.replace('/', "-"));
    Reply::bytes("application/x-gzip", repository.git.tarball(&id, &prefix))
}
