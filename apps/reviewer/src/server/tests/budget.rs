//! What is spent, what is told of it, and what is refused. The model service says of each request that it took one token each way.

use super::*;
use crate::budget::{BudgetError, Limit, Price, Purse};

fn tokens(most: u64) -> Limit {
    Limit {
        tokens: Some(most),
        cost: None,
    }
}

fn money(most: u64) -> Limit {
    Limit {
        tokens: None,
        cost: Some(most),
    }
}

fn price(input: f64, output: f64) -> Price {
    Price { input, output }
}

impl World {
    /// Has something spent before, of this repository.
    async fn spent_before(&self, tokens: i64, pull: i64) {
        let repo = self.repo.pull(self.pull)["base"]["repo"]["id"].as_i64();
        let month = jiff::Timestamp::now().strftime("%Y-%m").to_string();
        let sql = "INSERT INTO rv_spend (repo, pull, what, month, tokens, cost, held_tokens, held_cost) VALUES ($1, $2, 'before', $3, $4, 0, 0, 0)";
        let values = [
            repo.unwrap().into(),
            pull.into(),
            month.into(),
            tokens.into(),
        ];
        self.app.db.execute(sql, &values).await.unwrap();
    }

    /// Returns tokens, cost and what is set aside.
    async fn spent(&self) -> (i64, i64, i64) {
        let sql = "SELECT CAST(SUM(tokens) AS BIGINT), CAST(SUM(cost) AS BIGINT), CAST(SUM(held_tokens) AS BIGINT) FROM rv_spend";
        let rows = self.rows(sql).await;
        (rows[0].int(0), rows[0].int(1), rows[0].int(2))
    }
}

#[tokio::test]
async fn tokens_and_money_of_each_request_are_counted_and_nothing_stays_set_aside() {
    let mut world = world("Fine.").await;
    world.app().limits.price = price(3.0, 15.0);
    world.opened().await;
    assert_eq!(world.spent().await, (2, 18, 0));
    world.repo.set_permission("alice", "write");
    world.say("alice", "@mira-test why?").await;
    assert_eq!(world.spent().await, (4, 36, 0));
}

#[tokio::test]
async fn what_the_fallback_model_took_is_counted_at_its_own_price() {
    let mut world = world("Fine.").await;
    let app = world.app();
    app.model.fallback = Some("other".to_owned());
    app.model.retries = 0;
    app.limits.price = price(3.0, 15.0);
    app.limits.fallback_price = price(100.0, 1_000.0);
    world.model.script(Reply::trouble());
    assert_eq!(world.opened().await.1, "posted\n");
    assert_eq!(world.spent().await, (2, 1_100, 0));
}

#[tokio::test]
async fn each_cap_is_looked_at_before_a_model_is_asked_and_the_refusal_is_told() {
    for (at, whose) in ["this pull request", "this repository", "this reviewer"]
        .into_iter()
        .enumerate()
    {
        for limit in [tokens(5_000), money(100)] {
            let mut world = world("Fine.").await;
            let limits = &mut world.app().limits;
            limits.price = price(3.0, 15.0);
            *[&mut limits.pull, &mut limits.month, &mut limits.total][at] = limit;
            assert_eq!(world.opened().await.1, "skipped\n");
            assert!(world.model.requests().is_empty());
            let told = world.walkthrough();
            assert!(
                told.contains(&format!("Not reviewed: the budget of {whose}")),
                "{told}"
            );
            let head = world.repo.pull(world.pull)["head"]["sha"].clone();
            let runs = world.repo.check_runs(head.as_str().unwrap());
            assert_eq!(runs[0]["conclusion"], "neutral");
            assert_eq!(world.spent().await, (0, 0, 0));
            // A question is refused as well, in an answer.
            assert_eq!(world.say("alice", "@mira-test why?").await, "answered\n");
            let comments = world.repo.comments(world.pull);
            let last = comments.last().unwrap()["body"].as_str().unwrap();
            assert!(last.contains(whose), "{last}");
            assert!(world.model.requests().is_empty());
        }
    }
}

#[tokio::test]
async fn a_repository_may_be_stricter_and_not_more_generous() {
    let mut world = world("Fine.").await;
    world.app().limits.month = tokens(5_000);
    let own = "budget: {month_tokens: 1000000, pull_request_tokens: 1000000}\n";
    world
        .repo
        .commit("main", "Spend", &[(".mira.yaml", Some(own))]);
    assert_eq!(world.opened().await.1, "skipped\n");
    world.app().limits = Limits::default();
    let own = "budget: {month_tokens: 100}\n";
    world
        .repo
        .commit("main", "Save", &[(".mira.yaml", Some(own))]);
    assert_eq!(world.opened().await.1, "skipped\n");
    assert!(world.model.requests().is_empty());
}

