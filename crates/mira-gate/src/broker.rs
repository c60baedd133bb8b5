//! Brokered secrets: what the program has in their place, and where the values go.

#[cfg_attr(
    not(test),
    expect(dead_code, reason = "the part that forwards requests calls it")
)]
pub(crate) mod aws;
mod placeholder;

pub use placeholder::placeholder;
