//! A repository: what a test does with it, and who may ask what of it.

use std::sync::{Arc, MutexGuard};

use serde_json::{Value, json};

use super::serve::{Query, Reply, Who};
use super::state::{Pull, Repository, State, user};
use super::{Shared, app, events, files, issues, pulls, reviews};
use crate::server::lock;

/// A repository on a fake GitHub.
#[derive(Clone)]
pub struct Repo {
    shared: Arc<Shared>,
    full_name: String,
}

/// A pull request that is to be opened.
#[derive(Clone, Debug)]
pub struct PullSpec<'a> {
    /// The branch that it is for.
    pub base: &'a str,
    /// The branch with the changes.
    pub head: &'a str,
    /// The full name of the repository that has that branch, where it is a fork.
    pub fork: Option<&'a str>,
    /// Its title.
    pub title: &'a str,
    /// Its text.
    pub body: Option<&'a str>,
    /// Who opens it.
    pub author: &'a str,
    /// Whether it is a draft.
    pub draft: bool,
}

impl Default for PullSpec<'_> {
    fn default() -> Self {
        Self {
            base: "main",
            head: "feature",
            fork: None,
            title: "A change",
            body: None,
            author: "alice",
            draft: false,
        }
    }
}

impl std::fmt::Debug for Repo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Repo({})", self.full_name)
    }
}

impl Repo {
    pub(super) fn new(shared: Arc<Shared>, full_name: &str) -> Self {
        Self {
            shared,
            full_name: full_name.to_owned(),
        }
    }

    /// Returns its full name: `owner/name`.
    #[must_use]
    pub fn full_name(&self) -> &str {
        &self.full_name
    }

    /// Commits texts to a branch, which begins at `main` if it is new; a path without a text is removed. Pull requests of that branch have
    /// the commit as their head from now on. Returns the commit.
    pub fn commit(&self, branch: &str, message: &str, files: &[(&str, Option<&str>)]) -> String {
        let bytes = files
            .iter()
            .map(|(path, text)| (*path, text.map(str::as_bytes)));
        self.commit_bytes(branch, message, &bytes.collect::<Vec<_>>())
    }

    /// The same with bytes.
    pub fn commit_bytes(
        &self,
        branch: &str,
        message: &str,
        files: &[(&str, Option<&[u8]>)],
    ) -> String {
        self.commit_to(
            &format!("refs/heads/{branch}"),
            None,
            branch,
            message,
            files,
        )
    }

    /// Commits to a branch of a fork: it is not a branch here, but its commits are known by their ids, as GitHub has it.
    pub fn commit_to_fork(
        &self,
        fork: &str,
        branch: &str,
        message: &str,
        files: &[(&str, Option<&str>)],
    ) -> String {
        let bytes = files
            .iter()
            .map(|(path, text)| (*path, text.map(str::as_bytes)));
        let files = bytes.collect::<Vec<_>>();
        self.commit_to(
            &format!("refs/forks/{fork}/{branch}"),
            Some(fork),
            branch,
            message,
            &files,
        )
    }

    fn commit_to(
        &self,
        reference: &str,
        fork: Option<&str>,
        branch: &str,
        message: &str,
        files: &[(&str, Option<&[u8]>)],
    ) -> String {
        self.with(|repository| {
            let main = repository.git.at("main");
            let commit = repository
                .git
                .commit(reference, main.as_deref(), message, files);
            for pull in repository.pulls.values_mut() {
                if pull.state == "open" && pull.head_ref == branch && pull.fork.as_deref() == fork {
                    pull.head_sha.clone_from(&commit);
                }
            }
            commit
        })
    }

    /// Lets a branch point to a commit, as after a forced push.
    ///
    /// # Panics
    ///
    /// If there is no such commit.
    pub fn force(&self, branch: &str, commit: &str) {
        self.with(|repository| {
            repository
                .git
                .point(&format!("refs/heads/{branch}"), commit);
            for pull in repository.pulls.values_mut() {
                if pull.state == "open" && pull.head_ref == branch && pull.fork.is_none() {
                    commit.clone_into(&mut pull.head_sha);
                }
            }
        });
    }

