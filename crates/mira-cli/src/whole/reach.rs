//! How a command calls a provider: the environment's proxies, a time, and a runtime to wait in.

use std::time::Duration;

use mira_provider::{Caller, Proxies, Reach, TIMEOUT, UnusableError};
use mira_vault::settings::BaseUrl;

use crate::error::CommandError;

/// The longest that a call may be told to wait for, in seconds.
// LIMIT: nobody waits longer for one answer; a slip of the finger is not an afternoon.
const TIMEOUT_SECONDS_MAX: u64 = 600;

/// How long a call may take.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct ReachArgs {
    /// How many seconds each call may take
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = TIMEOUT.as_secs(),
        value_parser = clap::value_parser!(u64).range(1..=TIMEOUT_SECONDS_MAX)
    )]
    timeout: u64,
}

impl ReachArgs {
    /// Prepares calls.
    pub(crate) fn caller(&self) -> Result<Caller, CommandError> {
        caller(Duration::from_secs(self.timeout))
    }
}

/// Prepares calls that may each take this long.
pub(crate) fn caller(timeout: Duration) -> Result<Caller, CommandError> {
    let reach = Reach {
        proxies: Proxies::of(|name| std::env::var(name).ok()),
        timeout,
    };
    Caller::new(reach).map_err(|error| match error {
        UnusableError::Proxy { .. } => CommandError::usage(error.to_string()),
        _ => CommandError::failed(error.to_string()),
    })
}

/// Waits for calls.
pub(crate) fn wait<T>(future: impl Future<Output = T>) -> Result<T, CommandError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let result = runtime.block_on(future);
    // A name that is still being looked up is not waited for.
    runtime.shutdown_background();
    Ok(result)
}

/// Parses an address for clap; the error does not repeat it.
pub(crate) fn parse_base_url(text: &str) -> Result<BaseUrl, String> {
    text.parse()
        .map_err(|error: mira_vault::settings::BaseUrlError| error.to_string())
}
