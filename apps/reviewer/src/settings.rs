//! What the environment says: which model is asked, with which key, where rows are kept, and who may post events.
//!
//! INVARIANT: a key that is named after a service goes to that service's origin and nowhere else; what is elsewhere has a key of its own.

use crate::model::{Api, Model, TIMEOUT};
use crate::secret::Key;
use reqwest::Url;
use std::time::Duration;

const OPENROUTER: &str = "https://openrouter.ai/api/v1";

/// The services that have keys of their own, whichever API they are asked in. Under Mira these keys are placeholders, good at these origins alone.
const SERVICES: [(&str, &str); 3] = [
    ("https://openrouter.ai", "OPENROUTER_API_KEY"),
    ("https://api.openai.com", "OPENAI_API_KEY"),
    ("https://api.anthropic.com", "ANTHROPIC_API_KEY"),
];

/// The key of a service at any other address. Under Mira it is delivered as it is.
const ELSEWHERE: &str = "REVIEWER_MODEL_API_KEY";

/// The regions of Bedrock in which the manifest lets placeholders of AWS's keys be signed again: a person reads each of them before the start.
const REGIONS: [&str; 9] = [
    "us-east-1",
    "us-east-2",
    "us-west-2",
    "eu-central-1",
    "eu-west-1",
    "eu-west-3",
    "ap-northeast-1",
    "ap-south-1",
    "ap-southeast-2",
];

/// Looks a variable up; an empty one counts as not there.
pub(crate) struct Env<'a>(pub(crate) &'a dyn Fn(&str) -> Option<String>);

impl Env<'_> {
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        (self.0)(name).filter(|value| !value.is_empty())
    }

    pub(crate) fn key(&self, name: &str) -> Option<Key> {
        self.text(name).map(Key::new)
    }

    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        self.text(name)?.parse().ok()
    }

    /// Returns a number of which something depends: one that cannot be read is no default.
    pub(crate) fn count(&self, name: &'static str) -> Result<Option<u64>, SettingError> {
        let number = self.text(name).map(|text| text.trim().parse());
        number.transpose().map_err(|_| SettingError::NoNumber(name))
    }

    /// The same for a sum of money.
    pub(crate) fn money(&self, name: &'static str) -> Result<Option<f64>, SettingError> {
        let sum = self.text(name).map(|text| text.trim().parse::<f64>());
        let sum = sum.transpose().map_err(|_| SettingError::NoNumber(name))?;
        match sum {
            Some(sum) if !sum.is_finite() || sum < 0.0 => Err(SettingError::NoNumber(name)),
            other => Ok(other),
        }
    }
}

/// What is wrong with a setting.
#[derive(Debug, PartialEq, thiserror::Error)]
pub(crate) enum SettingError {
    #[error("no key for the model service: set {0}")]
    NoKey(&'static str),
    #[error(
        "REVIEWER_MODEL_API is none of openai, anthropic and bedrock; write one of them, or leave it empty for openai"
    )]
    NoApi,
    #[error(
        "REVIEWER_MODEL_BASE_URL is no address of a service; write one such as https://models.example.org/v1, or leave it empty"
    )]
    NoAddress,
    #[error(
        "keys of AWS are for Bedrock alone: leave REVIEWER_MODEL_BASE_URL empty, and write a region such as us-east-1 into AWS_REGION"
    )]
    NotBedrock,
    #[error("under Mira, keys of AWS are used in these regions alone: {}; write one of them into AWS_REGION", REGIONS.join(", "))]
    NoRegion,
    #[error("{0} is no number; give one, or leave it empty")]
    NoNumber(&'static str),
    #[error("a limit of money wants prices: set REVIEWER_PRICE_INPUT and REVIEWER_PRICE_OUTPUT")]
    NoPrices,
    #[error(
        "a limit of money wants prices of the fallback model too: set REVIEWER_PRICE_FALLBACK_INPUT and REVIEWER_PRICE_FALLBACK_OUTPUT"
    )]
    PricelessFallback,
}

impl SettingError {
    /// Returns the exit code: whether something is missing, or is there and wrong.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::NoKey(_) | Self::NoPrices | Self::PricelessFallback => 3,
            Self::NoApi
            | Self::NoAddress
            | Self::NotBedrock
            | Self::NoRegion
            | Self::NoNumber(_) => 2,
        }
    }

    /// Returns what an operator does about it who runs this under Mira, if that has a command for it.
    pub(crate) fn advice(&self, env: &Env<'_>) -> Option<String> {
        let instance = env.text(INSTANCE)?;
        match self {
            Self::NoKey(name) => Some(format!(
                "`mira secret set --instance {instance} {name}` saves one, and `mira start {instance}` begins again"
            )),
            _ => None,
        }
    }
}

/// The variable by which Mira says which instance this is.
const INSTANCE: &str = "MIRA_INSTANCE";

