//! Requests through the gate, over real sockets, to a host of the test's own.

mod origin;
mod refused;
mod scrubbed;
mod sent;
mod streamed;
mod tokens;
mod trusted;
mod world;
