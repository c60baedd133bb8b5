//! Settings: what calls need and is no secret, in one file of the home, `settings.json`.
//!
//! The AWS region, the App on GitHub, and for each provider its address, the name of its key, and the model. INVARIANT: the file's schema is closed, and
//! an address in it holds no password.

mod url;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use mira_secret::SecretName;
use serde::{Deserialize, Serialize};

use crate::home::Home;
use crate::private_file::{self, FileError};

pub use url::{BaseUrl, BaseUrlError, is_loopback};

/// The longest file, in bytes.
// LIMIT: a hundred providers take a tenth of it.
const FILE_BYTES_MAX: u64 = 256 * 1024;
/// The longest name of a provider, a region or a model, in characters.
// LIMIT: keeps listings readable; AWS's longest model names, ARNs, have fewer.
const WORD_CHARS_MAX: usize = 256;

const FORMAT: &str = "mira-settings/1";

/// What is set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// The region of the AWS credentials.
    pub aws_region: Option<Region>,
    /// The App on GitHub, if there is one.
    pub github: Option<GithubSettings>,
    /// The providers that something is set for.
    pub providers: BTreeMap<ProviderName, ProviderSettings>,
}

/// What is set for GitHub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GithubSettings {
    /// The number of the App.
    pub app_id: u64,
    /// Where the API is, if it is not github.com's.
    pub api_url: Option<BaseUrl>,
}

/// What is set for a provider.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProviderSettings {
    /// Where its API is.
    pub base_url: Option<BaseUrl>,
    /// The secret of scope `user` that is its key.
    pub key: Option<SecretName>,
    /// The model that is used.
    pub model: Option<ModelName>,
}

/// Why settings are not read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// The file is not as it must be.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file is not one of settings.
    #[error(
        "{path} is not one of Mira's settings ({why}); mend it, or remove it and set them anew"
    )]
    Format {
        /// The file.
        path: String,
        /// What is wrong.
        why: String,
    },
}

/// A text is not what it should name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WordError {
    /// It is no region.
    #[error("a region is a word such as us-east-1 or eu-central-1")]
    Region,
    /// It is no name of a provider.
    #[error(
        "a provider's name is made of lower-case letters, digits and hyphens, and begins with a letter"
    )]
    Provider,
    /// It is no name of a model.
    #[error(
        "a model's name is one word, such as gpt-5-mini or anthropic.claude-sonnet-4-5-20250929-v1:0"
    )]
    Model,
}

