//! What is let in and what is not, and what is known of it afterwards.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::body::{Body, Frame};
use mira_hooks::{BODY_BYTES_MAX, Event, Sources, Watcher};
use mira_store::{AuditFilter, HookFilter, HookState, Shared};
use mira_testkit::canary::{Canary, Sweep};

use crate::ground::{
    Apps, FROM, Ground, PREVIOUS, counted, headers, on_both, pull, send, signature,
};

on_both! {
    a_signed_event_is_durable_before_it_is_acknowledged_and_a_repeat_does_nothing
    what_nobody_wants_is_taken_and_not_kept
    a_full_queue_is_said_and_nothing_is_lost
    each_event_is_told_once_before_its_sender_knows
    the_end_of_an_installation_erases_its_queue
}

/// A body that counts how much of it was read.
struct Counted {
    left: usize,
    piece: Bytes,
    read: Arc<AtomicUsize>,
}

impl Counted {
    fn of(bytes: usize) -> (Self, Arc<AtomicUsize>) {
        let read = Arc::new(AtomicUsize::new(0));
        let body = Self {
            left: bytes,
            piece: Bytes::from(vec![b' '; 64 * 1024]),
            read: Arc::clone(&read),
        };
        (body, read)
    }
}

impl Body for Counted {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = self.left.min(self.piece.len());
        self.left -= next;
        self.read.fetch_add(next, Ordering::Relaxed);
        let piece = self.piece.slice(..next);
        Poll::Ready((next > 0).then(|| Ok(Frame::data(piece))))
    }
}

async fn events(shared: &Shared) -> usize {
    shared
        .hooks(&HookFilter::default(), 1000)
        .await
        .unwrap()
        .len()
}

async fn a_signed_event_is_durable_before_it_is_acknowledged_and_a_repeat_does_nothing(
    ground: Ground,
) {
    let shared = ground.shared().await;
    let ingress = ground.ingress(&shared, &Apps::at(None));
    let body = pull(3);
    let answer = send(&ingress, "pull_request", "a-1", &body).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED);
    // Another server sees it.
    let other = ground.shared().await;
    let event = other
        .hooks(&HookFilter::default(), 9)
        .await
        .unwrap()
        .remove(0);
    assert_eq!(
        (event.repository.as_deref(), event.number),
        (Some("octo/repo"), Some(3))
    );
    assert_eq!(
        (event.installation, event.action.as_deref()),
        (Some(11), Some("opened"))
    );
    assert_eq!(event.delivery.unwrap().state, HookState::Queued);
    assert_eq!(
        other.hook_body(&event.id).await.unwrap(),
        Some(body.clone())
    );
    for again in [body, pull(4)] {
        let answer = send(&ingress, "pull_request", "a-1", &again).await;
        assert_eq!(answer.status, StatusCode::OK);
    }
    assert_eq!(events(&shared).await, 1);
    // Many at once are durable together, each once.
    let many: Vec<String> = (0..40).map(|n| format!("b-{}", n % 20)).collect();
    let mut all = tokio::task::JoinSet::new();
    let ingress = Arc::new(ingress);
    for sent_id in many {
        let ingress = Arc::clone(&ingress);
        all.spawn(async move { send(&ingress, "push", &sent_id, "{}").await.status });
    }
    let statuses = all.join_all().await;
    let of = |status| statuses.iter().filter(|one| **one == status).count();
    assert_eq!((of(StatusCode::ACCEPTED), of(StatusCode::OK)), (20, 20));
    let ping = send(&ingress, "ping", "p", "{}").await;
    assert_eq!(ping.status, StatusCode::OK);
    assert_eq!(events(&shared).await, 21);
}

async fn what_nobody_wants_is_taken_and_not_kept(ground: Ground) {
    let shared = ground.shared().await;
    let ingress = ground.ingress(&shared, &Apps::at(None));
    let body = r#"{"action":"created","starred":"content-0123456789abcdef"}"#;
    let answer = send(&ingress, "star", "s", body).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED);
    let event = shared
        .hooks(&HookFilter::default(), 9)
        .await
        .unwrap()
        .remove(0);
    assert_eq!((event.event.as_str(), &event.delivery), ("star", &None));
    assert_eq!(shared.hook_body(&event.id).await, Ok(None));
    let counts = counted(&shared, ingress).await;
    assert_eq!(
        (counts[0].verdict.as_str(), counts[0].number),
        ("ignored", 1)
    );
}

