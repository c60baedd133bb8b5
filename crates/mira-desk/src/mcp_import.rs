//! Taking over the MCP servers of a client: its file is picked, uploaded or pasted; what is taken is told, and then it is done.
//!
//! INVARIANT: of a client's file, names are told and no value; no value that was taken is in what is given back.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use mira_mcp::config::Config;
use mira_mcp::definition::Definitions;
use mira_mcp::import::{self, Plan, Rewritten, Undo, Wishes};
use mira_secret::SecretBytes;
use mira_store::AuditAction;
use mira_vault::Vault;
use mira_vault::home::Home;
use schemars::JsonSchema;
use serde::Serialize;

use crate::Desk;
use crate::access::Identity;
use crate::custody::blocking;
use crate::error::DeskError;

/// The longest file that is uploaded, in bytes.
// LIMIT: files of clients have some kilobytes; those that hold histories as well are taken over on their own machine.
pub(crate) const UPLOAD_BYTES_MAX: usize = 8 * 1024 * 1024;

/// How many servers a file may have.
// LIMIT: each becomes rows of a page; people have a few dozen.
const SERVERS_MAX: usize = 500;

/// A client's configuration that somebody wants to take over.
#[derive(Debug)]
pub(crate) enum Source {
    /// A file of this machine.
    File(PathBuf),
    /// A text that was pasted or uploaded, with the file's name where it has one.
    Text {
        text: SecretBytes,
        name: Option<String>,
    },
}

impl Source {
    /// Takes the content of a file that was uploaded.
    pub(crate) fn upload(content: Vec<u8>, name: Option<&str>) -> Result<Self, DeskError> {
        let text = SecretBytes::from_vec(content);
        if text.is_empty() {
            return Err(DeskError::unfit("the file is missing, or empty"));
        }
        // What a browser says of a name may be anything; a file's is given back.
        let name = name.unwrap_or_default().rsplit(['/', '\\']).next();
        let name = name.filter(|name| {
            let fits = |char: char| char.is_ascii_alphanumeric() || "._-".contains(char);
            !name.is_empty() && name.len() <= 100 && name.chars().all(fits)
        });
        let name = name.map(str::to_owned);
        Ok(Self::Text { text, name })
    }

    /// Takes a client's file of this machine; only one that was found can be.
    pub(crate) fn on_this_machine(desk: &Desk, wanted: &str) -> Result<Self, DeskError> {
        let mut files = present(desk).into_iter();
        let file = files.find(|file| file.display().to_string() == wanted);
        let file = file.ok_or_else(|| DeskError::not_found("such client's file"))?;
        Ok(Self::File(file))
    }

    /// Returns what the audit calls it.
    fn subject(&self) -> String {
        match self {
            Self::File(file) => file.display().to_string(),
            Self::Text { name, .. } => name.clone().unwrap_or_else(|| "a text".to_owned()),
        }
    }

    fn read(&self) -> Result<Config, DeskError> {
        let config = match self {
            Self::File(file) => Config::read(file)?,
            Self::Text { text, .. } => {
                // EXPOSE: to the parser of the client's file, of which values go into the vault alone.
                let text = std::str::from_utf8(text.expose()).map_err(|_| {
                    DeskError::unfit("that is no text in UTF-8, as clients write their files")
                })?;
                Config::of_text(text.to_owned()).map_err(|error| {
                    DeskError::from(error)
                        .hint("Send the file as the client has it: JSON, or TOML for Codex.")
                })?
            }
        };
        if config.entries().len() > SERVERS_MAX {
            let told = format!("a file has at most {SERVERS_MAX} servers");
            return Err(DeskError::new(StatusCode::PAYLOAD_TOO_LARGE, told));
        }
        Ok(config)
    }

    fn plan(&self, home: &Home, vault: &Vault) -> Result<(Config, Plan), DeskError> {
        let config = self.read()?;
        let known = Definitions::read(home.path())?;
        let plan = Plan::of(&config, &[], &Wishes::default(), &known, vault)?;
        Ok((config, plan))
    }
}

/// A server that is taken, or was: names alone.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Taken {
    /// What the client calls it.
    pub(crate) key: String,
    /// What it is called here.
    pub(crate) name: String,
    /// The names of its secrets.
    pub(crate) secrets: Vec<String>,
}

