//! Who has connected: which service of an instance a connection in its room is from.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::task::spawn_blocking;

/// Says which service a connection from an address is of, where it can be known.
#[derive(Clone, Default)]
pub enum Owner {
    /// Nobody can say.
    #[default]
    Unknown,
    /// There is only one.
    Only(Box<str>),
    /// It has to be looked for, which takes a moment.
    LookedFor(Arc<dyn Fn(SocketAddr) -> Option<Box<str>> + Send + Sync>),
}

impl Owner {
    /// Returns the service that has connected from an address.
    pub(crate) async fn of(&self, from: Option<SocketAddr>) -> Option<Box<str>> {
        let (Self::LookedFor(look), Some(from)) = (self, from) else {
            return self.only().map(Into::into);
        };
        let look = Arc::clone(look);
        spawn_blocking(move || look(from)).await.ok().flatten()
    }

    /// Returns the service if there is only one.
    pub(crate) fn only(&self) -> Option<&str> {
        match self {
            Self::Only(service) => Some(service),
            Self::Unknown | Self::LookedFor(_) => None,
        }
    }
}

impl fmt::Debug for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.only().unwrap_or("Owner"))
    }
}
