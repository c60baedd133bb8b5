//! Whether a service is well: one check after the other, and what follows from them.

use std::ffi::OsString;
use std::future::pending;
use std::time::Duration;

use http_body_util::Empty;
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, HOST};
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, timeout};

use super::kept::Kept;
use super::runner::Context;
use crate::service::{Check, End, Health, find_program};

/// How long after a start the first check is; each wait is twice the one before, up to the usual one.
const FIRST_PAUSE: Duration = Duration::from_millis(10);

/// The same for a check that starts a program.
const FIRST_PAUSE_COMMAND: Duration = Duration::from_millis(100);

/// How much of an answer is read, in bytes: its head; the body is not looked at.
// LIMIT: a head that is longer is not a health check's.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// What the checks come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The service is well now, and was not before.
    Well,
    /// It is not, and has had its time and its tries.
    Unwell,
}

/// The checks of one run of a service.
pub(super) struct Checks<'a> {
    context: &'a Context,
    health: Option<&'a Health>,
    begun: Instant,
    pause: Duration,
    failures: u32,
    well: bool,
}

impl<'a> Checks<'a> {
    /// Begins with a service that was just started.
    pub(super) fn new(context: &'a Context) -> Self {
        let health = context.service.health.as_ref();
        let first = match health.map(|health| &health.check) {
            Some(Check::Command(_)) => FIRST_PAUSE_COMMAND,
            _ => FIRST_PAUSE,
        };
        Self {
            context,
            health,
            begun: Instant::now(),
            pause: first,
            failures: 0,
            well: false,
        }
    }

    /// Waits until there is something to say. A service without a check is well at once, and stays so.
    pub(super) async fn verdict(&mut self) -> Verdict {
        let Some(health) = self.health else {
            if self.well {
                return pending().await;
            }
            self.well = true;
            return Verdict::Well;
        };
        loop {
            timeout(self.pause, pending::<()>()).await.ok();
            self.pause = match self.well {
                true => health.interval,
                false => (2 * self.pause).min(health.interval),
            };
            let passed = timeout(health.timeout, self.passes(&health.check));
            if passed.await.unwrap_or(false) {
                self.failures = 0;
                if !self.well {
                    self.well = true;
                    self.pause = health.interval;
                    return Verdict::Well;
                }
            } else if self.well || self.begun.elapsed() >= health.start_period {
                self.failures += 1;
                if self.failures >= health.retries {
                    return Verdict::Unwell;
                }
            }
        }
    }

    async fn passes(&self, check: &Check) -> bool {
        match check {
            Check::Tcp { port } => self.context.connect(*port).await.is_some(),
            Check::Http { port, path } => self.answers(*port, path).await.unwrap_or(false),
            Check::Command(words) => self.succeeds(words).await.unwrap_or(false),
        }
    }

    /// Runs a program as the service is run. If this is dropped, the program is killed.
    async fn succeeds(&self, words: &[OsString]) -> Option<bool> {
        let Context { spec, service, .. } = self.context;
        let program = find_program(words.first()?, &service.env, &spec.folders.package).ok()?;
        let variables = self.context.variables();
        let launch = self.context.launch(&program, words, &variables);
        let label = self.context.label();
        let mut kept = Kept::start_mute(&self.context.config.keeper, &label, &launch)
            .await
            .ok()?;
        Some(kept.ended().await == End::Exited(0))
    }

    /// Asks for a path; returns whether the status says that all is well.
    async fn answers(&self, port: u16, path: &str) -> Option<bool> {
        let stream = TokioIo::new(self.context.connect(port).await?);
        let mut builder = http1::Builder::new();
        builder.max_buf_size(HEAD_BYTES_MAX);
        let (mut sender, connection) = builder.handshake(stream).await.ok()?;
        let request = Request::get(path)
            .header(HOST, format!("127.0.0.1:{port}"))
            .header(CONNECTION, "close")
            .body(Empty::<Bytes>::new())
            .ok()?;
        let answer = sender.send_request(request);
        tokio::pin!(answer);
        let answer = tokio::select! {
            answer = &mut answer => answer,
            // The answer may have come with the connection's end.
            _ = connection => answer.await,
        };
        let status = answer.ok()?.status();
        Some(status.is_success() || status.is_redirection())
    }
}
