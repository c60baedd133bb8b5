//! `mira serve`: the supervisor's process, and the desk for a team. Commands start it without a desk when they need it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use ipnet::IpNet;
use jiff::{SignedDuration, Timestamp};
use mira_desk::{
    Certificate, DeskOptions, HookSecretsError, Hooks, Keeping, Oidc, OidcOptions, Opened, Proxies,
    Surroundings, WEBHOOK_SECRET, has_default_password, hook_secrets, make_first_admin,
};
use mira_hooks::{SecretsError, Sources};
use mira_host::supervisor::Config;
use mira_provider::TIMEOUT;
use mira_run::lease::Leases;
use mira_server::{Client, Leaving, ServeOptions, serve};
use mira_store::{Desired, Instance, LinkPurpose, Role, Shared};
use mira_vault::Vault;
use mira_vault::home::Home;
use mira_vault::settings::Settings;

use super::desk::{shared, surroundings};
use super::start;
use crate::error::CommandError;
use crate::programs::ROOM;
use crate::session::{self, UnlockArgs};
use crate::ui::Ui;
use crate::whole::apps::{Apps, place};
use crate::whole::github;
use crate::whole::log::{self, LogFormat};
use crate::whole::reach::caller;

/// The word that makes the binary a keeper.
pub(crate) const KEEPER: &str = "keep";

/// How long the first admin's link works.
const LINK_LASTS: SignedDuration = SignedDuration::from_hours(1);

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Beyond this machine the desk is served by TLS alone, its own (--tls-cert, --tls-key) or a proxy's (--behind-proxy). \
                  ADMIN_PASSWORD is the first admin's password; without it a link is printed that works once. DATABASE_URL names a \
                  Postgres for what several servers share: users, sessions, tokens, the audit."
)]
pub(crate) struct Args {
    /// Serve the desk here: an address and a port
    #[arg(long, value_name = "ADDRESS:PORT", conflicts_with = "on_demand")]
    listen: Option<SocketAddr>,

    /// The desk's certificate: a PEM file with its chain
    #[arg(long, value_name = "FILE", requires_all = ["tls_key", "listen"])]
    tls_cert: Option<PathBuf>,

    /// The certificate's private key: a PEM file
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,

    /// The addresses of a proxy that does TLS, and is believed when it says for whom it asks (may be repeated)
    #[arg(
        long,
        value_name = "CIDR",
        requires = "listen",
        conflicts_with = "tls_cert"
    )]
    behind_proxy: Vec<IpNet>,

    #[command(flatten)]
    oidc: OidcArgs,

    /// Take webhooks at /webhooks/github, signed with MIRA_WEBHOOK_SECRET, and deliver them to apps
    #[arg(long, requires = "listen")]
    hooks: bool,

    /// Take webhooks from these networks alone: a file with one on each line, or GitHub's list (https://api.github.com/meta)
    #[arg(long, value_name = "FILE", requires = "hooks")]
    hooks_from: Option<PathBuf>,

    /// For how many days the audit is kept
    #[arg(long, value_name = "DAYS", requires = "listen", default_value_t = Keeping::DEFAULT.days, value_parser = clap::value_parser!(u32).range(1..))]
    keep_audit_days: u32,

    /// How many rows of the audit are kept at most
    #[arg(long, value_name = "ROWS", requires = "listen", default_value_t = Keeping::DEFAULT.rows, value_parser = clap::value_parser!(u32).range(1..))]
    keep_audit_rows: u32,

    /// Write a line for each request and each thing that happens to stderr; no value is in it
    #[arg(long, value_name = "FORMAT", value_enum)]
    log: Option<LogFormat>,

    /// Take the place of the supervisor that runs: stop it with its instances, and start those again
    #[arg(long, requires = "listen")]
    take_over: bool,

    /// End the supervisor that runs, and before that all instances
    #[arg(long, conflicts_with = "listen")]
    stop: bool,

    #[command(flatten)]
    unlock: UnlockArgs,

    /// End after the last instance was stopped
    #[arg(long, hide = true)]
    on_demand: bool,
}

