//! A pull request: from its event to one posted review, with an honest word on each state in between.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::words::{inline, said, walkthrough};
use super::{App, EventError, note};
use crate::config::Config;
use crate::db::Value as Column;
use crate::diff::FileDiff;
use crate::github::{GitHub, GitHubError};
use crate::index::{Index, lines};
use crate::neutral::Rules;
use crate::review::filter::mark;
use crate::review::{Change, Outcome, Skipped, review as pass};

/// How long a lease lasts, in seconds, unless its server renews it.
// LIMIT: so long a killed server keeps a pull request from the others.
const LEASE_S: i64 = 60;

/// How often it is renewed.
const RENEWAL: Duration = Duration::from_secs(15);

/// Reviews the head commit of an event.
pub(super) async fn review(
    app: &App,
    event: &Value,
    github: &GitHub,
) -> Result<&'static str, EventError> {
    let repo = note(app, event).await?;
    let pull = &event["pull_request"];
    let number = pull["number"]
        .as_i64()
        .ok_or(EventError::Odd("pull request"))?;
    let head = pull["head"]["sha"]
        .as_str()
        .ok_or(EventError::Odd("commit"))?;
    let work = Work {
        app,
        github,
        event,
        repo,
        number,
        head,
    };
    work.lease().await?;
    let renew = async {
        let mut ticks = tokio::time::interval(RENEWAL);
        loop {
            ticks.tick().await;
            // Another server has it: what this one does must not be posted.
            if work.lease().await.is_err() {
                return;
            }
        }
    };
    let done = tokio::select! {
        done = work.run() => done,
        () = renew => Err(EventError::Busy),
    };
    let mine = [repo.into(), number.into(), app.id.as_str().into()];
    app.db
        .execute(
            "UPDATE rv_pull SET until = 0 WHERE repo = $1 AND pull = $2 AND owner = $3",
            &mine,
        )
        .await?;
    done
}

/// Reads `.mira.yaml` as of a commit of the base branch, and what is wrong with it.
pub(super) async fn config(
    github: &GitHub,
    commit: &str,
) -> Result<(Config, Vec<String>), EventError> {
    Ok(
        match github
            .file(".mira.yaml", commit)
            .await?
            .map(|text| Config::read(&text))
        {
            Some(Ok(config)) => (config, Vec::new()),
            Some(Err(faults)) => (Config::default(), faults),
            None => (Config::default(), Vec::new()),
        },
    )
}

struct Work<'a> {
    app: &'a App,
    github: &'a GitHub,
    event: &'a Value,
    repo: i64,
    number: i64,
    head: &'a str,
}

