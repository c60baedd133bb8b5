//! Asks a server who it is and what it can do, as a client would.
//!
//! INVARIANT: what a server says of itself, and what it says besides, is one line each, without what moves a terminal's cursor.

use std::time::Duration;

use rmcp::ServiceExt;
use rmcp::service::{ClientInitializeError, ServiceError};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::process::Child;
use tokio::time::timeout;

use crate::definition::{Definition, ServerName};

/// How much of what a server says is kept, in bytes, and how many lines of it are told.
// LIMIT: the end of what it says is what went wrong.
const SAID_BYTES_MAX: usize = 64 * 1024;
const SAID_LINES: usize = 12;

/// How long a server may take to end after its input has.
const FAREWELL: Duration = Duration::from_secs(2);

/// How long to wait for a server's answers where nobody says otherwise; a package that is fetched first takes long.
pub const PATIENCE: Duration = Duration::from_secs(60);

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

/// Why a server that was started for a test did not pass it, in the person's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failed {
    /// What is wrong.
    pub message: String,
    /// The end of what the server and Mira said of it.
    pub said: Vec<String>,
    /// The exit code with which it ended before it answered: that of `mira mcp run`.
    pub code: Option<i32>,
}

/// Tests a server that was just started as a client starts it, by `mira mcp run NAME`, so that what it says is redacted.
///
/// # Errors
///
/// It did not answer in `wait`, ended, or does not speak the protocol.
pub async fn attend(
    mut child: Child,
    name: &ServerName,
    definition: &Definition,
    wait: Duration,
) -> Result<Found, Failed> {
    let (Some(input), Some(output), Some(errors)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(Failed {
            message: format!("{name} has no streams"),
            said: Vec::new(),
            code: None,
        });
    };
    let said = tokio::spawn(read_end(errors));
    match ask(output, input, wait).await {
        Ok(found) => {
            // It is killed with its program if it takes longer.
            drop(timeout(FAREWELL, child.wait()).await);
            Ok(found)
        }
        Err(error) => {
            let status = match timeout(FAREWELL, child.wait()).await {
                Ok(status) => status.ok().and_then(|status| status.code()),
                Err(_) => None,
            };
            drop(child.start_kill());
            let said = timeout(FAREWELL, said).await;
            let said = said.ok().and_then(Result::ok).unwrap_or_default();
            Err(told(name, definition, &error, status, &said))
        }
    }
}

/// Returns the end of what a server said.
async fn read_end(mut errors: impl AsyncRead + Unpin) -> String {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    while let Ok(count @ 1..) = errors.read(&mut chunk).await {
        bytes.extend_from_slice(chunk.get(..count).unwrap_or_default());
        let over = bytes.len().saturating_sub(SAID_BYTES_MAX);
        bytes.drain(..over);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn told(
    name: &ServerName,
    definition: &Definition,
    error: &ProbeError,
    status: Option<i32>,
    said: &str,
) -> Failed {
    let code = status.filter(|_| *error == ProbeError::Ended);
    let message = match (code, error) {
        (Some(3..=5), _) => format!("{name} was not started"),
        (Some(126 | 127), _) => format!("{name} cannot be started: {}", definition.runs()),
        (Some(code), _) => format!("{name} ended with exit code {code} before it answered"),
        (None, error) => format!("{name}: {}", printable(&error.to_string())),
    };
    let lines: Vec<_> = said
        .lines()
        .map(printable)
        .filter(|line| !line.trim().is_empty())
        // The same words as an error of the protocol are told once.
        .filter(|line| !matches!(error, ProbeError::Refused(text) if line.ends_with(text.as_str())))
        .collect();
    let more = lines.len().saturating_sub(SAID_LINES);
    Failed {
        message,
        said: lines.into_iter().skip(more).collect(),
        code,
    }
}

/// A server's own words may hold what moves a terminal's cursor.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
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
        name: printable(&name),
        version: printable(&version),
        protocol: printable(&info.protocol_version.to_string()),
        tools: tools.iter().map(|tool| printable(&tool.name)).collect(),
    };
    // Its streams close with that; whether it liked the goodbye is its own business.
    drop(server.cancel().await);
    Ok(found)
}
