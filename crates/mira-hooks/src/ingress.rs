//! Requests that say to be webhooks: refused as early as can be, verified while they stream in, and acknowledged once they are durable.
//!
//! INVARIANT: the order of the checks. From where, signature's form and announced length come before any of the body is read; the
//! signature comes before any of it is parsed; the disk comes before the acknowledgement.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt as _;
use hyper::body::Body;
use mira_store::{NewHookDelivery, Shared};
use tokio::sync::{Notify, Semaphore, mpsc, oneshot};
use tokio::time::timeout;

use crate::commit::{self, Bounds, Committed, Job};
use crate::event::{Event, Facts};
use crate::signature::{NoSignature, Secrets, Signature, SignedBy};
use crate::sources::Sources;
use crate::spool::Spooler;
use crate::tally::{Tally, Verdict};
use crate::targets::{Targets, Watcher};

/// The largest body, in bytes.
// LIMIT: GitHub's own (https://docs.github.com/en/webhooks/webhook-events-and-payloads#payload-cap).
pub const BODY_BYTES_MAX: usize = 25 * 1024 * 1024;

/// How long a body may take.
// LIMIT: GitHub gives up after ten seconds.
const BODY_WAIT_MAX: Duration = Duration::from_secs(15);

/// How many bodies come in at once.
// LIMIT: each takes 25 MiB of disk at most until its signature is judged.
const BODIES_MAX: usize = 64;

/// After how many seconds a sender that comes too early is to try again.
const RETRY_AFTER_S: u32 = 30;

/// The longest header that is read, in bytes: ids and names of events are shorter.
const WORD_BYTES_MAX: usize = 128;

/// How webhooks are taken.
#[derive(Clone, Debug)]
pub struct IngressOptions {
    /// A folder for what is too large for memory.
    pub folder: PathBuf,
    /// From where; without, from everywhere.
    pub sources: Option<Sources>,
    /// How many deliveries may wait until no more are taken.
    pub deliveries_max: u64,
    /// How many bytes of contents may wait until no more are taken.
    pub bytes_max: u64,
}

impl IngressOptions {
    /// Returns the usual ones.
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            sources: None,
            // LIMIT: hours of a busy organisation's events; with it the queue is searched in milliseconds.
            deliveries_max: 10_000,
            // LIMIT: what a database beside the app takes without being noticed.
            bytes_max: 1024 * 1024 * 1024,
        }
    }
}

/// What a request is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// Words for who looks at the sender's record.
    pub words: &'static str,
    /// When to try again, in seconds.
    pub retry_after: Option<u32>,
}

impl Verdict {
    fn answer(self) -> Answer {
        let (status, words) = match self {
            Self::Accepted => (StatusCode::ACCEPTED, "accepted"),
            Self::Ignored => (StatusCode::ACCEPTED, "accepted; no app takes such events"),
            Self::Repeated => (StatusCode::OK, "accepted before"),
            Self::Ping | Self::PreviousSecret => (StatusCode::OK, "pong"),
            Self::ForeignSource => (
                StatusCode::FORBIDDEN,
                "webhooks are not taken from this address",
            ),
            Self::NoSignature => (
                StatusCode::UNAUTHORIZED,
                "the header X-Hub-Signature-256 is missing; set a secret where the webhook is set up",
            ),
            Self::MalformedSignature => (
                StatusCode::UNAUTHORIZED,
                "the header X-Hub-Signature-256 is no signature: sha256= and 64 hexadecimal digits",
            ),
            Self::WrongSignature => (
                StatusCode::UNAUTHORIZED,
                "the signature is not that of this body",
            ),
            Self::TooLarge => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "a webhook has at most 25 MiB",
            ),
            Self::Incomplete => (
                StatusCode::REQUEST_TIMEOUT,
                "the body broke off, or took too long",
            ),
            Self::Malformed => (
                StatusCode::BAD_REQUEST,
                "this is no event: a JSON object, sent as application/json, with X-GitHub-Event and X-GitHub-Delivery",
            ),
            Self::Overloaded => (
                StatusCode::SERVICE_UNAVAILABLE,
                "too much is waiting; try again later",
            ),
            Self::Unavailable => (
                StatusCode::SERVICE_UNAVAILABLE,
                "it could not be kept; try again later",
            ),
        };
        let is_later = status == StatusCode::SERVICE_UNAVAILABLE;
        Answer {
            status,
            words,
            retry_after: is_later.then_some(RETRY_AFTER_S),
        }
    }
}

/// Takes webhooks.
pub struct Ingress {
    shared: Shared,
    secrets: RwLock<Arc<Secrets>>,
    targets: Arc<dyn Targets>,
    watcher: Option<Arc<dyn Watcher>>,
    options: IngressOptions,
    places: Semaphore,
    spooler: Spooler,
    jobs: mpsc::Sender<Job>,
    tally: Arc<Tally>,
    wake: Arc<Notify>,
}

