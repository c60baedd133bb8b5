//! The package's integration tests: one binary, one module a subject.

mod common;
mod hostile;
mod packing;
mod sealed;
mod signature;
mod unpacked;
