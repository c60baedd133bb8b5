//! The egress gate around real instances.

mod corpus;
mod stage;
