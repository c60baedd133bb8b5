//! What the operating system keeps for the vault, against the real thing.

mod kernel_keyring;
mod keychain;
