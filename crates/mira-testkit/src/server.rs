//! What the servers for tests share: a thread that serves until it is dropped, and a record of what has arrived.

use std::future::Future;
use std::net::TcpListener;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

// LIMIT: a request comes within a second of its cause; a minute tells a loaded machine from a client that never asks.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// A thread that serves; dropped, it ends together with its connections.
pub(crate) struct Server {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Serves what this listener accepts, as `accept` does it, on a runtime of one thread.
    ///
    /// # Panics
    ///
    /// If the system has no thread for it.
    pub(crate) fn start<F: Future<Output = ()>>(
        name: &str,
        listener: TcpListener,
        accept: impl FnOnce(tokio::net::TcpListener) -> F + Send + 'static,
    ) -> Self {
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || serve(listener, accept, stopped))
            .expect("a thread can be had");
        Self {
            stop: Some(stop),
            thread: Some(thread),
        }
    }
}

fn serve<F: Future<Output = ()>>(
    listener: TcpListener,
    accept: impl FnOnce(tokio::net::TcpListener) -> F,
    stopped: oneshot::Receiver<()>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .expect("a runtime of one thread");
    runtime.block_on(async {
        listener
            .set_nonblocking(true)
            .expect("it is an ordinary socket");
        let listener = tokio::net::TcpListener::from_std(listener).expect("it is bound");
        tokio::select! {
            () = accept(listener) => {}
            _ = stopped => {}
        }
    });
}

impl Drop for Server {
    fn drop(&mut self) {
        // Dropping the sender tells the thread to stop.
        self.stop = None;
        // Where it panicked, a test has failed for it already.
        drop(self.thread.take().map(JoinHandle::join));
    }
}

/// A connection of a client, with or without TLS around it.
pub(crate) trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

/// Serves each connection, with TLS where there is something to do it with; dropped, it closes all of them.
pub(crate) async fn accept<F: Future<Output = ()> + Send + 'static>(
    listener: &tokio::net::TcpListener,
    tls: Option<TlsAcceptor>,
    serve: impl Fn(Box<dyn Connection>) -> F + Clone + Send + 'static,
) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (tls, serve) = (tls.clone(), serve.clone());
        connections.spawn(async move {
            match tls {
                None => serve(Box::new(stream)).await,
                // A client that does not trust us is part of a test.
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        serve(Box::new(stream)).await;
                    }
                }
            }
        });
    }
}

/// What has arrived, in order.
pub(crate) struct Arrivals<T> {
    all: Mutex<Vec<T>>,
    changed: Condvar,
}

impl<T> Default for Arrivals<T> {
    fn default() -> Self {
        Self {
            all: Mutex::default(),
            changed: Condvar::new(),
        }
    }
}

impl<T: Clone> Arrivals<T> {
    pub(crate) fn add(&self, arrival: T) {
        lock(&self.all).push(arrival);
        self.changed.notify_all();
    }

    pub(crate) fn all(&self) -> Vec<T> {
        lock(&self.all).clone()
    }

    /// Returns all once there are that many.
    ///
    /// # Panics
    ///
    /// If they do not come.
    #[track_caller]
    pub(crate) fn wait_for(&self, count: usize) -> Vec<T> {
        let all = lock(&self.all);
        let (all, waited) = self
            .changed
            .wait_timeout_while(all, WAIT_MAX, |all| all.len() < count)
            .unwrap_or_else(PoisonError::into_inner);
        assert!(
            !waited.timed_out(),
            "{} requests came, {count} were expected",
            all.len()
        );
        all.clone()
    }
}

/// A test that panicked while it held a lock has failed already; the others go on.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
