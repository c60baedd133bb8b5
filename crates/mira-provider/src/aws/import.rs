//! Where AWS credentials come from: the files of AWS's own tools, and what those tools print.
//!
//! It reads no file: it is given what is in them. Files and their keys are described in the AWS SDKs and Tools Reference Guide.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use std::borrow::Cow;

use ini::{Ini, ParseOption, Properties};
use jiff::{SignedDuration, Timestamp};
use mira_secret::SecretBytes;
use mira_vault::{AwsCredentials, AwsCredentialsError};
use serde::Deserialize;
use zeroize::{Zeroize, Zeroizing};

use mira_vault::settings::Region;

/// The longest input or file of AWS's tools, in bytes.
// LIMIT: a file of a hundred profiles has a tenth of it.
pub const INPUT_BYTES_MAX: u64 = 256 * 1024;

/// The profile that is meant where none is named.
const DEFAULT: &str = "default";

/// Credentials, and the region that they came with.
#[derive(Debug)]
pub struct Imported {
    /// The credentials.
    pub credentials: AwsCredentials,
    /// The region, if one was there.
    pub region: Option<Region>,
}

/// Reads when a session token ends: a time such as `2026-11-24T07:05:09Z`, or how long from `now`, such as `12h`.
#[must_use]
pub fn parse_expiry(text: &str, now: Timestamp) -> Option<Timestamp> {
    let from_now = || now.checked_add(text.parse::<SignedDuration>().ok()?).ok();
    text.parse().ok().or_else(from_now)
}

/// What is in the files of AWS's tools; nothing of a file that is not there.
#[derive(Debug, Default)]
pub struct Files {
    /// `~/.aws/credentials`.
    pub credentials: Option<SecretBytes>,
    /// `~/.aws/config`.
    pub config: Option<SecretBytes>,
}

/// A file of AWS's tools cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {}: {source}", path.display())]
pub struct FilesError {
    /// The file.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

impl Files {
    /// Reads those that variables name, or those in `.aws` of the person's folder.
    ///
    /// # Errors
    ///
    /// One is there and cannot be read.
    pub fn read(
        variable: impl Fn(&str) -> Option<OsString>,
        home: Option<&Path>,
    ) -> Result<Self, FilesError> {
        let file = |named: &str, name: &str| {
            let named = variable(named).filter(|path| !path.is_empty());
            let own = || Some(home?.join(".aws").join(name));
            let Some(path) = named.map(PathBuf::from).or_else(own) else {
                return Ok(None);
            };
            match read_whole(&path) {
                Ok(text) => Ok(Some(text)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(source) => Err(FilesError { path, source }),
            }
        };
        Ok(Self {
            credentials: file("AWS_SHARED_CREDENTIALS_FILE", "credentials")?,
            config: file("AWS_CONFIG_FILE", "config")?,
        })
    }
}

fn read_whole(path: &Path) -> io::Result<SecretBytes> {
    let mut plain = Vec::with_capacity(usize::try_from(INPUT_BYTES_MAX).unwrap_or(0) + 1);
    let read = File::open(path)?
        .take(INPUT_BYTES_MAX + 1)
        .read_to_end(&mut plain);
    let text = SecretBytes::from_vec(plain);
    match read? as u64 > INPUT_BYTES_MAX {
        true => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("it is longer than {INPUT_BYTES_MAX} bytes"),
        )),
        false => Ok(text),
    }
}

/// Why there are no credentials. No variant holds a part of one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// It is neither JSON nor INI.
    #[error(
        "{of} cannot be read: line {line} is neither JSON, as AWS's tools print it, nor a line of a profile, such as `region = eu-west-1`"
    )]
    Format {
        /// Which input or file.
        of: &'static str,
        /// The line.
        line: usize,
    },
    /// It is not UTF-8.
    #[error("{of} is no text")]
    NotText {
        /// Which input or file.
        of: &'static str,
    },
    /// A part is not there.
    #[error("there is no {part} in {of}")]
    Part {
        /// The part.
        part: &'static str,
        /// Which input or profile.
        of: String,
    },
    /// There is no such profile.
    #[error("there is no profile {name}; there are: {}", if known.is_empty() { "none" } else { known })]
    NoProfile {
        /// The name that was asked for.
        name: String,
        /// Those that are there.
        known: String,
    },
    /// The profile gets its keys elsewhere.
    #[error(
        "the profile {name} has no keys of its own: AWS's tools get them by its `{by}`; this takes them: aws configure export-credentials --profile {name} | mira aws set --stdin"
    )]
    Elsewhere {
        /// The profile.
        name: String,
        /// The setting that says so.
        by: &'static str,
    },
    /// The time is none.
    #[error("the time of expiry is none, such as 2026-11-24T07:05:09Z")]
    Expires,
    /// The region is none.
    #[error("the region of the profile is none, such as us-east-1")]
    Region,
    /// A part has not its shape.
    #[error(transparent)]
    Shape(#[from] AwsCredentialsError),
}