/// Makes a checked word.
macro_rules! word {
    ($(#[$doc:meta])* $name:ident, $error:ident, $is:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Box<str>);

        impl $name {
            /// Returns it as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = WordError;

            fn from_str(text: &str) -> Result<Self, WordError> {
                let is: fn(&str) -> bool = $is;
                match text.chars().count() <= WORD_CHARS_MAX && is(text) {
                    true => Ok(Self(text.into())),
                    false => Err(WordError::$error),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

word!(
    /// A region of AWS. It becomes a part of host names, so nothing else passes.
    Region,
    Region,
    |text| {
        let parts: Vec<&str> = text.split('-').collect();
        let is_word = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase());
        let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        match parts.as_slice() {
            [words @ .., number] => words.len() >= 2 && words.iter().all(|word| is_word(word)) && is_number(number),
            [] => false,
        }
    }
);

word!(
    /// The name of a provider.
    ProviderName,
    Provider,
    |text| {
        let holds_well = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        text.starts_with(|first: char| first.is_ascii_lowercase()) && text.bytes().all(holds_well)
    }
);

word!(
    /// The name of a model, as its provider spells it.
    ModelName,
    Model,
    |text| {
        let holds_well = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:/@+".contains(&byte);
        !text.is_empty() && text.bytes().all(holds_well)
    }
);

/// The file.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    format: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    aws: Option<AwsWire>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    github: Option<GithubWire>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    providers: BTreeMap<String, ProviderWire>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct AwsWire {
    region: String,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct GithubWire {
    app_id: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    api_url: Option<String>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct ProviderWire {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    base_url: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    model: Option<String>,
}

impl Settings {
    /// Reads the home's settings; where there are none, nothing is set.
    ///
    /// # Errors
    ///
    /// The file is not to be trusted, or is not one of settings.
    pub fn read(home: &Home) -> Result<Self, SettingsError> {
        let path = home.settings();
        match private_file::read(&path, FILE_BYTES_MAX) {
            Err(FileError::Missing { .. }) => Ok(Self::default()),
            bytes => Self::parse(home, &bytes?),
        }
    }

    /// Changes the home's settings, under the file's lock and in one step.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read), or the file cannot be written; it is as it was then.
    pub fn update(home: &Home, change: impl FnOnce(&mut Self)) -> Result<(), SettingsError> {
        home.create()?;
        private_file::update(&home.settings(), FILE_BYTES_MAX, |found| {
            let mut settings = match found {
                Some(bytes) => Self::parse(home, &bytes)?,
                None => Self::default(),
            };
            change(&mut settings);
            Ok((settings.to_bytes(), ()))
        })
    }

    fn parse(home: &Home, bytes: &[u8]) -> Result<Self, SettingsError> {
        let wrong = |why: &dyn fmt::Display| SettingsError::Format {
            path: home.settings().display().to_string(),
            why: why.to_string(),
        };
        let wire: Wire = serde_json::from_slice(bytes).map_err(|error| wrong(&error))?;
        if wire.format != FORMAT {
            return Err(wrong(&format_args!("its format is not `{FORMAT}`")));
        }
        let mut settings = Self::default();
        if let Some(aws) = wire.aws {
            settings.aws_region = Some(
                aws.region
                    .parse()
                    .map_err(|error: WordError| wrong(&error))?,
            );
        }
        if let Some(github) = wire.github {
            let api_url = github.api_url.map(|text| text.parse()).transpose();
            settings.github = Some(GithubSettings {
                app_id: github.app_id,
                api_url: api_url.map_err(|error: BaseUrlError| wrong(&error))?,
            });
        }
        for (name, provider) in wire.providers {
            let name = name.parse().map_err(|error: WordError| wrong(&error))?;
            let base_url = provider.base_url.map(|text| text.parse()).transpose();
            let key = provider.key.map(|text| text.parse()).transpose();
            let model = provider.model.map(|text| text.parse()).transpose();
            let provider = ProviderSettings {
                base_url: base_url.map_err(|error: BaseUrlError| wrong(&error))?,
                key: key.map_err(|error: mira_secret::NameError| wrong(&error))?,
                model: model.map_err(|error: WordError| wrong(&error))?,
            };
            settings.providers.insert(name, provider);
        }
        Ok(settings)
    }

    fn to_bytes(&self) -> Vec<u8> {
        let providers = self.providers.iter().map(|(name, provider)| {
            let wire = ProviderWire {
                base_url: provider.base_url.as_ref().map(ToString::to_string),
                key: provider.key.as_ref().map(ToString::to_string),
                model: provider.model.as_ref().map(ToString::to_string),
            };
            (name.to_string(), wire)
        });
        let wire = Wire {
            format: FORMAT.to_owned(),
            aws: self.aws_region.as_ref().map(|region| AwsWire {
                region: region.to_string(),
            }),
            github: self.github.as_ref().map(|github| GithubWire {
                app_id: github.app_id,
                api_url: github.api_url.as_ref().map(ToString::to_string),
            }),
            providers: providers.collect(),
        };
        let mut bytes = serde_json::to_vec_pretty(&wire).expect("text can be written to memory");
        bytes.push(b'\n');
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home() -> (tempfile::TempDir, Home) {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::new(folder.path().join("mira"));
        home.create().unwrap();
        (folder, home)
    }

    fn put(home: &Home, text: &str) {
        private_file::create(&home.settings(), text.as_bytes()).unwrap();
    }

    #[test]
    fn what_is_set_is_read_again() {
        let (_folder, home) = home();
        assert_eq!(Settings::read(&home).unwrap(), Settings::default());
        Settings::update(&home, |settings| {
            settings.aws_region = Some("eu-central-1".parse().unwrap());
        })
        .unwrap();
        let github = GithubSettings {
            app_id: 7,
            api_url: Some("https://git.example.org/api/v3".parse().unwrap()),
        };
        Settings::update(&home, |settings| settings.github = Some(github.clone())).unwrap();
        let provider = ProviderSettings {
            base_url: Some("https://api.example.com/v1".parse().unwrap()),
            key: Some("EXAMPLE_API_KEY".parse().unwrap()),
            model: Some("small".parse().unwrap()),
        };
        Settings::update(&home, |settings| {
            let name = "example".parse().unwrap();
            settings.providers.insert(name, provider.clone());
        })
        .unwrap();
        let settings = Settings::read(&home).unwrap();
        assert_eq!(settings.aws_region.unwrap().as_str(), "eu-central-1");
        assert_eq!(settings.github, Some(github));
        assert_eq!(
            settings.providers.into_values().collect::<Vec<_>>(),
            [provider]
        );
    }

    #[test]
    fn a_file_with_anything_else_in_it_is_refused() {
        let check = |text: &str, says: &str| {
            let (_folder, home) = home();
            put(&home, text);
            let told = Settings::read(&home).unwrap_err().to_string();
            assert!(told.contains(says), "{text}: {told}");
            assert!(told.contains("settings.json"), "{told}");
            Settings::update(&home, |_| {}).unwrap_err();
            let kept = std::fs::read_to_string(home.settings()).unwrap();
            assert_eq!(kept, text, "a file that is not understood is left alone");
        };
        check("", "EOF");
        check(r#"{"format":"mira-settings/2"}"#, "format");
        check(
            r#"{"format":"mira-settings/1","api_key":"sk-1"}"#,
            "unknown field",
        );
        check(
            r#"{"format":"mira-settings/1","aws":{"region":"evil.example/"}}"#,
            "region",
        );
        check(
            r#"{"format":"mira-settings/1","providers":{"x":{"base_url":"https://u:p@h"}}}"#,
            "user, password",
        );
    }

    #[test]
    fn words_are_what_they_name() {
        let check = |text: &str, region: bool, provider: bool, model: bool| {
            assert_eq!(text.parse::<Region>().is_ok(), region, "{text}");
            assert_eq!(text.parse::<ProviderName>().is_ok(), provider, "{text}");
            assert_eq!(text.parse::<ModelName>().is_ok(), model, "{text}");
        };
        check("eu-central-1", true, true, true);
        check("us-gov-west-1", true, true, true);
        check("openai", false, true, true);
        check("us-east-1.evil.example", false, false, true);
        check("anthropic.claude-3:0", false, false, true);
        check("a b", false, false, false);
        check("", false, false, false);
        check(&"a".repeat(257), false, false, false);
    }
}
