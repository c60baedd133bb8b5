//! The gate as a user meets it: real clients, and real tries to get around it.

mod asked;
mod clients;
mod corpus;
mod left;
mod quiet;
mod stage;
mod street;
