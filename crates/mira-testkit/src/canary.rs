//! Canary sweeps: is a known value anywhere, in any spelling?
