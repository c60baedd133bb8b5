//! `mira user`: who may sign in at a server's desk, and as what.
//!
//! It works on the database itself, `DATABASE_URL` or this home's own: whoever may write there needs no password for it.

use std::io;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use jiff::Timestamp;
use mira_desk::hash_password;
use mira_secret::SecretBytes;
use mira_store::{
    Actor, AuditAction, AuditEntry, NewUser, Outcome, PasswordHash, Role, Shared, SharedError,
    User, UserName,
};
use serde_json::{Value, json};

use crate::error::CommandError;
use crate::render::{minute, table};
use crate::session::{self, read_secret};
use crate::ui::Ui;
use crate::whole::commands::desk;
use crate::whole::packaging::ask_twice;

/// The longest password that is read, in bytes.
// LIMIT: far beyond what anybody types; keeps a wrong file from being read whole.
const PASSWORD_BYTES_MAX: u64 = 4096;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Users are kept in the database that DATABASE_URL names, or in this home's mira.db. A viewer may look, an operator may run apps, an admin \
                  may do everything. Another role or password ends all sessions of a user."
)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Add a user
    Add(AddArgs),
    /// List the users
    List(ListArgs),
    /// Give a user another role
    Role(RoleArgs),
    /// Keep a user out, and end all sessions of that user
    Disable(OneArgs),
    /// Let a user in again
    Enable(OneArgs),
    /// Remove users, with their sessions and API tokens
    Rm(RmArgs),
    /// Give a user another password
    Passwd(PasswdArgs),
}

#[derive(Debug, clap::Args)]
struct AddArgs {
    /// What the user is called
    #[arg(value_name = "NAME")]
    name: String,

    /// What the user may do: viewer, operator or admin
    #[arg(long, value_name = "ROLE", default_value = "viewer", value_parser = roles())]
    role: Role,

    /// Read the password from stdin, as it is, less one trailing newline
    #[arg(long)]
    stdin: bool,

    /// Give no password: the user signs in elsewhere, or cannot yet
    #[arg(long, conflicts_with = "stdin")]
    no_password: bool,
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    /// Print a JSON array
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct RoleArgs {
    /// The user
    #[arg(value_name = "NAME")]
    name: String,

    /// viewer, operator or admin
    #[arg(value_name = "ROLE", value_parser = roles())]
    role: Role,
}

#[derive(Debug, clap::Args)]
struct OneArgs {
    /// The user
    #[arg(value_name = "NAME")]
    name: String,
}

#[derive(Debug, clap::Args)]
struct RmArgs {
    /// The users
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,

    /// Remove without asking
    #[arg(long)]
    yes: bool,
}

#[derive(Debug, clap::Args)]
struct PasswdArgs {
    /// The user
    #[arg(value_name = "NAME")]
    name: String,

