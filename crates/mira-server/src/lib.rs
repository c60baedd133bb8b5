//! The supervisor's process and its API.
