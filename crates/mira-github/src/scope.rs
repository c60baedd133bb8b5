//! What a token is for: one installation, one repository, some permissions.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// Permissions by GitHub's names, each with `read`, `write` or `admin`.
pub type Permissions = BTreeMap<String, String>;

/// What a token is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Scope {
    /// The installation's number.
    pub installation: u64,
    /// The one repository.
    pub repository: Repository,
    /// What may be done there.
    pub permissions: Permissions,
}

/// A repository by its full name, `owner/name`: in lower case, for GitHub makes no difference.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Repository {
    full_name: Box<str>,
    slash: usize,
}

/// A text is no full name of a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a repository is named by its owner and its name, such as octo-org/hello-world")]
pub struct RepositoryError;

impl Repository {
    /// Returns the owner.
    #[must_use]
    pub fn owner(&self) -> &str {
        self.full_name.get(..self.slash).unwrap_or_default()
    }

    /// Returns the name within the owner's.
    #[must_use]
    pub fn name(&self) -> &str {
        self.full_name.get(self.slash + 1..).unwrap_or_default()
    }
}

impl FromStr for Repository {
    type Err = RepositoryError;

    fn from_str(text: &str) -> Result<Self, RepositoryError> {
        // LIMIT: GitHub's names have 39 and 100 characters; Enterprise's no more.
        const PART_CHARACTERS_MAX: usize = 100;
        let is_part = |part: &str| {
            let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            (1..=PART_CHARACTERS_MAX).contains(&part.len())
                && part.bytes().all(fits)
                && !matches!(part, "." | "..")
        };
        let (owner, name) = text.split_once('/').ok_or(RepositoryError)?;
        match is_part(owner) && is_part(name) {
            true => Ok(Self {
                full_name: text.to_ascii_lowercase().into(),
                slash: owner.len(),
            }),
            false => Err(RepositoryError),
        }
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.full_name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_has_an_owner_and_a_name() {
        let repository: Repository = "Octo-Org/Hello.World".parse().unwrap();
        assert_eq!(
            (repository.owner(), repository.name()),
            ("octo-org", "hello.world")
        );
        for none in [
            "", "a", "a/", "/b", "a/b/c", "a/..", "../b", "a/b%2f", "a b/c",
        ] {
            assert_eq!(none.parse::<Repository>(), Err(RepositoryError), "{none}");
        }
    }
}
