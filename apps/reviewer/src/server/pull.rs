//! A review: from its cause to one that is posted, with an honest word on each state in between.
//!
//! What the model said is kept until all of it is posted, so that no failure on the way to the code host asks and pays for it twice.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::change::Scope;
use super::post;
use super::words::{counts, inline, walkthrough};
use super::work::{Known, Pass, State, Work};
use super::{App, EventError};
use crate::budget::BudgetError;
use crate::config::Config;
use crate::model::ModelError;
use crate::review::filter::mark;
use crate::review::finding::Severity;
use crate::review::{Outcome, ReviewError, Skipped, review};

/// What is to be posted.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Draft {
    pub(super) outcome: Outcome,
    /// Whether lines are commented on one by one, because GitHub refused one of them.
    pub(super) single: bool,
    /// Which findings GitHub takes no comment on; they stand in the walkthrough.
    pub(super) lost: Vec<usize>,
    /// What is to be told besides: shares of the budget that were reached, faults of `.mira.yaml`.
    pub(super) notes: Vec<String>,
    /// Whether the walkthrough lists what was left out.
    pub(super) lists: bool,
}

impl Draft {
    /// Returns how many findings the model reported.
    pub(super) fn computed(&self) -> usize {
        let filtered = &self.outcome.filtered;
        filtered.kept.len() + filtered.dropped.len()
    }

    /// Returns how many stand on their lines.
    pub(super) fn posted(&self) -> usize {
        self.outcome.filtered.kept.len() - self.lost.len()
    }
}

/// Cancels what waits for a pull request that is closed, and forgets it; what was posted stays in the report, and what it took in the budget.
pub(super) async fn close(app: &App, repo: i64, number: i64) -> Result<(), EventError> {
    let key = vec![repo.into(), number.into()];
    let statements = [
        "UPDATE rv_spend SET held_tokens = 0, held_cost = 0 WHERE repo = $1 AND pull = $2",
        "DELETE FROM rv_pass WHERE repo = $1 AND pull = $2 AND state IN ('started', 'waiting', 'computed', 'posting')",
        "UPDATE rv_pass SET draft = '' WHERE repo = $1 AND pull = $2",
        "DELETE FROM rv_alert WHERE repo = $1 AND pull = $2",
        "DELETE FROM rv_pull WHERE repo = $1 AND pull = $2",
    ];
    let all: Vec<_> = statements.map(|sql| (sql.into(), key.clone())).into();
    app.db.all(&all).await?;
    Ok(())
}

