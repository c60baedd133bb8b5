//! Work on one pull request: who does it, what is known of it, and how far each pass of it got.
//!
//! INVARIANT: rows of a pass are made and changed only by the holder of the pull request's lease; what was closed or erased meanwhile gets no
//! new rows.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use super::wanted::About;
use super::{App, EventError, note};
use crate::budget::Purse;
use crate::config::Config;
use crate::db::Value as Column;
use crate::github::GitHub;
use crate::index::Index;
use crate::neutral::Rules;

/// How long a lease lasts, in seconds, unless its server renews it.
// LIMIT: so long a killed server keeps a pull request from the others.
const LEASE_S: i64 = 60;

/// How often it is renewed.
const RENEWAL: Duration = Duration::from_secs(15);

/// How many marks of rejected findings are looked at, the newest ones.
// LIMIT: each is a person's decision.
const REJECTED_MAX: i64 = 5_000;

/// How far a pass got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Started,
    /// Something is away; the delivery comes again.
    Waiting,
    /// The model has answered, and nothing of it is posted yet.
    Computed,
    /// Whoever comes after a crash has to look whether it is there.
    Posting,
    Posted,
    Skipped,
    Failed,
}

impl State {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Waiting => "waiting",
            Self::Computed => "computed",
            Self::Posting => "posting",
            Self::Posted => "posted",
            Self::Skipped => "skipped",
            Self::Failed => "failed",
        }
    }

    fn of(word: &str) -> Self {
        let all = [
            Self::Waiting,
            Self::Computed,
            Self::Posting,
            Self::Posted,
            Self::Skipped,
            Self::Failed,
        ];
        let found = all.into_iter().find(|state| state.word() == word);
        found.unwrap_or(Self::Started)
    }
}

/// One review of a head commit, or one answer.
#[derive(Clone, Debug)]
pub(super) struct Pass {
    /// The commit; empty for an answer.
    pub(super) head: String,
    /// What asked for it: empty for an event, else the comment.
    pub(super) cause: String,
    pub(super) state: State,
    /// What was computed, until all of it is posted.
    pub(super) draft: String,
}

/// What is known of a pull request.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    /// The comment with the walkthrough; 0 if there is none.
    pub(super) comment: i64,
    /// The number of the user that this App writes as; 0 before it wrote.
    pub(super) bot: i64,
    /// The head of the last review that was posted.
    pub(super) reviewed: String,
    pub(super) paused: bool,
    /// Files that were left out for a limit.
    pub(super) rest: BTreeSet<String>,
}

/// A pull request that is worked on.
pub(super) struct Work<'a> {
    pub(super) app: &'a App,
    pub(super) github: &'a GitHub,
    pub(super) about: &'a About,
    /// The number of our own App, where the delivery names it.
    pub(super) by: Option<i64>,
    pub(super) number: i64,
    /// The pull request as it is now.
    pub(super) pull: Value,
}

/// Reads `.mira.yaml` as of a commit of the base branch, and what is wrong with it.
pub(super) async fn config(
    github: &GitHub,
    commit: &str,
) -> Result<(Config, Vec<String>), EventError> {
    let text = github.file(".mira.yaml", commit).await?;
    Ok(match text.map(|text| Config::read(&text)) {
        Some(Ok(config)) => (config, Vec::new()),
        Some(Err(faults)) => (Config::default(), faults),
        None => (Config::default(), Vec::new()),
    })
}

impl<'a> Work<'a> {
    /// Looks at a pull request as it is now, which may be later than the event. Only what the code host shows gets rows.
    pub(super) async fn open(
        app: &'a App,
        github: &'a GitHub,
        about: &'a About,
        by: Option<i64>,
        number: i64,
    ) -> Result<Self, EventError> {
        let pull = github.get(&format!("pulls/{number}")).await?;
        note(app, about).await?;
        Ok(Self {
            app,
            github,
            about,
            by,
            number,
            pull,
        })
    }

    pub(super) fn text(&self, pointer: &str) -> &str {
        let found = self.pull.pointer(pointer).and_then(Value::as_str);
        found.unwrap_or_default()
    }

