//! What belongs to issues, and so to pull requests too: comments, labels; who may do what; check runs.

use serde_json::{Value, json};

use super::serve::{Query, Reply, has_id};
use super::state::{Repository, user};

pub(super) fn answer(repository: &mut Repository, query: &Query, rest: &[&str]) -> Reply {
    match (&*query.method, rest) {
        ("GET", ["collaborators", login, "permission"]) => permission(repository, login),
        (_, ["issues", "comments", id, rest @ ..]) => one_comment(repository, query, id, rest),
        (_, ["issues", number, rest @ ..]) => match number.parse() {
            Ok(number) => of_issue(repository, query, number, rest),
            Err(_) => Reply::not_found(),
        },
        ("POST", ["labels"]) => Reply::json(201, &query.body),
        ("POST", ["check-runs"]) => create_check(repository, query),
        ("GET", ["commits", name, "check-runs"]) => {
            let Some(id) = repository.git.at(name) else {
                return Reply::not_found();
            };
            let runs = repository
                .check_runs
                .iter()
                .filter(|run| run["head_sha"] == *id);
            query.page_in("check_runs", runs.cloned().collect())
        }
        ("PATCH" | "GET", ["check-runs", id]) => {
            let mut runs = repository.check_runs.iter_mut();
            match runs.find(|run| has_id(&run["id"], id)) {
                None => Reply::not_found(),
                Some(run) => change_check(run, query),
            }
        }
        _ => Reply::not_found(),
    }
}

fn permission(repository: &Repository, login: &str) -> Reply {
    let found = repository.collaborators.get(login).map(String::as_str);
    let permission = match found {
        Some(permission) => permission,
        None if login == repository.owner() => "admin",
        None if repository.private => "none",
        None => "read",
    };
    Reply::ok(&json!({"permission": permission, "role_name": permission, "user": user(login)}))
}

/// Returns a comment as the API shows it.
pub(super) fn comment(
    repository: &Repository,
    url: &str,
    id: u64,
    number: u64,
    by: &Value,
    time: &str,
    body: &str,
) -> Value {
    let name = &repository.full_name;
    json!({
        "id": id,
        "node_id": format!("IC_{id}"),
        "user": by,
        "body": body,
        "created_at": time,
        "updated_at": time,
        "issue_url": format!("{url}/repos/{name}/issues/{number}"),
        "url": format!("{url}/repos/{name}/issues/comments/{id}"),
        "html_url": format!("https://github.com/{name}/pull/{number}#issuecomment-{id}"),
    })
}

fn of_issue(repository: &mut Repository, query: &Query, number: u64, rest: &[&str]) -> Reply {
    let at = &query.at;
    if !repository.pulls.contains_key(&number) {
        return Reply::not_found();
    }
    match (&*query.method, rest) {
        ("GET", ["comments"]) => {
            let all = repository.comments.iter().filter(|(of, _)| *of == number);
            query.page(all.map(|(_, comment)| comment.clone()).collect())
        }
        ("POST", ["comments"]) => {
            let Some(body) = query.body["body"].as_str().filter(|body| !body.is_empty()) else {
                return Reply::invalid(
                    "Validation Failed",
                    &json!([{"resource": "IssueComment", "code": "missing_field", "field": "body"}]),
                );
            };
            let mut made = comment(repository, &at.url, at.id, number, &at.bot, &at.time, body);
            made["performed_via_github_app"] = at.app.clone();
            repository.comments.push((number, made.clone()));
            Reply::json(201, &made)
        }
        (method, ["labels", name @ ..]) => {
            let Some(pull) = repository.pulls.get_mut(&number) else {
                return Reply::not_found();
            };
            let labels = &mut pull.labels;
            match (method, name) {
                ("GET", []) => {}
                ("POST" | "PUT", []) => {
                    let names = query.body["labels"]
                        .as_array()
                        .or_else(|| query.body.as_array());
                    for name in names.into_iter().flatten().filter_map(Value::as_str) {
                        if !labels.iter().any(|label| label == name) {
                            labels.push(name.to_owned());
                        }
                    }
                }
                ("DELETE", [name]) if labels.iter().any(|label| label == name) => {
                    labels.retain(|label| label != name);
                }
                ("DELETE", [_]) => return Reply::error(404, "Label does not exist"),
                _ => return Reply::not_found(),
            }
            Reply::ok(
                &labels
                    .iter()
                    .map(|name| json!({"name": name}))
                    .collect::<Value>(),
            )
        }
        _ => Reply::not_found(),
    }
}

fn one_comment(repository: &mut Repository, query: &Query, id: &str, rest: &[&str]) -> Reply {
    let place = repository
        .comments
        .iter()
        .position(|(_, comment)| has_id(&comment["id"], id));
    let Some((place, (_, comment))) =
        place.and_then(|place| Some((place, repository.comments.get_mut(place)?)))
    else {
        return Reply::not_found();
    };
    match (&*query.method, rest) {
        ("GET", []) => Reply::ok(comment),
        ("PATCH", []) => {
            comment["body"] = query.body["body"].clone();
            comment["updated_at"] = json!(query.at.time);
            Reply::ok(comment)
        }
        ("DELETE", []) => {
            repository.comments.remove(place);
            Reply::empty()
        }
        ("POST", ["reactions"]) => Reply::json(
            201,
            &json!({"id": query.at.id, "content": query.body["content"]}),
        ),
        _ => Reply::not_found(),
    }
}

fn create_check(repository: &mut Repository, query: &Query) -> Reply {
    let sha = query.body["head_sha"].as_str().unwrap_or_default();
    if query.body["name"].as_str().is_none_or(str::is_empty)
        || repository.git.resolve(sha).is_none()
    {
        return Reply::invalid(
            "Validation Failed",
            &json!([{"resource": "CheckRun", "code": "invalid", "field": "head_sha"}]),
        );
    }
    let mut run = json!({
        "id": query.at.id,
        "node_id": format!("CR_{}", query.at.id),
        "status": "queued",
        "conclusion": null,
        "started_at": query.at.time,
        "app": query.at.app,
    });
    let reply = change_check(&mut run, query);
    if reply.status == 200 {
        repository.check_runs.push(run);
        return Reply {
            status: 201,
            ..reply
        };
    }
    reply
}

fn change_check(run: &mut Value, query: &Query) -> Reply {
    let asked = query.body.as_object();
    for (key, value) in asked.into_iter().flatten() {
        run[key] = value.clone();
    }
    if !run["conclusion"].is_null() {
        run["status"] = json!("completed");
    }
    // LIMIT: GitHub's own: annotations come in requests of 50.
    let annotations = run["output"]["annotations"].as_array().map_or(0, Vec::len);
    if annotations > 50 {
        return Reply::invalid(
            "Invalid request.\n\nNo subschema in \"anyOf\" matched.",
            &json!([]),
        );
    }
    if run["status"] == "completed" && run["conclusion"].is_null() {
        return Reply::invalid("Invalid request.\n\nMissing `conclusion`.", &json!([]));
    }
    Reply::ok(run)
}
