//! Counters that many threads advance, and that one thread tells about.
//!
//! The caller's function runs on the caller's thread only, so it need not be shared.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use rustic_core::{ProgressBars, ProgressType, RusticProgress};

use crate::model::Progress;

/// How many tidings wait for a slow listener; more are dropped, since each one tells the whole.
// LIMIT: enough to keep a listener busy.
const WAITING_MAX: usize = 16;

/// The counters of one operation.
#[derive(Clone, Debug)]
pub(crate) struct Meter {
    files: Arc<AtomicU64>,
    bytes: Arc<AtomicU64>,
    tidings: SyncSender<()>,
}

impl Meter {
    /// Returns counters, and the end at which to wait for their changes.
    pub(crate) fn new() -> (Self, Receiver<()>) {
        let (tidings, receiver) = sync_channel(WAITING_MAX);
        let meter = Self {
            files: Arc::default(),
            bytes: Arc::default(),
            tidings,
        };
        (meter, receiver)
    }

    /// Counts a file.
    pub(crate) fn file(&self) {
        self.files.fetch_add(1, Ordering::Relaxed);
        self.tell();
    }

    /// Counts bytes.
    pub(crate) fn bytes(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.tell();
    }

    /// Returns where the counters stand.
    pub(crate) fn progress(counters: &(Arc<AtomicU64>, Arc<AtomicU64>)) -> Progress {
        Progress {
            files: counters.0.load(Ordering::Relaxed),
            bytes: counters.1.load(Ordering::Relaxed),
        }
    }

    /// Returns the counters alone; unlike a meter, they do not keep the other end waiting.
    pub(crate) fn counters(&self) -> (Arc<AtomicU64>, Arc<AtomicU64>) {
        (Arc::clone(&self.files), Arc::clone(&self.bytes))
    }

    fn tell(&self) {
        // A full channel has tidings waiting already, and a closed one has nobody to hear them.
        self.tidings.try_send(()).unwrap_or_default();
    }
}

/// Runs work on another thread, and tells on this one how far it is.
pub(crate) fn watched<T: Send>(
    progress: &mut dyn FnMut(Progress),
    work: impl FnOnce(Meter) -> T + Send,
) -> T {
    let (meter, tidings) = Meter::new();
    let counters = meter.counters();
    std::thread::scope(|scope| {
        let worker = scope.spawn(move || work(meter));
        // It ends when the last meter is dropped, and with it the work.
        while tidings.recv().is_ok() {
            progress(Meter::progress(&counters));
        }
        let done = worker.join();
        progress(Meter::progress(&counters));
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

impl RusticProgress for Meter {
    fn is_hidden(&self) -> bool {
        true
    }

    fn set_length(&self, _: u64) {}

    fn set_title(&self, _: &str) {}

    fn inc(&self, inc: u64) {
        self.bytes(inc);
    }

    fn finish(&self) {}
}

/// The library's progress of bytes goes to a meter, all other nowhere.
#[derive(Clone, Debug)]
pub(crate) struct Bytes(pub(crate) Meter);

impl ProgressBars for Bytes {
    fn progress(&self, kind: ProgressType, _: &str) -> rustic_core::Progress {
        match kind {
            ProgressType::Bytes => rustic_core::Progress::new(self.0.clone()),
            ProgressType::Spinner | ProgressType::Counter => rustic_core::Progress::hidden(),
        }
    }
}