    pub(super) fn head(&self) -> &str {
        self.text("/head/sha")
    }

    pub(super) async fn config(&self) -> Result<(Config, Vec<String>), EventError> {
        config(self.github, self.text("/base/sha")).await
    }

    pub(super) fn index(&self) -> Index {
        Index {
            db: self.app.db.clone(),
            repo: self.about.repo,
        }
    }

    pub(super) fn purse(&self, config: &Config, what: String) -> Purse {
        Purse {
            db: self.app.db.clone(),
            limits: self.app.limits.with(&config.budget),
            repo: self.about.repo,
            pull: self.number,
            what,
        }
    }

    pub(super) fn key(&self) -> [Column; 2] {
        [self.about.repo.into(), self.number.into()]
    }

    /// Works with the pull request's lease, and stops where that is lost: to another server, or because all was closed or erased.
    pub(super) async fn alone<T>(
        &self,
        work: impl Future<Output = Result<T, EventError>>,
    ) -> Result<T, EventError> {
        let now = Timestamp::now().as_second();
        let sql = "INSERT INTO rv_pull (repo, pull, owner, until, comment, bot, reviewed, paused, rest) VALUES ($1, $2, $3, $4, 0, 0, '', 0, '[]') \
                   ON CONFLICT (repo, pull) DO UPDATE SET owner = excluded.owner, until = excluded.until \
                   WHERE rv_pull.owner = excluded.owner OR rv_pull.until < $5";
        let [repo, number] = self.key();
        let values = [
            repo,
            number,
            self.app.id.as_str().into(),
            (now + LEASE_S).into(),
            now.into(),
        ];
        if self.app.db.execute(sql, &values).await? == 0 {
            return Err(EventError::Busy);
        }
        let renew = async {
            let first = tokio::time::Instant::now() + RENEWAL;
            let mut ticks = tokio::time::interval_at(first, RENEWAL);
            loop {
                ticks.tick().await;
                if self.keep().await.is_err() {
                    return;
                }
            }
        };
        let done = tokio::select! {
            done = work => done,
            () = renew => Err(EventError::Busy),
        };
        let [repo, number] = self.key();
        let sql = "UPDATE rv_pull SET until = 0 WHERE repo = $1 AND pull = $2 AND owner = $3";
        let values = [repo, number, self.app.id.as_str().into()];
        self.app.db.execute(sql, &values).await?;
        done
    }

    /// Renews the lease.
    pub(super) async fn keep(&self) -> Result<(), EventError> {
        let until = Timestamp::now().as_second() + LEASE_S;
        let sql = "UPDATE rv_pull SET until = $4 WHERE repo = $1 AND pull = $2 AND owner = $3";
        let [repo, number] = self.key();
        let values = [repo, number, self.app.id.as_str().into(), until.into()];
        match self.app.db.execute(sql, &values).await? {
            0 => Err(EventError::Busy),
            _ => Ok(()),
        }
    }

    pub(super) async fn known(&self) -> Result<Known, EventError> {
        let sql = "SELECT comment, bot, reviewed, paused, rest FROM rv_pull WHERE repo = $1 AND pull = $2";
        let rows = self.app.db.rows(sql, &self.key()).await?;
        let row = rows.first().ok_or(EventError::Busy)?;
        Ok(Known {
            comment: row.int(0),
            bot: row.int(1),
            reviewed: row.text(2).to_owned(),
            paused: row.int(3) != 0,
            rest: serde_json::from_str(row.text(4)).unwrap_or_default(),
        })
    }

    pub(super) async fn remember(&self, known: &Known) -> Result<(), EventError> {
        let sql = "UPDATE rv_pull SET comment = $3, bot = $4, reviewed = $5, paused = $6, rest = $7 WHERE repo = $1 AND pull = $2";
        let [repo, number] = self.key();
        let values = [
            repo,
            number,
            known.comment.into(),
            known.bot.into(),
            known.reviewed.as_str().into(),
            i64::from(known.paused).into(),
            serde_json::json!(known.rest).to_string().into(),
        ];
        self.app.db.execute(sql, &values).await?;
        Ok(())
    }

