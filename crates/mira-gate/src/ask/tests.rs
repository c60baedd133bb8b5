//! Questions about hosts: who waits, for how long, and what an answer changes.

use std::sync::Arc;

use tokio::sync::mpsc::error::TryRecvError;
use tokio::task::yield_now;

use super::*;
use crate::policy::Origin;

fn policy(rules: &[(&str, bool)]) -> Policy {
    let mut builder = Policy::builder("app");
    for (hosts, allow) in rules {
        let hosts = hosts.parse().unwrap();
        match allow {
            true => builder.allow(hosts, Origin::Manifest),
            false => builder.deny(hosts, Origin::Manifest),
        };
    }
    builder.build()
}

fn host(text: &str) -> Host {
    Host::requested(text).unwrap()
}

fn web() -> Caller {
    Caller::Known(Some("web".into()))
}

/// Begins to wait, as a connection does.
fn waiting(asking: &Arc<Asking>, name: &'static str) -> tokio::task::JoinHandle<()> {
    let asking = Arc::clone(asking);
    tokio::spawn(async move { asking.wait(&policy(&[]), &host(name), 443, &web()).await })
}

#[tokio::test(start_paused = true)]
async fn connections_to_a_host_wait_for_one_question_and_are_let_go_with_it() {
    let asking = Arc::<Asking>::default();
    let mut questions = asking.begin();
    let (first, second) = (waiting(&asking, "a.test"), waiting(&asking, "a.test"));
    let question = questions.recv().await.unwrap();
    assert_eq!(question.service.as_deref(), Some("web"));
    assert_eq!((&question.host, question.port), (&host("a.test"), 443));
    yield_now().await;
    assert!(!first.is_finished() && !second.is_finished());
    let began = Instant::now();
    drop(question);
    first.await.unwrap();
    second.await.unwrap();
    // It is not asked again.
    waiting(&asking, "a.test").await.unwrap();
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert_eq!(questions.try_recv().unwrap_err(), TryRecvError::Empty);
}

#[tokio::test(start_paused = true)]
async fn who_is_not_answered_waits_for_the_time_from_the_first_call_on() {
    let asking = Arc::<Asking>::default();
    let mut questions = asking.begin();
    let began = Instant::now();
    let first = waiting(&asking, "a.test");
    let _question = questions.recv().await.unwrap();
    first.await.unwrap();
    assert_eq!(began.elapsed(), ANSWER_TIME);
    waiting(&asking, "a.test").await.unwrap();
    assert_eq!(began.elapsed(), ANSWER_TIME);
}

#[tokio::test(start_paused = true)]
async fn nothing_waits_where_nobody_is_asked() {
    let asking = Arc::<Asking>::default();
    let began = Instant::now();
    waiting(&asking, "a.test").await.unwrap();
    drop(asking.begin());
    waiting(&asking, "a.test").await.unwrap();
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn only_public_hosts_that_no_rule_names_are_asked_about() {
    let asking = Asking::default();
    let mut questions = asking.begin();
    let policy = policy(&[("listed.test", true), ("denied.test", false)]);
    let near = [
        "localhost",
        "a.localhost",
        "127.0.0.1",
        "::1",
        "10.0.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "fd00:ec2::254",
    ];
    for name in near.into_iter().chain(["listed.test", "denied.test"]) {
        asking.wait(&policy, &host(name), 443, &web()).await;
        let asked = questions.try_recv().unwrap_err();
        assert_eq!(asked, TryRecvError::Empty, "{name}");
    }
    let (public, web) = (host("8.8.8.8"), web());
    let far = asking.wait(&policy, &public, 443, &web);
    let (question, ()) = tokio::join!(questions.recv(), far);
    assert_eq!(question.unwrap().host, public);
}

#[tokio::test(start_paused = true)]
async fn so_many_wait_and_so_much_is_asked_and_no_more() {
    let asking = Arc::<Asking>::default();
    let mut questions = asking.begin();
    let held: Vec<_> = (0..WAITING_MAX)
        .map(|_| waiting(&asking, "a.test"))
        .collect();
    let _question = questions.recv().await.unwrap();
    let began = Instant::now();
    waiting(&asking, "a.test").await.unwrap();
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert!(held.iter().all(|held| !held.is_finished()));
    for held in held {
        held.await.unwrap();
    }
    let mut asked = 1;
    for number in 0..2 * ASKED_MAX {
        let name = host(&format!("{number}.test"));
        let (policy, web) = (policy(&[]), web());
        let wait = asking.wait(&policy, &name, 443, &web);
        tokio::join!(wait, async {
            yield_now().await;
            asked += usize::from(questions.try_recv().is_ok());
        });
    }
    assert_eq!(asked, ASKED_MAX);
}
