//! What the transport has to know of a client's message; all else of it passes unread.

use serde_json::{Value, json};

/// A message of the client, as it wrote it.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) line: Vec<u8>,
    pub(super) id: Option<Value>,
    pub(super) method: Option<String>,
    /// What is called: a tool, a prompt, a resource.
    pub(super) name: Option<String>,
    /// The protocol's version, where the message says it: from 2026-07-28 on each request does.
    pub(super) version: Option<String>,
    /// Whether it is a list of messages, as of 2025-03-26.
    is_batch: bool,
}

impl Message {
    /// Reads a line; `None` if it is no JSON text.
    pub(super) fn parse(line: Vec<u8>) -> Option<Self> {
        let message: Value = serde_json::from_slice(&line).ok()?;
        let text = |path: &str| message.pointer(path)?.as_str().map(ToOwned::to_owned);
        let method = text("/method");
        let name = match method.as_deref() {
            Some("tools/call" | "prompts/get") => text("/params/name"),
            Some("resources/read" | "resources/subscribe" | "resources/unsubscribe") => {
                text("/params/uri")
            }
            Some("tasks/get" | "tasks/update" | "tasks/cancel") => text("/params/taskId"),
            _ => None,
        };
        Some(Self {
            id: message.get("id").filter(|id| !id.is_null()).cloned(),
            version: text("/params/_meta/io.modelcontextprotocol~1protocolVersion"),
            method,
            name,
            is_batch: message.is_array(),
            line,
        })
    }

    pub(super) fn is_initialize(&self) -> bool {
        self.method.as_deref() == Some("initialize") && self.id.is_some()
    }

    /// Returns whether the server is to answer.
    pub(super) fn is_request(&self) -> bool {
        self.is_batch || (self.method.is_some() && self.id.is_some())
    }
}

/// Returns whether a message of the server answers the request of this id.
pub(super) fn answers(text: &str, id: &Value) -> bool {
    let parsed: Option<Value> = serde_json::from_str(text).ok();
    parsed.is_some_and(|message| message.get("method").is_none() && message.get("id") == Some(id))
}

/// Returns an answer that says why there is no other. The code is in the range that JSON-RPC 2.0 leaves to servers.
pub(super) fn error(id: &Value, text: &str) -> String {
    json!({"jsonrpc": "2.0", "id": id, "error": {"code": -32000, "message": text}}).to_string()
}
