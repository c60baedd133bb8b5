//! `mcp.json` as it is on the disk; specified in `docs/formats/mcp-json.md`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use mira_secret::SecretName;
use serde::{Deserialize, Serialize};

use super::{
    Definition, Definitions, DefinitionsError, Kind, Origin, Program, Remote, ServerName, Source,
    Transport,
};

/// The version that is written.
pub(super) const VERSION: u64 = 1;

/// What every version has.
#[derive(Deserialize)]
struct Head {
    version: u64,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: u64,
    servers: BTreeMap<String, Server>,
}

#[derive(Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Server {
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    args: Vec<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    settings: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    secrets: Vec<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    bindings: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    transport: Option<WireTransport>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    headers: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    secret_headers: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    imported_from: Vec<WireSource>,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum WireTransport {
    Sse,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct WireSource {
    file: PathBuf,
    at: Vec<String>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    names: BTreeMap<String, String>,
}

pub(super) fn parse(path: &Path, bytes: &[u8]) -> Result<Definitions, DefinitionsError> {
    let damaged = |what: String| DefinitionsError::Damaged {
        path: path.to_owned(),
        what,
    };
    let head: Head = serde_json::from_slice(bytes).map_err(|error| damaged(error.to_string()))?;
    if head.version > VERSION {
        return Err(DefinitionsError::Newer {
            path: path.to_owned(),
            version: head.version,
        });
    }
    let document: Document =
        serde_json::from_slice(bytes).map_err(|error| damaged(error.to_string()))?;
    let servers = document.servers.into_iter();
    let servers = servers.map(|(name, server)| -> Result<_, DefinitionsError> {
        let of_it = |what: String| damaged(format!("server {name:?}: {what}"));
        let known = name
            .parse::<ServerName>()
            .map_err(|error| of_it(error.to_string()))?;
        Ok((known, definition(server).map_err(of_it)?))
    });
    Ok(Definitions(servers.collect::<Result<_, _>>()?))
}

fn definition(server: Server) -> Result<Definition, String> {
    let name = |text: String| {
        let parsed = text.parse::<SecretName>();
        parsed.map_err(|error| format!("{text:?}: {error}"))
    };
    let is_program = server.url.is_none()
        && server.transport.is_none()
        && server.headers.is_empty()
        && server.secret_headers.is_empty();
    let is_remote = server.args.is_empty()
        && server.settings.is_empty()
        && server.secrets.is_empty()
        && server.bindings.is_empty();
    let kind = match (server.command, server.url) {
        (Some(command), None) if is_program => {
            let mut secrets = BTreeMap::new();
            for own in server.secrets {
                secrets.insert(name(own)?, Origin::Own);
            }
            for (own, user) in server.bindings {
                secrets.insert(name(own)?, Origin::User(name(user)?));
            }
            let settings = server.settings.into_iter();
            Kind::Program(Program {
                command,
                args: server.args,
                settings: settings
                    .map(|(setting, value)| Ok((name(setting)?, value)))
                    .collect::<Result<_, String>>()?,
                secrets,
            })
        }
        (None, Some(url)) if is_remote => {
            let headers = server.secret_headers.into_iter();
            Kind::Remote(Remote {
                url,
                transport: match server.transport {
                    Some(WireTransport::Sse) => Transport::Sse,
                    None => Transport::Auto,
                },
                headers: server.headers,
                secret_headers: headers
                    .map(|(header, secret)| Ok((header, name(secret)?)))
                    .collect::<Result<_, String>>()?,
            })
        }
        _ => {
            return Err(
                "it has either a command (with args, settings, secrets, bindings) or a url (with transport, headers, secret_headers)"
                    .to_owned(),
            );
        }
    };
    let sources = server.imported_from.into_iter();
    Ok(Definition {
        kind,
        sources: sources
            .map(
                |WireSource {
                     file,
                     at,
                     kind,
                     names,
                 }| Source {
                    file,
                    at,
                    kind,
                    names,
                },
            )
            .collect(),
    })
}

pub(super) fn render(definitions: &Definitions) -> Vec<u8> {
    let servers = definitions.0.iter();
    let document = Document {
        version: VERSION,
        servers: servers
            .map(|(name, definition)| (name.to_string(), server(definition.clone())))
            .collect(),
    };
    let mut text = serde_json::to_vec_pretty(&document).expect("it is made of texts only");
    text.push(b'\n');
    text
}

fn server(definition: Definition) -> Server {
    let sources = definition.sources.into_iter();
    let mut server = Server {
        imported_from: sources
            .map(
                |Source {
                     file,
                     at,
                     kind,
                     names,
                 }| WireSource {
                    file,
                    at,
                    kind,
                    names,
                },
            )
            .collect(),
        ..Server::default()
    };
    match definition.kind {
        Kind::Program(program) => {
            server.command = Some(program.command);
            server.args = program.args;
            let settings = program.settings.into_iter();
            server.settings = settings
                .map(|(name, value)| (name.to_string(), value))
                .collect();
            for (name, origin) in program.secrets {
                match origin {
                    Origin::Own => server.secrets.push(name.to_string()),
                    Origin::User(user) => {
                        server.bindings.insert(name.to_string(), user.to_string());
                    }
                }
            }
        }
        Kind::Remote(remote) => {
            server.url = Some(remote.url);
            server.transport = match remote.transport {
                Transport::Auto => None,
                Transport::Sse => Some(WireTransport::Sse),
            };
            server.headers = remote.headers;
            let headers = remote.secret_headers.into_iter();
            server.secret_headers = headers
                .map(|(header, secret)| (header, secret.to_string()))
                .collect();
        }
    }
    server
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = r#"{
  "version": 1,
  "servers": {
    "github": {
      "command": "npx",
      "args": [
        "-y",
        "server-github"
      ],
      "settings": {
        "LOG_LEVEL": "debug"
      },
      "secrets": [
        "GITHUB_TOKEN"
      ],
      "bindings": {
        "OPENAI_API_KEY": "MY_OPENAI_KEY"
      },
      "imported_from": [
        {
          "file": "/home/a/.cursor/mcp.json",
          "at": [
            "mcpServers",
            "github"
          ]
        }
      ]
    },
    "tracker": {
      "url": "https://mcp.tracker.example/sse",
      "transport": "sse",
      "headers": {
        "X-Team": "blue"
      },
      "secret_headers": {
        "Authorization": "AUTHORIZATION"
      }
    }
  }
}
"#;

    #[test]
    fn a_file_is_written_as_it_was_read() {
        let read = parse(Path::new("mcp.json"), WHOLE.as_bytes()).unwrap();
        assert_eq!(String::from_utf8(render(&read)).unwrap(), WHOLE);
    }

    #[test]
    fn what_is_wrong_with_a_file_is_named_with_its_place() {
        let check = |text: &str, expect: &str| {
            let told = parse(Path::new("/h/mcp.json"), text.as_bytes())
                .unwrap_err()
                .to_string();
            assert!(told.starts_with("/h/mcp.json"), "{told}");
            assert!(told.contains(expect), "{text}: {told}");
        };
        let with = |server: &str| format!(r#"{{"version": 1, "servers": {{"a": {server}}}}}"#);
        check("", "EOF while parsing a value at line 1");
        check("{}", "missing field `version`");
        check(r#"{"version": 2}"#, "has version 2");
        check(r#"{"version": 1, "server": {}}"#, "unknown field `server`");
        check(&with("{}"), "server \"a\": it has either a command");
        check(
            &with(r#"{"command": "x", "url": "https://x"}"#),
            "either a command",
        );
        check(
            &with(r#"{"command": "x", "headers": {"A": "b"}}"#),
            "either a command",
        );
        check(
            &with(r#"{"command": "x", "cwd": "/"}"#),
            "unknown field `cwd`",
        );
        check(
            &with(r#"{"command": "x", "secrets": ["A-B"]}"#),
            "server \"a\": \"A-B\": a name is made of",
        );
        check(
            r#"{"version": 1, "servers": {"a b": {"command": "x"}}}"#,
            "server \"a b\": the id in a scope",
        );
    }
}