/// Reads credentials from what AWS's tools print: the JSON of `aws sts get-session-token`, of `aws configure export-credentials` or of a
/// `credential_process`, lines of a credentials file, or lines of variables.
///
/// # Errors
///
/// Returns what is not there, or not as it should be.
pub fn from_text(text: &SecretBytes) -> Result<Imported, ImportError> {
    const OF: &str = "the input";
    // EXPOSE: to the parsers, whose results are wiped.
    let plain = text_of(text.expose(), OF)?;
    if plain.trim_start().starts_with('{') {
        return from_json(plain);
    }
    let mut ini = parse(plain, OF)?;
    let sections: Vec<&Properties> = ini.iter().map(|(_, section)| section).collect();
    let read = match sections
        .iter()
        .find(|section| value(section, &KEY_ID).is_some())
    {
        Some(section) => from_section(section, None, OF),
        None => Err(ImportError::Part {
            part: "access key id",
            of: OF.to_owned(),
        }),
    };
    wipe(&mut ini);
    read
}

/// Reads the credentials of a profile, of `default` if none is named.
///
/// # Errors
///
/// Returns what is not there, or not as it should be.
pub fn from_profile(files: &Files, name: Option<&str>) -> Result<Imported, ImportError> {
    let name = name.unwrap_or(DEFAULT);
    let mut credentials = parse_file(files.credentials.as_ref(), "~/.aws/credentials")?;
    let mut config = parse_file(files.config.as_ref(), "~/.aws/config")?;
    let read = profile(&credentials, &config, name);
    wipe(&mut credentials);
    wipe(&mut config);
    read
}

fn profile(credentials: &Ini, config: &Ini, name: &str) -> Result<Imported, ImportError> {
    let in_config = match name {
        DEFAULT => Cow::from(DEFAULT),
        name => Cow::from(format!("profile {name}")),
    };
    let (own, settings) = (
        credentials.section(Some(name)),
        config.section(Some(&*in_config)),
    );
    if own.is_none() && settings.is_none() {
        let known = credentials.sections().flatten();
        let known = known.chain(
            config
                .sections()
                .flatten()
                .filter_map(|section| match section {
                    DEFAULT => Some(DEFAULT),
                    other => other.strip_prefix("profile ").map(str::trim),
                }),
        );
        let mut known: Vec<&str> = known.collect();
        known.sort_unstable();
        known.dedup();
        return Err(ImportError::NoProfile {
            name: name.to_owned(),
            known: known.join(", "),
        });
    }
    let mut sections = [own, settings].into_iter().flatten();
    let with_key = sections.find(|section| value(section, &KEY_ID).is_some());
    if let Some(section) = with_key {
        return from_section(section, settings, &format!("the profile {name}"));
    }
    let both = [own, settings];
    let by = [
        "sso_session",
        "sso_start_url",
        "credential_process",
        "role_arn",
        "web_identity_token_file",
        "login_session",
    ];
    let by = by.into_iter().find(|by| {
        both.iter()
            .flatten()
            .any(|section| section.contains_key(by))
    });
    Err(match by {
        Some(by) => ImportError::Elsewhere {
            name: name.to_owned(),
            by,
        },
        None => ImportError::Part {
            part: "access key id",
            of: format!("the profile {name}"),
        },
    })
}

/// The spellings of each part: in files, and as variables.
const KEY_ID: [&str; 1] = ["aws_access_key_id"];
const SECRET_KEY: [&str; 1] = ["aws_secret_access_key"];
const TOKEN: [&str; 2] = ["aws_session_token", "aws_security_token"];
const EXPIRES: [&str; 3] = [
    "aws_credential_expiration",
    "aws_expiration",
    "x_security_token_expires",
];
const REGION: [&str; 3] = ["region", "aws_region", "aws_default_region"];

