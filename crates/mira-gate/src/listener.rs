//! Accepting connections, as many as there may be.
//!
//! INVARIANT: an accept loop ends only with its task, and so do the connections that it accepted.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::engine::Engine;

/// When the system has no descriptor left, accepting goes on once a connection has ended, or after this time.
// LIMIT: others of the process may have them, and do not tell when they give them back.
const FULL_TIME: Duration = Duration::from_secs(1);

/// A place for a connection; when it is given back, whoever waits for one is told.
pub(crate) struct Place {
    engine: Arc<Engine>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(self.permit.take());
        self.engine.freed.notify_waiters();
    }
}

/// Accepts connections for ever and spawns what `serve` makes of them. Those that are too many go to `full`, which takes no time.
pub(crate) async fn accept<F>(
    engine: Arc<Engine>,
    listener: TcpListener,
    serve: impl Fn(TcpStream) -> F,
    full: impl Fn(TcpStream),
) where
    F: Future<Output = ()> + Send + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        let freed = engine.freed.notified();
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        match accepted {
            Ok((stream, _)) => match Arc::clone(&engine.places).try_acquire_owned() {
                Ok(permit) => {
                    let place = Place {
                        engine: Arc::clone(&engine),
                        permit: Some(permit),
                    };
                    let served = serve(stream);
                    connections.spawn(async move {
                        let _place = place;
                        served.await;
                    });
                }
                Err(_) => full(stream),
            },
            Err(error) if is_of_one(&error) => {}
            Err(_) => {
                timeout(FULL_TIME, freed).await.ok();
            }
        }
    }
}

/// Returns whether an error is that of the connection that was to be accepted, and the next one may be well.
fn is_of_one(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}
