//! `mira desk`: the desk for whoever owns this home, on this machine alone, as long as the command runs.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use mira_desk::{Custody, DeskOptions, Keeping, Opened, Proxies, Surroundings};
use mira_server::Client;
use mira_store::{DatabaseUrl, LinkPurpose, Location, Shared};
use mira_vault::home::Home;
use tokio::signal::unix::{SignalKind, signal};

use crate::error::CommandError;
use crate::session;
use crate::ui::Ui;
use crate::whole::apps::{Supervisor, place};

/// Where the desk listens if nobody says otherwise: a port that the system chooses.
const ANYWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// How long the link works.
const LINK_LASTS: SignedDuration = SignedDuration::from_mins(10);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The port; without it the system chooses one
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,

    /// Say where the desk is, and open no browser
    #[arg(long)]
    no_browser: bool,
}

pub(crate) fn run(args: &Args, ui: &Ui) -> Result<(), CommandError> {
    let home = session::home()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        // LIMIT: one person's requests.
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let shared = shared(&home).await?;
        let now = Timestamp::now();
        let expires = now.saturating_add(LINK_LASTS).unwrap_or(Timestamp::MAX);
        let link = shared.make_link(LinkPurpose::LocalOwner, expires, now).await?;
        let options = DeskOptions {
            listen: SocketAddr::new(ANYWHERE.ip(), args.port.unwrap_or(0)),
            certificate: None,
            proxies: Proxies::default(),
            oidc: None,
            keeping: Keeping::DEFAULT,
        };
        let (mut terminated, mut interrupted) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let until = async move {
            tokio::select! {
                _ = terminated.recv() => {}
                _ = interrupted.recv() => {}
            }
        };
        let mut leaf = None;
        let ready = |address: SocketAddr| {
            // EXPOSE: to the person at this terminal, and to the browser; it works once, for ten minutes.
            let url = format!("http://{address}/enter/{}", link.expose());
            ui.say(&format!("the desk is at {url}"));
            ui.detail("the link works once, for ten minutes; Ctrl-C closes the desk, and leaves apps running");
            if !args.no_browser && ui.can_ask() {
                leaf = Leaf::open(&home, &url, ui);
            }
        };
        let surroundings = surroundings(&home, shared, Opened::default())?;
        mira_desk::serve(options, surroundings, ready, until).await?;
        drop(leaf);
        Ok(())
    })
}

/// Returns whether what servers share is in a database of its own, and not in the home.
pub(crate) fn is_shared_elsewhere() -> bool {
    session::is_given("DATABASE_URL")
}

/// Opens what the servers of a team share, or this home's own file.
pub(crate) async fn shared(home: &Home) -> Result<Shared, CommandError> {
    let Some(url) = session::given("DATABASE_URL")? else {
        home.create()
            .map_err(|error| CommandError::failed(error.to_string()))?;
        return Ok(Shared::open(Location::File(home.path())).await?);
    };
    let url = DatabaseUrl::parse(&url).map_err(|error| CommandError::usage(error.to_string()))?;
    Ok(Shared::open(Location::Postgres(url)).await?)
}

/// Does something with what servers share, and closes it whatever came of that.
pub(crate) fn with_shared<T>(
    home: &Home,
    work: impl AsyncFnOnce(&Shared) -> Result<T, CommandError>,
) -> Result<T, CommandError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let shared = shared(home).await?;
        let done = work(&shared).await;
        shared.close().await;
        done
    })
}

/// Returns what the desk works with.
pub(crate) fn surroundings(
    home: &Home,
    shared: Shared,
    opened: Opened,
) -> Result<Surroundings, CommandError> {
    let place = place(home)?;
    place.create()?;
    Ok(Surroundings {
        custody: Custody::new(home.clone()),
        shared,
        runtime: place.folder().to_owned(),
        client: Client::new(place),
        spawn: Box::new(Supervisor { home: home.clone() }),
        variables: std::env::vars_os().collect(),
        hooks: None,
        opened,
        program: crate::programs::mira()?,
    })
}

/// A page in a private file that leads to the desk: the link is not to be seen among the browser's arguments.
struct Leaf(PathBuf);

impl Leaf {
    /// Writes it, and opens it in the person's browser; where that does not work, the link was shown.
    fn open(home: &Home, url: &str, ui: &Ui) -> Option<Self> {
        let place = place(home).ok()?;
        let leaf = Self(place.folder().join("desk.html"));
        let page = format!(
            "<!doctype html><meta http-equiv=\"refresh\" content=\"0;url={url}\"><a href=\"{url}\">To the desk</a>\n"
        );
        mira_vault::private_file::replace(&leaf.0, page.as_bytes()).ok()?;
        if let Err(error) = mira_host::background::open_in_browser(Path::new(&leaf.0)) {
            ui.detail(&format!("no browser was opened: {error}"));
        }
        Some(leaf)
    }
}

impl Drop for Leaf {
    fn drop(&mut self) {
        // It leads nowhere any more.
        drop(std::fs::remove_file(&self.0));
    }
}