/// What is taken, or was: names alone.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Shown {
    /// Which file it is, in words.
    pub(crate) from: String,
    pub(crate) servers: Vec<Taken>,
    /// How many servers there are, taken or not.
    pub(crate) found: usize,
    /// What stays as it is.
    pub(crate) notes: Vec<String>,
    /// Whether it is a file of the desk's machine, which is changed.
    pub(crate) is_file: bool,
}

impl Shown {
    fn of(source: &Source, config: &Config, plan: &Plan) -> Self {
        let servers = plan.moves.iter().map(|entry| Taken {
            key: entry.entry.key().to_owned(),
            name: entry.name.to_string(),
            secrets: entry
                .values
                .iter()
                .map(|(name, _)| name.to_string())
                .collect(),
        });
        Self {
            from: match source {
                Source::File(file) => {
                    let client = plan.client(config).as_str();
                    format!("{} ({client})", file.display())
                }
                Source::Text {
                    name: Some(name), ..
                } => format!("{name}, which you uploaded"),
                Source::Text { name: None, .. } => "what you sent".to_owned(),
            },
            servers: servers.collect(),
            found: config.entries().len(),
            notes: plan.notes.clone(),
            is_file: config.path().is_some(),
        }
    }
}

/// A client's text with Mira in the place of its servers, to be fetched by whoever sent it.
#[derive(Debug)]
pub(crate) struct Given {
    pub(crate) text: SecretBytes,
    /// What the file is called.
    pub(crate) name: String,
}

/// What was taken.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Done {
    #[serde(flatten)]
    pub(crate) shown: Shown,
    /// The values that stood in the file once more.
    pub(crate) left: Vec<Left>,
    /// By which key the new text is fetched, where it is no file of this machine.
    pub(crate) given: Option<String>,
}

/// A value that stood in a file once more, in another place than it was taken from.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Left {
    /// The secret's name.
    pub(crate) name: String,
    /// The line, counted from 1.
    pub(crate) line: usize,
}

/// What was put back into a client's file.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Undone {
    /// The file.
    pub(crate) file: PathBuf,
    /// The servers that the client runs itself again; the values of their secrets are empty there.
    pub(crate) servers: Vec<String>,
    /// The servers that it did not run through Mira any more; they are left as they are.
    pub(crate) gone: Vec<String>,
}

/// Says that a file is too long to be sent.
pub(crate) fn too_long() -> DeskError {
    let told = format!(
        "a configuration file has at most {UPLOAD_BYTES_MAX} bytes here, and has to come whole"
    );
    DeskError::new(StatusCode::PAYLOAD_TOO_LARGE, told)
        .hint("`mira mcp import FILE` takes a longer one, on the machine that it is on.")
}

/// Returns the files of clients that are on this machine.
pub(crate) fn present(desk: &Desk) -> Vec<PathBuf> {
    mira_mcp::clients::present(|name| desk.house.variable(name), None).unwrap_or_default()
}

/// Returns the files of this machine that servers were taken over from.
pub(crate) async fn taken(desk: &Desk) -> Result<Vec<PathBuf>, DeskError> {
    let home = desk.custody.home().clone();
    blocking(move || Ok(import::files(&Definitions::read(home.path())?))).await
}

/// Says what would be taken, and keeps the source until that is wanted; returns what the next request calls it.
pub(crate) async fn look(
    desk: &Desk,
    identity: &Identity,
    source: Source,
) -> Result<(String, Shown), DeskError> {
    let home = desk.custody.home().clone();
    let looked = desk.custody.with(move |vault| {
        let (config, plan) = source.plan(&home, vault)?;
        Ok((Shown::of(&source, &config, &plan), source))
    });
    let (shown, source) = looked.await?;
    Ok((desk.imports.put(identity, source)?, shown))
}

/// Takes what was looked at.
pub(crate) async fn take(desk: &Desk, identity: &Identity, key: &str) -> Result<Done, DeskError> {
    let source = Arc::new(desk.imports.take(identity, key)?);
    let subject = source.subject();
    let done = take_over(desk, Arc::clone(&source)).await;
    // What did not go now may go later: the vault was locked, the file is written at this moment.
    if let (Err(_), Some(source)) = (&done, Arc::into_inner(source)) {
        desk.imports.put_back(identity, key, source);
    }
    let (shown, left, given) = desk
        .told(identity, AuditAction::McpImport, &subject, done)
        .await?;
    let given = given.map(|given| desk.rewritten.put(identity, given));
    Ok(Done {
        shown,
        left,
        given: given.transpose()?,
    })
}