    /// Read the password from stdin, as it is, less one trailing newline
    #[arg(long)]
    stdin: bool,
}

fn roles() -> impl TypedValueParser<Value = Role> {
    let words = Role::ALL.iter().map(|role| role.as_str());
    PossibleValuesParser::new(words).try_map(|word| word.parse::<Role>())
}

pub(crate) fn run(args: &Args, ui: &Ui) -> Result<(), CommandError> {
    if let Action::List(args) = &args.action {
        ui.want_json(args.json);
    }
    let home = session::home()?;
    desk::with_shared(&home, async |shared| match &args.action {
        Action::Add(args) => add(shared, args, ui).await,
        Action::List(args) => list(shared, args, ui).await,
        Action::Role(args) => role(shared, args, ui).await,
        Action::Disable(args) => set_disabled(shared, args, true, ui).await,
        Action::Enable(args) => set_disabled(shared, args, false, ui).await,
        Action::Rm(args) => remove(shared, args, ui).await,
        Action::Passwd(args) => passwd(shared, args, ui).await,
    })
}

async fn add(shared: &Shared, args: &AddArgs, ui: &Ui) -> Result<(), CommandError> {
    let name = parse_name(&args.name)?;
    if shared.user_named(&name).await?.is_some() {
        return Err(SharedError::NameTaken { name }.into());
    }
    let password = match args.no_password {
        true => None,
        false => Some(new_password(&name, args.stdin, ui)?),
    };
    let new = NewUser {
        name,
        role: args.role,
        password,
    };
    let user = shared.create_user(&new, Timestamp::now()).await?;
    record(shared, AuditAction::UserCreate, &user).await?;
    ui.say(&format!("added {} as {}", user.name, user.role));
    Ok(())
}

async fn list(shared: &Shared, args: &ListArgs, ui: &Ui) -> Result<(), CommandError> {
    let users = shared.users().await?;
    if args.json {
        return ui.json(&Value::Array(users.iter().map(to_json).collect()));
    }
    if users.is_empty() {
        ui.say("there is no user yet; `mira user add NAME --role admin` adds one");
        return Ok(());
    }
    let rows: Vec<_> = users.iter().map(row).collect();
    ui.data(&table(
        ["NAME", "ROLE", "SIGNS IN", "ADDED", "CHANGED"],
        &rows,
    ))
}

async fn role(shared: &Shared, args: &RoleArgs, ui: &Ui) -> Result<(), CommandError> {
    let user = existing(shared, &args.name).await?;
    let user = shared
        .set_role(&user.id, args.role, Timestamp::now())
        .await?;
    record(shared, AuditAction::UserRole, &user).await?;
    ui.say(&format!("{} is {} now", user.name, user.role));
    Ok(())
}

async fn set_disabled(
    shared: &Shared,
    args: &OneArgs,
    disabled: bool,
    ui: &Ui,
) -> Result<(), CommandError> {
    let user = existing(shared, &args.name).await?;
    let user = shared
        .set_disabled(&user.id, disabled, Timestamp::now())
        .await?;
    let (action, told) = match disabled {
        true => (AuditAction::UserDisable, "is kept out now"),
        false => (AuditAction::UserEnable, "may sign in again"),
    };
    record(shared, action, &user).await?;
    ui.say(&format!("{} {told}", user.name));
    Ok(())
}

async fn remove(shared: &Shared, args: &RmArgs, ui: &Ui) -> Result<(), CommandError> {
    let mut users = Vec::new();
    for name in &args.names {
        users.push(existing(shared, name).await?);
    }
    let names: Vec<&str> = users.iter().map(|user| user.name.as_str()).collect();
    let question = format!("Remove {} for good?", names.join(", "));
    if !args.yes && !ui.confirm(&question, "--yes")? {
        return Err(CommandError::failed("nobody was removed"));
    }
    for user in &users {
        shared.remove_user(&user.id).await?;
        record(shared, AuditAction::UserRemove, user).await?;
        ui.say(&format!("removed {}", user.name));
    }
    Ok(())
}

async fn passwd(shared: &Shared, args: &PasswdArgs, ui: &Ui) -> Result<(), CommandError> {
    let user = existing(shared, &args.name).await?;
    let password = new_password(&user.name, args.stdin, ui)?;
    let user = shared
        .set_password(&user.id, Some(&password), Timestamp::now())
        .await?;
    record(shared, AuditAction::UserPassword, &user).await?;
    ui.say(&format!("{} has another password now", user.name));
    Ok(())
}

/// Writes down that the owner of this home did it.
async fn record(shared: &Shared, action: AuditAction, user: &User) -> Result<(), CommandError> {
    let entry = AuditEntry {
        actor: Actor::LocalOwner,
        address: None,
        action,
        subject: user.name.as_str(),
        outcome: Outcome::Ok,
    };
    Ok(shared.record(&entry, Timestamp::now()).await?)
}

/// Parses a name; the error does not repeat what may be a password.
fn parse_name(text: &str) -> Result<UserName, CommandError> {
    text.parse()
        .map_err(|error: mira_store::UserNameError| CommandError::usage(error.to_string()))
}

async fn existing(shared: &Shared, name: &str) -> Result<User, CommandError> {
    let found = shared.user_named(&parse_name(name)?).await?;
    Ok(found.ok_or(SharedError::NoSuchUser)?)
}

fn new_password(name: &UserName, stdin: bool, ui: &Ui) -> Result<PasswordHash, CommandError> {
    let password: SecretBytes = if stdin {
        read_secret(io::stdin().lock(), PASSWORD_BYTES_MAX)?
    } else if ui.can_ask_hidden() {
        ask_twice(ui, name.as_str())?
    } else {
        return Err(CommandError::missing(
            format!(
                "the new password of {name} is missing, and there is no terminal to ask on; give:"
            ),
            ["--stdin"],
        ));
    };
    hash_password(name, &password)
        .map_err(|error| CommandError::failed(format!("{error}; nothing was changed")))
}

fn row(user: &User) -> [String; 5] {
    let signs_in = match (user.disabled, user.has_password) {
        (true, _) => "not: disabled",
        (false, true) => "with a password",
        (false, false) => "elsewhere",
    };
    [
        user.name.to_string(),
        user.role.to_string(),
        signs_in.to_owned(),
        minute(user.created),
        minute(user.changed),
    ]
}

fn to_json(user: &User) -> Value {
    json!({
        "id": user.id.as_str(),
        "name": user.name.as_str(),
        "role": user.role.as_str(),
        "password": user.has_password,
        "disabled": user.disabled,
        "added": user.created.to_string(),
        "changed": user.changed.to_string(),
    })
}
