//! The vault's integration tests: one binary, one module a subject.

mod backends;
mod cache;
mod common;
mod keys;
mod os;
mod recovery;
mod tampering;
mod vectors;
mod writers;
