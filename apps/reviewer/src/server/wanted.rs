//! What an event asks for. Pure: it looks at the body that the code host sent, and at nothing else.
//!
//! INVARIANT: an event with fields that are missing, null or of another kind asks for nothing; it is no error.

use serde_json::Value;

/// A repository, as an event names it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct About {
    pub(super) repo: i64,
    /// As `owner/name`.
    pub(super) name: String,
    pub(super) installation: i64,
    pub(super) private: bool,
    /// The host of its pages.
    pub(super) host: String,
    pub(super) default_branch: String,
}

/// Where a comment stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Below the pull request.
    Whole,
    /// On a line, in the thread that this comment began.
    Thread(i64),
    /// In the text of a review.
    Review,
}

/// A comment of a person.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Comment {
    pub(super) id: i64,
    pub(super) who: i64,
    pub(super) login: String,
    pub(super) body: String,
    pub(super) place: Place,
}

/// What an event asks for.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Wanted {
    /// A review of a pull request's head; `new` where commits came to a known one.
    Review {
        number: i64,
        new: bool,
    },
    /// Whatever a comment says.
    Comment(i64, Comment),
    /// Cancel what waits, and forget what is known of a pull request that is closed.
    Close(i64),
    /// Bring the index to a commit of the default branch.
    Index(String),
    /// Make the index of repositories that may be seen from now on.
    IndexAll(Vec<About>),
    /// Forget these repositories.
    EraseRepositories(Vec<i64>),
    /// Forget all repositories of an installation.
    EraseInstallation(i64),
    Nothing,
}

/// Returns the repository that an event is about.
pub(super) fn about(body: &Value) -> Option<About> {
    about_one(body, &body["repository"])
}

/// Returns that the listed repositories may be seen from now on, where there are any.
fn seen_now(body: &Value, list: &str) -> Option<Wanted> {
    let list = body[list].as_array()?.iter();
    let all: Vec<About> = list.filter_map(|one| about_one(body, one)).collect();
    (!all.is_empty()).then_some(Wanted::IndexAll(all))
}

fn about_one(body: &Value, repository: &Value) -> Option<About> {
    let name = repository["full_name"].as_str()?;
    let plain = |part: &str| {
        !part.is_empty()
            && !part.chars().all(|char| char == '.')
            && part
                .chars()
                .all(|char| char.is_ascii_alphanumeric() || "-_.".contains(char))
    };
    let (owner, short) = name.split_once('/')?;
    // It becomes a part of paths.
    (plain(owner) && plain(short)).then_some(())?;
    let page = repository["html_url"].as_str();
    let page = page.and_then(|url| reqwest::Url::parse(url).ok());
    let host = page.and_then(|url| url.host_str().map(str::to_owned));
    Some(About {
        repo: repository["id"].as_i64()?,
        name: name.to_owned(),
        installation: body["installation"]["id"].as_i64().unwrap_or_default(),
        private: repository["private"].as_bool().unwrap_or(true),
        host: host.unwrap_or_else(|| "github.com".to_owned()),
        default_branch: repository["default_branch"]
            .as_str()
            .unwrap_or_default()
            .to_owned(),
    })
}

/// Returns what an event asks for. `app` is our own App, whose comments ask for nothing.
pub(super) fn wanted(kind: &str, body: &Value, app: Option<i64>) -> Wanted {
    read(kind, body, app).unwrap_or(Wanted::Nothing)
}

