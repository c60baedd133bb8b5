//! App packages: the manifest, the archive, its signature, its sealed secrets.

pub mod archive;
pub mod digest;
pub mod guess;
pub mod manifest;
pub mod path;
pub mod sealed;
pub mod signature;
pub mod trust;
pub mod unpacked;
