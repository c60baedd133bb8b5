//! A room without a network.
