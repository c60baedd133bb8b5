//! What it costs to open the database and to work on it. Run with `cargo bench -p mira-store`.
//!
//! Each figure is the best of a few rounds; writes wait for the disk, so theirs is mostly the disk's.
fn main() {}
