//! The supervisor's process: takes its place, serves the API, and leaves in order.
//!
//! One that was started on demand leaves after the last instance was stopped; any leaves on SIGTERM, SIGINT or when it is asked
//! to, after it stopped what it runs.
//!
//! INVARIANT: that it leaves is decided once, while no request is worked on, and no start is taken after that, so that nothing
//! begins in a process that is about to end.

mod api;
mod autosave;
mod follow;
mod start;

use std::future::{IntoFuture as _, pending};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mira_host::supervisor::{Config, StopError, Supervisor};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, watch};
use tokio::time::{Duration, Instant, interval, timeout};

pub use api::describe;
use autosave::Autosaves;

use crate::socket::{Held, OwnListener, Place, PlaceError};
use crate::wire::AutosaveState;

/// How long a supervisor that was started on demand waits for its first request.
// LIMIT: whoever started it connects within milliseconds.
const FIRST_REQUEST_WAIT: Duration = Duration::from_secs(60);

/// How long one that is leaving is waited for.
const LEAVING_WAIT: Duration = Duration::from_secs(15);

/// How often it looks meanwhile.
// LIMIT: nobody notices so short a wait, and each look is a few system calls.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How the supervisor runs.
#[derive(Debug)]
pub struct ServeOptions {
    /// Its place.
    pub place: Place,
    /// How services are run.
    pub config: Config,
    /// Leave after the last instance was stopped.
    pub on_demand: bool,
    /// Another one was told to leave, and is waited for.
    pub takes_over: bool,
}

/// Why the supervisor ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// It could not take its place.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// The system refused what it needs.
    #[error("the supervisor cannot run: {0}")]
    System(#[from] io::Error),
}

/// Serves until asked to leave; `ready` is called once requests are taken. `beside` is run along, is told when we leave, and is waited
/// for; we leave when it fails.
///
/// # Errors
///
/// It could not begin, or what is run beside it failed. Whatever else goes wrong later is told to whoever asked for it.
pub fn serve<E: From<ServeError>>(
    options: ServeOptions,
    ready: impl FnOnce() -> io::Result<()>,
    beside: impl AsyncFnOnce(Leaving) -> Result<(), E>,
) -> Result<(), E> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        // LIMIT: it moves lines and waits; a core does a gigabyte of logs in a second.
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(ServeError::System)?;
    let served = runtime.block_on(run(options, ready, beside));
    // Whoever still waits for a lock then is not waited for.
    runtime.shutdown_background();
    served
}

/// Tells when the supervisor leaves.
#[derive(Clone, Debug)]
pub struct Leaving(watch::Receiver<()>);

impl Leaving {
    /// Waits until it leaves.
    pub async fn wait(mut self) {
        // Nothing is ever sent: the sender goes when it is decided.
        while self.0.changed().await.is_ok() {}
    }
}

async fn run<E: From<ServeError>>(
    options: ServeOptions,
    ready: impl FnOnce() -> io::Result<()>,
    beside: impl AsyncFnOnce(Leaving) -> Result<(), E>,
) -> Result<(), E> {
    let system = ServeError::System;
    let Some((listener, held)) = seat(&options).await? else {
        // Somebody else was quicker, and serves whoever waits for us.
        return ready().map_err(|error| system(error).into());
    };
    let (mut terminated, mut interrupted) = (
        signal(SignalKind::terminate()).map_err(system)?,
        signal(SignalKind::interrupt()).map_err(system)?,
    );
    let desk = Arc::new(Desk {
        supervisor: Supervisor::new(options.config).map_err(system)?,
        autosaves: Autosaves::default(),
        on_demand: options.on_demand,
        work: Mutex::default(),
        asked: Notify::new(),
        leave: Notify::new(),
    });
    ready().map_err(system)?;
    let (leave, leaving) = watch::channel(());
    let until = {
        let desk = Arc::clone(&desk);
        async move {
            tokio::select! {
                () = desk.leave.notified() => {}
                _ = terminated.recv() => {}
                _ = interrupted.recv() => {}
                () = desk.never_asked() => {}
            }
            drop(leave);
            // Whatever does not die is told to whoever asked; at the end of this process nobody is left to be told.
            desk.shut_down().await.ok();
        }
    };
    let served = axum::serve(listener, api::router(Arc::clone(&desk)))
        .with_graceful_shutdown(until)
        .into_future();
    let beside = async {
        let ended = beside(Leaving(leaving)).await;
        if ended.is_err() {
            desk.leave.notify_one();
        }
        ended
    };
    let (served, beside) = tokio::join!(served, beside);
    drop(held);
    served.map_err(system)?;
    beside
}

