//! `mira github test`: signs in as the App, and says where it is installed and what is wrong.

use std::process::ExitCode;

use mira_github::{About, App, GitHubError, Installation};
use serde_json::{Value, json};

use crate::error::CommandError;
use crate::render::{count, table};
use crate::session::{self, UnlockArgs};
use crate::ui::Ui;
use crate::whole::github;
use crate::whole::reach::wait;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "GitHub is called only because you ask for it with this command; nothing is changed there."
)]
pub(crate) struct Args {
    /// Print a JSON object
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    unlock: UnlockArgs,
}

/// An installation, and its repositories or why they are not known.
type Found = (Installation, Result<Vec<String>, GitHubError>);

pub(crate) fn run(args: &Args, ui: &Ui) -> Result<ExitCode, CommandError> {
    ui.want_json(args.json);
    let home = session::home()?;
    let Some(app) = github::app(&home, ui, &args.unlock)? else {
        return Err(CommandError::missing(
            "no App on GitHub is set up:",
            ["MIRA_GITHUB_APP_ID", github::PRIVATE_KEY],
        )
        .hint("`mira github setup` does it."));
    };
    let asked = wait(ask(&app))?;
    let (about, found) = asked.map_err(|error| CommandError::failed(error.to_string()))?;
    if args.json {
        ui.json(&to_json(&app, &about, &found))?;
    } else {
        ui.say(&format!(
            "signed in as App {} ({}) at {}",
            app.id(),
            about.slug,
            app.base()
        ));
        let rows: Vec<_> = found.iter().map(row).collect();
        match rows.is_empty() {
            true => ui.say("it is not installed anywhere; install it from its page on GitHub"),
            false => ui.data(&table(
                ["INSTALLATION", "ACCOUNT", "IS", "REPOSITORIES", "GRANTS"],
                &rows,
            ))?,
        }
        for (installation, repositories) in &found {
            if let Err(error) = repositories {
                ui.say(&format!("installation {}: {error}", installation.id));
            }
        }
    }
    let all_good = found.iter().all(|(_, repositories)| repositories.is_ok());
    Ok(match all_good {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

async fn ask(app: &App) -> Result<(About, Vec<Found>), GitHubError> {
    let about = app.about().await?;
    let mut found = Vec::new();
    for installation in app.installations().await? {
        let repositories = app.repositories(installation.id).await;
        found.push((installation, repositories));
    }
    Ok((about, found))
}

fn grants(installation: &Installation) -> String {
    let granted = installation.permissions.iter();
    let granted: Vec<String> = granted
        .map(|(name, access)| format!("{name}: {access}"))
        .collect();
    granted.join(", ")
}

fn row((installation, repositories): &Found) -> [String; 5] {
    let state = match (installation.suspended, repositories) {
        (true, _) => "suspended",
        (_, Ok(_)) => "good",
        (_, Err(_)) => "FAILED",
    };
    let known = repositories
        .as_ref()
        .map(|names| count(names.len(), "repository"));
    [
        installation.id.to_string(),
        installation.account.clone(),
        state.to_owned(),
        known
            .unwrap_or_default()
            .replace("repositorys", "repositories"),
        grants(installation),
    ]
}

fn to_json(app: &App, about: &About, found: &[Found]) -> Value {
    let installations = found.iter().map(|(installation, repositories)| {
        json!({
            "id": installation.id,
            "account": installation.account,
            "all_repositories": installation.all_repositories,
            "suspended": installation.suspended,
            "permissions": installation.permissions,
            "repositories": repositories.as_ref().ok(),
            "fault": repositories.as_ref().err().map(ToString::to_string),
        })
    });
    json!({
        "app_id": app.id().get(),
        "slug": about.slug,
        "owner": about.owner,
        "api": app.base().to_string(),
        "installations": installations.collect::<Value>(),
    })
}