    /// Opens a pull request; returns its number.
    ///
    /// # Panics
    ///
    /// If a branch is not there.
    #[must_use]
    pub fn open_pull(&self, spec: &PullSpec<'_>) -> u64 {
        self.with(|repository| {
            let reference = match spec.fork {
                Some(fork) => format!("refs/forks/{fork}/{}", spec.head),
                None => format!("refs/heads/{}", spec.head),
            };
            let head_sha = repository
                .git
                .resolve(&reference)
                .expect("the head branch is there");
            let number = repository.next_number;
            repository.next_number += 1;
            let pull = Pull {
                title: spec.title.to_owned(),
                body: spec.body.map(str::to_owned),
                author: spec.author.to_owned(),
                base: spec.base.to_owned(),
                head_ref: spec.head.to_owned(),
                fork: spec.fork.map(str::to_owned),
                head_sha,
                draft: spec.draft,
                state: "open",
                labels: Vec::new(),
                reviews: Vec::new(),
                review_comments: Vec::new(),
                resolved: std::collections::BTreeMap::new(),
            };
            repository.pulls.insert(number, pull);
            number
        })
    }

    /// Closes a pull request.
    pub fn close_pull(&self, number: u64) {
        self.with_pull(number, |pull| pull.state = "closed");
    }

    /// Says that a pull request is a draft, or ready.
    pub fn set_draft(&self, number: u64, draft: bool) {
        self.with_pull(number, |pull| pull.draft = draft);
    }

    /// Says what a user may do: `admin`, `write`, `read` or `none`.
    pub fn set_permission(&self, login: &str, permission: &str) {
        self.with(|repository| {
            let collaborators = &mut repository.collaborators;
            collaborators.insert(login.to_owned(), permission.to_owned());
        });
    }

    /// Has a user comment on an issue or a pull request; returns the comment.
    pub fn comment(&self, number: u64, login: &str, body: &str) -> Value {
        let mut state = self.state();
        let (id, time, url) = (state.id(), state.time(), state.url.clone());
        let repository = self.find(&mut state);
        let comment = issues::comment(repository, &url, id, number, &user(login), &time, body);
        repository.comments.push((number, comment.clone()));
        comment
    }

    /// Has a user answer in the thread that begins with a review comment; returns the answer.
    ///
    /// # Panics
    ///
    /// If there is no such comment.
    pub fn reply(&self, number: u64, thread: u64, login: &str, body: &str) -> Value {
        let mut state = self.state();
        let (id, time) = (state.id(), state.time());
        let pull = self.find(&mut state).pulls.get_mut(&number);
        reviews::reply(
            pull.expect("it is there"),
            id,
            thread,
            &user(login),
            &time,
            body,
        )
        .expect("the thread is there")
    }

    /// Returns a pull request as the API shows it.
    #[must_use]
    pub fn pull(&self, number: u64) -> Value {
        let mut state = self.state();
        let url = state.url.clone();
        pulls::document(self.find(&mut state), number, &url).unwrap_or_default()
    }

    /// Returns the comments on an issue or a pull request.
    #[must_use]
    pub fn comments(&self, number: u64) -> Vec<Value> {
        self.with(|repository| {
            let comments = repository.comments.iter();
            let comments = comments.filter(|(of, _)| *of == number);
            comments.map(|(_, comment)| comment.clone()).collect()
        })
    }

    /// Returns the reviews of a pull request.
    #[must_use]
    pub fn reviews(&self, number: u64) -> Vec<Value> {
        self.with_pull(number, |pull| pull.reviews.clone())
    }

    /// Returns the comments on lines of a pull request.
    #[must_use]
    pub fn review_comments(&self, number: u64) -> Vec<Value> {
        self.with_pull(number, |pull| pull.review_comments.clone())
    }

    /// Returns the first comments of the threads that were resolved, and by whom.
    #[must_use]
    pub fn resolved_threads(&self, number: u64) -> Vec<(u64, String)> {
        self.with_pull(number, |pull| pull.resolved.clone().into_iter().collect())
    }

    /// Returns the labels of a pull request.
    #[must_use]
    pub fn labels(&self, number: u64) -> Vec<String> {
        self.with_pull(number, |pull| pull.labels.clone())
    }