fn read(kind: &str, body: &Value, app: Option<i64>) -> Option<Wanted> {
    let action = body["action"].as_str().unwrap_or_default();
    Some(match (kind, action) {
        ("pull_request", "opened" | "reopened" | "ready_for_review") => Wanted::Review {
            number: number(body, "pull_request")?,
            new: false,
        },
        ("pull_request", "synchronize") => Wanted::Review {
            number: number(body, "pull_request")?,
            new: true,
        },
        ("pull_request", "closed") => Wanted::Close(number(body, "pull_request")?),
        ("issue_comment", "created") => {
            // Issues have comments too; only those of a pull request say so.
            body["issue"]["pull_request"].as_object()?;
            let comment = comment(body, "comment", app, |_, _| Place::Whole)?;
            Wanted::Comment(number(body, "issue")?, comment)
        }
        ("pull_request_review_comment", "created") => {
            let comment = comment(body, "comment", app, |comment, id| {
                Place::Thread(comment["in_reply_to_id"].as_i64().unwrap_or(id))
            })?;
            Wanted::Comment(number(body, "pull_request")?, comment)
        }
        ("pull_request_review", "submitted") => {
            let comment = comment(body, "review", app, |_, _| Place::Review)?;
            Wanted::Comment(number(body, "pull_request")?, comment)
        }
        ("push", _) => {
            let branch = body["repository"]["default_branch"].as_str()?;
            let pushed = body["ref"].as_str()?.strip_prefix("refs/heads/")?;
            (pushed == branch && body["deleted"] != true).then_some(())?;
            Wanted::Index(body["after"].as_str()?.to_owned())
        }
        ("installation", "created" | "unsuspend") => seen_now(body, "repositories")?,
        ("installation_repositories", "added") => seen_now(body, "repositories_added")?,
        ("installation", "deleted") => {
            Wanted::EraseInstallation(body["installation"]["id"].as_i64()?)
        }
        ("installation_repositories", "removed") => {
            let removed = body["repositories_removed"].as_array()?.iter();
            Wanted::EraseRepositories(removed.filter_map(|one| one["id"].as_i64()).collect())
        }
        ("repository", "deleted") => {
            Wanted::EraseRepositories(vec![body["repository"]["id"].as_i64()?])
        }
        _ => return None,
    })
}

fn number(body: &Value, part: &str) -> Option<i64> {
    body[part]["number"].as_i64()
}

/// Reads a comment. Bots command nothing, and we least of all: so no two of them talk for ever.
fn comment(
    body: &Value,
    part: &str,
    app: Option<i64>,
    place: impl Fn(&Value, i64) -> Place,
) -> Option<Comment> {
    let comment = &body[part];
    let by = comment["performed_via_github_app"]["id"].as_i64();
    let is_bot = comment["user"]["type"] == "Bot" || body["sender"]["type"] == "Bot";
    if is_bot || by.is_some() && by == app {
        return None;
    }
    let id = comment["id"].as_i64()?;
    Some(Comment {
        id,
        who: comment["user"]["id"].as_i64()?,
        login: comment["user"]["login"].as_str()?.to_owned(),
        body: comment["body"].as_str()?.to_owned(),
        place: place(comment, id),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn comment_by(kind: &str, app: Value) -> Value {
        json!({"action": "created", "repository": {"id": 1}, "issue": {"number": 2, "pull_request": {}}, "sender": {"type": kind},
            "comment": {"id": 3, "body": "@mira review", "user": {"login": "a", "id": 4, "type": kind}, "performed_via_github_app": app}})
    }

    #[test]
    fn our_own_app_and_bots_command_nothing_whatever_they_are_called() {
        let is_command =
            |body: &Value| matches!(wanted("issue_comment", body, Some(7)), Wanted::Comment(..));
        assert!(is_command(&comment_by("User", Value::Null)));
        assert!(is_command(&comment_by("User", json!({"id": 8}))));
        assert!(!is_command(&comment_by("User", json!({"id": 7}))));
        assert!(!is_command(&comment_by("Bot", Value::Null)));
        let mut named = comment_by("User", Value::Null);
        named["comment"]["user"]["login"] = json!("mira-test[bot]");
        assert!(is_command(&named));
    }

    #[test]
    fn odd_bodies_ask_for_nothing() {
        let kinds = "pull_request issue_comment pull_request_review_comment pull_request_review installation installation_repositories push ping";
        for kind in kinds.split(' ').chain([""]) {
            for body in [
                json!(null),
                json!([]),
                json!("x"),
                json!({}),
                json!({"action": "created", "comment": null}),
                json!({"action": "opened", "pull_request": {"number": "1"}}),
            ] {
                assert_eq!(wanted(kind, &body, None), Wanted::Nothing, "{kind} {body}");
            }
        }
        let mut issue = comment_by("User", Value::Null);
        issue["issue"] = json!({"number": 2});
        assert_eq!(wanted("issue_comment", &issue, None), Wanted::Nothing);
    }

    #[test]
    fn names_that_would_lead_elsewhere_are_no_repositories() {
        let named =
            |name: &str| about(&json!({"repository": {"id": 1, "full_name": name}})).is_some();
        assert!(named("octo-org/app.js"));
        for name in [
            "octo-org", "a/b/c", "../x", "a/..", "a/b?x", "a/b#", "a/%2e", "/b", "",
        ] {
            assert!(!named(name), "{name}");
        }
    }
}
