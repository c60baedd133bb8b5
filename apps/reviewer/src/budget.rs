//! What reviews may take, in tokens and money: of a repository in a month, of a pull request, and of all repositories in a month.
//!
//! INVARIANT: before each request of a model, what it takes at most is set aside and counted; two at once may both be refused, but never both
//! spend what is left. What is not known, because the service does not tell it or a server died, counts as what was set aside.

use jiff::Timestamp;

use crate::config::Budget;
use crate::db::{Db, Value};
use crate::settings::{Env, SettingError};

/// Shares of a limit whose reaching is told, in percent.
const SHARES: [u64; 4] = [50, 75, 90, 100];

/// A limit in tokens, and one in money, in millionths.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Limit {
    pub(crate) tokens: Option<u64>,
    pub(crate) cost: Option<u64>,
}

/// What was used, or what is about to be.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Used {
    pub(crate) tokens: u64,
    pub(crate) cost: u64,
}

impl Limit {
    fn tighter(self, other: Self) -> Self {
        let tighter = |a: Option<u64>, b: Option<u64>| a.into_iter().chain(b).min();
        Self {
            tokens: tighter(self.tokens, other.tokens),
            cost: tighter(self.cost, other.cost),
        }
    }

    fn is_over(self, used: Used) -> bool {
        self.tokens.is_some_and(|most| used.tokens > most)
            || self.cost.is_some_and(|most| used.cost > most)
    }

    /// Returns how much of it is used, in percent: of what is used most.
    fn percent(self, used: Used) -> u64 {
        let share = |limit: Option<u64>, used: u64| match limit {
            Some(limit) => used.saturating_mul(100) / limit.max(1),
            None => 0,
        };
        share(self.tokens, used.tokens).max(share(self.cost, used.cost))
    }
}

/// The limits that hold, and the prices.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Limits {
    /// Of one repository in a month.
    pub(crate) month: Limit,
    /// Of one pull request.
    pub(crate) pull: Limit,
    /// Of all repositories in a month.
    pub(crate) total: Limit,
    pub(crate) price: Price,
    /// The price of the model that is asked while the first one stays away.
    pub(crate) fallback_price: Price,
}

/// What a million tokens cost, which is in millionths what one costs.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Price {
    pub(crate) input: f64,
    pub(crate) output: f64,
}

impl Limits {
    /// Reads the operator's limits.
    ///
    /// # Errors
    ///
    /// Returns a setting that is no number, for a limit must not be lost by a slip; or a limit of money without prices of each model.
    pub(crate) fn of(env: &Env<'_>) -> Result<Self, SettingError> {
        let limit = |tokens: &'static str, cost: &'static str| {
            let money = env.money(cost)?;
            Ok(Limit {
                tokens: env.count(tokens)?,
                cost: money.map(millionths),
            })
        };
        let price = |input: &'static str, output: &'static str| {
            let (input, output) = (env.money(input)?, env.money(output)?);
            Ok(input
                .zip(output)
                .map(|(input, output)| Price { input, output }))
        };
        let first = price("REVIEWER_PRICE_INPUT", "REVIEWER_PRICE_OUTPUT")?;
        let fallback = price(
            "REVIEWER_PRICE_FALLBACK_INPUT",
            "REVIEWER_PRICE_FALLBACK_OUTPUT",
        )?;
        let limits = Self {
            month: limit("REVIEWER_MONTH_TOKENS", "REVIEWER_MONTH_COST")?,
            pull: limit("REVIEWER_PULL_TOKENS", "REVIEWER_PULL_COST")?,
            total: limit("REVIEWER_TOTAL_TOKENS", "REVIEWER_TOTAL_COST")?,
            price: first.unwrap_or_default(),
            fallback_price: fallback.unwrap_or_default(),
        };
        let money = [limits.month, limits.pull, limits.total];
        let is_money = money.iter().any(|limit| limit.cost.is_some());
        let has_fallback = env.text("REVIEWER_MODEL_FALLBACK").is_some();
        match (first, fallback) {
            (None, _) if is_money => Err(SettingError::NoPrices),
            (_, None) if is_money && has_fallback => Err(SettingError::PricelessFallback),
            _ => Ok(limits),
        }
    }

    /// Returns these limits with a repository's own, which can only be tighter.
    pub(crate) fn with(&self, own: &Budget) -> Self {
        Self {
            month: self.month.tighter(Limit {
                tokens: own.month_tokens,
                cost: own.month_cost.map(millionths),
            }),
            pull: self.pull.tighter(Limit {
                tokens: own.pull_request_tokens,
                cost: own.pull_request_cost.map(millionths),
            }),
            ..self.clone()
        }
    }

    fn used(&self, input: u64, output: u64) -> Used {
        let price = self.price;
        let cost = (input as f64).mul_add(price.input, output as f64 * price.output);
        Used {
            tokens: input.saturating_add(output),
            cost: cost.ceil() as u64,
        }
    }
}

fn millionths(money: f64) -> u64 {
    (money * 1e6) as u64
}

