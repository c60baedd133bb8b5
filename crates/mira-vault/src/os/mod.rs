//! What the operating system offers for keeping secrets.
//!
//! Two stores with different promises: [`keychain`] is the user's own, permanent and unlocked with the login;
//! [`kernel_keyring`] is memory of the kernel, gone with a deadline or the machine. Neither stands in for the other: each call
//! does what it says or returns a typed error, and the choice stays with the caller.

pub mod kernel_keyring;
pub mod keychain;