async fn a_full_queue_is_said_and_nothing_is_lost(ground: Ground) {
    let shared = ground.shared().await;
    let mut options = ground.options();
    options.deliveries_max = 3;
    let ingress = ground.ingress_with(&shared, &Apps::at(None), None, options);
    for n in 0..5 {
        let answer = send(&ingress, "push", &format!("{n}"), "{}").await;
        let expect = match n < 3 {
            true => (StatusCode::ACCEPTED, None),
            false => (StatusCode::SERVICE_UNAVAILABLE, Some(30)),
        };
        assert_eq!((answer.status, answer.retry_after), expect, "{n}");
    }
    // What goes to nobody takes no room.
    assert_eq!(
        send(&ingress, "star", "s", "{}").await.status,
        StatusCode::ACCEPTED
    );
    assert_eq!(shared.hook_backlog().await.unwrap().deliveries, 3);
    let mut options = ground.options();
    options.bytes_max = 6;
    let ingress = ground.ingress_with(&shared, &Apps::at(None), None, options);
    let answer = send(&ingress, "push", "late", "{}").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
}

#[derive(Debug, Default)]
struct Told(Mutex<Vec<String>>);

impl Watcher for Told {
    fn accepted(&self, event: &Event<'_>) {
        let told = format!("{} {:?} {:?}", event.name, event.action, event.installation);
        self.0.lock().unwrap().push(told);
    }
}