impl Work<'_> {
    fn pull(&self) -> [Column; 2] {
        [self.repo.into(), self.number.into()]
    }

    fn pass(&self) -> [Column; 3] {
        [self.repo.into(), self.number.into(), self.head.into()]
    }

    /// Takes the pull request for this server, or keeps it.
    async fn lease(&self) -> Result<(), EventError> {
        let now = Timestamp::now().as_second();
        let sql = "INSERT INTO rv_pull (repo, pull, owner, until, comment, reviewed) VALUES ($1, $2, $3, $4, 0, '') \
                   ON CONFLICT (repo, pull) DO UPDATE SET owner = excluded.owner, until = excluded.until \
                   WHERE rv_pull.owner = excluded.owner OR rv_pull.until < $5";
        let [repo, number] = self.pull();
        let values = [
            repo,
            number,
            self.app.id.as_str().into(),
            (now + LEASE_S).into(),
            now.into(),
        ];
        match self.app.db.execute(sql, &values).await? {
            0 => Err(EventError::Busy),
            _ => Ok(()),
        }
    }

    async fn state(&self, state: &str, error: &str) -> Result<(), EventError> {
        let month = Timestamp::now().strftime("%Y-%m").to_string();
        let sql = "INSERT INTO rv_pass (repo, pull, head, state, kept, dropped, tokens, month, error) VALUES ($1, $2, $3, $4, '[]', '[]', 0, $5, $6) \
                   ON CONFLICT (repo, pull, head) DO UPDATE SET state = excluded.state, error = excluded.error";
        let [repo, number, head] = self.pass();
        let values = [repo, number, head, state.into(), month.into(), error.into()];
        self.app.db.execute(sql, &values).await?;
        Ok(())
    }

    async fn run(&self) -> Result<&'static str, EventError> {
        let db = &self.app.db;
        let sql = "SELECT state FROM rv_pass WHERE repo = $1 AND pull = $2 AND head = $3";
        let rows = db.rows(sql, &self.pass()).await?;
        let before = rows.first().map_or("", |row| row.text(0));
        if before == "posted" || before == "skipped" && self.event["action"] == "synchronize" {
            return Ok("done already");
        }
        let sql = "SELECT comment, reviewed FROM rv_pull WHERE repo = $1 AND pull = $2";
        let known = db.rows(sql, &self.pull()).await?;
        let (mut comment, reviewed) = known
            .first()
            .map_or((0, ""), |row| (row.int(0), row.text(1)));
        if comment == 0 {
            let path = format!("issues/{}/comments", self.number);
            let made = self
                .github
                .post(&path, &json!({"body": "A review is on its way."}))
                .await?;
            comment = made["id"].as_i64().unwrap_or_default();
            let [repo, number] = self.pull();
            let sql = "UPDATE rv_pull SET comment = $3 WHERE repo = $1 AND pull = $2";
            db.execute(sql, &[repo, number, comment.into()]).await?;
        }
        if before == "posting" && self.is_posted().await? {
            self.state("posted", "").await?;
            return Ok("posted already");
        }
        let done = self.decide(comment, reviewed).await;
        if let Err(error) = &done {
            let state = if error.may_pass() {
                "waiting"
            } else {
                "failed"
            };
            // After a crash or a broken connection the review may be there: the next try has to look.
            if before != "posting" && !matches!(error, EventError::GitHub(_)) {
                self.state(state, &error.to_string()).await?;
            }
            let text = self.rules().await?.line(&error.to_string());
            let text = format!("The review is {state}: {text}");
            // The error itself is what counts, also where this cannot be told.
            drop(self.say(comment, &text).await);
            if state == "failed" {
                drop(self.check("failure", &text).await);
            }
        }
        done
    }

    async fn decide(&self, comment: i64, reviewed: &str) -> Result<&'static str, EventError> {
        let base = self.event["pull_request"]["base"]["sha"].as_str();
        let (config, faults) = config(self.github, base.ok_or(EventError::Odd("base"))?).await?;
        if let Some(why) = self.skipped(&config).await? {
            self.say(comment, &format!("Not reviewed: {why}.")).await?;
            self.state("skipped", why).await?;
            return Ok("skipped");
        }
        let outcome = pass(&self.app.model, &config, self.change(reviewed).await?).await?;
        self.computed(&outcome).await?;
        let rules = self.rules().await?;
        let lost = self.post(&rules, &outcome).await?;
        self.state("posted", "").await?;
        let sql = "UPDATE rv_pull SET reviewed = $3 WHERE repo = $1 AND pull = $2";
        self.app.db.execute(sql, &self.pass()).await?;
        self.say(
            comment,
            &walkthrough(&rules, &config, &outcome, &faults, lost),
        )
        .await?;
        let filtered = &outcome.filtered;
        let text = format!(
            "{} findings posted, confidence {} of 5",
            filtered.kept.len(),
            filtered.confidence
        );
        self.check(
            if filtered.confidence <= 2 {
                "neutral"
            } else {
                "success"
            },
            &text,
        )
        .await?;
        Ok("posted")
    }

    /// Returns why the pull request is not reviewed, if it is not.
    async fn skipped(&self, config: &Config) -> Result<Option<&'static str>, EventError> {
        let pull = &self.event["pull_request"];
        let author = pull["user"]["login"].as_str().unwrap_or_default();
        let named = |list: &[String]| list.iter().any(|one| one.eq_ignore_ascii_case(author));
        let filter = &config.filter;
        if pull["draft"] == true && !config.review.drafts {
            return Ok(Some("it is a draft"));
        }
        if self.event["action"] == "synchronize" && !config.review.review_on_synchronize {
            return Ok(Some("review.review_on_synchronize is off"));
        }
        if named(&filter.blocked_authors)
            || !filter.allowed_authors.is_empty() && !named(&filter.allowed_authors)
        {
            return Ok(Some("its author is filtered out by .mira.yaml"));
        }
        let month = Timestamp::now().strftime("%Y-%m").to_string();
        let sql = "SELECT CAST(COALESCE(SUM(tokens), 0) AS BIGINT) FROM rv_pass WHERE repo = $1 AND month = $2";
        let rows = self
            .app
            .db
            .rows(sql, &[self.repo.into(), month.into()])
            .await?;
        let spent = rows.first().map_or(0, |row| row.int(0)).unsigned_abs();
        let limits = [config.budget.month_tokens, self.app.month_tokens];
        if limits.into_iter().flatten().any(|most| spent >= most) {
            return Ok(Some("the month's budget of this repository is used up"));
        }
        let sql = "SELECT CAST(COALESCE(SUM(tokens), 0) AS BIGINT) FROM rv_pass WHERE repo = $1 AND pull = $2";
        let rows = self.app.db.rows(sql, &self.pull()).await?;
        let spent = rows.first().map_or(0, |row| row.int(0)).unsigned_abs();
        let over = config
            .budget
            .pull_request_tokens
            .is_some_and(|most| spent >= most);
        Ok(over.then_some("this pull request's budget is used up"))
    }

    /// Keeps what came of the model; from here on, whoever comes after a crash looks whether the review is there.
    async fn computed(&self, outcome: &Outcome) -> Result<(), EventError> {
        let marks: Vec<String> = outcome.filtered.kept.iter().map(mark).collect();
        let tokens = outcome.input_tokens.saturating_add(outcome.output_tokens);
        self.lease().await?;
        self.state("posting", "").await?;
        let [repo, number, head] = self.pass();
        let values = [
            repo,
            number,
            head,
            json!(marks).to_string().into(),
            json!(outcome.filtered.dropped).to_string().into(),
            i64::try_from(tokens).unwrap_or(i64::MAX).into(),
        ];
        let sql = "UPDATE rv_pass SET kept = $4, dropped = $5, tokens = tokens + $6 WHERE repo = $1 AND pull = $2 AND head = $3";
        self.app.db.execute(sql, &values).await?;
        Ok(())
    }

    /// Gathers the change; from the second pass on, of the files that changed since the last one.
    async fn change(&self, reviewed: &str) -> Result<Change, EventError> {
        let pull = &self.event["pull_request"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let mut since: Option<BTreeSet<String>> = None;
        if !reviewed.is_empty() && reviewed != self.head {
            match self
                .github
                .get(&format!("compare/{reviewed}...{}", self.head))
                .await
            {
                Ok(compared) => {
                    let files = compared["files"].as_array().into_iter().flatten();
                    since = Some(files.map(|file| text(&file["filename"])).collect());
                }
                // After a forced push the old head may be gone: then all is looked at.
                Err(GitHubError::NotFound(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let mut change = Change {
            title: text(&pull["title"]),
            description: text(&pull["body"]),
            ..Change::default()
        };
        let index = Index {
            db: self.app.db.clone(),
            repo: self.repo,
        };
        let mut touched = BTreeSet::new();
        for file in self
            .github
            .list(&format!("pulls/{}/files", self.number))
            .await?
        {
            let path = text(&file["filename"]);
            let diff = match file["patch"].as_str() {
                _ if since.as_ref().is_some_and(|since| !since.contains(&path)) => {
                    Err("unchanged since the last review")
                }
                None => Err("binary, renamed, or too large for GitHub to show"),
                Some(patch) => FileDiff::of_patch(&path, file["status"] == "removed", patch)
                    .map_err(|_| "its diff cannot be read"),
            };
            match diff {
                Ok(diff) => {
                    let numbers: Vec<u32> = diff.new_lines().map(|(number, _)| number).collect();
                    touched.extend(index.symbols_at(&path, &numbers).await?);
                    change.files.push(diff);
                }
                Err(why) => change.skipped.push(Skipped { path, why }),
            }
        }
        for commit in self
            .github
            .list(&format!("pulls/{}/commits", self.number))
            .await?
        {
            change
                .commits
                .push_str(&format!("{}\n", text(&commit["commit"]["message"])));
        }
        change.users = lines(&index.users(touched).await?);
        let sql = "SELECT kept FROM rv_pass WHERE repo = $1 AND pull = $2 AND state = 'posted'";
        for row in self.app.db.rows(sql, &self.pull()).await? {
            change
                .said
                .extend(serde_json::from_str::<Vec<String>>(row.text(0)).unwrap_or_default());
        }
        Ok(change)
    }

    /// Returns what text of the model may refer to.
    async fn rules(&self) -> Result<Rules, EventError> {
        let rows = self
            .app
            .db
            .rows(
                "SELECT name FROM rv_repository WHERE repo <> $1",
                &[self.repo.into()],
            )
            .await?;
        let page = self.event["repository"]["html_url"].as_str();
        let page = page.and_then(|url| reqwest::Url::parse(url).ok());
        let host = page.and_then(|url| url.host_str().map(str::to_owned));
        let keys = self
            .app
            .model
            .keys()
            .into_iter()
            .chain(self.github.token.clone());
        Ok(Rules {
            host: host.unwrap_or_else(|| "github.com".to_owned()),
            repository: self.github.repository.clone(),
            others: rows.iter().map(|row| row.text(0).to_owned()).collect(),
            secrets: keys.chain(self.app.delivery_token.clone()).collect(),
        })
    }

    fn marker(&self) -> String {
        format!("<!-- mira-review {} -->", self.head)
    }

    /// Looks whether the review of this head is there: one by an App, for others could write the marker too.
    async fn is_posted(&self) -> Result<bool, EventError> {
        let reviews = self
            .github
            .list(&format!("pulls/{}/reviews", self.number))
            .await?;
        let marker = self.marker();
        let ours = |review: &Value| {
            let body = review["body"].as_str().unwrap_or_default();
            review["user"]["type"] == "Bot" && body.starts_with(&marker)
        };
        Ok(reviews.iter().any(ours))
    }

    /// Posts the review; returns whether the lines could not be commented on, so that the findings stand in its text.
    async fn post(&self, rules: &Rules, outcome: &Outcome) -> Result<bool, EventError> {
        let kept = &outcome.filtered.kept;
        let confidence = outcome.filtered.confidence;
        let body = format!(
            "{}\n{} findings; confidence {confidence} of 5.",
            self.marker(),
            kept.len()
        );
        let comments: Vec<Value> = kept.iter().map(|finding| inline(rules, finding)).collect();
        let path = format!("pulls/{}/reviews", self.number);
        let mut review =
            json!({"commit_id": self.head, "event": "COMMENT", "body": body, "comments": comments});
        match self.github.post(&path, &review).await {
            Ok(_) => Ok(false),
            Err(GitHubError::Refused { status: 422, .. }) if !kept.is_empty() => {
                let mut body = format!(
                    "{body}\n\nGitHub takes no comment on these lines, so the findings stand here."
                );
                for finding in kept {
                    let path = rules.line(&finding.path);
                    body.push_str(&format!(
                        "\n\n{path}, line {}\n{}",
                        finding.line,
                        said(rules, finding)
                    ));
                }
                review["comments"] = json!([]);
                review["body"] = body.into();
                self.github.post(&path, &review).await?;
                Ok(true)
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn say(&self, comment: i64, text: &str) -> Result<(), EventError> {
        let path = format!("issues/comments/{comment}");
        self.github.patch(&path, &json!({"body": text})).await?;
        Ok(())
    }

    async fn check(&self, conclusion: &str, text: &str) -> Result<(), EventError> {
        let run = json!({
            "name": "Mira review", "head_sha": self.head, "status": "completed", "conclusion": conclusion,
            "output": {"title": "Review", "summary": text},
        });
        self.github.post("check-runs", &run).await?;
        Ok(())
    }
}
