//! Whether a service is well: one check after the other, and what follows from them.

use std::ffi::OsString;
use std::future::pending;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::ask::{ask, get};
use super::kept::Kept;
use super::runner::Context;
use crate::service::{Check, End, Health, find_program};

/// How long after a start the first check is; each wait is twice the one before, up to the usual one.
const FIRST_PAUSE: Duration = Duration::from_millis(10);

/// The same for a check that starts a program.
const FIRST_PAUSE_COMMAND: Duration = Duration::from_millis(100);

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

    /// Asks for a path; returns whether the status says that all is well. The body is not looked at.
    async fn answers(&self, port: u16, path: &str) -> Option<bool> {
        let stream = self.context.connect(port).await?;
        let request = get(port, path).ok()?;
        let status = ask(stream, request, async |answer| answer.status());
        let status = status.await.ok()?;
        Some(status.is_success() || status.is_redirection())
    }
}
