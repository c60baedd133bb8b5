//! The network of one command in the foreground: the gate runs on threads of this process, for as long as the command does.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mira_sandbox::Helper;
use mira_secret::{SecretName, SecretValue};
use tokio::runtime::Runtime;
use tokio::sync::broadcast::error::RecvError;

use super::{Net, Network, NetworkError, NetworkMode, system};
use crate::run::{RunRoom, without_signals};

/// How long the ends of connections may take to be recorded when the command has ended.
// LIMIT: they take microseconds; a name that is still being looked up is not waited for.
const END_WAIT: Duration = Duration::from_secs(1);

/// How many different hosts are remembered as refused.
// LIMIT: nobody reads a longer list; the record has all of them.
const REFUSED_MAX: usize = 100;

/// A command's network.
#[derive(Debug)]
pub struct CommandNetwork {
    net: Net,
    refused: Arc<Mutex<BTreeMap<(String, u16), u64>>>,
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
        let refused = Arc::new(Mutex::new(BTreeMap::new()));
        let (mut refusals, noted) = (net.gate().refusals(), Arc::clone(&refused));
        runtime.spawn(async move {
            loop {
                let refusal = match refusals.recv().await {
                    Ok(refusal) => refusal,
                    Err(RecvError::Lagged(_)) => continue,
                    Err(RecvError::Closed) => return,
                };
                let mut noted = noted.lock().unwrap_or_else(PoisonError::into_inner);
                let target = (refusal.host.to_string(), refusal.port);
                if noted.len() < REFUSED_MAX || noted.contains_key(&target) {
                    *noted.entry(target).or_default() += 1;
                }
            }
        });
        drop(entered);
        let network = Self {
            net,
            refused,
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
    /// The room is gone, or the folder that we are in.
    pub fn room(&self) -> io::Result<Option<RunRoom>> {
        self.net.new_entrance()?.map(RunRoom::new).transpose()
    }

    /// Ends it; returns what was refused: hosts, ports, and how often.
    #[must_use]
    pub fn close(self) -> Vec<(String, u16, u64)> {
        let Self {
            net,
            refused,
            runtime,
        } = self;
        drop(net);
        runtime.shutdown_timeout(END_WAIT);
        let refused = std::mem::take(&mut *refused.lock().unwrap_or_else(PoisonError::into_inner));
        let entries = refused.into_iter();
        entries
            .map(|((host, port), times)| (host, port, times))
            .collect()
    }
}
