//! What a comment commands, for those who may.
//!
//! INVARIANT: before anything is done, the code host is asked whether the one who says it may write to the repository; the author of the pull
//! request may ask without. Each command is counted and done once, however often it is delivered.

use jiff::Timestamp;

use super::EventError;
use super::change::Scope;
use super::mention::{Command, help};
use super::post::marked;
use super::wanted::{Comment, Place};
use super::work::{State, Work};
use crate::budget::BudgetError;
use crate::github::GitHubError;
use crate::model::{Ask, ModelError};
use crate::prompt::{Prompt, numbered};
use crate::review::{ANSWER_TOKENS, ReviewError};

/// How many commands one person has in an hour, in all repositories.
// LIMIT: each may cost money; people ask for a review some times a day.
const ASKS_PER_HOUR: i64 = 10;

/// How long it is known who asked, in seconds.
// LIMIT: a delivery that comes again comes within three days.
const ASKS_KEPT_S: i64 = 4 * 24 * 3600;

impl Work<'_> {
    pub(super) async fn command(
        &self,
        comment: &Comment,
        command: &Command,
    ) -> Result<&'static str, EventError> {
        let is_author = self.pull["user"]["id"] == comment.who;
        let asks = matches!(command, Command::Help | Command::Question(_));
        let may = is_author && asks || self.github.may_write(&comment.login).await?;
        if !may {
            self.sign(comment, "-1").await;
            return Ok("not allowed");
        }
        let cause = match comment.place {
            Place::Whole => format!("comment-{}", comment.id),
            Place::Thread(_) => format!("thread-{}", comment.id),
            Place::Review => format!("review-{}", comment.id),
        };
        if self.asked(comment.who, &cause).await? > ASKS_PER_HOUR {
            self.sign(comment, "confused").await;
            return Ok("asked too often");
        }
        let work = async {
            match command {
                Command::Review => self.again(comment, &cause, Scope::All).await,
                Command::Rest => self.again(comment, &cause, Scope::Rest).await,
                Command::Pause => self.pause(comment, true).await,
                Command::Resume => self.pause(comment, false).await,
                Command::Help => {
                    let text = async { Ok(help(&self.app.bot)) };
                    self.answer(comment, &cause, text).await
                }
                Command::Reject => self.reject(comment, &cause).await,
                Command::Question(question) => {
                    self.sign(comment, "eyes").await;
                    let text = self.think(comment, &cause, question);
                    self.answer(comment, &cause, text).await
                }
            }
        };
        self.alone(work).await
    }

    /// Notes that somebody asked for something; returns how often within the last hour, this time included.
    async fn asked(&self, who: i64, cause: &str) -> Result<i64, EventError> {
        let now = Timestamp::now().as_second();
        let db = &self.app.db;
        let sql = "DELETE FROM rv_asked WHERE at < $1";
        db.execute(sql, &[(now - ASKS_KEPT_S).into()]).await?;
        let sql = "INSERT INTO rv_asked (repo, cause, who, at) VALUES ($1, $2, $3, $4) ON CONFLICT (repo, cause) DO NOTHING";
        let values = [self.about.repo.into(), cause.into(), who.into(), now.into()];
        db.execute(sql, &values).await?;
        let sql = "SELECT COUNT(*) FROM rv_asked WHERE who = $1 AND at > $2";
        let rows = db.rows(sql, &[who.into(), (now - 3600).into()]).await?;
        Ok(rows.first().map_or(0, |row| row.int(0)))
    }

    async fn again(
        &self,
        comment: &Comment,
        cause: &str,
        scope: Scope,
    ) -> Result<&'static str, EventError> {
        if self.text("/state") != "open" {
            self.sign(comment, "confused").await;
            return Ok("closed");
        }
        self.sign(comment, "eyes").await;
        self.review(cause, scope).await
    }

    async fn pause(&self, comment: &Comment, paused: bool) -> Result<&'static str, EventError> {
        let mut known = self.known().await?;
        known.paused = paused;
        self.remember(&known).await?;
        self.label(paused).await?;
        self.sign(comment, "+1").await;
        Ok(if paused { "paused" } else { "resumed" })
    }

    /// Resolves the thread of a comment, if we began it, and keeps its finding from coming back.
    async fn reject(&self, comment: &Comment, cause: &str) -> Result<&'static str, EventError> {
        let known = self.known().await?;
        let root = match comment.place {
            Place::Thread(root) => match self.github.get(&format!("pulls/comments/{root}")).await {
                Ok(first) => Some((root, first)),
                Err(GitHubError::NotFound(_)) => None,
                Err(error) => return Err(error.into()),
            },
            Place::Whole | Place::Review => None,
        };
        let ours = root.filter(|(_, first)| self.is_ours(first, &known));
        let Some((root, first)) = ours else {
            let text = async { Ok("I resolve only threads that I began.".to_owned()) };
            return self.answer(comment, cause, text).await;
        };
        if let Some(mark) = marked(&first).and_then(|said| said.strip_prefix("finding ")) {
            let sql = "INSERT INTO rv_rejected (repo, mark, at) VALUES ($1, $2, $3) ON CONFLICT (repo, mark) DO NOTHING";
            let now = Timestamp::now().as_second();
            let values = [self.about.repo.into(), mark.into(), now.into()];
            self.app.db.execute(sql, &values).await?;
        }
        self.resolve(root).await?;
        self.sign(comment, "+1").await;
        Ok("rejected")
    }

    /// Answers a comment once, with what is thought of once.
    async fn answer(
        &self,
        comment: &Comment,
        cause: &str,
        text: impl Future<Output = Result<String, EventError>>,
    ) -> Result<&'static str, EventError> {
        let mut pass = self.begin("", cause).await?;
        if pass.state == State::Posted {
            return Ok("answered already");
        }
        if pass.draft.is_empty() {
            pass.draft = text.await?;
            self.advance(&mut pass, State::Computed, "").await?;
        }
        let again = pass.state == State::Posting;
        self.advance(&mut pass, State::Posting, "").await?;
        let known = self.known().await?;
        let what = format!("answer {cause}");
        self.reply(comment, (&what, &pass.draft), &known, again)
            .await?;
        pass.draft.clear();
        self.advance(&mut pass, State::Posted, "").await?;
        Ok("answered")
    }

    /// Asks the model a question of a person, on the change and the thread that it stands in.
    async fn think(
        &self,
        comment: &Comment,
        cause: &str,
        question: &str,
    ) -> Result<String, EventError> {
        let (config, _) = self.config().await?;
        let (mut files, _) = self.changed().await?;
        let mut bytes = 0;
        files.retain(|file| {
            bytes += file.bytes();
            bytes <= config.review.max_diff_size
        });
        let thread = match comment.place {
            Place::Thread(root) if root != comment.id => {
                let first = self.github.get(&format!("pulls/comments/{root}")).await?;
                let text = |name: &str| first[name].as_str().unwrap_or_default().to_owned();
                format!("{}\n{}", text("path"), text("body"))
            }
            _ => String::new(),
        };
        let prompt = Prompt::new().map_err(|_| ReviewError::Random)?;
        let (system, user) = prompt
            .data("title", self.text("/title"))
            .data("description", self.text("/body"))
            .data("diff", &numbered(&files))
            .data("thread", &thread)
            .data("question", question)
            .for_answer();
        let ask = Ask {
            system,
            user,
            tool: None,
            temperature: config.llm.temperature,
            max_tokens: config.llm.max_tokens.unwrap_or(ANSWER_TOKENS),
        };
        let purse = self.purse(&config, cause.to_owned());
        let rules = self.rules().await?;
        let answer = self.app.model.ask(&ask, Some(&purse)).await;
        for note in purse.alerts().await? {
            crate::say(&format!("{}: {note}", self.about.name));
        }
        Ok(match answer {
            Ok(answer) => rules.markdown(&answer.text),
            Err(ModelError::Budget(why @ BudgetError::UsedUp(_))) => {
                format!("I cannot answer: {why}.")
            }
            Err(error) if error.may_pass() => return Err(ReviewError::from(error).into()),
            Err(error) => format!("I cannot answer: {}.", rules.line(&error.to_string())),
        })
    }
}
