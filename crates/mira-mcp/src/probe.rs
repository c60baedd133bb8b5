//! Asks a server who it is and what it can do, as a client would.

use std::time::Duration;

use rmcp::ServiceExt;
use rmcp::service::{ClientInitializeError, ServiceError};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

/// What a server said of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The version of the protocol that was agreed on.
    pub protocol: String,
    /// The names of its tools.
    pub tools: Vec<String>,
}

/// Why a server said nothing of the kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProbeError {
    /// It did not answer in time.
    #[error("it did not answer within {0:?}")]
    TimedOut(Duration),
    /// It ended, or closed its output.
    #[error("it ended before it answered")]
    Ended,
    /// It answered with an error.
    #[error("{0}")]
    Refused(String),
    /// It answered with something else.
    #[error("it does not speak MCP as it should: {0}")]
    Protocol(String),
}

/// Greets a server on its two streams and asks for its tools.
///
/// # Errors
///
/// It did not answer both in `wait`, or not as the protocol has it.
pub async fn ask(
    output: impl AsyncRead + Send + Unpin + 'static,
    input: impl AsyncWrite + Send + Unpin + 'static,
    wait: Duration,
) -> Result<Found, ProbeError> {
    timeout(wait, ask_now(output, input))
        .await
        .unwrap_or(Err(ProbeError::TimedOut(wait)))
}

async fn ask_now(
    output: impl AsyncRead + Send + Unpin + 'static,
    input: impl AsyncWrite + Send + Unpin + 'static,
) -> Result<Found, ProbeError> {
    let server =
        ().serve((output, input))
            .await
            .map_err(|error| match error {
                ClientInitializeError::ConnectionClosed(_)
                | ClientInitializeError::TransportError { .. } => ProbeError::Ended,
                ClientInitializeError::JsonRpcError(error) => {
                    ProbeError::Refused(error.message.into_owned())
                }
                other => ProbeError::Protocol(other.to_string()),
            })?;
    let info = server
        .peer_info()
        .ok_or_else(|| ProbeError::Protocol("it did not introduce itself".to_owned()))?;
    let tools = match info.capabilities.tools {
        None => Vec::new(),
        Some(_) => server.list_all_tools().await.map_err(|error| match error {
            ServiceError::McpError(error) => ProbeError::Refused(error.message.into_owned()),
            ServiceError::TransportClosed => ProbeError::Ended,
            other => ProbeError::Protocol(other.to_string()),
        })?,
    };
    let (name, version) = match &info.server_info {
        Some(server) => (server.name.clone(), server.version.clone()),
        None => Default::default(),
    };
    let found = Found {
        name,
        version,
        protocol: info.protocol_version.to_string(),
        tools: tools
            .into_iter()
            .map(|tool| tool.name.into_owned())
            .collect(),
    };
    // Its streams close with that; whether it liked the goodbye is its own business.
    drop(server.cancel().await);
    Ok(found)
}
