//! Random identifiers of the vault and of its entries. They are public and say nothing about a value.

use std::fmt;
use std::str::FromStr;

use data_encoding::HEXLOWER;

use crate::crypto::{self, NoRandomness};

/// Says that a text is not an identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an identifier is 32 lower-case hexadecimal digits")]
pub struct IdError;

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        ///
        /// Written as 32 lower-case hexadecimal digits.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 16]);

        impl $name {
            pub(crate) fn make_random() -> Result<Self, NoRandomness> {
                let mut bytes = [0; 16];
                crypto::fill_random(&mut bytes)?;
                Ok(Self(bytes))
            }

            /// Returns the identifier's 16 bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                decode_hex(text).map(Self).ok_or(IdError)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                HEXLOWER.encode_display(&self.0).fmt(f)
            }
        }
    };
}

identifier! {
    /// The vault's own name: random 128 bits, chosen when it is made and never changed.
    VaultId
}

identifier! {
    /// One secret's name inside the vault: random 128 bits, kept when the value is replaced.
    EntryId
}

/// Decodes exactly `N` bytes of lower-case hexadecimal digits.
pub(crate) fn decode_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    (text.len() == 2 * N && HEXLOWER.decode_mut(text.as_bytes(), &mut bytes).is_ok())
        .then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_have_one_spelling() {
        let id = VaultId::make_random().unwrap();
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(id.to_string().len(), 32);
        assert_ne!(id, VaultId::make_random().unwrap());
        for wrong in [
            "",
            "0",
            &"0".repeat(31),
            &"0".repeat(33),
            &"A".repeat(32),
            &"g".repeat(32),
        ] {
            assert_eq!(wrong.parse::<EntryId>(), Err(IdError), "{wrong}");
        }
    }
}
