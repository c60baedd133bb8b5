//! The network of one command in the foreground: the gate runs on threads of this process, for as long as the command does.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::time::Duration;

use mira_gate::Refused;
use mira_sandbox::Helper;
use mira_secret::{SecretName, SecretValue};
use tokio::runtime::Runtime;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, oneshot};
use tokio::task::JoinHandle;

use super::{Net, Network, NetworkError, NetworkMode, system};
use mira_run::{RoomError, RunRoom, without_signals};

/// How long the ends of connections may take to be recorded when the command has ended.
// LIMIT: they take microseconds; a name that is still being looked up is not waited for.
const END_WAIT: Duration = Duration::from_secs(1);

/// How many different hosts are remembered as refused.
// LIMIT: nobody reads a longer list; the record has all of them.
const REFUSED_MAX: usize = 100;

/// Hosts and ports that were refused, and how often.
type Noted = BTreeMap<(String, u16), u64>;

/// A command's network.
#[derive(Debug)]
pub struct CommandNetwork {
    net: Net,
    /// Tells the one that notes refusals that there will be no more.
    ended: oneshot::Sender<()>,
    noting: JoinHandle<Noted>,
    runtime: Runtime,
}

impl CommandNetwork {
    /// Makes it; `values` are those of the brokered secrets.
    ///
    /// # Errors
    ///
    /// Says what cannot be: the command is not to be started then.
    pub fn open<'a>(
        spec: &Network,
        values: impl Fn(&SecretName) -> Option<&'a SecretValue>,
        helper: &Helper,
    ) -> Result<(Self, NetworkMode), NetworkError> {
        // Signals are for the thread that runs the command.
        let runtime = without_signals(|| {
            tokio::runtime::Builder::new_multi_thread()
                // LIMIT: one of them is enough for gigabits; the other answers while it is busy.
                .worker_threads(2)
                .enable_all()
                .build()
        });
        let runtime = runtime.map_err(system("threads"))?;
        let entered = runtime.enter();
        let (net, mode) = Net::open(spec, values, helper)?;
        let (ended, has_ended) = oneshot::channel();
        let noting = runtime.spawn(note(net.gate().refusals(), has_ended));
        drop(entered);
        let network = Self {
            net,
            ended,
            noting,
            runtime,
        };
        Ok((network, mode))
    }

    /// Returns the variables by which the command finds the gate, and trusts it.
    #[must_use]
    pub fn variables(&self) -> Vec<(OsString, OsString)> {
        self.net.variables()
    }

    /// Returns the room to run the command in, if there is one.
    ///
    /// # Errors
    ///
    /// The room is gone, or the folder that we are in; or one of our standard streams leads out of it.
    pub fn room(&self) -> Result<Option<RunRoom>, RoomError> {
        self.net.new_entrance()?.map(RunRoom::new).transpose()
    }

    /// Ends it; returns what was refused: hosts, ports, and how often.
    #[must_use]
    pub fn close(self) -> Vec<(String, u16, u64)> {
        let Self {
            net,
            ended,
            noting,
            runtime,
        } = self;
        drop(ended);
        let refused = runtime.block_on(noting).unwrap_or_default();
        drop(net);
        runtime.shutdown_timeout(END_WAIT);
        let entries = refused.into_iter();
        entries
            .map(|((host, port), times)| (host, port, times))
            .collect()
    }
}

/// Notes what is refused until the command has ended, and all of that.
async fn note(
    mut refusals: broadcast::Receiver<Refused>,
    mut ended: oneshot::Receiver<()>,
) -> Noted {
    let mut noted = Noted::new();
    loop {
        let refusal = tokio::select! {
            // What was refused before the end is taken before the end is.
            biased;
            refusal = refusals.recv() => refusal,
            _ = &mut ended => return noted,
        };
        let refusal = match refusal {
            Ok(refusal) => refusal,
            Err(RecvError::Lagged(_)) => continue,
            Err(RecvError::Closed) => return noted,
        };
        let target = (refusal.host.to_string(), refusal.port);
        if noted.len() < REFUSED_MAX || noted.contains_key(&target) {
            *noted.entry(target).or_default() += 1;
        }
    }
}
