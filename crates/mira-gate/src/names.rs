//! Names and the addresses that stand for them inside of a room: `198.18.0.0/15`, which nothing on the internet uses (RFC 2544).
