//! The vault's integration tests: one binary, one module a subject.

mod os;