    /// Begins a pass, or takes up one that an earlier try began.
    pub(super) async fn begin(&self, head: &str, cause: &str) -> Result<Pass, EventError> {
        let sql = "INSERT INTO rv_pass (repo, pull, head, cause, state, draft, kept, dropped, computed, posted, blocker, warning, suggestion, nitpick, error, at) \
                   SELECT CAST($1 AS BIGINT), CAST($2 AS BIGINT), CAST($3 AS TEXT), CAST($4 AS TEXT), 'started', '', '[]', '{}', 0, 0, 0, 0, 0, 0, '', CAST($6 AS BIGINT) \
                   FROM rv_pull WHERE repo = $1 AND pull = $2 AND owner = $5 \
                   ON CONFLICT (repo, pull, head, cause) DO NOTHING";
        let [repo, number] = self.key();
        let values = [
            repo,
            number,
            head.into(),
            cause.into(),
            self.app.id.as_str().into(),
            Timestamp::now().as_second().into(),
        ];
        self.app.db.execute(sql, &values).await?;
        let sql = "SELECT state, draft FROM rv_pass WHERE repo = $1 AND pull = $2 AND head = $3 AND cause = $4";
        let [repo, number] = self.key();
        let values = [repo, number, head.into(), cause.into()];
        let rows = self.app.db.rows(sql, &values).await?;
        let row = rows.first().ok_or(EventError::Busy)?;
        Ok(Pass {
            head: head.to_owned(),
            cause: cause.to_owned(),
            state: State::of(row.text(0)),
            draft: row.text(1).to_owned(),
        })
    }

    pub(super) fn pass_key(&self, pass: &Pass) -> [Column; 4] {
        let [repo, number] = self.key();
        [
            repo,
            number,
            pass.head.as_str().into(),
            pass.cause.as_str().into(),
        ]
    }

    /// Notes how far a pass got, with its draft as it is.
    pub(super) async fn advance(
        &self,
        pass: &mut Pass,
        state: State,
        error: &str,
    ) -> Result<(), EventError> {
        pass.state = state;
        let sql = "UPDATE rv_pass SET state = $5, draft = $6, error = $7, at = $8 WHERE repo = $1 AND pull = $2 AND head = $3 AND cause = $4";
        let [repo, number, head, cause] = self.pass_key(pass);
        let values = [
            repo,
            number,
            head,
            cause,
            state.word().into(),
            pass.draft.as_str().into(),
            error.into(),
            Timestamp::now().as_second().into(),
        ];
        self.app.db.execute(sql, &values).await?;
        Ok(())
    }

    /// Returns the marks of findings that were posted here before, and of those that people of this repository rejected.
    pub(super) async fn said(&self) -> Result<(BTreeSet<String>, BTreeSet<String>), EventError> {
        let db = &self.app.db;
        let mut said = BTreeSet::new();
        let sql = "SELECT kept FROM rv_pass WHERE repo = $1 AND pull = $2 AND state = 'posted'";
        for row in db.rows(sql, &self.key()).await? {
            said.extend(serde_json::from_str::<Vec<String>>(row.text(0)).unwrap_or_default());
        }
        let sql = "SELECT mark FROM rv_rejected WHERE repo = $1 ORDER BY at DESC LIMIT $2";
        let values = [self.about.repo.into(), REJECTED_MAX.into()];
        let rows = db.rows(sql, &values).await?;
        let rejected = rows.iter().map(|row| row.text(0).to_owned());
        Ok((said, rejected.collect()))
    }

    /// Returns what text of the model may refer to.
    pub(super) async fn rules(&self) -> Result<Rules, EventError> {
        let sql = "SELECT name FROM rv_repository WHERE repo <> $1";
        let rows = self.app.db.rows(sql, &[self.about.repo.into()]).await?;
        let keys = self.app.model.keys().into_iter();
        let keys = keys.chain(self.github.token.clone());
        Ok(Rules {
            host: self.about.host.clone(),
            repository: self.about.name.clone(),
            others: rows.iter().map(|row| row.text(0).to_owned()).collect(),
            secrets: keys.chain(self.app.delivery_token.clone()).collect(),
        })
    }
}
