//! Scopes: who may have a secret.

use std::fmt;
use std::str::FromStr;

/// The longest server or instance id inside a scope, in bytes.
pub const SCOPE_ID_BYTES_MAX: usize = 128;

/// Who may have a secret. Nothing crosses a scope without a binding.
///
/// Written as `user`, `mcp/<server>` or `instance/<id>`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// The person's own tokens and cloud credentials.
    User,
    /// One MCP server.
    Mcp(Box<str>),
    /// One opened app.
    Instance(Box<str>),
}

/// Why a text is not a scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScopeError {
    /// The part before the slash is none of the known ones.
    #[error("a scope is `user`, `mcp/<server>` or `instance/<id>`")]
    Unknown,
    /// The id is empty, too long, or holds a character that is not allowed.
    #[error(
        "the id in a scope has 1 to {SCOPE_ID_BYTES_MAX} letters, digits, '.', '_' or '-', and begins with a letter or digit"
    )]
    Id,
}

impl FromStr for Scope {
    type Err = ScopeError;

    fn from_str(text: &str) -> Result<Self, ScopeError> {
        match text.split_once('/') {
            None if text == "user" => Ok(Self::User),
            Some(("mcp", id)) => Ok(Self::Mcp(checked_id(id)?)),
            Some(("instance", id)) => Ok(Self::Instance(checked_id(id)?)),
            _ => Err(ScopeError::Unknown),
        }
    }
}

fn checked_id(id: &str) -> Result<Box<str>, ScopeError> {
    let begins_well = id
        .bytes()
        .next()
        .is_some_and(|byte| byte.is_ascii_alphanumeric());
    let holds_well = id
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    if begins_well && holds_well && id.len() <= SCOPE_ID_BYTES_MAX {
        Ok(id.into())
    } else {
        Err(ScopeError::Id)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User => f.pad("user"),
            Self::Mcp(id) => f.pad(&format!("mcp/{id}")),
            Self::Instance(id) => f.pad(&format!("instance/{id}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_have_one_spelling() {
        let check = |text: &str, expect: Result<Scope, ScopeError>| {
            assert_eq!(text.parse::<Scope>(), expect, "{text:?}");
            if let Ok(scope) = expect {
                assert_eq!(scope.to_string(), text);
            }
        };
        check("user", Ok(Scope::User));
        check("mcp/github", Ok(Scope::Mcp("github".into())));
        check(
            "instance/7f3a.b-c_d",
            Ok(Scope::Instance("7f3a.b-c_d".into())),
        );
        check("", Err(ScopeError::Unknown));
        check("User", Err(ScopeError::Unknown));
        check("user/x", Err(ScopeError::Unknown));
        check("mcp", Err(ScopeError::Unknown));
        check("mcp/", Err(ScopeError::Id));
        check("mcp/..", Err(ScopeError::Id));
        check("mcp/a/b", Err(ScopeError::Id));
        check("instance/a b", Err(ScopeError::Id));
        check(&format!("mcp/{}", "a".repeat(129)), Err(ScopeError::Id));
    }
}
