//! What a secret becomes when it is delivered: the one place that knows that AWS credentials are several variables.

use jiff::Timestamp;
use mira_secret::{Kind, Scope, SecretName, SecretValue};

use super::Vault;
use crate::aws::{AWS_CREDENTIALS, AWS_VARIABLES, AwsCredentials};
use crate::entry::Entry;
use crate::error::VaultError;

/// A secret as a process gets it.
#[derive(Debug)]
pub struct Delivered {
    /// The variables that carry it: one of its own name, or those of [`AWS_VARIABLES`].
    pub variables: Vec<(SecretName, SecretValue)>,
    /// When it ends by itself, where that is known.
    pub expires: Option<Timestamp>,
}

impl Vault {
    /// Opens a secret as a process gets it.
    ///
    /// # Errors
    ///
    /// As [`value`](Self::value), or the value is not of its kind.
    pub fn delivered(&self, entry: &Entry) -> Result<Delivered, VaultError> {
        if entry.kind() != Kind::AwsCredentials {
            return Ok(Delivered {
                variables: vec![(entry.name().clone(), self.value(entry)?)],
                expires: None,
            });
        }
        let credentials = self.aws_credentials(entry)?;
        let variables = credentials.variables();
        Ok(Delivered {
            variables: variables.map_err(|source| VaultError::Value {
                name: entry.name().clone(),
                source,
            })?,
            expires: credentials.expires(),
        })
    }

    /// Opens AWS credentials.
    ///
    /// # Errors
    ///
    /// As [`value`](Self::value), or the secret is none of that kind.
    pub fn aws_credentials(&self, entry: &Entry) -> Result<AwsCredentials, VaultError> {
        let value = self.value(entry)?;
        AwsCredentials::from_value(&value).map_err(|source| VaultError::Aws {
            name: entry.name().clone(),
            source,
        })
    }

    /// Opens what a variable gets of a secret that it is bound to: all of it, or one part of AWS credentials; nothing if they have no
    /// such part.
    ///
    /// # Errors
    ///
    /// As [`delivered`](Self::delivered).
    pub fn value_for(
        &self,
        variable: &SecretName,
        entry: &Entry,
    ) -> Result<Option<SecretValue>, VaultError> {
        if entry.kind() != Kind::AwsCredentials {
            return self.value(entry).map(Some);
        }
        let parts = self.delivered(entry)?.variables.into_iter();
        let mut parts = parts.filter(|(name, _)| name == variable);
        Ok(parts.next().map(|(_, value)| value))
    }

    /// Returns the secret that a variable comes from: the one of its name, or the AWS credentials that it is a part of.
    ///
    /// # Errors
    ///
    /// As [`delivered`](Self::delivered).
    pub fn carrier(
        &self,
        scope: &Scope,
        variable: &SecretName,
    ) -> Result<Option<&Entry>, VaultError> {
        if let Some(entry) = self.find(scope, variable) {
            return Ok(Some(entry));
        }
        if !AWS_VARIABLES.contains(&variable.as_str()) {
            return Ok(None);
        }
        let credentials = AWS_CREDENTIALS.parse().ok();
        let entry = credentials.and_then(|name| self.find(scope, &name));
        match entry {
            Some(entry) if entry.kind() == Kind::AwsCredentials => {
                let has_part = self.value_for(variable, entry)?.is_some();
                Ok(has_part.then_some(entry))
            }
            _ => Ok(None),
        }
    }
}
