//! The little GraphQL that reviewers use: the threads of a pull request, and resolving one. Operations are known by their names; answers have all
//! fields that are asked for by anybody.

use serde_json::{Value, json};

use super::app;
use super::serve::{Query, Reply, Who};
use super::state::{Pull, State, Token};

pub(super) fn answer(state: &mut State, query: &Query) -> Reply {
    let Who::Installation(token) = &query.who else {
        return Reply::error(401, "Bad credentials");
    };
    let text = query.body["query"].as_str().unwrap_or_default();
    let variables = &query.body["variables"];
    let resolve = text.contains("resolveReviewThread") && !text.contains("unresolveReviewThread");
    if resolve || text.contains("unresolveReviewThread") {
        return resolved(state, token, text, variables, resolve);
    }
    if text.contains("reviewThreads") {
        return threads(state, token, variables);
    }
    fault(
        "UNKNOWN_OPERATION",
        "the fake GitHub does not know this operation",
    )
}

/// Errors of GraphQL come with status 200.
fn fault(kind: &str, message: &str) -> Reply {
    Reply::ok(&json!({"data": null, "errors": [{"type": kind, "message": message}]}))
}

/// Returns a variable by any of these names, of the input object too.
fn variable<'a>(variables: &'a Value, names: &[&str]) -> &'a Value {
    let mut found = names
        .iter()
        .flat_map(|name| [&variables[*name], &variables["input"][*name]]);
    found.find(|value| !value.is_null()).unwrap_or(&Value::Null)
}

fn may(token: &Token, full_name: &str, access: &str) -> bool {
    let granted = token.permissions.get("pull_requests").map(String::as_str);
    token.repositories.contains(full_name) && app::is_within(access, granted)
}

fn threads(state: &State, token: &Token, variables: &Value) -> Reply {
    let word = |names: &[&str]| {
        variable(variables, names)
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    let full_name = format!(
        "{}/{}",
        word(&["owner"]),
        word(&["name", "repo", "repository"])
    );
    let number = variable(variables, &["number", "pr", "pull"])
        .as_u64()
        .unwrap_or_default();
    let repository = state
        .repositories
        .get(&full_name)
        .filter(|_| may(token, &full_name, "read"));
    let Some(pull) = repository.and_then(|repository| repository.pulls.get(&number)) else {
        return fault(
            "NOT_FOUND",
            "Could not resolve to a Repository or a PullRequest.",
        );
    };
    let first = pull
        .review_comments
        .iter()
        .filter(|one| one["in_reply_to_id"].is_null());
    let all: Vec<Value> = first.map(|first| thread(pull, first)).collect();
    // Pages are asked for by where the last one ended.
    let size = variable(variables, &["first", "count"])
        .as_u64()
        .unwrap_or(100)
        .clamp(1, 100);
    let after = variable(variables, &["after", "cursor"])
        .as_str()
        .and_then(|text| text.parse().ok());
    let start: usize = after.unwrap_or(0);
    let end = (start + usize::try_from(size).unwrap_or(100)).min(all.len());
    let nodes = all.get(start..end).unwrap_or_default();
    let page = json!({"hasNextPage": end < all.len(), "endCursor": end.to_string()});
    Reply::ok(
        &json!({"data": {"repository": {"pullRequest": {"reviewThreads": {
            "totalCount": all.len(), "nodes": nodes, "pageInfo": page,
        }}}}}),
    )
}

fn thread(pull: &Pull, first: &Value) -> Value {
    let id = first["id"].as_u64().unwrap_or_default();
    let of = pull.review_comments.iter();
    let of = of.filter(|one| one["id"] == id || one["in_reply_to_id"] == id);
    let comments = of.map(|one| {
        // GraphQL has the login of a bot without what the REST API puts behind it.
        let login = one["user"]["login"].as_str().unwrap_or_default();
        let kind = one["user"]["type"].clone();
        json!({
            "id": one["node_id"],
            "databaseId": one["id"],
            "body": one["body"],
            "path": one["path"],
            "author": {"login": login.trim_end_matches("[bot]"), "__typename": kind},
        })
    });
    json!({
        "id": format!("PRRT_{id}"),
        "isResolved": pull.resolved.contains_key(&id),
        "isOutdated": false,
        "path": first["path"],
        "line": first["line"],
        "comments": {"nodes": comments.collect::<Value>()},
    })
}

fn resolved(
    state: &mut State,
    token: &Token,
    text: &str,
    variables: &Value,
    resolve: bool,
) -> Reply {
    let given = variable(variables, &["threadId", "id", "thread"]).as_str();
    // Some write the id into the text itself.
    let written = text.split('"').find(|part| part.starts_with("PRRT_"));
    let name = given.or(written).unwrap_or_default();
    let id: u64 = name.trim_start_matches("PRRT_").parse().unwrap_or_default();
    let login = state.bot()["login"].as_str().unwrap_or_default().to_owned();
    for repository in state.repositories.values_mut() {
        if !may(token, &repository.full_name, "write") {
            continue;
        }
        for pull in repository.pulls.values_mut() {
            if !pull.review_comments.iter().any(|one| one["id"] == id) {
                continue;
            }
            match resolve {
                true => drop(pull.resolved.insert(id, login)),
                false => drop(pull.resolved.remove(&id)),
            }
            let operation = if resolve {
                "resolveReviewThread"
            } else {
                "unresolveReviewThread"
            };
            return Reply::ok(
                &json!({"data": {operation: {"thread": {"id": name, "isResolved": resolve}}}}),
            );
        }
    }
    fault("NOT_FOUND", "Could not resolve to a node with that id.")
}
