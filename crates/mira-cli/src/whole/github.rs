//! The App on GitHub, as this home has it: its number and API among the settings, its key in the vault; and what stands for its
//! tokens, between the webhooks that hand it out and the gates that ask what it is worth.
//!
//! INVARIANT: the vault is read once for the key, which then is in locked memory of this process alone. Where several servers take webhooks, none uses a
//! token that it kept from before one of them accepted that something was taken from the installation.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use mira_desk::Opened;
use mira_gate::{Asking, Origin, Rule, TokenRequest, TokenSource};
use mira_github::{ApiBase, App, DEFAULT_API, Placeholders, Repository, Tokens, Wanted};
use mira_hooks::{Event, Grant, Later, Watcher};
use mira_package::manifest::{HostPattern, Manifest};
use mira_secret::{Scope, SecretBytes};
use mira_store::{HookMark, Shared};
use mira_vault::Vault;
use mira_vault::home::Home;
use mira_vault::settings::GithubSettings;
use mira_vault::settings::Settings;
use serde::Deserialize;

use crate::error::CommandError;
use crate::session::{self, UnlockArgs, parse_name};
use crate::ui::Ui;

/// The secret that is the App's private key.
pub(crate) const PRIVATE_KEY: &str = "MIRA_GITHUB_PRIVATE_KEY";

/// Returns the App of this home, with its key out of the vault; nothing where none is set up.
pub(crate) fn app(home: &Home, ui: &Ui, unlock: &UnlockArgs) -> Result<Option<App>, CommandError> {
    let Some(settings) = Settings::read(home)?.github else {
        return Ok(None);
    };
    let vault = session::open(ui, unlock)?;
    load(&settings, &vault, &Opened::default()).map(Some)
}

/// Returns the App of these settings, with its key out of the vault, of which `opened` hears.
pub(crate) fn load(
    settings: &GithubSettings,
    vault: &Vault,
    opened: &Opened,
) -> Result<App, CommandError> {
    let name = parse_name(PRIVATE_KEY)?;
    let Some(entry) = vault.find(&Scope::User, &name) else {
        return Err(CommandError::missing(
            "an App on GitHub is set up, and its private key is not saved:",
            [PRIVATE_KEY],
        )
        .hint("`mira github setup --private-key-file FILE` saves it."));
    };
    let value = vault.value(entry)?;
    // EXPOSE: to the reader of the App's key, which keeps it in this process.
    let key = SecretBytes::copy_from(value.expose());
    // EXPOSE: to the log, which is kept free of it.
    opened.tell(PRIVATE_KEY, key.expose());
    make(settings, &key)
}

/// Makes the App of what is set and of its key.
pub(crate) fn make(settings: &GithubSettings, key: &SecretBytes) -> Result<App, CommandError> {
    let id = settings.app_id.to_string().parse();
    let id =
        id.map_err(|_| CommandError::usage("an App's number is its App ID, such as 123456"))?;
    App::new(id, key, base(settings)?).map_err(|error| CommandError::failed(error.to_string()))
}

/// Returns where the API is.
fn base(settings: &GithubSettings) -> Result<ApiBase, CommandError> {
    let url = settings.api_url.as_ref().map(ToString::to_string);
    let base = url.as_deref().unwrap_or(DEFAULT_API).parse();
    base.map_err(|error: mira_github::ApiBaseError| CommandError::usage(error.to_string()))
}

/// Returns the hosts that requests with tokens go to.
fn hosts(base: &ApiBase) -> Vec<HostPattern> {
    let mut hosts = vec![base.host(), base.git_host()];
    hosts.dedup();
    let spelled = hosts
        .into_iter()
        .map(|host| format!("{host}:{}", base.port()));
    // A host of a URL is one that a rule can name.
    spelled.filter_map(|host| host.parse().ok()).collect()
}

/// Returns the rules by which an app with permissions on GitHub calls it, under a server with this home's App: they come before all others.
pub(crate) fn rules(home: &Home, manifest: &Manifest) -> Result<Vec<Rule>, CommandError> {
    let settings = match manifest.github.is_empty() {
        true => None,
        false => Settings::read(home)?.github,
    };
    let hosts = settings.map(|settings| base(&settings).map(|base| hosts(&base)));
    let rules = hosts.transpose()?.into_iter().flatten().map(|hosts| Rule {
        hosts,
        allow: true,
        origin: Origin::CodeHost,
    });
    Ok(rules.collect())
}

