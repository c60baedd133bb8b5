//! The shared store, each test in a home's file and in a Postgres.

mod api_tokens;
mod audit;
mod ground;
mod identities;
mod hooks;
mod opening;
mod privacy;
mod sessions;
mod throttle;
mod together;
mod users;
