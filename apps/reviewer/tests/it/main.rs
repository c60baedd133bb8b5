//! The program as people and Mira start it, against services that speak the real protocols.

mod local;
mod serve;
