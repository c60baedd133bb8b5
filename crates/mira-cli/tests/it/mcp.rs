//! MCP servers: real ones, real clients, and Mira between them.

pub(crate) mod client;
mod crashes;
mod imports;
mod latency;
mod programs;
mod remotes;
mod sdks;
