//! Trying what is saved: a provider with the key that the vault has for it, AWS with its credentials and the region that is set.

use mira_secret::{Kind, Scope, SecretName, SecretValue};
use mira_vault::{AWS_CREDENTIALS, AwsCredentials, Entry, Vault};

use crate::aws::{self, Report, Trial};
use crate::provider::{Provider, Working, test};
use crate::{Caller, Fault};
use mira_vault::settings::BaseUrl;
use mira_vault::settings::{ModelName, Region};

/// Returns the name under which the credentials of AWS are saved.
#[must_use]
pub fn credentials_name() -> SecretName {
    let name = AWS_CREDENTIALS.parse();
    name.expect("it is made of capital letters and an underscore")
}

/// Returns the entry of the saved credentials of AWS.
#[must_use]
pub fn credentials(vault: &Vault) -> Option<&Entry> {
    let entry = vault.find(&Scope::User, &credentials_name());
    entry.filter(|entry| entry.kind() == Kind::AwsCredentials)
}

/// What a provider is called with.
#[derive(Debug)]
pub enum Key {
    /// A key of its own; nothing where it needs none.
    Own(Option<SecretValue>),
    /// Credentials of AWS.
    Aws {
        /// The credentials.
        credentials: Box<AwsCredentials>,
        /// Where they are used.
        region: Region,
        /// Another address than AWS's own.
        endpoint: Option<BaseUrl>,
    },
}

/// What came of a try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Of a provider.
    Provider(Result<Working, Fault>),
    /// Of AWS, in a region.
    Bedrock(Report, Region),
}

/// Tries a provider.
pub async fn try_out(
    caller: &Caller,
    provider: &Provider,
    key: &Key,
    model: Option<&ModelName>,
) -> Outcome {
    match key {
        Key::Own(key) => Outcome::Provider(test(caller, provider, key.as_ref(), model).await),
        Key::Aws {
            credentials,
            region,
            endpoint,
        } => {
            let trial = Trial {
                credentials,
                region,
                endpoint: endpoint.as_ref(),
                model,
            };
            Outcome::Bedrock(aws::test(caller, &trial).await, region.clone())
        }
    }
}

impl Outcome {
    /// Returns what was wrong.
    #[must_use]
    pub fn faults(&self) -> Vec<&Fault> {
        match self {
            Self::Provider(outcome) => outcome.as_ref().err().into_iter().collect(),
            Self::Bedrock(report, _) => report.faults().collect(),
        }
    }

    /// Returns how many models there are, where that was answered.
    #[must_use]
    pub fn models(&self) -> Option<usize> {
        match self {
            Self::Provider(outcome) => outcome.as_ref().ok().map(|working| working.models),
            Self::Bedrock(report, _) => report.bedrock.as_ref()?.as_ref().ok().copied(),
        }
    }

    /// Returns what came of it, in a line.
    #[must_use]
    pub fn says(&self) -> String {
        let faults: Vec<String> = self.faults().iter().map(ToString::to_string).collect();
        match faults.is_empty() {
            true => match self.models() {
                Some(1) => "1 model".to_owned(),
                models => format!("{} models", models.unwrap_or_default()),
            },
            false => faults.join("; "),
        }
    }
}
