//! What is closed, removed or deleted leaves nothing; what is pushed comes into the index.

use super::*;
use crate::schema::MIGRATIONS;

impl World {
    fn id(&self) -> i64 {
        let pull = self.repo.pull(self.pull);
        pull["base"]["repo"]["id"].as_i64().unwrap()
    }

    /// Returns how many rows of this repository each table has.
    async fn counts(&self) -> Vec<(&'static str, i64)> {
        let lines = MIGRATIONS.iter().flat_map(|(.., sql)| sql.lines());
        let names = lines.filter_map(|sql| sql.strip_prefix("CREATE TABLE IF NOT EXISTS "));
        let mut counts = Vec::new();
        for name in names.filter_map(|rest| rest.split(' ').next()) {
            // The names are this program's own.
            let sql: &'static str =
                Box::leak(format!("SELECT COUNT(*) FROM {name} WHERE repo = $1").into_boxed_str());
            let rows = self.app.db.rows(sql, &[self.id().into()]).await.unwrap();
            counts.push((name, rows[0].int(0)));
        }
        counts
    }

    async fn push(&self, files: &[(&str, Option<&str>)]) -> String {
        let before = self.repo.commit("other", "A place to begin", &[]);
        let after = self.repo.commit("main", "Code", files);
        let event = self.repo.push_event("main", &before, &after);
        self.deliver("push", &event).await.1
    }

    /// Fills every table.
    async fn fill(&mut self) {
        self.app().limits.month.tokens = Some(20_000);
        self.repo.set_permission("alice", "write");
        let code = "use x::y;\nfn used() {}\nfn user() { used() }\n";
        assert_eq!(self.push(&[("u.rs", Some(code))]).await, "indexed\n");
        let month = jiff::Timestamp::now().strftime("%Y-%m").to_string();
        let sql = "INSERT INTO rv_spend (repo, pull, what, month, tokens, cost, held_tokens, held_cost) VALUES ($1, 9, 'before', $2, 10500, 0, 0, 0)";
        let values = [self.id().into(), month.into()];
        self.app.db.execute(sql, &values).await.unwrap();
        assert_eq!(self.opened().await.1, "posted\n");
        self.say("alice", "@mira-test help").await;
        let sql = "INSERT INTO rv_rejected (repo, mark, at) VALUES ($1, 'm', 1)";
        let values = [self.id().into()];
        self.app.db.execute(sql, &values).await.unwrap();
        for (name, count) in self.counts().await {
            assert!(count > 0, "{name} is empty");
        }
    }

    async fn is_empty(&self) {
        for (name, count) in self.counts().await {
            assert_eq!(count, 0, "{name}");
        }
    }
}

#[tokio::test]
async fn a_deleted_installation_leaves_no_row_in_any_table() {
    let mut world = world("Fine.").await;
    world.fill().await;
    let gone = json!({"action": "deleted", "installation": {"id": world.installation}});
    assert_eq!(world.deliver("installation", &gone).await.1, "erased\n");
    world.is_empty().await;
}

#[tokio::test]
async fn a_removed_repository_leaves_no_row_in_any_table_and_others_keep_theirs() {
    let mut world = world("Fine.").await;
    world.fill().await;
    let id = world.id();
    let of = |id: i64| json!({"action": "removed", "installation": {"id": world.installation}, "repositories_removed": [{"id": id}]});
    let said = world
        .deliver("installation_repositories", &of(id + 1))
        .await
        .1;
    assert_eq!(said, "erased\n");
    assert!(world.counts().await.iter().all(|(_, count)| *count > 0));
    world.deliver("installation_repositories", &of(id)).await;
    world.is_empty().await;
    // What was queued before and comes after gets no rows, for the code host shows nothing any more.
    let event = world.repo.pull_request_event(world.pull, "opened");
    let token = world.github.token(world.installation, &["octo-org/app"]);
    world.github.uninstall(world.installation);
    let answer = world.deliver_with(&token, "pull_request", &event).await;
    assert_eq!(answer.0, StatusCode::SERVICE_UNAVAILABLE);
    world.is_empty().await;
}

#[tokio::test]
async fn a_closed_pull_request_is_not_reviewed_and_what_waited_for_it_is_gone() {
    let mut world = world("Fine.").await;
    world.app().model.retries = 0;
    world.model.script(Reply::trouble());
    assert_eq!(world.opened().await.0, StatusCode::SERVICE_UNAVAILABLE);
    let again = world.repo.pull_request_event(world.pull, "opened");
    world.repo.close_pull(world.pull);
    // In the order of the queue: what waited comes first, and finds it closed.
    assert_eq!(world.deliver("pull_request", &again).await.1, "closed\n");
    let event = world.repo.pull_request_event(world.pull, "closed");
    assert_eq!(world.deliver("pull_request", &event).await.1, "closed\n");
    assert_eq!(world.model.requests().len(), 1);
    assert!(
        world
            .walkthrough()
            .contains("Not reviewed: the pull request was closed.")
    );
    let counts = world.counts().await;
    let of = |name: &str| counts.iter().find(|(one, _)| *one == name).unwrap().1;
    assert_eq!((of("rv_pull"), of("rv_pass"), of("rv_alert")), (0, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_ends_a_review_that_is_on_its_way() {
    let mut world = world("Fine.").await;
    let held = |_: &mira_testkit::model_server::ChatRequest| report("Fine.").held();
    world.model = ModelServer::start_with(None, held);
    let base = world.model.base_url();
    world.app().model.base_url = base;
    let world = Arc::new(world);
    let review = tokio::spawn({
        let world = Arc::clone(&world);
        async move { world.opened().await }
    });
    tokio::task::block_in_place(|| drop(world.model.wait_for_requests(1)));
    let event = world.repo.pull_request_event(world.pull, "closed");
    let closed = world.deliver("pull_request", &event).await;
    world.model.release();
    let opened = review.await.unwrap();
    assert_eq!(closed.1, "closed\n");
    assert_eq!(opened.0, StatusCode::SERVICE_UNAVAILABLE);
    assert!(world.repo.reviews(world.pull).is_empty());
}

#[tokio::test]
async fn a_push_brings_only_what_changed_into_the_index() {
    let world = world("Fine.").await;
    let files = [
        ("a.rs", Some("fn one() {}\n")),
        ("b.rs", Some("fn two() {}\n")),
        ("c.rs", Some("fn three() {}\n")),
    ];
    assert_eq!(world.push(&files).await, "indexed\n");
    let blobs = || {
        let all = world.github.asked().into_iter();
        all.filter(|asked| asked.target.contains("/git/blobs/"))
            .count()
    };
    assert_eq!(blobs(), 3);
    let change = [("b.rs", Some("fn second() {}\n")), ("c.rs", None)];
    assert_eq!(world.push(&change).await, "indexed\n");
    assert_eq!(blobs(), 4);
    let rows = world.rows("SELECT name FROM rv_symbol ORDER BY name").await;
    let names: Vec<_> = rows.iter().map(|row| row.text(0)).collect();
    assert_eq!(names, ["one", "second"]);
    let rows = world.rows("SELECT head FROM rv_repository").await;
    let main = world.repo.pull(world.pull)["base"]["sha"].clone();
    assert_eq!(rows[0].text(0), main);
    let before = world
        .repo
        .commit("feature", "One", &[("o.rs", Some("fn o() {}\n"))]);
    let after = world
        .repo
        .commit("feature", "Two", &[("p.rs", Some("fn p() {}\n"))]);
    let side = world.repo.push_event("feature", &before, &after);
    assert_eq!(world.deliver("push", &side).await.1, "nothing to do\n");
}