    /// Returns the check runs of a commit.
    #[must_use]
    pub fn check_runs(&self, commit: &str) -> Vec<Value> {
        self.with(|repository| {
            let runs = repository.check_runs.iter();
            runs.filter(|run| run["head_sha"] == commit)
                .cloned()
                .collect()
        })
    }

    /// Returns what GitHub delivers for `pull_request`, of an action such as `opened`.
    #[must_use]
    pub fn pull_request_event(&self, number: u64, action: &str) -> Value {
        self.event(|repository, url| events::pull_request(repository, number, action, url))
    }

    /// Returns what GitHub delivers for `issue_comment` of action `created`.
    #[must_use]
    pub fn issue_comment_event(&self, number: u64, comment: &Value) -> Value {
        self.event(|repository, url| events::issue_comment(repository, number, comment, url))
    }

    /// Returns what GitHub delivers for `pull_request_review_comment` of action `created`.
    #[must_use]
    pub fn review_comment_event(&self, number: u64, comment: &Value) -> Value {
        self.event(|repository, url| events::review_comment(repository, number, comment, url))
    }

    /// Returns what GitHub delivers for `push`.
    #[must_use]
    pub fn push_event(&self, branch: &str, before: &str, after: &str) -> Value {
        self.event(|repository, url| events::push(repository, branch, before, after, url))
    }

    fn event(&self, of: impl FnOnce(&Repository, &str) -> Value) -> Value {
        let mut state = self.state();
        let url = state.url.clone();
        let mut event = of(self.find(&mut state), &url);
        let mut all = state.installations.iter();
        let installation =
            all.find(|(_, one)| state.repositories_of(one).contains(&self.full_name));
        if let Some((id, _)) = installation {
            event["installation"] = json!({"id": id});
        }
        event
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.shared.state)
    }

    fn find<'a>(&self, state: &'a mut State) -> &'a mut Repository {
        let found = state.repositories.get_mut(&self.full_name);
        found.expect("a repository stays")
    }

    fn with<T>(&self, work: impl FnOnce(&mut Repository) -> T) -> T {
        work(self.find(&mut self.state()))
    }

    #[track_caller]
    fn with_pull<T>(&self, number: u64, work: impl FnOnce(&mut Pull) -> T) -> T {
        self.with(|repository| work(repository.pulls.get_mut(&number).expect("it is there")))
    }
}

/// Answers what is asked of a repository, of whoever may ask it.
pub(super) fn answer(state: &mut State, query: &Query, full_name: &str, rest: &[&str]) -> Reply {
    let Some(repository) = state.repositories.get_mut(full_name) else {
        return Reply::not_found();
    };
    if let Err(reply) = permitted(repository, query, rest) {
        return reply;
    }
    match rest {
        [] => Reply::ok(&repository.document(&query.at.url)),
        ["pulls", _, "reviews" | "comments", ..] | ["pulls", "comments", ..] => {
            reviews::answer(repository, query, rest)
        }
        ["pulls", ..] => pulls::answer(repository, query, rest),
        ["issues" | "labels" | "collaborators" | "check-runs", ..]
        | ["commits", _, "check-runs"] => issues::answer(repository, query, rest),
        _ => files::answer(repository, query, rest),
    }
}

fn permitted(repository: &Repository, query: &Query, rest: &[&str]) -> Result<(), Reply> {
    let Who::Installation(token) = &query.who else {
        return Err(Reply::error(401, "Requires authentication"));
    };
    let access = if query.method == "GET" {
        "read"
    } else {
        "write"
    };
    let is_open = !repository.private && access == "read";
    if !token.repositories.contains(&repository.full_name) && !is_open {
        return Err(Reply::not_found());
    }
    let names: &[&str] = match rest {
        [] | ["collaborators", ..] => &["metadata"],
        ["pulls", ..] => &["pull_requests"],
        ["issues" | "labels", ..] => &["issues", "pull_requests"],
        ["check-runs", ..] | ["commits", _, "check-runs"] => &["checks"],
        _ => &["contents"],
    };
    let has =
        |name: &&str| app::is_within(access, token.permissions.get(*name).map(String::as_str));
    match names.iter().any(has) {
        true => Ok(()),
        false => Err(Reply::error(403, "Resource not accessible by integration")),
    }
}
