//! Reviews and comments on lines: only on lines that the diff has.

use serde_json::{Value, json};

use super::serve::{Query, Reply, has_id};
use super::state::{Pull, Repository};

/// A place that is not in the diff: what is wrong with it.
enum Fault {
    Path,
    Line,
}

pub(super) fn answer(repository: &mut Repository, query: &Query, rest: &[&str]) -> Reply {
    if let ["pulls", "comments", id] = rest {
        return one_comment(repository, query, id);
    }
    let number: Option<u64> = rest.get(1).and_then(|number| number.parse().ok());
    let Some(number) = number.filter(|number| repository.pulls.contains_key(number)) else {
        return Reply::not_found();
    };
    let Some(pull) = repository.pulls.get(&number) else {
        return Reply::not_found();
    };
    match (&*query.method, rest.get(2..).unwrap_or_default()) {
        ("GET", ["reviews"]) => query.page(pull.reviews.clone()),
        ("GET", ["comments"]) => query.page(pull.review_comments.clone()),
        ("GET", ["reviews", id]) => found(&pull.reviews, id),
        ("GET", ["reviews", id, "comments"]) => {
            let of = |comment: &&Value| has_id(&comment["pull_request_review_id"], id);
            query.page(pull.review_comments.iter().filter(of).cloned().collect())
        }
        ("POST", ["reviews"]) => review(repository, query, number),
        ("PUT", ["reviews", id]) => {
            let reviews = repository
                .pulls
                .get_mut(&number)
                .map(|pull| &mut pull.reviews);
            let mut reviews = reviews.into_iter().flatten();
            match reviews.find(|review| has_id(&review["id"], id)) {
                Some(review) => {
                    review["body"] = query.body["body"].clone();
                    Reply::ok(review)
                }
                None => Reply::not_found(),
            }
        }
        ("POST", ["comments"]) => single(repository, query, number),
        ("POST", ["comments", id, "replies"]) => {
            let body = query.body["body"].as_str().unwrap_or_default();
            let pull = repository.pulls.get_mut(&number);
            let thread = id.parse().ok();
            let at = &query.at;
            let made = pull
                .zip(thread)
                .and_then(|(pull, thread)| reply(pull, at.id, thread, &at.bot, &at.time, body));
            made.map_or_else(Reply::not_found, |made| Reply::json(201, &made))
        }
        _ => Reply::not_found(),
    }
}

fn found(all: &[Value], id: &str) -> Reply {
    let one = all.iter().find(|one| has_id(&one["id"], id));
    one.map_or_else(Reply::not_found, Reply::ok)
}

fn one_comment(repository: &mut Repository, query: &Query, id: &str) -> Reply {
    for pull in repository.pulls.values_mut() {
        let place = pull
            .review_comments
            .iter()
            .position(|one| has_id(&one["id"], id));
        let Some(place) = place else { continue };
        return match &*query.method {
            "DELETE" => {
                pull.review_comments.remove(place);
                Reply::empty()
            }
            method => {
                let Some(comment) = pull.review_comments.get_mut(place) else {
                    continue;
                };
                if method == "PATCH" {
                    comment["body"] = query.body["body"].clone();
                }
                Reply::ok(comment)
            }
        };
    }
    Reply::not_found()
}

fn review(repository: &mut Repository, query: &Query, number: u64) -> Reply {
    let at = &query.at;
    let asked = &query.body;
    let comments = asked["comments"].as_array().cloned().unwrap_or_default();
    let event = asked["event"].as_str();
    let body = asked["body"].as_str().unwrap_or_default();
    if body.is_empty()
        && matches!(event, Some("COMMENT" | "REQUEST_CHANGES"))
        && comments.is_empty()
    {
        return Reply::invalid(
            "Unprocessable Entity",
            &json!(["Review body can't be blank"]),
        );
    }
    let Some(pull) = repository.pulls.get(&number) else {
        return Reply::not_found();
    };
    let commit = asked["commit_id"]
        .as_str()
        .unwrap_or(&pull.head_sha)
        .to_owned();
    if repository.git.resolve(&commit).is_none() {
        return Reply::invalid(
            "Unprocessable Entity",
            &json!(["The commit is not part of the pull request"]),
        );
    }
    for comment in &comments {
        let errors = match check(repository, pull, comment) {
            Ok(()) => continue,
            Err(Fault::Path) => json!(["Path could not be resolved"]),
            Err(Fault::Line) => json!(["Line could not be resolved"]),
        };
        return Reply::invalid("Unprocessable Entity", &errors);
    }
    let state = match event {
        Some("APPROVE") => "APPROVED",
        Some("REQUEST_CHANGES") => "CHANGES_REQUESTED",
        Some(_) => "COMMENTED",
        None => "PENDING",
    };
    let review = json!({
        "id": at.id,
        "node_id": format!("PRR_{}", at.id),
        "user": at.bot,
        "body": body,
        "state": state,
        "commit_id": commit,
        "submitted_at": at.time,
        "html_url": format!("https://github.com/{}/pull/{number}#pullrequestreview-{}", repository.full_name, at.id),
    });
    let Some(pull) = repository.pulls.get_mut(&number) else {
        return Reply::not_found();
    };
    for (place, comment) in (1..).zip(&comments) {
        // Numbers of comments are far from those of anything else.
        let id = at.id * 1000 + place;
        pull.review_comments
            .push(on_line(comment, id, &commit, at.id.into(), query));
    }
    pull.reviews.push(review.clone());
    Reply::ok(&review)
}