fn from_section(
    section: &Properties,
    settings: Option<&Properties>,
    of: &str,
) -> Result<Imported, ImportError> {
    let part = |names: &[&str], part: &'static str| {
        let found = value(section, names);
        found.ok_or_else(|| ImportError::Part {
            part,
            of: of.to_owned(),
        })
    };
    let bytes = |text: &str| SecretBytes::copy_from(text.as_bytes());
    let expires = value(section, &EXPIRES).map(parse_time).transpose()?;
    let credentials = AwsCredentials::new(
        bytes(part(&KEY_ID, "access key id")?),
        bytes(part(&SECRET_KEY, "secret access key")?),
        value(section, &TOKEN).map(bytes),
        expires,
    )?;
    let region = value(section, &REGION);
    let region = region.or_else(|| value(settings?, &REGION));
    let region = region.map(str::parse).transpose();
    Ok(Imported {
        credentials,
        region: region.map_err(|_| ImportError::Region)?,
    })
}

/// Returns the first of these that a section has; a variable may be exported.
fn value<'a>(section: &'a Properties, names: &[&str]) -> Option<&'a str> {
    let is_named = |key: &str| {
        let key = key.strip_prefix("export ").unwrap_or(key);
        names.iter().any(|name| key.eq_ignore_ascii_case(name))
    };
    let mut all = section.iter();
    let (_, value) = all.find(|(key, value)| is_named(key) && !value.trim().is_empty())?;
    Some(value.trim())
}

fn parse_file(bytes: Option<&SecretBytes>, of: &'static str) -> Result<Ini, ImportError> {
    match bytes {
        None => Ok(Ini::new()),
        // EXPOSE: to the parser, whose result is wiped.
        Some(bytes) => parse(text_of(bytes.expose(), of)?, of),
    }
}

fn text_of<'a>(bytes: &'a [u8], of: &'static str) -> Result<&'a str, ImportError> {
    let text = std::str::from_utf8(bytes).map_err(|_| ImportError::NotText { of })?;
    Ok(text.trim_start_matches('\u{feff}'))
}

fn parse(text: &str, of: &'static str) -> Result<Ini, ImportError> {
    let options = ParseOption {
        enabled_quote: true,
        enabled_escape: false,
        enabled_indented_mutiline_value: false,
        // An indented key belongs to the setting above it, such as those of `s3`.
        enabled_preserve_key_leading_whitespace: true,
    };
    // The parser's own message may repeat what it found.
    Ini::load_from_str_opt(text, options).map_err(|error| ImportError::Format {
        of,
        line: error.line,
    })
}

/// Wipes what the parser copied.
fn wipe(ini: &mut Ini) {
    for (_, section) in ini.iter_mut() {
        for (_, value) in section.iter_mut() {
            value.zeroize();
        }
    }
}

fn parse_time(text: &str) -> Result<Timestamp, ImportError> {
    text.parse().map_err(|_| ImportError::Expires)
}

/// One set of credentials, as JSON.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Set {
    access_key_id: Option<Zeroizing<String>>,
    secret_access_key: Option<Zeroizing<String>>,
    session_token: Option<Zeroizing<String>>,
    expiration: Option<String>,
}

/// What is around it: `Credentials` of STS, `AccessKey` of IAM, or nothing.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Around {
    credentials: Option<Set>,
    access_key: Option<Set>,
    #[serde(flatten)]
    bare: Option<Set>,
}

fn from_json(text: &str) -> Result<Imported, ImportError> {
    const OF: &str = "the input";
    let around: Around = serde_json::from_str(text).map_err(|error| ImportError::Format {
        of: OF,
        line: error.line(),
    })?;
    let set = around.credentials.or(around.access_key).or(around.bare);
    let part = |part: &'static str| ImportError::Part {
        part,
        of: OF.to_owned(),
    };
    let set = set.ok_or_else(|| part("AccessKeyId"))?;
    let bytes = |text: &Zeroizing<String>| SecretBytes::copy_from(text.trim().as_bytes());
    let key_id = set.access_key_id.as_ref().map(bytes);
    let secret_key = set.secret_access_key.as_ref().map(bytes);
    let token = set.session_token.as_ref().filter(|token| !token.is_empty());
    let expires = set.expiration.as_deref().map(parse_time).transpose()?;
    let credentials = AwsCredentials::new(
        key_id.ok_or_else(|| part("AccessKeyId"))?,
        secret_key.ok_or_else(|| part("SecretAccessKey"))?,
        token.map(bytes),
        expires,
    )?;
    Ok(Imported {
        credentials,
        region: None,
    })
}

#[cfg(test)]
mod tests;
