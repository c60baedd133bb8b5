//! The way in: ports of the user's own loopback that lead to the same ports in a room.
//!
//! Connections are made inside by sockets that were made inside. Nothing is started for it, and nothing listens but on 127.0.0.1.

use std::io;
use std::net::Ipv4Addr;
use std::sync::{Arc, Weak};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::Net;

/// How many connections of one port are open at once.
// LIMIT: a browser opens six to a host; more than this is no person.
const CONNECTIONS_MAX: usize = 512;

/// Ports that lead into a room, for as long as it lives.
#[derive(Debug, Default)]
pub(crate) struct Ingress(JoinSet<()>);

impl Ingress {
    /// Listens on ports for the programs in a room; without a room they listen themselves.
    ///
    /// # Errors
    ///
    /// Returns the port that is taken, and what the system said.
    pub(crate) async fn open(net: &Arc<Net>, ports: &[u16]) -> Result<Self, (u16, io::Error)> {
        let mut ingress = Self::default();
        if net.entrance().is_none() {
            return Ok(ingress);
        }
        for &port in ports {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await;
            let listener = listener.map_err(|error| (port, error))?;
            ingress.0.spawn(serve(listener, port, Arc::downgrade(net)));
        }
        Ok(ingress)
    }

    /// Closes the ports; when it returns, they are free.
    pub(crate) async fn close(&mut self) {
        self.0.shutdown().await;
    }
}

async fn serve(listener: TcpListener, port: u16, net: Weak<Net>) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => accepted,
        };
        let Some(net) = net.upgrade() else {
            return;
        };
        match accepted {
            Ok((stream, _)) => {
                connections.spawn(join(stream, port, net));
            }
            // Where descriptors are short, a connection that ends gives some back.
            Err(_) => {
                connections.join_next().await;
                tokio::task::yield_now().await;
            }
        }
    }
}

async fn join(mut outside: TcpStream, port: u16, net: Arc<Net>) {
    let inside = net.connect(port).await;
    // Whoever knows of the network keeps it; a connection does not.
    drop(net);
    if let Ok(mut inside) = inside {
        outside.set_nodelay(true).ok();
        inside.set_nodelay(true).ok();
        // Either side may go at any time.
        copy_bidirectional(&mut outside, &mut inside).await.ok();
    }
}