fn single(repository: &mut Repository, query: &Query, number: u64) -> Reply {
    let Some(pull) = repository.pulls.get(&number) else {
        return Reply::not_found();
    };
    if check(repository, pull, &query.body).is_err() {
        let error = |field: &str, message: &str| {
            let message = format!("{field} {message}");
            json!({"resource": "PullRequestReviewComment", "code": "custom", "field": field, "message": message})
        };
        let errors = json!([
            error(
                "pull_request_review_thread.line",
                "must be part of the diff"
            ),
            error("pull_request_review_thread.diff_hunk", "can't be blank"),
        ]);
        return Reply::invalid("Validation Failed", &errors);
    }
    let commit = query.body["commit_id"]
        .as_str()
        .unwrap_or(&pull.head_sha)
        .to_owned();
    let comment = on_line(&query.body, query.at.id, &commit, Value::Null, query);
    if let Some(pull) = repository.pulls.get_mut(&number) {
        pull.review_comments.push(comment.clone());
    }
    Reply::json(201, &comment)
}

fn on_line(asked: &Value, id: u64, commit: &str, review: Value, query: &Query) -> Value {
    let side = asked["side"].as_str().unwrap_or("RIGHT");
    json!({
        "id": id,
        "node_id": format!("PRRC_{id}"),
        "pull_request_review_id": review,
        "user": query.at.bot,
        "body": asked["body"],
        "path": asked["path"],
        "line": asked["line"],
        "side": side,
        "start_line": asked["start_line"],
        "start_side": asked["start_side"],
        "position": asked["position"],
        "commit_id": commit,
        "original_commit_id": commit,
        "created_at": query.at.time,
        "performed_via_github_app": query.at.app,
    })
}

/// Adds an answer to a thread.
pub(super) fn reply(
    pull: &mut Pull,
    id: u64,
    thread: u64,
    by: &Value,
    time: &str,
    body: &str,
) -> Option<Value> {
    let first = pull
        .review_comments
        .iter()
        .find(|one| one["id"] == thread)?;
    let mut answer = first.clone();
    answer["id"] = json!(id);
    answer["node_id"] = json!(format!("PRRC_{id}"));
    answer["in_reply_to_id"] = json!(thread);
    answer["user"] = by.clone();
    answer["body"] = json!(body);
    answer["created_at"] = json!(time);
    pull.review_comments.push(answer.clone());
    Some(answer)
}

/// Returns whether a comment's place is in the pull request's diff.
fn check(repository: &Repository, pull: &Pull, comment: &Value) -> Result<(), Fault> {
    let path = comment["path"].as_str().ok_or(Fault::Path)?;
    let (base, head) = repository.range(pull);
    let diff = repository.git.diff(&base, &head, &[]);
    let mut set = unidiff::PatchSet::new();
    set.parse(String::from_utf8_lossy(&diff))
        .expect("git writes diffs that can be read");
    let file = set
        .files()
        .iter()
        .find(|file| file.path() == path)
        .ok_or(Fault::Path)?;
    if let Some(position) = comment["position"].as_u64() {
        let lines = file
            .hunks()
            .iter()
            .map(|hunk| hunk.len() as u64 + 1)
            .sum::<u64>();
        return (1..lines)
            .contains(&position)
            .then_some(())
            .ok_or(Fault::Line);
    }
    let has = |line: &Value, side: &Value| {
        let line = line.as_u64()?;
        let lines = file.hunks().iter().enumerate();
        lines
            .flat_map(|(number, hunk)| hunk.lines().iter().map(move |line| (number, line)))
            .find_map(|(number, shown)| {
                let on_side = match side.as_str() {
                    Some("LEFT") => shown.source_line_no,
                    _ => shown.target_line_no,
                };
                (on_side == usize::try_from(line).ok()).then_some(number)
            })
    };
    let end = has(&comment["line"], &comment["side"]).ok_or(Fault::Line)?;
    if comment["start_line"].is_null() {
        return Ok(());
    }
    let start_side = match &comment["start_side"] {
        Value::Null => &comment["side"],
        side => side,
    };
    // A range within one hunk, from a line to a later one.
    let start = has(&comment["start_line"], start_side).ok_or(Fault::Line)?;
    let is_before = comment["start_line"].as_u64() < comment["line"].as_u64();
    (start == end && is_before).then_some(()).ok_or(Fault::Line)
}
