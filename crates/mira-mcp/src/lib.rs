//! MCP servers.