async fn take_over(
    desk: &Desk,
    source: Arc<Source>,
) -> Result<(Shown, Vec<Left>, Option<Given>), DeskError> {
    let home = desk.custody.home().clone();
    let text = |path: &Path| {
        let text = path.to_str().map(str::to_owned);
        text.ok_or_else(|| {
            DeskError::failed("the path of Mira is no text, and no client's file can name it")
        })
    };
    let mira = text(&desk.house.program)?;
    let moved = desk.house.variable("MIRA_HOME");
    let moved = moved
        .filter(|home| !home.is_empty())
        .map(|home| std::path::absolute(home).map_err(DeskError::failed))
        .transpose()?;
    let mira_home = moved.as_deref().map(text).transpose()?;
    let opened = desk.opened.clone();
    let work = move |vault: &mut Vault| {
        let (mut config, plan) = source.plan(&home, vault)?;
        let shown = Shown::of(&source, &config, &plan);
        for (name, value) in plan.moves.iter().flat_map(|entry| &entry.values) {
            // EXPOSE: to the log, which is kept free of it.
            opened.tell(name.as_str(), value.expose());
        }
        import::save(vault, &plan.moves)?;
        import::define(&home, &plan.moves)?;
        let (left, given) = match &*source {
            Source::File(_) => {
                let left = import::hand_over(config, &plan.moves, &mira, mira_home.as_deref());
                let left = left.map_err(|error| {
                    DeskError::from(error)
                        .hint("The values are saved; the file still has them. Import it again.")
                })?;
                (left, None)
            }
            Source::Text { name, .. } => {
                let Rewritten { text, left } =
                    import::rewrite(&mut config, &plan.moves, &mira, mira_home.as_deref());
                let clean = import::without_values(&plan.moves, &text);
                let usual = if config.is_toml() {
                    "config.toml"
                } else {
                    "mcp.json"
                };
                let given = Given {
                    text: SecretBytes::from_vec(clean),
                    name: name.clone().unwrap_or_else(|| usual.to_owned()),
                };
                (left, Some(given))
            }
        };
        let left = left.into_iter().map(|(name, line)| Left {
            name: name.to_string(),
            line,
        });
        Ok((shown, left.collect(), given))
    };
    desk.custody.with(work).await
}

/// Gives back the text that was sent, with Mira in the place of its servers. It may be fetched again.
pub(crate) fn give(desk: &Desk, identity: &Identity, key: &str) -> Result<Response, DeskError> {
    let given = desk.rewritten.take(identity, key)?;
    // EXPOSE: to whoever sent the text, without the values that were taken from it.
    let text = given.text.expose().to_vec();
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (
            header::CONTENT_DISPOSITION,
            format!("attachment; filename=\"{}\"", given.name),
        ),
    ];
    desk.rewritten.put_back(identity, key, given);
    Ok((headers, text).into_response())
}

/// Puts the servers back into a file that they were taken over from, without the values of their secrets.
pub(crate) async fn undo(
    desk: &Desk,
    identity: &Identity,
    wanted: &str,
) -> Result<Undone, DeskError> {
    let mut files = taken(desk).await?.into_iter();
    let file = files.find(|file| file.display().to_string() == wanted);
    let file =
        file.ok_or_else(|| DeskError::not_found("such file that servers were taken from"))?;
    let home = desk.custody.home().clone();
    let done = blocking(move || {
        let mut undo = Undo::of(&file, &Definitions::read(home.path())?)?;
        undo.put_back(&|_, _| "")?;
        undo.forget(&home)?;
        Ok(Undone {
            servers: undo.servers().map(|(name, _)| name.to_string()).collect(),
            gone: undo.gone().map(ToString::to_string).collect(),
            file,
        })
    });
    let done: Result<Undone, DeskError> = done.await;
    desk.told(identity, AuditAction::McpUndo, wanted, done)
        .await
}
