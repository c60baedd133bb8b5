//! What was accepted gets to the app: once where all goes well, at least once whatever happens, and in order.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mira_hooks::{Grant, Ingress, Later, Placeholders, Targets, Worker, WorkerOptions};
use mira_store::{HookEvent, HookFilter, HookState, Shared};
use mira_testkit::hook_app::{HookAnswer, HookApp};
use mira_testkit::origin::Seen;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;

use crate::ground::{APP, Apps, Ground, TOKEN, on_both, pull, send};

on_both! {
    an_event_arrives_as_it_was_signed_with_all_that_belongs_to_it
    what_the_app_does_not_take_is_tried_again_and_given_up_at_last
    what_lists_repositories_brings_a_placeholder_for_each
    an_app_that_was_away_gets_what_waited
    a_server_that_dies_loses_nothing_and_keeps_the_order
    a_server_that_ends_gives_back_what_it_was_at
}

// LIMIT: what is waited for takes milliseconds; a minute tells a loaded machine from what never happens.
const PATIENCE: Duration = Duration::from_secs(60);

fn quick() -> WorkerOptions {
    WorkerOptions {
        retry_first: Duration::from_millis(1),
        retry_most: Duration::from_millis(5),
        lease: Duration::from_secs(2),
        poll: Duration::from_millis(5),
        ..WorkerOptions::default()
    }
}

#[derive(Debug)]
struct Stand;

impl Placeholders for Stand {
    fn api(&self) -> String {
        "https://api.github.example".to_owned()
    }

    fn placeholder<'a>(&'a self, grant: &'a Grant<'a>) -> Later<'a, Option<String>> {
        let permissions = format!("{:?}", grant.permissions);
        let repository = grant.repository.filter(|name| *name != "octo/foreign");
        let Some(repository) = repository else {
            return Box::pin(std::future::ready(None));
        };
        let text = format!(
            "{}:{}:{repository}:{}",
            grant.instance,
            grant.installation,
            permissions.len()
        );
        Box::pin(std::future::ready(Some(text)))
    }
}

/// A worker that runs until it is told to end, or killed.
struct Running {
    task: JoinHandle<()>,
    end: oneshot::Sender<()>,
}

impl Running {
    fn start(shared: &Shared, apps: &Arc<Apps>, options: WorkerOptions) -> Self {
        let targets: Arc<dyn Targets> = Arc::<Apps>::clone(apps);
        let worker = Worker::new(shared.clone(), targets, Some(Arc::new(Stand)), options);
        let (end, ended) = oneshot::channel::<()>();
        let task = tokio::spawn(async move {
            let until = async {
                ended.await.ok();
            };
            worker.run(Arc::new(Notify::new()), until).await;
        });
        Self { task, end }
    }

    async fn end(self) {
        drop(self.end);
        self.task.await.unwrap();
    }

    /// It is gone in the middle of whatever it does.
    async fn kill(self) {
        self.task.abort();
        self.task.await.unwrap_err();
    }
}

/// Waits until all deliveries are finished, and returns the events, the oldest first.
async fn finished(shared: &Shared) -> Vec<HookEvent> {
    until(shared, |event| {
        event
            .delivery
            .as_ref()
            .is_none_or(|one| one.finished.is_some())
    })
    .await
}

