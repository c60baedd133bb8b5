//! The encrypted vault: credentials.json, scopes, key providers.

pub mod os;