/// Returns what lets the model service be called, where this runs under Mira.
pub(crate) fn advice(env: &Env<'_>, model: &Model) -> Option<String> {
    let instance = env.text(INSTANCE)?;
    let url = Url::parse(&model.base_url).ok()?;
    let (host, port) = (url.host_str()?, url.port_or_known_default()?);
    Some(format!(
        "`mira net allow {instance} {host}:{port}` lets it be called, if Mira refuses it"
    ))
}

/// Returns the model service that the environment names.
///
/// # Errors
///
/// Returns [`SettingError`] where the service wants a key and there is none, or where it is no service that could be asked.
pub(crate) fn model(env: &Env<'_>, client: reqwest::Client) -> Result<Model, SettingError> {
    let needed = |name: &'static str| env.key(name).ok_or(SettingError::NoKey(name));
    let word = env.text("REVIEWER_MODEL_API");
    let word = word.as_deref().unwrap_or("openai");
    let region = env.text("AWS_REGION");
    let region = region.as_deref().unwrap_or("us-east-1");
    let (default, name) = match word {
        "openai" => (OPENROUTER.to_owned(), "anthropic/claude-sonnet-4.5"),
        "anthropic" => (
            "https://api.anthropic.com/v1".to_owned(),
            "claude-sonnet-4-5",
        ),
        "bedrock" => (
            format!("https://bedrock-runtime.{region}.amazonaws.com"),
            "anthropic.claude-sonnet-4-5-20250929-v1:0",
        ),
        _ => return Err(SettingError::NoApi),
    };
    let base_url = env.text("REVIEWER_MODEL_BASE_URL").unwrap_or(default);
    let base_url = base_url.trim_end_matches('/').to_owned();
    let origin = origin(&base_url).ok_or(SettingError::NoAddress)?;
    let service = SERVICES.iter().find(|(theirs, _)| *theirs == origin);
    let key_name = service.map_or(ELSEWHERE, |(_, name)| name);
    let api = match word {
        "bedrock" => {
            let region = region_of(&origin).ok_or(SettingError::NotBedrock)?;
            if env.text(INSTANCE).is_some() && !REGIONS.contains(&region) {
                return Err(SettingError::NoRegion);
            }
            Api::Bedrock {
                access: needed("AWS_ACCESS_KEY_ID")?,
                secret: needed("AWS_SECRET_ACCESS_KEY")?,
                session: env.key("AWS_SESSION_TOKEN"),
                region: region.to_owned(),
            }
        }
        "anthropic" => Api::Anthropic {
            key: needed(key_name)?,
        },
        // A model of one's own may want no key.
        _ if service.is_none() => Api::OpenAi {
            key: env.key(ELSEWHERE),
        },
        _ => Api::OpenAi {
            key: Some(needed(key_name)?),
        },
    };
    Ok(Model {
        client,
        api,
        base_url,
        name: env
            .text("REVIEWER_MODEL")
            .unwrap_or_else(|| name.to_owned()),
        fallback: env.text("REVIEWER_MODEL_FALLBACK"),
        timeout: env
            .count("REVIEWER_MODEL_TIMEOUT")?
            .map_or(TIMEOUT, Duration::from_secs),
        retries: env
            .count("REVIEWER_MODEL_RETRIES")?
            .map_or(2, |count| count.min(10) as u32),
        backoff: Duration::from_secs(2),
    })
}

/// Returns scheme, host and port of an address that requests can be sent to.
fn origin(url: &str) -> Option<String> {
    let url = Url::parse(url).ok()?;
    let is_web = matches!(url.scheme(), "http" | "https") && url.has_host();
    is_web.then(|| url.origin().ascii_serialization())
}

