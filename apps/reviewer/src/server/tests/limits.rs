//! Rounds, large diffs and GitHub's limits.

use super::*;

#[tokio::test]
async fn round_two_looks_only_at_the_hunks_that_changed_since() {
    let world = world("Fine.").await;
    let long = |first: &str, last: &str| {
        let middle = "// between\n".repeat(30);
        format!("{first}\n{middle}{last}\n")
    };
    let text = long("fn first() {}", "fn last() {}");
    world
        .repo
        .commit("main", "Long", &[("l.rs", Some(&long("//", "//")))]);
    let head = world.repo.commit("next", "L", &[("l.rs", Some(&text))]);
    assert!(!head.is_empty());
    let mut world = world;
    let spec = PullSpec {
        head: "next",
        ..PullSpec::default()
    };
    world.pull = world.repo.open_pull(&spec);
    assert_eq!(world.opened().await.1, "posted\n");
    let text = long("fn first() {}", "fn other() {}");
    world.repo.commit(
        "next",
        "Later",
        &[("l.rs", Some(&text)), ("n.rs", Some("fn n() {}\n"))],
    );
    let event = world.repo.pull_request_event(world.pull, "synchronize");
    assert_eq!(world.deliver("pull_request", &event).await.1, "posted\n");
    let requests = world.model.requests();
    let (one, two) = (requests[0].last_message(), requests[1].last_message());
    assert!(
        one.contains("fn first()") && one.contains("fn last()"),
        "{one}"
    );
    assert!(
        two.contains("fn other()") && two.contains("fn n()"),
        "{two}"
    );
    assert!(!two.contains("fn first()"), "{two}");
}

#[tokio::test]
async fn after_a_forced_push_all_is_looked_at_and_nothing_said_twice() {
    let world = world("Fine.").await;
    world.opened().await;
    world
        .sql("UPDATE rv_pull SET reviewed = '0123456789012345678901234567890123456789'")
        .await;
    world
        .repo
        .commit("feature", "More", &[("c.rs", Some("fn c() {}\n"))]);
    assert_eq!(world.opened().await.1, "posted\n");
    let requests = world.model.requests();
    assert!(requests[1].last_message().contains("b().unwrap()"));
    assert_eq!(world.repo.review_comments(world.pull).len(), 1);
}

#[tokio::test]
async fn grave_findings_are_all_posted_and_suggestions_up_to_the_limit() {
    let world = world("Fine.").await;
    let lines: Vec<String> = (0..40).map(|at| format!("let v{at} = {at};")).collect();
    let text = lines.join("\n") + "\n";
    world
        .repo
        .commit("feature", "Lines", &[("v.rs", Some(&text))]);
    let kinds = ["blocker", "warning", "suggestion", "nitpick"];
    let all: Vec<Value> = lines
        .iter()
        .enumerate()
        .map(|(at, line)| finding("v.rs", at as u32 + 1, line, kinds[at % 4]))
        .collect();
    world.model.script(findings(&all));
    world.opened().await;
    assert_eq!(world.repo.review_comments(world.pull).len(), 10 + 10 + 5);
    let rows = world
        .rows("SELECT blocker, warning, suggestion + nitpick FROM rv_pass")
        .await;
    assert_eq!(
        (rows[0].int(0), rows[0].int(1), rows[0].int(2)),
        (10, 10, 5)
    );
}

#[tokio::test]
async fn a_diff_that_is_too_large_is_read_file_by_file() {
    let world = world("Fine.").await;
    world.github.set_diff_limits(1, 100);
    assert_eq!(world.opened().await.1, "posted\n");
    assert_eq!(world.repo.review_comments(world.pull).len(), 1);
    let statuses: Vec<u16> = world
        .github
        .asked()
        .iter()
        .map(|asked| asked.status)
        .collect();
    assert!(statuses.contains(&406));
}

#[tokio::test]
async fn what_is_binary_is_named_as_not_looked_at() {
    let world = world("Fine.").await;
    world
        .repo
        .commit_bytes("feature", "Logo", &[("logo.png", Some(b"\x89PNG\0\0"))]);
    world.opened().await;
    let told = world.walkthrough();
    assert!(
        told.contains("logo.png (no lines changed, or it is binary)"),
        "{told}"
    );
}

