//! The shared store, each test in a home's file and in a Postgres.

mod api_tokens;
mod audit;
mod ground;
mod hooks;
mod identities;
mod opening;
mod privacy;
mod sessions;
mod throttle;
mod together;
mod users;
