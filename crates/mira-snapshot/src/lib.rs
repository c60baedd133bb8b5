//! Snapshots of an instance's state.
