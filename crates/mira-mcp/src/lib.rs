//! MCP servers: what they are, the configurations of their clients, and the way to them.
//!
//! A server is defined once, in the file `mcp.json` of the home ([`definition`]), by its program or its URL and the names of its
//! secrets; the values are in the vault, in the scope `mcp/<server>`. Clients start `mira mcp run NAME`. [`config`] reads
//! and rewrites their configuration files, and [`import`] takes their servers over; [`suspect`] tells which values in them are secrets. [`bridge`] carries the
//! messages of a client to a server behind a URL, with secret headers; [`probe`] asks a server who it is.
//!
//! The crate starts no process, reads no environment and prints nothing.

pub mod bridge;
pub mod clients;
pub mod config;
pub mod definition;
pub mod import;
pub mod probe;
pub mod suspect;
