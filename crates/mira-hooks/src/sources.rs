//! From where webhooks are taken: the ranges that a sender publishes.

use std::net::IpAddr;

use ipnet::IpNet;

/// Networks that webhooks may come from.
#[derive(Clone, Debug)]
pub struct Sources(Vec<IpNet>);

/// Why a list of networks is not understood.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SourcesError {
    /// It names none.
    #[error(
        "it names no networks: it is GitHub's list as JSON, with `hooks` in it (https://api.github.com/meta), or has one network on each line"
    )]
    None,
    /// A line is no network.
    #[error("line {0} is no network, as 192.0.2.0/24")]
    Line(usize),
}

/// GitHub's list (<https://docs.github.com/en/rest/meta/meta>), of which one part is about webhooks.
#[derive(serde::Deserialize)]
struct Meta {
    hooks: Vec<String>,
}

impl Sources {
    /// Reads a list: GitHub's JSON, or one network on each line; `#` begins a comment.
    ///
    /// # Errors
    ///
    /// Refuses what is neither, and an empty one.
    pub fn parse(text: &str) -> Result<Self, SourcesError> {
        let networks = match text.trim_start().starts_with('{') {
            true => {
                let meta: Meta = serde_json::from_str(text).map_err(|_| SourcesError::None)?;
                let networks = meta.hooks.iter().map(|network| network.parse());
                let networks: Result<Vec<IpNet>, _> = networks.collect();
                networks.map_err(|_| SourcesError::None)?
            }
            false => {
                let lines = text.lines().enumerate().filter_map(|(at, line)| {
                    let network = line.split('#').next().unwrap_or_default().trim();
                    let parsed = || network.parse().map_err(|_| SourcesError::Line(at + 1));
                    (!network.is_empty()).then(parsed)
                });
                lines.collect::<Result<Vec<IpNet>, _>>()?
            }
        };
        match networks.is_empty() {
            true => Err(SourcesError::None),
            false => Ok(Self(networks)),
        }
    }

    pub(crate) fn contain(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_a_list_are_read_and_others_refused() {
        let json = r#"{"verifiable_password_authentication": false, "hooks": ["192.30.252.0/22", "2a0a:a440::/29"], "web": ["0.0.0.0/0"]}"#;
        let lines = "# GitHub\n192.30.252.0/22\n\n  2a0a:a440::/29 # six\r\n";
        for text in [json, lines] {
            let sources = Sources::parse(text).unwrap();
            for (address, expect) in [
                ("192.30.252.1", true),
                ("::ffff:192.30.255.254", true),
                ("192.31.0.1", false),
                ("2a0a:a440::1", true),
                ("::1", false),
            ] {
                assert_eq!(
                    sources.contain(address.parse().unwrap()),
                    expect,
                    "{address}"
                );
            }
        }
        for (wrong, expect) in [
            ("", SourcesError::None),
            ("{}", SourcesError::None),
            (r#"{"hooks": []}"#, SourcesError::None),
            (r#"{"hooks": ["everywhere"]}"#, SourcesError::None),
            ("10.0.0.0/8\nnowhere", SourcesError::Line(2)),
            ("10.0.0.1/33", SourcesError::Line(1)),
        ] {
            assert_eq!(Sources::parse(wrong).unwrap_err(), expect, "{wrong}");
        }
    }
}