/// Returns the region of Bedrock that an origin is.
fn region_of(origin: &str) -> Option<&str> {
    let region = origin.strip_prefix("https://bedrock-runtime.")?;
    let region = region.strip_suffix(".amazonaws.com")?;
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (!region.is_empty() && region.bytes().all(is_part)).then_some(region)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the model that these variables name; keys are called as their variables.
    fn with(own: &[(&str, &str)]) -> Result<Model, SettingError> {
        let all = |name: &str| {
            let own = own.iter().find(|(known, _)| *known == name);
            let is_key = name.contains("_KEY") || name.contains("TOKEN");
            own.map(|(_, value)| (*value).to_owned())
                .or_else(|| is_key.then(|| name.to_owned()))
        };
        model(&Env(&all), crate::net::client().unwrap())
    }

    fn at(api: &str, base: &str) -> Result<String, SettingError> {
        let model = with(&[
            ("REVIEWER_MODEL_API", api),
            ("REVIEWER_MODEL_BASE_URL", base),
        ]);
        // EXPOSE: to this test; they are names.
        model.map(|model| model.keys().iter().map(Key::expose).collect())
    }

    #[test]
    fn a_key_goes_only_to_the_service_that_it_is_named_after() {
        let check = |base: &str, expect: &str| {
            for api in ["", "openai", "anthropic"] {
                assert_eq!(at(api, base).as_deref(), Ok(expect), "{api} at {base}");
            }
        };
        check("https://openrouter.ai/api/v1/", "OPENROUTER_API_KEY");
        check("https://api.openai.com/v1", "OPENAI_API_KEY");
        check("https://API.openai.com:443/v1", "OPENAI_API_KEY");
        check("https://api.anthropic.com/v1", "ANTHROPIC_API_KEY");
        for elsewhere in [
            "https://openrouter.ai.evil.test/v1",
            "https://api.openai.com@evil.test/v1",
            "https://api.openai.com:8443/v1",
            "http://api.openai.com/v1",
            "http://127.0.0.1:11434/v1",
        ] {
            check(elsewhere, "REVIEWER_MODEL_API_KEY");
        }
        assert_eq!(at("", "").as_deref(), Ok("OPENROUTER_API_KEY"));
        assert_eq!(at("anthropic", "").as_deref(), Ok("ANTHROPIC_API_KEY"));
        let none = |_: &str| None;
        assert_eq!(
            model(&Env(&none), crate::net::client().unwrap()).err(),
            Some(SettingError::NoKey("OPENROUTER_API_KEY"))
        );
    }

    #[test]
    fn keys_of_aws_sign_for_bedrock_alone() {
        let keys = "AWS_SESSION_TOKENAWS_SECRET_ACCESS_KEY";
        assert_eq!(at("bedrock", "").as_deref(), Ok(keys));
        let own = "https://bedrock-runtime.eu-west-1.amazonaws.com";
        assert_eq!(at("bedrock", own).as_deref(), Ok(keys));
        for other in [
            "https://bedrock-runtime.eu-west-1.amazonaws.com.evil.test",
            "https://bedrock-runtime.a.s3.amazonaws.com",
            "http://bedrock-runtime.eu-west-1.amazonaws.com",
            "http://127.0.0.1:8080",
        ] {
            assert_eq!(at("bedrock", other), Err(SettingError::NotBedrock));
        }
        let region = [
            ("REVIEWER_MODEL_API", "bedrock"),
            ("AWS_REGION", "x.evil.test/"),
        ];
        assert_eq!(with(&region).err(), Some(SettingError::NotBedrock));
        // Elsewhere a placeholder would be no key.
        let mut region = vec![
            ("REVIEWER_MODEL_API", "bedrock"),
            ("AWS_REGION", "af-south-1"),
        ];
        assert!(with(&region).is_ok());
        region.push(("MIRA_INSTANCE", "a1"));
        assert_eq!(with(&region).err(), Some(SettingError::NoRegion));
    }

    #[test]
    fn what_is_no_setting_is_told_and_not_taken_for_the_default() {
        assert_eq!(at("antropic", ""), Err(SettingError::NoApi));
        let said = SettingError::NoApi.to_string();
        for word in ["openai", "anthropic", "bedrock"] {
            assert!(said.contains(word), "{said}");
        }
        for base in ["models", "localhost:11434/v1", "file:///v1"] {
            assert_eq!(at("", base), Err(SettingError::NoAddress), "{base}");
        }
        for name in ["REVIEWER_MODEL_TIMEOUT", "REVIEWER_MODEL_RETRIES"] {
            assert_eq!(
                with(&[(name, "soon")]).err(),
                Some(SettingError::NoNumber(name))
            );
        }
    }

    /// Returns an entry of a list of the manifest, as its lines.
    fn declared<'a>(manifest: &'a str, name: &str) -> &'a str {
        let (_, entry) = manifest
            .split_once(&format!("- name: {name}\n"))
            .unwrap_or_else(|| panic!("the manifest has no {name}"));
        entry.split("\n  - name:").next().unwrap()
    }

    #[test]
    fn the_manifest_gives_each_key_to_the_service_that_it_is_used_at() {
        let manifest = include_str!("../mira.yaml");
        for (origin, name) in SERVICES {
            let host = origin.strip_prefix("https://").unwrap();
            let entry = declared(manifest, name);
            assert!(entry.contains("deliver: brokered"), "{entry}");
            assert!(entry.contains(&format!("hosts: [{host}]")), "{entry}");
        }
        let entry = declared(manifest, ELSEWHERE);
        assert!(
            entry.contains("deliver: env") && entry.contains("holds"),
            "{entry}"
        );
        for name in [
            "AWS_ACCESS_KEY_ID",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_SESSION_TOKEN",
        ] {
            let entry = declared(manifest, name);
            assert!(entry.contains("deliver: brokered"), "{entry}");
            let hosts = entry.split(['[', ']']).nth(1).unwrap();
            let hosts = hosts
                .split(',')
                .map(|host| format!("https://{}", host.trim()));
            let hosts: Vec<String> = hosts.collect();
            let regions: Vec<_> = hosts.iter().filter_map(|host| region_of(host)).collect();
            assert_eq!(
                (regions.as_slice(), hosts.len()),
                (&REGIONS[..], REGIONS.len())
            );
        }
        for name in [
            "AWS_REGION",
            "REVIEWER_MODEL_TIMEOUT",
            "REVIEWER_MODEL_RETRIES",
        ] {
            assert!(declared(manifest, name).contains("default:"));
        }
        assert!(declared(manifest, "REVIEWER_MODEL_BASE_URL").contains("mira net allow"));
    }
}