/// The placeholders, as gates ask for what they stand for.
#[derive(Debug)]
pub(crate) struct Source {
    placeholders: Placeholders,
    /// Hears of each token that is handed to a gate.
    opened: Opened,
    /// Where it is seen what other servers were told, if there are any.
    others: OnceLock<Shared>,
    /// How far the events of each installation were when its tokens were last used.
    marks: Mutex<HashMap<u64, HookMark>>,
}

impl Source {
    /// Begins with none, for an App's installations.
    pub(crate) fn new(app: App, opened: Opened) -> Self {
        Self {
            placeholders: Placeholders::new(Arc::new(Tokens::new(app))),
            opened,
            others: OnceLock::new(),
            marks: Mutex::default(),
        }
    }

    /// Heeds from now on what other servers of this database are told.
    pub(crate) fn heed(&self, shared: &Shared) {
        if !shared.is_of_one_server() {
            // It is called once.
            self.others.get_or_init(|| shared.clone());
        }
    }

    /// Forgets the tokens of a placeholder's installation if any server was told since that they may not count any more. Then GitHub is asked
    /// for new ones, and knows what the installation may still do. So it is, too, where the database does not answer.
    async fn catch_up(&self, placeholder: &str) {
        let (Some(shared), Some(installation)) = (
            self.others.get(),
            self.placeholders.installation(placeholder),
        ) else {
            return;
        };
        let mark = match i64::try_from(installation) {
            Ok(number) => shared.hook_mark(number).await.ok(),
            Err(_) => None,
        };
        let mut marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        let before = match mark {
            Some(mark) => marks.insert(installation, mark),
            None => marks.remove(&installation),
        };
        drop(marks);
        if mark.is_none() || before != mark {
            self.placeholders.tokens().forget(installation, None);
        }
    }

    /// Returns whose installations they are of.
    pub(crate) fn app(&self) -> &App {
        self.placeholders.tokens().app()
    }
}

impl TokenSource for Source {
    fn hosts(&self) -> Vec<HostPattern> {
        hosts(self.app().base())
    }

    fn token<'a>(&'a self, asked: TokenRequest<'a>) -> Asking<'a> {
        Box::pin(async move {
            let wanted = Wanted {
                instance: asked.instance,
                host: asked.host,
                port: asked.port,
                secure: asked.secure,
                path: asked.path,
            };
            self.catch_up(asked.placeholder).await;
            let token = self.placeholders.token_for(asked.placeholder, wanted).await;
            match token {
                Ok(token) => {
                    let text = Arc::clone(token.text());
                    // EXPOSE: to the log, which is kept free of it.
                    self.opened.tell("token", text.expose());
                    Ok(text)
                }
                Err(refusal) => Err(refusal.to_string().into()),
            }
        })
    }

    fn ended(&self, instance: &str) {
        self.placeholders.end_instance(instance);
    }
}

impl mira_hooks::Placeholders for Source {
    fn api(&self) -> String {
        self.app().base().to_string()
    }

    fn placeholder<'a>(&'a self, grant: &'a Grant<'a>) -> Later<'a, Option<String>> {
        Box::pin(async move {
            let ours = self.app().id().to_string();
            if grant.app.is_some_and(|app| app != ours) {
                return None;
            }
            let repository = grant.repository?.parse().ok()?;
            let placeholder = self.placeholders.issue(
                grant.instance,
                grant.installation,
                &repository,
                grant.permissions,
            );
            Some(placeholder.into())
        })
    }
}

impl Watcher for Source {
    /// Forgets what an installation does not let us do any more.
    fn accepted(&self, event: &Event<'_>) {
        let Some(installation) = event.installation else {
            return;
        };
        match (event.name, event.action) {
            ("installation", Some("deleted" | "suspend" | "new_permissions_accepted")) => {
                self.placeholders.forget(installation, None);
            }
            ("installation_repositories", Some("removed")) => {
                let removed = removed(event.body);
                self.placeholders.forget(installation, Some(&removed));
            }
            ("repository", Some("deleted" | "renamed" | "transferred" | "privatized")) => {
                let gone: Vec<Repository> = event
                    .repository
                    .and_then(|repository| repository.full_name.parse().ok())
                    .into_iter()
                    .collect();
                self.placeholders.forget(installation, Some(&gone));
            }
            _ => {}
        }
    }
}

/// Returns the repositories that an event says were taken away.
fn removed(body: &str) -> Vec<Repository> {
    #[derive(Default, Deserialize)]
    struct Body {
        #[serde(default)]
        repositories_removed: Vec<Named>,
    }
    #[derive(Deserialize)]
    struct Named {
        full_name: String,
    }
    let body: Body = serde_json::from_str(body).unwrap_or_default();
    let names = body.repositories_removed.iter();
    names
        .filter_map(|named| named.full_name.parse().ok())
        .collect()
}
