//! App packages: the manifest, the archive, its signature, its sealed secrets.

pub mod manifest;