impl fmt::Debug for Ingress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ingress")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl Ingress {
    /// Begins to take webhooks; `wake` is told when something was queued. Needs a tokio runtime, on which it writes as long as it lives.
    #[must_use]
    pub fn new(
        shared: Shared,
        secrets: Secrets,
        targets: Arc<dyn Targets>,
        watcher: Option<Arc<dyn Watcher>>,
        wake: Arc<Notify>,
        options: IngressOptions,
    ) -> Self {
        // LIMIT: as many as there are bodies; who hands one in waits for it.
        let (jobs, taken) = mpsc::channel(BODIES_MAX);
        let tally = Arc::new(Tally::default());
        let bounds = Bounds {
            deliveries_max: options.deliveries_max,
            bytes_max: options.bytes_max,
        };
        tokio::spawn(commit::run(
            shared.clone(),
            taken,
            bounds,
            Arc::clone(&tally),
        ));
        Self {
            shared,
            secrets: RwLock::new(Arc::new(secrets)),
            targets,
            watcher,
            places: Semaphore::new(BODIES_MAX),
            spooler: Spooler::new(options.folder.clone()),
            options,
            jobs,
            tally,
            wake,
        }
    }

    /// Checks signatures with other secrets from now on.
    pub fn replace_secrets(&self, secrets: Secrets) {
        let mut known = self.secrets.write().unwrap_or_else(PoisonError::into_inner);
        *known = Arc::new(secrets);
    }

    /// Takes a request from an address.
    pub async fn take<B>(&self, headers: &HeaderMap, from: IpAddr, body: B) -> Answer
    where
        B: Body<Data = Bytes> + Unpin,
    {
        match self.judge(headers, from, body).await {
            Ok(verdict) => {
                self.tally.count(verdict);
                verdict.answer()
            }
            Err(verdict) => {
                self.tally.refuse(&self.shared, verdict, from).await;
                verdict.answer()
            }
        }
    }

    async fn judge<B>(&self, headers: &HeaderMap, from: IpAddr, body: B) -> Result<Verdict, Verdict>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        if let Some(sources) = &self.options.sources
            && !sources.contain(from)
        {
            return Err(Verdict::ForeignSource);
        }
        let signature = Signature::of(headers).map_err(|error| match error {
            NoSignature::Missing => Verdict::NoSignature,
            NoSignature::Malformed => Verdict::MalformedSignature,
        })?;
        let announced = headers.get(header::CONTENT_LENGTH);
        let announced = announced.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        if announced.is_some_and(|length| length > BODY_BYTES_MAX as u64) {
            return Err(Verdict::TooLarge);
        }
        // As long as its body is not judged, a request keeps its place, and then until it is durable.
        let _place = self.places.try_acquire().map_err(|_| Verdict::Overloaded)?;
        let sent_to = word(headers, "x-github-hook-installation-target-id");
        let read = timeout(BODY_WAIT_MAX, self.read(body, sent_to, &signature)).await;
        let (body, signed_by) = read.map_err(|_| Verdict::Incomplete)??;
        if signed_by == SignedBy::Previous {
            self.tally.count(Verdict::PreviousSecret);
        }
        let name = word(headers, "x-github-event").ok_or(Verdict::Malformed)?;
        let sent_id = word(headers, "x-github-delivery").ok_or(Verdict::Malformed)?;
        let (facts, text) = Facts::read(&body).map_err(|_| Verdict::Malformed)?;
        let event = Event {
            sent_id,
            name,
            action: facts.action.as_deref(),
            sent_to,
            installation: facts.installation(),
            repository: facts.repository(),
            number: facts.number(),
            body: text,
        };
        match name {
            "ping" => Ok(Verdict::Ping),
            _ => self.accept(&event).await,
        }
    }

    /// Reads a body while it is checked who has signed it.
    async fn read<B>(
        &self,
        mut body: B,
        sent_to: Option<&str>,
        signature: &Signature,
    ) -> Result<(Vec<u8>, SignedBy), Verdict>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let mut check = {
            let secrets = self.secrets.read().unwrap_or_else(PoisonError::into_inner);
            secrets.check(sent_to)
        };
        let mut spool = self.spooler.begin();
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|_| Verdict::Incomplete)?.into_data() else {
                continue;
            };
            if spool.len() + data.len() > BODY_BYTES_MAX {
                return Err(Verdict::TooLarge);
            }
            check.update(&data);
            let kept = spool.push(data).await;
            kept.map_err(|_| Verdict::Unavailable)?;
        }
        match check.end(signature) {
            SignedBy::Nobody => Err(Verdict::WrongSignature),
            signed_by => {
                let bytes = spool.into_bytes().await;
                Ok((bytes.map_err(|_| Verdict::Unavailable)?, signed_by))
            }
        }
    }

    async fn accept(&self, event: &Event<'_>) -> Result<Verdict, Verdict> {
        let wanting = self.targets.wanting(event.name).await;
        let wanting = wanting.map_err(|_| Verdict::Unavailable)?;
        let is_wanted = !wanting.is_empty();
        let kept = |number: u64| i64::try_from(number).ok();
        let (answer, told) = oneshot::channel();
        let job = Job {
            sent_id: event.sent_id.to_owned(),
            event: event.name.to_owned(),
            action: event.action.map(str::to_owned),
            sent_to: event.sent_to.map(str::to_owned),
            installation: event.installation.and_then(kept),
            repository: event.repository.map(|one| one.full_name.to_owned()),
            number: event.number.and_then(kept),
            body: event.body.to_owned(),
            deliveries: wanting
                .into_iter()
                .map(|target| NewHookDelivery {
                    order_key: event.order_key(&target),
                    target,
                })
                .collect(),
            answer,
        };
        let handed = self.jobs.send(job).await;
        handed.map_err(|_| Verdict::Unavailable)?;
        match told.await.unwrap_or(Committed::Failed) {
            Committed::Accepted => {
                if let Some(watcher) = &self.watcher {
                    watcher.accepted(event);
                }
                if is_wanted {
                    self.wake.notify_one();
                }
                Ok(match is_wanted {
                    true => Verdict::Accepted,
                    false => Verdict::Ignored,
                })
            }
            Committed::Repeated => Ok(Verdict::Repeated),
            Committed::Full => Err(Verdict::Overloaded),
            Committed::Failed => Err(Verdict::Unavailable),
        }
    }
}

/// Returns a header that is one word.
fn word<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let word = headers.get(name)?.to_str().ok()?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
    let is_word = !word.is_empty() && word.len() <= WORD_BYTES_MAX && word.bytes().all(is_plain);
    is_word.then_some(word)
}