async fn each_event_is_told_once_before_its_sender_knows(ground: Ground) {
    let shared = ground.shared().await;
    let told = Arc::new(Told::default());
    let watcher: Arc<dyn Watcher> = Arc::<Told>::clone(&told);
    let ingress = ground.ingress_with(&shared, &Apps::at(None), Some(watcher), ground.options());
    let body = r#"{"action":"suspend","installation":{"id":11}}"#;
    for _ in 0..2 {
        send(&ingress, "installation", "1", body).await;
        assert_eq!(
            *told.0.lock().unwrap(),
            [r#"installation Some("suspend") Some(11)"#]
        );
    }
    send(&ingress, "ping", "2", "{}").await;
    send(&ingress, "installation", "3", "[]").await;
    assert_eq!(told.0.lock().unwrap().len(), 1);
}

async fn the_end_of_an_installation_erases_its_queue(ground: Ground) {
    let shared = ground.shared().await;
    let ingress = ground.ingress(&shared, &Apps::at(None));
    send(&ingress, "pull_request", "1", &pull(1)).await;
    send(&ingress, "push", "2", r#"{"installation":{"id":12}}"#).await;
    let gone = r#"{"action":"deleted","installation":{"id":11}}"#;
    let answer = send(&ingress, "installation", "3", gone).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED);
    let left = shared.hooks(&HookFilter::default(), 9).await.unwrap();
    let mut left: Vec<&str> = left.iter().map(|event| event.sent_id.as_str()).collect();
    left.sort_unstable();
    assert_eq!(left, ["2", "3"]);
}

#[tokio::test]
async fn without_a_right_signature_nothing_gets_in_and_little_is_read() {
    let ground = Ground::file();
    let shared = ground.shared().await;
    let ingress = ground.ingress(&shared, &Apps::at(None));
    let name = "x-hub-signature-256";
    let long = "x".repeat(60_000);
    for value in [
        None,
        Some("sha256=00".as_bytes()),
        Some("sha256=ä".as_bytes()),
        Some(&[0xff]),
        Some(long.as_bytes()),
    ] {
        let mut headers = headers("push", "1", b"");
        headers.remove(name);
        if let Some(value) = value {
            headers.insert(name, HeaderValue::from_bytes(value).unwrap());
        }
        let (body, read) = Counted::of(100 * 1024 * 1024);
        let answer = ingress.take(&headers, FROM, body).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
        assert_eq!(read.load(Ordering::Relaxed), 0);
    }
    // A well-formed signature of something else.
    let wrong = headers("push", "1", b"something else");
    let answer = ingress
        .take(&wrong, FROM, Full::new(Bytes::from("{}")))
        .await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    let answer = ingress.take(&wrong, FROM, Empty::new()).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    // By somebody else's secret.
    let mut other = headers("push", "1", b"{}");
    let by_other = signature("another-0123456789abcdef-0123456789", b"{}");
    other.insert(name, by_other.parse().unwrap());
    let answer = ingress
        .take(&other, FROM, Full::new(Bytes::from("{}")))
        .await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert_eq!(events(&shared).await, 0);
    let rows = shared
        .audit(&AuditFilter::default(), None, 100)
        .await
        .unwrap()
        .rows;
    let mut subjects: Vec<&str> = rows.iter().map(|row| row.subject.as_str()).collect();
    subjects.sort_unstable();
    assert_eq!(
        subjects,
        ["malformed_signature", "no_signature", "wrong_signature"]
    );
    assert!(
        rows.iter()
            .all(|row| row.action == "hook.reject" && row.outcome == "denied")
    );
    assert!(
        rows.iter()
            .all(|row| row.address.as_deref() == Some("192.0.2.9"))
    );
    let counts = counted(&shared, ingress).await;
    let counts: Vec<(&str, u64)> = counts
        .iter()
        .map(|count| (count.verdict.as_str(), count.number))
        .collect();
    assert_eq!(
        counts,
        [
            ("malformed_signature", 4),
            ("no_signature", 1),
            ("wrong_signature", 3)
        ]
    );
}

#[tokio::test]
async fn what_is_too_large_is_not_read_on() {
    let ground = Ground::file();
    let shared = ground.shared().await;
    let ingress = ground.ingress(&shared, &Apps::at(None));
    let mut announced = headers("push", "1", b"");
    announced.insert("content-length", HeaderValue::from(BODY_BYTES_MAX + 1));
    let (body, read) = Counted::of(BODY_BYTES_MAX + 1);
    let answer = ingress.take(&announced, FROM, body).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(read.load(Ordering::Relaxed), 0);
    // One that says nothing of its length, or less than it has.
    announced.insert("content-length", HeaderValue::from(7));
    let (body, read) = Counted::of(100 * 1024 * 1024);
    let answer = ingress.take(&announced, FROM, body).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(read.load(Ordering::Relaxed) <= BODY_BYTES_MAX + 64 * 1024);
    // The largest that there is gets in, and leaves no file.
    let large = format!("{{\"x\":\"{}\"}}", "y".repeat(BODY_BYTES_MAX - 8));
    assert_eq!(large.len(), BODY_BYTES_MAX);
    let answer = send(&ingress, "push", "1", &large).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED);
    let event = shared
        .hooks(&HookFilter::default(), 9)
        .await
        .unwrap()
        .remove(0);
    assert!(shared.hook_body(&event.id).await.unwrap().unwrap() == large);
    let left = std::fs::read_dir(ground.home.mira_home()).unwrap();
    let names = left.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(names.filter(|name| name.starts_with(".hook")).count(), 0);
}