#[tokio::test]
async fn shares_of_the_budget_are_told_once_each() {
    let mut world = world("Fine.").await;
    world.app().limits.month = tokens(100_000);
    world.app().limits.pull = tokens(100_000);
    world.spent_before(50_000, 77).await;
    world.opened().await;
    let told = world.walkthrough();
    assert!(
        told.contains("50 % of the budget of this repository's month is used."),
        "{told}"
    );
    world
        .repo
        .commit("feature", "More", &[("c.rs", Some("fn c() {}\n"))]);
    world.opened().await;
    assert!(!world.walkthrough().contains("% of the budget"));
    // From one review to the next, two shares are passed: the higher one is told.
    world
        .sql("UPDATE rv_spend SET tokens = 90000 WHERE what = 'before'")
        .await;
    world
        .repo
        .commit("feature", "More", &[("d.rs", Some("fn d() {}\n"))]);
    world.opened().await;
    let told = world.walkthrough();
    assert!(
        told.contains("90 % of the budget of this repository's month is used."),
        "{told}"
    );
    let rows = world
        .rows("SELECT share FROM rv_alert ORDER BY share")
        .await;
    let shares: Vec<i64> = rows.iter().map(|row| row.int(0)).collect();
    assert_eq!(shares, [50, 75, 90]);
}

#[tokio::test]
async fn requests_that_fail_cost_nothing_and_each_try_is_checked() {
    let mut world = world("Fine.").await;
    world.app().model.retries = 0;
    world.app().model.fallback = Some("small".to_owned());
    world.model.script(Reply::trouble());
    world.model.script(Reply::rate_limited(0));
    assert_eq!(world.opened().await.0, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(world.spent().await, (0, 0, 0));
    let rows = world.rows("SELECT state FROM rv_pass").await;
    assert_eq!(rows[0].text(0), "waiting");
    assert_eq!(world.opened().await.1, "posted\n");
    let models: Vec<_> = world.model.requests();
    assert_eq!(models[1].model(), "small");
    assert_eq!(world.spent().await, (2, 0, 0));
}

#[tokio::test]
async fn what_is_computed_is_posted_later_without_paying_again() {
    let world = world("Fine.").await;
    let message = "Bad gateway".to_owned();
    let refusal = Refusal::Error {
        status: 502,
        message,
    };
    world.github.refuse_next("POST", "/reviews", refusal);
    assert_eq!(world.opened().await.0, StatusCode::SERVICE_UNAVAILABLE);
    assert!(world.walkthrough().contains("The review is waiting"));
    assert_eq!(world.opened().await.1, "posted\n");
    assert_eq!(world.model.requests().len(), 1);
    let rows = world.rows("SELECT draft FROM rv_pass").await;
    assert_eq!(rows[0].text(0), "", "nothing of the code stays");
}

#[tokio::test]
async fn two_at_once_cannot_both_spend_what_is_left() {
    let world = world("Fine.").await;
    let about = About {
        repo: 5,
        name: "o/r".to_owned(),
        ..About::default()
    };
    note(&world.app, &about).await.unwrap();
    let purse = |what: &str| Purse {
        db: world.app.db.clone(),
        limits: Limits {
            month: tokens(100),
            ..Limits::default()
        },
        repo: 5,
        pull: 1,
        what: what.to_owned(),
    };
    purse("one").hold(30, 30).await.unwrap();
    let refused = purse("two").hold(30, 30).await;
    assert!(matches!(refused, Err(BudgetError::UsedUp(_))));
    // A service that tells no number is taken at what was set aside.
    purse("one").spend(0, 0).await.unwrap();
    assert_eq!(world.spent().await, (60, 0, 0));
    purse("two").hold(20, 20).await.unwrap();
    // What was erased meanwhile gets no row again.
    world.app.db.erase(5).await.unwrap();
    purse("three").hold(1, 1).await.unwrap();
    let rows = world.rows("SELECT repo, tokens FROM rv_spend").await;
    assert_eq!(rows.len(), 1);
    assert_eq!(
        (rows[0].int(0), rows[0].int(1)),
        (0, 60),
        "the month's total stays"
    );
}