#[tokio::test]
async fn what_is_asked_again_is_asked_with_its_tag_and_costs_nothing() {
    let world = world("Fine.").await;
    world.opened().await;
    world.opened().await;
    let asked = world.github.asked();
    let path = format!("/pulls/{}", world.pull);
    let same: Vec<_> = asked
        .iter()
        .filter(|one| {
            one.is("GET", &path) && one.header("accept") == Some("application/vnd.github+json")
        })
        .collect();
    assert_eq!(same.len(), 2);
    assert_eq!((same[0].status, same[1].status), (200, 304));
    assert!(same[1].header("if-none-match").is_some());
}

#[tokio::test]
async fn a_short_limit_is_waited_for_and_a_long_one_leaves_github_alone() {
    let world = world("Fine.").await;
    let limit = |retry_after_s| Refusal::SecondaryRateLimit { retry_after_s };
    world.github.refuse_next("POST", "/reviews", limit(0));
    assert_eq!(world.opened().await.1, "posted\n");
    assert_eq!(world.repo.reviews(world.pull).len(), 1);

    world
        .repo
        .commit("feature", "More", &[("c.rs", Some("fn c() {}\n"))]);
    world.github.refuse_next("POST", "/reviews", limit(3_600));
    assert_eq!(world.opened().await.0, StatusCode::SERVICE_UNAVAILABLE);
    let before = world.github.asked().len();
    let again = world.opened().await;
    assert_eq!(again.0, StatusCode::SERVICE_UNAVAILABLE);
    assert!(again.1.contains("rate limit"));
    assert_eq!(world.github.asked().len(), before, "it was left alone");
}

#[tokio::test]
async fn a_used_up_primary_limit_leaves_github_alone_until_it_is_reset() {
    let world = world("Fine.").await;
    world.github.set_remaining(0);
    assert_eq!(world.opened().await.0, StatusCode::SERVICE_UNAVAILABLE);
    let before = world.github.asked().len();
    world.opened().await;
    assert_eq!((before, world.github.asked().len()), (1, 1));
}

#[tokio::test]
async fn a_later_head_is_reviewed_instead_of_one_that_is_old() {
    let world = world("Fine.").await;
    let old = world.repo.pull_request_event(world.pull, "opened");
    world
        .repo
        .commit("feature", "More", &[("c.rs", Some("fn c() {}\n"))]);
    assert_eq!(world.deliver("pull_request", &old).await.1, "posted\n");
    let new = world.repo.pull_request_event(world.pull, "synchronize");
    assert_eq!(
        world.deliver("pull_request", &new).await.1,
        "done already\n"
    );
    assert_eq!(world.model.requests().len(), 1);
}

#[tokio::test]
async fn a_crash_between_the_comment_and_the_note_of_it_leaves_one_comment() {
    let world = world("Fine.").await;
    world.opened().await;
    world.sql("UPDATE rv_pull SET comment = 0, bot = 0").await;
    world.sql("DELETE FROM rv_pass").await;
    world.opened().await;
    assert_eq!(world.repo.comments(world.pull).len(), 1);
}

#[tokio::test]
async fn lines_that_were_posted_before_a_crash_are_not_posted_again() {
    let world = world("Fine.").await;
    let message = "Unprocessable Entity".to_owned();
    let refusal = Refusal::Error {
        status: 422,
        message,
    };
    world.github.refuse_next("POST", "/reviews", refusal);
    world.opened().await;
    assert_eq!(world.repo.review_comments(world.pull).len(), 1);
    // As if it had died after the last line and before the note of it.
    let kept = finding("a.rs", 1, "fn a() { b().unwrap() }", "warning");
    let draft = pull::Draft {
        single: true,
        outcome: crate::review::Outcome {
            reviewed: vec!["a.rs".to_owned()],
            filtered: crate::review::filter::Filtered {
                kept: vec![serde_json::from_value(kept).unwrap()],
                ..Default::default()
            },
            ..Default::default()
        },
        ..Default::default()
    };
    let values = [json!(draft).to_string().into()];
    let sql = "UPDATE rv_pass SET state = 'posting', draft = $1";
    world.app.db.execute(sql, &values).await.unwrap();
    assert_eq!(world.opened().await.1, "posted\n");
    assert_eq!(world.repo.review_comments(world.pull).len(), 1);
    assert_eq!(world.repo.reviews(world.pull).len(), 1);
}
