//! What MCP servers and their clients are promised.

mod messages;
