//! What is written to GitHub, each thing once: where an earlier try may have written it, it is looked for first.
//!
//! INVARIANT: what counts as ours was written by our own App, by its number or by that of the user it writes as; marks and names prove nothing,
//! for anybody can write them.

use reqwest::Method;
use serde_json::{Value, json};

use super::EventError;
use super::wanted::{Comment, Place};
use super::work::{Known, Pass, Work};
use crate::github::GitHubError;
use crate::output::encoded;

/// What each text of ours begins with.
const MARK: &str = "<!-- mira-review ";

/// The label that shows a pause.
pub(super) const PAUSED: &str = "reviewer: paused";

/// The name of the check run.
const CHECK: &str = "Mira review";

/// How many pages of review threads are read.
// LIMIT: a hundred each; a pull request with more has been rejected long ago.
const THREAD_PAGES_MAX: usize = 10;

const THREADS: &str = "query($owner: String!, $name: String!, $number: Int!, $after: String) { repository(owner: $owner, name: $name) { \
    pullRequest(number: $number) { reviewThreads(first: 100, after: $after) { pageInfo { hasNextPage endCursor } \
    nodes { id comments(first: 1) { nodes { databaseId } } } } } } }";
const RESOLVE: &str = "mutation($threadId: ID!) { resolveReviewThread(input: {threadId: $threadId}) { thread { id } } }";

/// Returns a mark that is not shown.
pub(super) fn mark(what: &str) -> String {
    format!("{MARK}{what} -->")
}

/// Returns what the mark of one of our texts says.
pub(super) fn marked(body: &Value) -> Option<&str> {
    let (mark, _) = body["body"]
        .as_str()?
        .strip_prefix(MARK)?
        .split_once(" -->")?;
    Some(mark)
}