/// Takes the place; `None` if another supervisor has it, and we are one that was started on demand.
async fn seat(options: &ServeOptions) -> Result<Option<(OwnListener, Held)>, ServeError> {
    let deadline = Instant::now() + LEAVING_WAIT;
    let mut look = interval(LOOK_EVERY);
    loop {
        match options.place.take() {
            Ok(seat) => return Ok(Some(seat.split())),
            Err(PlaceError::Running { .. })
                if (options.on_demand || options.takes_over) && Instant::now() < deadline =>
            {
                if options.on_demand && options.place.connect().await?.is_some() {
                    return Ok(None);
                }
                // It is about to leave, or has not begun to listen yet.
                look.tick().await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// What requests work on.
#[derive(Debug)]
struct Desk {
    supervisor: Supervisor,
    autosaves: Autosaves,
    on_demand: bool,
    work: Mutex<Work>,
    /// The first request has come.
    asked: Notify,
    leave: Notify,
}

/// What is being worked on.
#[derive(Debug, Default)]
struct Work {
    /// The number of requests.
    requests: usize,
    /// No start is taken any more.
    leaving: bool,
}

impl Desk {
    fn work(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of a request, for as long as what is returned lives.
    fn at_work(self: &Arc<Self>) -> AtWork {
        AtWork::begin(self, &mut self.work())
    }

    /// As [`at_work`](Self::at_work), for a request that begins something; `None` if it was decided to leave.
    fn at_work_unless_leaving(self: &Arc<Self>) -> Option<AtWork> {
        let mut work = self.work();
        (!work.leaving).then(|| AtWork::begin(self, &mut work))
    }

    /// Stops an instance, and waits for its last snapshot; returns how that went, if one was due.
    async fn stop(&self, id: &str) -> Result<Option<AutosaveState>, StopError> {
        self.supervisor.stop(id).await?;
        Ok(self.autosaves.ended(id).await)
    }

    /// Stops all instances, and waits for their last snapshots.
    async fn shut_down(&self) -> Result<(), StopError> {
        self.work().leaving = true;
        let stopped = self.supervisor.shutdown().await;
        self.autosaves.finish().await;
        stopped
    }

    /// Waits as long as the first request may take to come; for ever once one came.
    async fn never_asked(&self) {
        if self.on_demand {
            let asked = timeout(FIRST_REQUEST_WAIT, self.asked.notified());
            if asked.await.is_err() && self.leaves(&mut self.work()) {
                return;
            }
        }
        pending().await
    }

    /// Decides whether it leaves for want of anything to do.
    fn leaves(&self, work: &mut Work) -> bool {
        if self.on_demand && work.requests == 0 && self.supervisor.states().is_empty() {
            work.leaving = true;
        }
        work.leaving
    }
}

/// A request that is being worked on.
#[derive(Debug)]
struct AtWork(Arc<Desk>);

impl AtWork {
    fn begin(desk: &Arc<Desk>, work: &mut Work) -> Self {
        work.requests += 1;
        desk.asked.notify_one();
        Self(Arc::clone(desk))
    }

    fn desk(&self) -> &Desk {
        &self.0
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        let Self(desk) = self;
        let mut work = desk.work();
        work.requests -= 1;
        if desk.leaves(&mut work) {
            desk.leave.notify_one();
        }
    }
}