impl Work<'_> {
    /// Says below a pull request that was closed before its review that there will be none.
    pub(super) async fn give_up(&self) -> Result<(), EventError> {
        let sql = "SELECT p.comment FROM rv_pull p JOIN rv_pass s ON s.repo = p.repo AND s.pull = p.pull \
                   WHERE p.repo = $1 AND p.pull = $2 AND p.comment <> 0 AND s.head <> '' AND s.state <> 'posted'";
        if let Some(row) = self.app.db.rows(sql, &self.key()).await?.first() {
            let mut known = Known {
                comment: row.int(0),
                ..Known::default()
            };
            // What counts is that the work ends, also where this cannot be told.
            drop(
                self.tell(&mut known, "Not reviewed: the pull request was closed.")
                    .await,
            );
        }
        close(self.app, self.about.repo, self.number).await
    }

    /// Reviews the head once for a cause, or takes up where an earlier try ended.
    pub(super) async fn review(
        &self,
        cause: &str,
        scope: Scope,
    ) -> Result<&'static str, EventError> {
        let mut known = self.known().await?;
        if cause.is_empty() && known.paused {
            return Ok("paused");
        }
        if cause.is_empty() && self.was_asked_for().await? {
            return Ok("done already");
        }
        let mut pass = self.begin(self.head(), cause).await?;
        if pass.state == State::Posted && pass.draft.is_empty() {
            return Ok("done already");
        }
        // Both are awaited to their end: a comment that was written is to be known.
        let (placed, config) = tokio::join!(self.placeholder(&mut known), self.config());
        placed?;
        let done = self.go_on(&mut pass, &mut known, scope, config).await;
        match &done {
            Err(EventError::Busy) | Ok(_) => {}
            Err(error) => self.failed(&mut pass, &mut known, error).await?,
        }
        done
    }

    /// Returns whether a command got this head its review before the event came.
    async fn was_asked_for(&self) -> Result<bool, EventError> {
        let sql = "SELECT cause FROM rv_pass WHERE repo = $1 AND pull = $2 AND head = $3 AND cause <> '' AND state = 'posted' AND draft = ''";
        let [repo, number] = self.key();
        let values = [repo, number, self.head().into()];
        Ok(!self.app.db.rows(sql, &values).await?.is_empty())
    }

    /// Tells what went wrong where people see it, so that nothing looks as if it went on.
    async fn failed(
        &self,
        pass: &mut Pass,
        known: &mut Known,
        error: &EventError,
    ) -> Result<(), EventError> {
        let text = self.rules().await?.line(&error.to_string());
        let state = match (error.may_pass(), pass.draft.is_empty()) {
            (true, true) => State::Waiting,
            // What is computed is posted with the next try.
            (true, false) => pass.state,
            (false, _) => {
                pass.draft.clear();
                State::Failed
            }
        };
        self.advance(pass, state, &text).await?;
        let text = match state {
            State::Failed => format!("The review failed: {text}"),
            _ => format!("The review is waiting: {text}; it is tried again later"),
        };
        // The error itself is what counts, also where this cannot be told.
        drop(self.tell(known, &text).await);
        if state == State::Failed {
            drop(self.check(&pass.head, "failure", &text).await);
        }
        Ok(())
    }

    async fn go_on(
        &self,
        pass: &mut Pass,
        known: &mut Known,
        scope: Scope,
        config: Result<(Config, Vec<String>), EventError>,
    ) -> Result<&'static str, EventError> {
        let mut draft = match serde_json::from_str(&pass.draft) {
            Ok(draft) => draft,
            Err(_) => {
                let (mut config, faults) = config?;
                if let Some(why) = self.unwanted(&config, scope) {
                    return self.skip(pass, known, why).await;
                }
                if scope == Scope::Rest {
                    config.review.max_file_size = config.review.max_diff_size;
                }
                match self.compute(pass, known, scope, &config).await {
                    Ok(mut draft) => {
                        let faults = faults.into_iter();
                        let faults =
                            faults.map(|fault| format!("`.mira.yaml` is not used: {fault}"));
                        draft.notes.extend(faults);
                        self.computed(pass, &draft).await?;
                        draft
                    }
                    Err(EventError::Review(ReviewError::Model(ModelError::Budget(
                        why @ BudgetError::UsedUp(_),
                    )))) => {
                        let why = why.to_string();
                        let head = pass.head.clone();
                        let done = self.skip(pass, known, &why).await?;
                        self.check(&head, "neutral", &format!("Not reviewed: {why}"))
                            .await?;
                        return Ok(done);
                    }
                    Err(error) => return Err(error),
                }
            }
        };
        self.publish(pass, known, &mut draft, scope).await?;
        Ok("posted")
    }

    async fn skip(
        &self,
        pass: &mut Pass,
        known: &mut Known,
        why: &str,
    ) -> Result<&'static str, EventError> {
        self.tell(known, &format!("Not reviewed: {why}.")).await?;
        self.advance(pass, State::Skipped, why).await?;
        Ok("skipped")
    }

    /// Returns why nobody gets a review that only an event asked for, if that is so.
    fn unwanted(&self, config: &Config, scope: Scope) -> Option<&'static str> {
        let author = self.text("/user/login");
        let named = |list: &[String]| list.iter().any(|one| one.eq_ignore_ascii_case(author));
        let filter = &config.filter;
        let Scope::Since { new } = scope else {
            return None;
        };
        if self.pull["draft"] == true && !config.review.drafts {
            return Some("it is a draft");
        }
        if new && !config.review.review_on_synchronize {
            return Some("review.review_on_synchronize is off");
        }
        if named(&filter.blocked_authors)
            || !filter.allowed_authors.is_empty() && !named(&filter.allowed_authors)
        {
            return Some("its author is filtered out by .mira.yaml");
        }
        None
    }

    async fn compute(
        &self,
        pass: &Pass,
        known: &Known,
        scope: Scope,
        config: &Config,
    ) -> Result<Draft, EventError> {
        let change = self.change(known, scope).await?;
        let what = format!("{} {}", pass.head, pass.cause);
        let purse = self.purse(config, what);
        let outcome = review(&self.app.model, config, change, Some(&purse)).await?;
        let notes = purse.alerts().await?;
        for note in &notes {
            crate::say(&format!("{}: {note}", self.about.name));
        }
        Ok(Draft {
            outcome,
            notes,
            lists: config.review.walkthrough,
            ..Draft::default()
        })
    }

    /// Keeps what came of the model.
    async fn computed(&self, pass: &mut Pass, draft: &Draft) -> Result<(), EventError> {
        self.keep().await?;
        self.store(pass, draft, State::Computed).await?;
        let filtered = &draft.outcome.filtered;
        let marks: Vec<String> = filtered.kept.iter().map(mark).collect();
        let mut dropped = serde_json::Map::new();
        for (why, _) in &filtered.dropped {
            let count = dropped.entry(why.reason()).or_insert(json!(0));
            *count = json!(count.as_u64().unwrap_or(0) + 1);
        }
        let of = |severity| {
            let of = filtered.kept.iter().filter(|one| one.severity == severity);
            i64::try_from(of.count()).unwrap_or(i64::MAX).into()
        };
        let sql = "UPDATE rv_pass SET kept = $5, dropped = $6, computed = $7, blocker = $8, warning = $9, suggestion = $10, nitpick = $11 \
                   WHERE repo = $1 AND pull = $2 AND head = $3 AND cause = $4";
        let [repo, number, head, cause] = self.pass_key(pass);
        let values = [
            repo,
            number,
            head,
            cause,
            json!(marks).to_string().into(),
            Value::Object(dropped).to_string().into(),
            i64::try_from(draft.computed()).unwrap_or(i64::MAX).into(),
            of(Severity::Blocker),
            of(Severity::Warning),
            of(Severity::Suggestion),
            of(Severity::Nitpick),
        ];
        self.app.db.execute(sql, &values).await?;
        Ok(())
    }

    async fn store(&self, pass: &mut Pass, draft: &Draft, state: State) -> Result<(), EventError> {
        pass.draft = json!(draft).to_string();
        self.advance(pass, state, "").await
    }

    /// Posts what is kept of a pass, unless it is posted already.
    async fn publish(
        &self,
        pass: &mut Pass,
        known: &mut Known,
        draft: &mut Draft,
        scope: Scope,
    ) -> Result<(), EventError> {
        let rules = self.rules().await?;
        if pass.state != State::Posted {
            let kept = &draft.outcome.filtered.kept;
            let on_line = |finding| {
                let mut comment = inline(&rules, finding);
                let text = comment["body"].as_str().unwrap_or_default();
                let mark = post::mark(&format!("finding {}", mark(finding)));
                comment["body"] = format!("{mark}\n{text}").into();
                comment
            };
            let comments: Vec<Value> = kept.iter().map(on_line).collect();
            self.lines(pass, known, draft, &comments).await?;
            self.store(pass, draft, State::Posted).await?;
            let sql = "UPDATE rv_pass SET posted = $5 WHERE repo = $1 AND pull = $2 AND head = $3 AND cause = $4";
            let [repo, number, head, cause] = self.pass_key(pass);
            let posted = i64::try_from(draft.posted()).unwrap_or(i64::MAX);
            let values = [repo, number, head, cause, posted.into()];
            self.app.db.execute(sql, &values).await?;
        }
        let outcome = &draft.outcome;
        known.reviewed.clone_from(&pass.head);
        let left = outcome
            .skipped
            .iter()
            .filter(|one| one.is_for_a_limit())
            .map(|one: &Skipped| one.path.clone());
        if scope == Scope::All {
            known.rest.clear();
        }
        known.rest.extend(left);
        for path in &outcome.reviewed {
            known.rest.remove(path);
        }
        self.remember(known).await?;
        self.tell(known, &walkthrough(&rules, draft)).await?;
        let conclusion = match outcome.filtered.confidence {
            ..=2 => "neutral",
            _ => "success",
        };
        self.check(&pass.head, conclusion, &counts(draft)).await?;
        pass.draft.clear();
        self.advance(pass, State::Posted, "").await
    }

    /// Posts the review; where GitHub refuses it for a line, its text first and then each line by itself.
    async fn lines(
        &self,
        pass: &mut Pass,
        known: &Known,
        draft: &mut Draft,
        comments: &[Value],
    ) -> Result<(), EventError> {
        if draft.outcome.reviewed.is_empty() {
            return Ok(());
        }
        let text = counts(draft);
        let there = pass.state == State::Posting && self.is_posted(pass, known).await?;
        if !there {
            if !draft.single {
                self.store(pass, draft, State::Posting).await?;
                match self.post_review(pass, &text, comments).await {
                    Err(EventError::GitHub(error)) if error.is(422) && !comments.is_empty() => {
                        draft.single = true;
                    }
                    other => return other,
                }
            }
            self.store(pass, draft, State::Posting).await?;
            self.post_review(pass, &text, &[]).await?;
        }
        if draft.single {
            draft.lost = self.post_each(pass, comments, known).await?;
        }
        Ok(())
    }
}
