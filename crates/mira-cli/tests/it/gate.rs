//! The egress gate around real instances.

mod clients;
mod quiet;
mod street;