/// Who may sign in through a provider of OpenID Connect.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Sign-in through OpenID Connect")]
struct OidcArgs {
    /// The provider, as it names itself: https://id.example.org/realms/team
    #[arg(long, value_name = "URL", requires_all = ["oidc_client_id", "oidc_role", "listen"])]
    oidc_issuer: Option<String>,

    /// What this desk is called there; a client secret is saved as MIRA_OIDC_CLIENT_SECRET (`mira set`)
    #[arg(long, value_name = "ID", requires = "oidc_issuer")]
    oidc_client_id: Option<String>,

    /// The role of a group, such as admin=platform-team (may be repeated)
    #[arg(long, value_name = "ROLE=GROUP", requires = "oidc_issuer", value_parser = role_of_group)]
    oidc_role: Vec<(Role, String)>,

    /// The claim that lists a person's groups
    #[arg(
        long,
        value_name = "CLAIM",
        default_value = "groups",
        requires = "oidc_issuer"
    )]
    oidc_groups_claim: String,

    /// What is asked for besides `openid` (may be repeated)
    #[arg(long, value_name = "SCOPE", default_values = ["profile", "email"], requires = "oidc_issuer")]
    oidc_scope: Vec<String>,
}

fn role_of_group(text: &str) -> Result<(Role, String), String> {
    let (role, group) = text
        .split_once('=')
        .filter(|(_, group)| !group.is_empty())
        .ok_or("a role and a group, as in admin=platform-team")?;
    let role = role
        .parse()
        .map_err(|_| "a role is admin, operator or viewer".to_owned())?;
    Ok((role, group.to_owned()))
}

impl OidcArgs {
    fn prepare(&self) -> Result<Option<Arc<Oidc>>, CommandError> {
        let (Some(issuer), Some(client)) = (&self.oidc_issuer, &self.oidc_client_id) else {
            return Ok(None);
        };
        let options = OidcOptions {
            issuer: issuer.clone(),
            client: client.clone(),
            scopes: self.oidc_scope.clone(),
            groups_claim: self.oidc_groups_claim.clone(),
            roles: self.oidc_role.clone(),
            caller: caller(TIMEOUT)?,
        };
        let oidc = Oidc::new(options).map_err(|error| CommandError::usage(error.to_string()))?;
        Ok(Some(Arc::new(oidc)))
    }
}

pub(crate) fn run(args: &Args, ui: &Ui) -> Result<(), CommandError> {
    let home = session::home()?;
    let place = place(&home)?;
    if args.stop {
        return stop(place, ui);
    }
    let desk = options(args)?;
    let opened = args.log.map(log::begin).unwrap_or_default();
    let (hooks, source) = match desk {
        Some(_) => unlocked(args, &home, &opened, ui)?,
        None => (None, None),
    };
    if let (true, Some(listen)) = (args.take_over, args.listen) {
        take_over(&place, &home, listen, ui)?;
    }
    // A server that is started again, by whom or after whatever, goes on where it was.
    let again = match args.listen {
        Some(_) => wanted()?,
        None => Vec::new(),
    };
    let mut config = Config::new(KEEPER, ROOM, Leases::at(home.leases()));
    if let Some(source) = &source {
        let app = source.app();
        ui.say(&format!(
            "apps act on GitHub as App {} at {}",
            app.id(),
            app.base()
        ));
        config.tokens = Some(Arc::clone(source) as _);
    }
    let options = ServeOptions {
        place,
        config,
        on_demand: args.on_demand,
        takes_over: args.take_over,
    };
    let with_desk = desk.is_some();
    let ready = || match args.on_demand {
        true => mira_host::background::ready(),
        false => {
            // With a desk it is that which may be refused yet, and which tells.
            if !with_desk {
                ui.say("the supervisor is ready; Ctrl-C ends it, and stops all instances");
            }
            tracing::info!(target: "mira::server", "the supervisor is ready");
            // They go the way of any command that starts one; whoever ends this process does not wait for them.
            std::thread::spawn(move || start_again(&again));
            Ok(())
        }
    };
    let served = serve(options, ready, async |leaving: Leaving| match desk {
        Some(options) => serve_desk(options, (hooks, source), &home, opened, ui, leaving).await,
        None => Ok(()),
    });
    tracing::info!(target: "mira::server", "the supervisor has ended");
    served
}

