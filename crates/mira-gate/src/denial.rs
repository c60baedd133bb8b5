//! What a program is told when it is refused: one text, which says what was refused, why, and what would allow it.

/// A refusal, as a program is told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// The text.
    pub text: String,
}