#[tokio::test]
async fn what_is_signed_and_no_event_is_refused_and_harms_nothing() {
    let ground = Ground::file();
    let shared = ground.shared().await;
    let ingress = ground.ingress(&shared, &Apps::at(None));
    for body in [
        b"" as &[u8],
        b"Hello",
        b"null",
        b"[1]",
        b"{\"action\":\"\xff\"}",
        b"payload=%7B%7D",
        b"{\"installation\":[]}",
    ] {
        let headers = headers("push", "1", body);
        let answer = ingress
            .take(&headers, FROM, Full::new(Bytes::copy_from_slice(body)))
            .await;
        assert_eq!(
            answer.status,
            StatusCode::BAD_REQUEST,
            "{:?}",
            body.get(..20)
        );
    }
    for (name, value) in [
        ("x-github-event", None),
        ("x-github-event", Some("pull request")),
        ("x-github-delivery", None),
        ("x-github-delivery", Some("")),
        ("x-github-delivery", Some("'; DROP TABLE users")),
        ("x-github-delivery", Some("ä")),
    ] {
        let mut headers = headers("push", "1", b"{}");
        headers.remove(name);
        if let Some(value) = value {
            headers.insert(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        let answer = ingress
            .take(&headers, FROM, Full::new(Bytes::from("{}")))
            .await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{name} {value:?}");
    }
    // Fields that are there and nothing are as if they were not.
    let nulls = r#"{"action":null,"installation":null,"repository":null,"issue":null,"pull_request":null,"sender":null}"#;
    assert_eq!(
        send(&ingress, "push", "1", nulls).await.status,
        StatusCode::ACCEPTED
    );
    // An escaped NUL is text like other text, and comes out as it went in.
    let nul = r#"{"action":"a\u0000b","installation":{"id":18446744073709551615}}"#;
    assert_eq!(
        send(&ingress, "push", "2", nul).await.status,
        StatusCode::ACCEPTED
    );
    assert_eq!(events(&shared).await, 2);
}

#[tokio::test]
async fn a_body_that_breaks_off_leaves_nothing() {
    let ground = Ground::file();
    let shared = ground.shared().await;
    let ingress = ground.ingress(&shared, &Apps::at(None));
    let headers = headers("push", "1", b"{}");
    let broken = Full::new(Bytes::from("{}")).map_frame(|frame| frame);
    let broken = broken.map_err(|never| match never {});
    let broken = Failing(Box::pin(broken), false);
    let answer = ingress.take(&headers, FROM, broken).await;
    assert_eq!(answer.status, StatusCode::REQUEST_TIMEOUT);
    assert_eq!(events(&shared).await, 0);
}

/// A body that ends with an error.
struct Failing(
    Pin<Box<dyn Body<Data = Bytes, Error = std::io::Error> + Send>>,
    bool,
);

impl Body for Failing {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        match self.0.as_mut().poll_frame(context) {
            Poll::Ready(None) if !self.1 => {
                self.1 = true;
                Poll::Ready(Some(Err(std::io::ErrorKind::ConnectionReset.into())))
            }
            other => other,
        }
    }
}

#[tokio::test]
async fn the_previous_secret_counts_and_is_told_of() {
    let ground = Ground::file();
    let shared = ground.shared().await;
    let ingress = ground.ingress(&shared, &Apps::at(None));
    let mut by_previous = headers("push", "1", b"{}");
    let value = signature(PREVIOUS, b"{}").parse().unwrap();
    by_previous.insert("x-hub-signature-256", value);
    let answer = ingress
        .take(&by_previous, FROM, Full::new(Bytes::from("{}")))
        .await;
    assert_eq!(answer.status, StatusCode::ACCEPTED);
    let counts = counted(&shared, ingress).await;
    let words: Vec<&str> = counts.iter().map(|count| count.verdict.as_str()).collect();
    assert_eq!(words, ["accepted", "previous_secret"]);
}

#[tokio::test]
async fn only_named_networks_get_to_a_signature() {
    let ground = Ground::file();
    let shared = ground.shared().await;
    let mut options = ground.options();
    options.sources = Some(Sources::parse("192.0.2.0/28").unwrap());
    let ingress = ground.ingress_with(&shared, &Apps::at(None), None, options);
    let headers = headers("push", "1", b"{}");
    for (from, expect) in [
        ("192.0.2.16", StatusCode::FORBIDDEN),
        ("::1", StatusCode::FORBIDDEN),
        ("192.0.2.15", StatusCode::ACCEPTED),
    ] {
        let from = from.parse().unwrap();
        let answer = ingress
            .take(&headers, from, Full::new(Bytes::from("{}")))
            .await;
        assert_eq!(answer.status, expect, "{from}");
    }
}

#[tokio::test]
async fn the_secret_is_nowhere_on_the_disk() {
    let ground = Ground::file();
    let shared = ground.shared().await;
    let ingress = ground.ingress(&shared, &Apps::at(None));
    let canaries = [
        Canary::new("SECRET", crate::ground::SECRET),
        Canary::new("PREVIOUS", PREVIOUS),
    ];
    for n in 0..3 {
        send(&ingress, "push", &format!("{n}"), "{}").await;
        ingress
            .take(
                &headers("push", "x", b"wrong"),
                FROM,
                Full::new(Bytes::from("{}")),
            )
            .await;
    }
    assert!(!format!("{ingress:?}").contains("canary"));
    counted(&shared, ingress).await;
    shared.close().await;
    Sweep::new(&canaries)
        .folder(ground.home.path())
        .assert_clean();
}