/// Stops the supervisor that runs, once it is known that this one can begin.
fn take_over(
    place: &mira_server::Place,
    home: &Home,
    listen: SocketAddr,
    ui: &Ui,
) -> Result<(), CommandError> {
    let failed = |error| CommandError::failed(format!("cannot listen on {listen}: {error}"));
    drop(std::net::TcpListener::bind(listen).map_err(failed)?);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        shared(home).await?.close().await;
        let client = Client::new(place.clone());
        if client.shut_down().await? {
            ui.say("the supervisor that ran here has ended");
        }
        Ok(())
    })
}

/// Returns the instances that were started and that nobody has stopped since.
fn wanted() -> Result<Vec<Instance>, CommandError> {
    let apps = Apps::open()?;
    let mut instances = apps.wait(apps.instances.store().instances())?;
    instances.retain(|instance| instance.desired == Desired::Running);
    Ok(instances)
}

/// Starts what ran before, as `mira start -d` does; what cannot be started is told.
fn start_again(instances: &[Instance]) {
    let ui = Ui::new();
    for instance in instances {
        let name = &instance.name;
        let args = start::Args::detached(instance.id.as_str());
        match start::run(&args, &ui) {
            Ok(()) => {
                tracing::info!(target: "mira::server", "{name} was running, and is started again")
            }
            Err(error) => {
                let told = format!(
                    "{name} was running, and is not started again: {}; `mira start {name}` tries it, `mira stop {name}` lets it rest",
                    error.in_one_line()
                );
                tracing::warn!(target: "mira::server", "{told}");
                ui.say(&told);
            }
        }
    }
}

/// Returns how the desk is to listen, if it is.
fn options(args: &Args) -> Result<Option<DeskOptions>, CommandError> {
    let Some(listen) = args.listen else {
        return Ok(None);
    };
    let certificate = match (&args.tls_cert, &args.tls_key) {
        (Some(chain), Some(key)) => Some(
            Certificate::read(chain, key)
                .map_err(|error| CommandError::failed(error.to_string()))?,
        ),
        _ => None,
    };
    let options = DeskOptions {
        listen,
        certificate,
        proxies: Proxies::new(args.behind_proxy.clone()),
        oidc: args.oidc.prepare()?,
        keeping: Keeping {
            days: args.keep_audit_days,
            rows: args.keep_audit_rows,
        },
    };
    options.check()?;
    Ok(Some(options))
}

/// How webhooks are taken, and what knows the App's tokens; each where it is wanted.
type Unlocked = (Option<Hooks>, Option<Arc<github::Source>>);

/// Takes out of the vault, which is opened once, what webhooks are checked with and what the App on GitHub signs with.
fn unlocked(args: &Args, home: &Home, opened: &Opened, ui: &Ui) -> Result<Unlocked, CommandError> {
    let settings = Settings::read(home)?.github;
    if !args.hooks && settings.is_none() {
        return Ok((None, None));
    }
    let vault = session::open(ui, &args.unlock)?;
    let mut hooks = match args.hooks {
        true => Some(hooks(args, &vault, opened)?),
        false => None,
    };
    let app = settings.map(|settings| github::load(&settings, &vault, opened));
    let source = app
        .transpose()?
        .map(|app| Arc::new(github::Source::new(app, opened.clone())));
    if let (Some(hooks), Some(source)) = (&mut hooks, &source) {
        hooks.placeholders = Some(Arc::clone(source) as _);
        hooks.watcher = Some(Arc::clone(source) as _);
    }
    Ok((hooks, source))
}

/// Returns how webhooks are to be taken.
fn hooks(args: &Args, vault: &Vault, opened: &Opened) -> Result<Hooks, CommandError> {
    let secrets = hook_secrets(vault, opened).map_err(|error| match error {
        HookSecretsError::Secrets(SecretsError::None) => {
            CommandError::missing("webhooks are checked with a secret that is not saved:", [WEBHOOK_SECRET])
                .hint("`openssl rand -hex 32` makes one; `mira set MIRA_WEBHOOK_SECRET` saves it; the sender gets the same.")
        }
        HookSecretsError::Vault(error) => error.into(),
        error => CommandError::failed(error.to_string()),
    })?;
    let sources = args.hooks_from.as_ref().map(|file| {
        let failed = |error: &dyn std::fmt::Display| {
            CommandError::failed(format!("{}: {error}", file.display()))
        };
        let text = std::fs::read_to_string(file).map_err(|error| failed(&error))?;
        Sources::parse(&text).map_err(|error| failed(&error))
    });
    Ok(Hooks {
        sources: sources.transpose()?,
        ..Hooks::new(secrets)
    })
}