impl Work<'_> {
    /// Returns whether our own App wrote something.
    pub(super) fn is_ours(&self, written: &Value, known: &Known) -> bool {
        match (written["performed_via_github_app"]["id"].as_i64(), self.by) {
            (Some(by), Some(ours)) => by == ours,
            _ => {
                let user = &written["user"];
                known.bot != 0 && user["type"] == "Bot" && user["id"] == known.bot
            }
        }
    }

    async fn find(
        &self,
        path: &str,
        mark: &str,
        known: &Known,
    ) -> Result<Option<Value>, EventError> {
        let mut all = self.github.list(path).await?.into_iter();
        Ok(all.find(|one| self.is_ours(one, known) && marked(one) == Some(mark)))
    }

    /// Writes the comment that tells of the whole review, or writes it anew.
    pub(super) async fn tell(&self, known: &mut Known, text: &str) -> Result<(), EventError> {
        let number = self.number;
        let body = json!({"body": format!("{}\n{text}", mark("walkthrough"))});
        if known.comment != 0 {
            let path = format!("issues/comments/{}", known.comment);
            match self.github.patch(&path, &body).await {
                // Somebody deleted it.
                Err(GitHubError::NotFound(_)) => {}
                other => return Ok(other.map(drop)?),
            }
        }
        self.keep().await?;
        let path = format!("issues/{number}/comments");
        let made = self.github.post(&path, &body).await?;
        known.comment = made["id"].as_i64().unwrap_or_default();
        known.bot = made["user"]["id"].as_i64().unwrap_or(known.bot);
        self.remember(known).await
    }

    /// Sees to it that there is a comment to tell the review in, also where a server died just after it wrote one.
    pub(super) async fn placeholder(&self, known: &mut Known) -> Result<(), EventError> {
        if known.comment != 0 {
            return Ok(());
        }
        let path = format!("issues/{}/comments", self.number);
        if let Some(there) = self.find(&path, "walkthrough", known).await? {
            known.comment = there["id"].as_i64().unwrap_or_default();
            known.bot = there["user"]["id"].as_i64().unwrap_or_default();
            return self.remember(known).await;
        }
        self.tell(known, "A review is on its way.").await
    }

    /// Looks whether the review of a pass is there.
    pub(super) async fn is_posted(&self, pass: &Pass, known: &Known) -> Result<bool, EventError> {
        let path = format!("pulls/{}/reviews", self.number);
        let found = self.find(&path, &review_mark(pass), known).await?;
        Ok(found.is_some())
    }

    /// Posts a review, with what stands on lines.
    pub(super) async fn post_review(
        &self,
        pass: &Pass,
        text: &str,
        comments: &[Value],
    ) -> Result<(), EventError> {
        // Who lost the lease must not post.
        self.keep().await?;
        let body = format!("{}\n{text}", mark(&review_mark(pass)));
        let review =
            json!({"commit_id": pass.head, "event": "COMMENT", "body": body, "comments": comments});
        let path = format!("pulls/{}/reviews", self.number);
        self.github.post(&path, &review).await?;
        Ok(())
    }

    /// Posts comments on lines one by one, those that are not there yet; returns the places of those that GitHub does not take.
    pub(super) async fn post_each(
        &self,
        pass: &Pass,
        comments: &[Value],
        known: &Known,
    ) -> Result<Vec<usize>, EventError> {
        let path = format!("pulls/{}/comments", self.number);
        let all = self.github.list(&path).await?;
        let ours: Vec<&Value> = all.iter().filter(|one| self.is_ours(one, known)).collect();
        let mut refused = Vec::new();
        for (at, comment) in comments.iter().enumerate() {
            let there = ours.iter().any(|one| marked(one) == marked(comment));
            if there {
                continue;
            }
            self.keep().await?;
            let mut comment = comment.clone();
            comment["commit_id"] = pass.head.as_str().into();
            match self.github.post(&path, &comment).await {
                Ok(_) => {}
                Err(error) if error.is(422) => refused.push(at),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(refused)
    }

    /// Makes the check run of a commit, or changes the one that is there.
    pub(super) async fn check(
        &self,
        head: &str,
        conclusion: &str,
        text: &str,
    ) -> Result<(), EventError> {
        let name = encoded(CHECK);
        let path = format!("commits/{head}/check-runs?check_name={name}");
        let runs = self.github.get(&path).await?;
        let mut runs = runs["check_runs"].as_array().into_iter().flatten();
        let there = runs.find(|run| run["name"] == CHECK).map(|run| &run["id"]);
        let run = json!({
            "name": CHECK, "head_sha": head, "status": "completed", "conclusion": conclusion,
            "output": {"title": "Review", "summary": text},
        });
        match there.and_then(Value::as_i64) {
            Some(id) => self.github.patch(&format!("check-runs/{id}"), &run).await?,
            None => self.github.post("check-runs", &run).await?,
        };
        Ok(())
    }

    /// Shows a sign below a comment. It is a courtesy: where it cannot be shown, all else goes on.
    pub(super) async fn sign(&self, comment: &Comment, sign: &str) {
        let kind = match comment.place {
            Place::Whole => "issues",
            Place::Thread(_) => "pulls",
            // GitHub takes no signs there.
            Place::Review => return,
        };
        let path = format!("{kind}/comments/{}/reactions", comment.id);
        drop(self.github.post(&path, &json!({"content": sign})).await);
    }

    /// Answers where somebody wrote; `again` where an earlier try may have answered.
    pub(super) async fn reply(
        &self,
        comment: &Comment,
        (what, text): (&str, &str),
        known: &Known,
        again: bool,
    ) -> Result<(), EventError> {
        let number = self.number;
        let (list, path) = match comment.place {
            Place::Thread(root) => (
                format!("pulls/{number}/comments"),
                format!("pulls/{number}/comments/{root}/replies"),
            ),
            Place::Whole | Place::Review => {
                let path = format!("issues/{number}/comments");
                (path.clone(), path)
            }
        };
        if again && self.find(&list, what, known).await?.is_some() {
            return Ok(());
        }
        self.keep().await?;
        let body = json!({"body": format!("{}\n{text}", mark(what))});
        self.github.post(&path, &body).await?;
        Ok(())
    }

    /// Shows by a label that reviews are paused, or takes it away.
    pub(super) async fn label(&self, paused: bool) -> Result<(), EventError> {
        let path = format!("issues/{}/labels", self.number);
        let done = match paused {
            true => self.github.post(&path, &json!({"labels": [PAUSED]})).await,
            false => {
                let path = format!("{path}/{}", encoded(PAUSED));
                self.github.call(Method::DELETE, &path, None).await
            }
        };
        match done {
            Err(GitHubError::NotFound(_)) if !paused => Ok(()),
            other => Ok(other.map(drop)?),
        }
    }

    /// Resolves the thread that a comment began.
    pub(super) async fn resolve(&self, root: i64) -> Result<(), EventError> {
        let (owner, name) = self.about.name.split_once('/').unwrap_or_default();
        let mut after = Value::Null;
        for _ in 0..THREAD_PAGES_MAX {
            let variables =
                json!({"owner": owner, "name": name, "number": self.number, "after": after});
            let data = self.github.graphql(THREADS, &variables).await?;
            let threads = &data["repository"]["pullRequest"]["reviewThreads"];
            let mut nodes = threads["nodes"].as_array().into_iter().flatten();
            let of = |node: &&Value| node["comments"]["nodes"][0]["databaseId"] == root;
            if let Some(thread) = nodes.find(of) {
                let variables = json!({"threadId": thread["id"]});
                self.github.graphql(RESOLVE, &variables).await?;
                return Ok(());
            }
            if threads["pageInfo"]["hasNextPage"] != true {
                break;
            }
            after = threads["pageInfo"]["endCursor"].clone();
        }
        Ok(())
    }
}

fn review_mark(pass: &Pass) -> String {
    format!("{} {}", pass.head, pass.cause)
        .trim_end()
        .to_owned()
}