/// Why a model is not asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BudgetError {
    #[error("the budget of {0} is used up")]
    UsedUp(&'static str),
    #[error("the database refused: {0}")]
    Database(#[from] sqlx::Error),
}

/// What one pass takes its tokens from.
#[derive(Clone, Debug)]
pub(crate) struct Purse {
    pub(crate) db: Db,
    pub(crate) limits: Limits,
    pub(crate) repo: i64,
    pub(crate) pull: i64,
    /// What is paid for: a pass or an answer.
    pub(crate) what: String,
}

/// What the three scopes used, this purse included.
struct Sums {
    month: Used,
    pull: Used,
    total: Used,
}

impl Purse {
    /// Returns the same purse, paying the fallback model's price.
    pub(crate) fn of_the_fallback(&self) -> Self {
        let mut purse = self.clone();
        purse.limits.price = purse.limits.fallback_price;
        purse
    }

    fn key(&self) -> [Value; 4] {
        [
            self.repo.into(),
            self.pull.into(),
            self.what.as_str().into(),
            month().into(),
        ]
    }

    /// Sets aside what a request takes at most.
    ///
    /// # Errors
    ///
    /// Returns whose budget has not that much left; then nothing is set aside.
    pub(crate) async fn hold(&self, input: u64, output: u64) -> Result<(), BudgetError> {
        let most = self.limits.used(input, output);
        let [repo, pull, what, month] = self.key();
        // A repository that was erased meanwhile gets no new row.
        let sql = "INSERT INTO rv_spend (repo, pull, what, month, tokens, cost, held_tokens, held_cost) \
                   SELECT CAST($1 AS BIGINT), CAST($2 AS BIGINT), CAST($3 AS TEXT), CAST($4 AS TEXT), 0, 0, CAST($5 AS BIGINT), CAST($6 AS BIGINT) \
                   FROM rv_repository WHERE repo = $1 \
                   ON CONFLICT (repo, pull, what, month) DO UPDATE SET held_tokens = excluded.held_tokens, held_cost = excluded.held_cost";
        let values = [
            repo,
            pull,
            what,
            month,
            whole(most.tokens),
            whole(most.cost),
        ];
        self.db.execute(sql, &values).await?;
        let sums = self.sums().await?;
        let limits = &self.limits;
        let over = if limits.pull.is_over(sums.pull) {
            "this pull request"
        } else if limits.month.is_over(sums.month) {
            "this repository for this month"
        } else if limits.total.is_over(sums.total) {
            "this reviewer for this month"
        } else {
            return Ok(());
        };
        self.release().await?;
        Err(BudgetError::UsedUp(over))
    }

    /// Gives back what was set aside: the request came to nothing.
    pub(crate) async fn release(&self) -> Result<(), sqlx::Error> {
        let sql = "UPDATE rv_spend SET held_tokens = 0, held_cost = 0 WHERE repo = $1 AND pull = $2 AND what = $3 AND month = $4";
        self.db.execute(sql, &self.key()).await?;
        Ok(())
    }

    /// Counts what a request took.
    pub(crate) async fn spend(&self, input: u64, output: u64) -> Result<(), sqlx::Error> {
        let took = self.limits.used(input, output);
        let [repo, pull, what, month] = self.key();
        let values = [
            repo,
            pull,
            what,
            month,
            whole(took.tokens),
            whole(took.cost),
        ];
        // A service that tells no number is taken at what was set aside.
        let sql = match took.tokens {
            0 => {
                "UPDATE rv_spend SET tokens = tokens + held_tokens + $5, cost = cost + held_cost + $6, held_tokens = 0, held_cost = 0 \
                  WHERE repo = $1 AND pull = $2 AND what = $3 AND month = $4"
            }
            _ => {
                "UPDATE rv_spend SET tokens = tokens + $5, cost = cost + $6, held_tokens = 0, held_cost = 0 \
                  WHERE repo = $1 AND pull = $2 AND what = $3 AND month = $4"
            }
        };
        self.db.execute(sql, &values).await?;
        Ok(())
    }

    /// Returns what is to be told of the limits: the highest share of each that was reached for the first time.
    pub(crate) async fn alerts(&self) -> Result<Vec<String>, sqlx::Error> {
        let sums = self.sums().await?;
        let (limits, month) = (&self.limits, month());
        let scopes = [
            (limits.pull, sums.pull, self.repo, self.pull, ""),
            (limits.month, sums.month, self.repo, 0, month.as_str()),
            (limits.total, sums.total, 0, 0, month.as_str()),
        ];
        let names = ["this pull request", "this repository", "this reviewer"];
        let mut told = Vec::new();
        for ((limit, used, repo, pull, month), name) in scopes.into_iter().zip(names) {
            let percent = limit.percent(used);
            let mut news = None;
            for share in SHARES.into_iter().filter(|share| *share <= percent) {
                let sql = "INSERT INTO rv_alert (repo, pull, month, share) VALUES ($1, $2, $3, $4) ON CONFLICT (repo, pull, month, share) DO NOTHING";
                let values = [repo.into(), pull.into(), month.into(), whole(share)];
                if self.db.execute(sql, &values).await? == 1 {
                    news = Some(share);
                }
            }
            let whose = if month.is_empty() { "" } else { "'s month" };
            told.extend(
                news.map(|share| format!("{share} % of the budget of {name}{whose} is used.")),
            );
        }
        Ok(told)
    }

    async fn sums(&self) -> Result<Sums, sqlx::Error> {
        let sql = "SELECT \
                   CAST(COALESCE(SUM(CASE WHEN repo = $1 AND month = $3 THEN tokens + held_tokens ELSE 0 END), 0) AS BIGINT), \
                   CAST(COALESCE(SUM(CASE WHEN repo = $1 AND month = $3 THEN cost + held_cost ELSE 0 END), 0) AS BIGINT), \
                   CAST(COALESCE(SUM(CASE WHEN repo = $1 AND pull = $2 THEN tokens + held_tokens ELSE 0 END), 0) AS BIGINT), \
                   CAST(COALESCE(SUM(CASE WHEN repo = $1 AND pull = $2 THEN cost + held_cost ELSE 0 END), 0) AS BIGINT), \
                   CAST(COALESCE(SUM(CASE WHEN month = $3 THEN tokens + held_tokens ELSE 0 END), 0) AS BIGINT), \
                   CAST(COALESCE(SUM(CASE WHEN month = $3 THEN cost + held_cost ELSE 0 END), 0) AS BIGINT) \
                   FROM rv_spend WHERE month = $3 OR (repo = $1 AND pull = $2)";
        let values = [self.repo.into(), self.pull.into(), month().into()];
        let rows = self.db.rows(sql, &values).await?;
        let used = |at: usize| {
            let number = |at| rows.first().map_or(0, |row| row.int(at)).max(0);
            Used {
                tokens: number(at).unsigned_abs(),
                cost: number(at + 1).unsigned_abs(),
            }
        };
        Ok(Sums {
            month: used(0),
            pull: used(2),
            total: used(4),
        })
    }
}

fn whole(number: u64) -> Value {
    i64::try_from(number).unwrap_or(i64::MAX).into()
}

fn month() -> String {
    Timestamp::now().strftime("%Y-%m").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(pairs: &'static [(&'static str, &'static str)]) -> impl Fn(&str) -> Option<String> {
        move |name| {
            let found = pairs.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        }
    }

    #[test]
    fn the_tighter_limit_holds_and_prices_are_of_a_million_tokens() {
        let all = env(&[
            ("REVIEWER_MONTH_TOKENS", "1000"),
            ("REVIEWER_PULL_COST", "0.5"),
            ("REVIEWER_PRICE_INPUT", "2"),
            ("REVIEWER_PRICE_OUTPUT", "10.5"),
        ]);
        let limits = Limits::of(&Env(&all)).unwrap();
        let own = Budget {
            month_tokens: Some(5_000),
            pull_request_tokens: Some(100),
            pull_request_cost: Some(0.25),
            ..Budget::default()
        };
        let both = limits.with(&own);
        assert_eq!((both.month.tokens, both.month.cost), (Some(1_000), None));
        assert_eq!(
            (both.pull.tokens, both.pull.cost),
            (Some(100), Some(250_000))
        );
        assert_eq!(
            both.used(3, 1),
            Used {
                tokens: 4,
                cost: 17
            }
        );
        let used = |tokens, cost| Used { tokens, cost };
        assert!(!both.pull.is_over(used(100, 250_000)) && both.pull.is_over(used(101, 0)));
        assert!(both.pull.is_over(used(0, 250_001)));
        assert_eq!(both.pull.percent(used(50, 225_000)), 90);
    }

    #[test]
    fn a_limit_is_not_lost_by_a_slip() {
        let slip = env(&[("REVIEWER_MONTH_TOKENS", "1OOO")]);
        assert_eq!(
            Limits::of(&Env(&slip)),
            Err(SettingError::NoNumber("REVIEWER_MONTH_TOKENS"))
        );
        let priceless = env(&[("REVIEWER_TOTAL_COST", "20")]);
        assert_eq!(Limits::of(&Env(&priceless)), Err(SettingError::NoPrices));
        let half = env(&[("REVIEWER_TOTAL_COST", "20"), ("REVIEWER_PRICE_INPUT", "1")]);
        assert_eq!(Limits::of(&Env(&half)), Err(SettingError::NoPrices));
        let fallback_for_nothing = env(&[
            ("REVIEWER_TOTAL_COST", "20"),
            ("REVIEWER_PRICE_INPUT", "1"),
            ("REVIEWER_PRICE_OUTPUT", "1"),
            ("REVIEWER_MODEL_FALLBACK", "other"),
        ]);
        assert_eq!(
            Limits::of(&Env(&fallback_for_nothing)),
            Err(SettingError::PricelessFallback)
        );
        let negative = env(&[("REVIEWER_PRICE_INPUT", "-1")]);
        assert!(Limits::of(&Env(&negative)).is_err());
    }
}