async fn serve_desk(
    options: DeskOptions,
    (hooks, source): Unlocked,
    home: &Home,
    opened: Opened,
    ui: &Ui,
    leaving: Leaving,
) -> Result<(), CommandError> {
    for name in ["ADMIN_PASSWORD", "DATABASE_URL"] {
        if let Some(value) = session::given(name)? {
            // EXPOSE: to the log, which is kept free of it.
            opened.tell(name, value.expose());
        }
    }
    let shared = shared(home).await?;
    if let Some(source) = source {
        source.heed(&shared);
    }
    let scheme = match options.certificate {
        Some(_) => "https",
        None => "http",
    };
    let only_here = options.is_loopback();
    first_admin(&shared, only_here, ui).await?;
    if has_default_password(&shared).await? {
        if !only_here {
            return Err(CommandError::failed("the user admin has the password that everybody knows, and this desk is reached from other machines")
                .hint("Give it another first: `mira user passwd admin`."));
        }
        ui.say("the user admin has the default password: that works on this machine alone");
    }
    let link = match shared.users().await?.is_empty() {
        false => None,
        true => {
            let now = Timestamp::now();
            let expires = now.saturating_add(LINK_LASTS).unwrap_or(Timestamp::MAX);
            Some(
                shared
                    .make_link(LinkPurpose::FirstAdmin, expires, now)
                    .await?,
            )
        }
    };
    let place = shared.place().to_owned();
    let takes_hooks = hooks.is_some();
    let ready = |address: SocketAddr| {
        ui.say(&format!(
            "the desk is at {scheme}://{address}, with {place}"
        ));
        ui.detail("Ctrl-C ends the server, and stops all instances");
        if takes_hooks {
            ui.say("webhooks are taken at /webhooks/github");
        }
        tracing::info!(target: "mira::server", %address, database = place, "the desk is ready");
        if let Some(link) = &link {
            // EXPOSE: to whoever started the server; it works once, for an hour.
            ui.say(&format!(
                "nobody can sign in yet; make the first admin at {scheme}://{address}/enter/{}",
                link.expose()
            ));
            ui.detail("the link works once, for an hour");
        }
    };
    let surroundings = Surroundings {
        hooks,
        ..surroundings(home, shared, opened)?
    };
    Ok(mira_desk::serve(options, surroundings, ready, leaving.wait()).await?)
}

/// Makes the first admin of `ADMIN_PASSWORD`, if there is none.
async fn first_admin(shared: &Shared, only_here: bool, ui: &Ui) -> Result<(), CommandError> {
    let Some(password) = session::given("ADMIN_PASSWORD")? else {
        return Ok(());
    };
    // EXPOSE: to the comparison with what everybody knows.
    if !only_here && password.expose() == mira_desk::DEFAULT_PASSWORD.as_bytes() {
        return Err(CommandError::usage("ADMIN_PASSWORD is the one that everybody knows, and this desk is reached from other machines")
            .hint("Choose another, of at least 12 characters."));
    }
    let made = make_first_admin(shared, password).await;
    if made.map_err(|error| CommandError::failed(format!("ADMIN_PASSWORD: {error}")))? {
        ui.say("the user admin can sign in with ADMIN_PASSWORD");
    }
    Ok(())
}

fn stop(place: mira_server::Place, ui: &Ui) -> Result<(), CommandError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    match runtime.block_on(Client::new(place).shut_down())? {
        true => ui.say("the supervisor has ended, and all instances are stopped"),
        false => ui.say("no supervisor runs for this home"),
    }
    // What stopped instances left in memory goes; a home that cannot be opened has to wait for one that can.
    drop(Apps::open());
    Ok(())
}