async fn until(shared: &Shared, is_so: impl Fn(&HookEvent) -> bool) -> Vec<HookEvent> {
    let whole = async {
        loop {
            let mut events = shared.hooks(&HookFilter::default(), 1000).await.unwrap();
            if events.iter().all(&is_so) {
                events.reverse();
                return events;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, whole).await.unwrap()
}

fn ids(seen: &[Seen]) -> Vec<&str> {
    let mut ids = Vec::new();
    for one in seen {
        ids.push(one.header("x-github-delivery").unwrap());
    }
    ids
}

async fn accept(ingress: &Ingress, sent_id: &str, number: u64) {
    let answer = send(ingress, "pull_request", sent_id, &pull(number)).await;
    assert!(answer.status.is_success(), "{answer:?}");
}

async fn an_event_arrives_as_it_was_signed_with_all_that_belongs_to_it(ground: Ground) {
    let shared = ground.shared().await;
    let app = HookApp::start(|_| HookAnswer::Status(202));
    let apps = Apps::at(Some(app.address()));
    let ingress = ground.ingress(&shared, &apps);
    let running = Running::start(&shared, &apps, quick());
    let body = format!(" {}\n", pull(3).replace("opened", "ö\\u0000\\/"));
    send(&ingress, "pull_request", "guid-1", &body).await;
    let events = finished(&shared).await;
    let delivery = events[0].delivery.clone().unwrap();
    assert_eq!((delivery.state, delivery.attempts), (HookState::Done, 1));
    assert_eq!(delivery.answer.as_deref(), Some("202"));
    assert_eq!(shared.hook_body(&events[0].id).await, Ok(None));
    running.end().await;
    let seen = app.arrived().remove(0);
    assert_eq!(
        (seen.method.as_str(), seen.target.as_str()),
        ("POST", "/hooks/github?x=1")
    );
    assert_eq!(seen.body, body);
    for (name, value) in [
        ("content-type", "application/json"),
        ("x-github-event", "pull_request"),
        ("x-github-delivery", "guid-1"),
        ("x-mira-attempt", "1"),
        ("x-mira-github-api", "https://api.github.example"),
        ("x-mira-github-token", "app-1:11:octo/repo:20"),
        ("authorization", &format!("Bearer {TOKEN}")),
    ] {
        assert_eq!(seen.header(name), Some(value), "{name}");
    }
    assert_eq!(seen.header("x-github-hook-installation-target-id"), None);
    assert_eq!(seen.header("x-hub-signature-256"), None);
}

async fn what_the_app_does_not_take_is_tried_again_and_given_up_at_last(ground: Ground) {
    let shared = ground.shared().await;
    let tries = Arc::new(AtomicUsize::new(0));
    let app = HookApp::start({
        let tries = Arc::clone(&tries);
        move |seen| match seen.header("x-github-delivery") {
            Some("never") => HookAnswer::Status(410),
            Some("later") if tries.fetch_add(1, Ordering::Relaxed) > 2 => HookAnswer::Status(204),
            Some("moved") => HookAnswer::Status(301),
            _ => HookAnswer::Status(500),
        }
    });
    let apps = Apps::at(Some(app.address()));
    let ingress = ground.ingress(&shared, &apps);
    for (number, sent_id) in ["never", "later", "moved", "wrong"].iter().enumerate() {
        accept(&ingress, sent_id, number as u64).await;
    }
    let options = WorkerOptions {
        attempts_max: 5,
        ..quick()
    };
    let running = Running::start(&shared, &apps, options);
    let mut told = BTreeMap::new();
    for event in finished(&shared).await {
        let delivery = event.delivery.unwrap();
        let answer = delivery.answer.unwrap();
        told.insert(event.sent_id, (delivery.state, delivery.attempts, answer));
    }
    let of = |sent_id: &str| {
        let (state, attempts, answer) = &told[sent_id];
        (*state, *attempts, answer.as_str())
    };
    assert_eq!(
        of("never"),
        (HookState::Failed, 1, "410: the app does not want it")
    );
    assert_eq!(of("later"), (HookState::Done, 4, "204"));
    assert_eq!(of("moved"), (HookState::Failed, 5, "301"));
    assert_eq!(of("wrong"), (HookState::Failed, 5, "500"));
    let arrived = app.arrived();
    let mut attempts = arrived
        .iter()
        .filter(|seen| seen.header("x-github-delivery") == Some("wrong"));
    assert!(
        (1..=5).all(|n| attempts.next().unwrap().header("x-mira-attempt") == Some(&n.to_string()))
    );
    // What has failed is kept, and can be delivered again.
    let failed = HookFilter {
        state: Some(HookState::Failed),
        id: None,
    };
    let failed = shared.hooks(&failed, 9).await.unwrap();
    let never = failed
        .iter()
        .find(|event| event.sent_id == "never")
        .unwrap();
    shared
        .replay_hook(&never.id, jiff::Timestamp::now())
        .await
        .unwrap();
    finished(&shared).await;
    running.end().await;
    let again = app.arrived();
    assert_eq!(ids(&again).iter().filter(|id| **id == "never").count(), 2);
}

async fn what_lists_repositories_brings_a_placeholder_for_each(ground: Ground) {
    let shared = ground.shared().await;
    let app = HookApp::start(|_| HookAnswer::Status(202));
    let apps = Apps::at(Some(app.address()));
    let ingress = ground.ingress(&shared, &apps);
    let running = Running::start(&shared, &apps, quick());
    let list = r#"[{"id":1,"full_name":"octo/a"},{"id":2,"full_name":"octo/foreign"},{"id":3,"full_name":"octo/b"}]"#;
    for action in ["created", "suspend", "unsuspend"] {
        let body =
            format!(r#"{{"action":"{action}","installation":{{"id":11}},"repositories":{list}}}"#);
        send(&ingress, "installation", action, &body).await;
    }
    finished(&shared).await;
    let all = "octo/a=app-1:11:octo/a:20,octo/b=app-1:11:octo/b:20";
    for (seen, tokens) in app.answered().iter().zip([Some(all), None, Some(all)]) {
        assert_eq!(seen.header("x-mira-github-tokens"), tokens);
        assert_eq!(seen.header("x-mira-github-token"), None);
    }
    assert_eq!(app.answered().len(), 3);
    running.end().await;
}

async fn an_app_that_was_away_gets_what_waited(ground: Ground) {
    let shared = ground.shared().await;
    let apps = Apps::at(None);
    let ingress = ground.ingress(&shared, &apps);
    let running = Running::start(&shared, &apps, quick());
    accept(&ingress, "1", 3).await;
    // A port where nobody listens: it is up, and refuses.
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let nowhere = closed.local_addr().unwrap();
    drop(closed);
    *apps.address.lock().unwrap() = Some(nowhere);
    let tried = |event: &HookEvent| event.delivery.as_ref().unwrap().answer.is_some();
    let tried = until(&shared, tried).await;
    let answer = tried[0].delivery.clone().unwrap().answer.unwrap();
    assert!(answer.contains("no connection"), "{answer}");
    let app = HookApp::start(|_| HookAnswer::Status(200));
    *apps.address.lock().unwrap() = Some(app.address());
    let events = finished(&shared).await;
    assert_eq!(events[0].delivery.clone().unwrap().state, HookState::Done);
    assert_eq!(ids(&app.arrived()), ["1"]);
    running.end().await;
}

async fn a_server_that_dies_loses_nothing_and_keeps_the_order(ground: Ground) {
    let (one, two) = (ground.shared().await, ground.shared().await);
    // What is sent first is held, until its server is dead.
    let app = HookApp::start(|seen| match seen.header("x-mira-attempt") {
        Some("1") if ["0-0", "0-1", "0-2"].contains(&seen.header("x-github-delivery").unwrap()) => {
            HookAnswer::Held(200)
        }
        _ => HookAnswer::Status(200),
    });
    let apps = Apps::at(Some(app.address()));
    let (first, second) = (ground.ingress(&one, &apps), ground.ingress(&two, &apps));
    let dying = Running::start(&one, &apps, quick());
    let mut expected: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    for n in 0..6_u64 {
        let sent_id = format!("0-{n}");
        accept(&first, &sent_id, n % 3).await;
        expected.entry(n % 3).or_default().push(sent_id);
    }
    // It is at one of each pull request, and none of the next has come.
    let held = app.wait_for(3);
    assert_eq!(held.len(), 3);
    // What it claims stays its own, however busy the machine is.
    let patient = WorkerOptions {
        lease: PATIENCE,
        ..quick()
    };
    let living = Running::start(&two, &apps, patient);
    for n in 0..12_u64 {
        let sent_id = format!("1-{n}");
        let ingress = if n % 2 == 0 { &first } else { &second };
        accept(ingress, &sent_id, n % 3).await;
        expected.entry(n % 3).or_default().push(sent_id);
    }
    dying.kill().await;
    let events = finished(&two).await;
    assert_eq!(events.len(), 18);
    let is_done = |event: &HookEvent| event.delivery.as_ref().unwrap().state == HookState::Done;
    assert!(events.iter().all(is_done));
    // Each pull request's events were answered in the order in which they were accepted; one that came again came at once.
    let answered = app.answered();
    for (number, expected) in expected {
        let of_pull = answered.iter().filter(|seen| seen.body == pull(number));
        let of_pull: Vec<Seen> = of_pull.cloned().collect();
        let mut made = ids(&of_pull);
        made.dedup();
        assert_eq!(made, expected, "#{number}");
    }
    living.end().await;
}

async fn a_server_that_ends_gives_back_what_it_was_at(ground: Ground) {
    let shared = ground.shared().await;
    let app = HookApp::start(|_| HookAnswer::Held(200));
    let apps = Apps::at(Some(app.address()));
    let ingress = ground.ingress(&shared, &apps);
    let long = WorkerOptions {
        lease: Duration::from_secs(3600),
        ..quick()
    };
    let ending = Running::start(&shared, &apps, long.clone());
    accept(&ingress, "1", 3).await;
    let at_it = |event: &HookEvent| event.delivery.as_ref().unwrap().state == HookState::Running;
    until(&shared, at_it).await;
    ending.end().await;
    let back = shared
        .hooks(&HookFilter::default(), 9)
        .await
        .unwrap()
        .remove(0);
    assert_eq!(back.delivery.unwrap().state, HookState::Queued);
    app.release();
    // No lease has to run out.
    let next = Running::start(&shared, &apps, long);
    let done = finished(&shared).await;
    assert_eq!(done[0].delivery.clone().unwrap().target, APP);
    next.end().await;
}
