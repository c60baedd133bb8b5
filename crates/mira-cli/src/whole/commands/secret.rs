//! `mira secret`: the secrets of an instance: its own, and its bindings to the user's.

use std::ffi::OsString;

use mira_host::instances::{Source, Wanted};
use mira_package::manifest::Delivery;
use mira_secret::{Kind, Scope, SecretName};
use mira_store::Instance;
use mira_vault::Vault;
use serde_json::{Value, json};

use crate::commands::{rm, set};
use crate::error::{CommandError, Kind as ErrorKind};
use crate::render::table;
use crate::session::{UnlockArgs, parse_name};
use crate::ui::Ui;
use crate::whole::apps::Apps;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Save a secret of an instance, or replace its value
    Set(SetArgs),
    /// List what an instance declares, and where it comes from; never a value
    List(ListArgs),
    /// Remove a secret of an instance, or its binding
    Rm(RmArgs),
    /// Have an instance use one of your own secrets, without copying it
    Bind(BindArgs),
}

#[derive(Debug, clap::Args)]
#[command(
    override_usage = "mira secret set --instance INSTANCE NAME [--stdin] [--label TEXT] [--kind KIND] [--replace]"
)]
struct SetArgs {
    /// The instance: its name or id
    #[arg(long, value_name = "INSTANCE")]
    instance: String,

    /// The secret's name, as the app declares it
    #[arg(value_name = "NAME")]
    name: OsString,

    /// Not for values: it is here so that one typed here is refused without being repeated.
    #[arg(hide = true, trailing_var_arg = true)]
    value: Vec<OsString>,

    /// Read the value from stdin, as it is, less one trailing newline
    #[arg(long)]
    stdin: bool,

    /// A name for people
    #[arg(long, value_name = "TEXT")]
    label: Option<String>,

    /// What the value is: token, password, private-key or url
    #[arg(long, value_name = "KIND", value_parser = set::parse_kind)]
    kind: Option<Kind>,

    /// Replace a saved value without asking
    #[arg(long)]
    replace: bool,

    #[command(flatten)]
    unlock: UnlockArgs,
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    /// The instance: its name or id
    #[arg(long, value_name = "INSTANCE")]
    instance: String,

    /// Print a JSON array
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    unlock: UnlockArgs,
}

#[derive(Debug, clap::Args)]
struct RmArgs {
    /// The instance: its name or id
    #[arg(long, value_name = "INSTANCE")]
    instance: String,

    /// The secret
    #[arg(value_name = "NAME")]
    name: String,

    /// Remove without asking
    #[arg(long)]
    yes: bool,

    #[command(flatten)]
    unlock: UnlockArgs,
}

#[derive(Debug, clap::Args)]
struct BindArgs {
    /// The instance: its name or id
    #[arg(long, value_name = "INSTANCE")]
    instance: String,

    /// The secret's name, as the app declares it
    #[arg(value_name = "NAME")]
    name: String,

    /// Your secret that it uses; the one of the same name if left out
    #[arg(long, value_name = "SECRET")]
    to: Option<String>,

    #[command(flatten)]
    unlock: UnlockArgs,
}

pub(crate) fn run(args: Args, ui: &Ui) -> Result<(), CommandError> {
    match args.action {
        Action::Set(args) => set_own(args, ui),
        Action::List(args) => list(&args, ui),
        Action::Rm(args) => remove(args, ui),
        Action::Bind(args) => bind(&args, ui),
    }
}

fn set_own(args: SetArgs, ui: &Ui) -> Result<(), CommandError> {
    let apps = Apps::open()?;
    let instance = apps.find(&args.instance)?;
    let set = set::Args {
        name: args.name,
        value: args.value,
        stdin: args.stdin,
        label: args.label,
        kind: args.kind,
        scope: scope(&instance),
        replace: args.replace,
        unlock: args.unlock,
    };
    let name = set::checked_name(&set)?;
    apps.instances.check_declared(&instance, &name)?;
    apps.wait(apps.instances.check_unbound(&instance, &name))?;
    set::run(&set, ui)
}

fn bind(args: &BindArgs, ui: &Ui) -> Result<(), CommandError> {
    let apps = Apps::open()?;
    let instance = apps.find(&args.instance)?;
    let name = parse_name(&args.name)?;
    let wanted = args.to.as_deref().map(parse_name).transpose()?;
    let vault = existing_vault(&apps, ui, &args.unlock)?;
    let bound = apps
        .instances
        .bind(&instance, &name, wanted.as_ref(), &vault);
    let secret = apps.wait(bound)?;
    ui.say(&format!(
        "{name} of {} is your {secret} from the next start on",
        instance.name
    ));
    Ok(())
}

fn remove(args: RmArgs, ui: &Ui) -> Result<(), CommandError> {
    let apps = Apps::open()?;
    let instance = apps.find(&args.instance)?;
    let name = parse_name(&args.name)?;
    if let Some(secret) = binding(&apps, &instance, &name)? {
        let store = apps.instances.store();
        apps.wait(store.remove_binding(&instance.id, name.as_str()))?;
        ui.say(&format!(
            "{name} of {} is not your {secret} any more; a running service has it until it ends",
            instance.name
        ));
        return Ok(());
    }
    rm::run(
        &rm::Args {
            names: vec![args.name],
            scope: scope(&instance),
            yes: args.yes,
            unlock: args.unlock,
        },
        ui,
    )
}

fn list(args: &ListArgs, ui: &Ui) -> Result<(), CommandError> {
    ui.want_json(args.json);
    let apps = Apps::open()?;
    let instance = apps.find(&args.instance)?;
    let unpacked = apps.unpacked(&instance)?;
    let vault = apps.vault(ui, &args.unlock)?;
    let resolved = apps
        .instances
        .resolve(&instance, &unpacked.manifest, vault.as_ref(), &[]);
    let resolution = apps.wait(resolved)?;
    let sealed = unpacked.sealed.is_some();
    let rows: Vec<Row<'_>> = resolution
        .wanted
        .iter()
        .map(|wanted| Row::new(wanted, &instance, vault.as_ref(), sealed))
        .collect();
    if args.json {
        return ui.json(&rows.iter().map(Row::json).collect::<Value>());
    }
    if rows.is_empty() {
        ui.say(&format!("{} declares no secret", instance.name));
        return Ok(());
    }
    let cells: Vec<_> = rows.iter().map(Row::cells).collect();
    ui.data(&table(
        ["NAME", "REQUIRED", "FROM", "VERSION", "DELIVERY"],
        &cells,
    ))
}

/// A declared secret, for people and programs.
struct Row<'a> {
    wanted: &'a Wanted<'a>,
    from: String,
    version: Option<u64>,
}

impl<'a> Row<'a> {
    fn new(
        wanted: &'a Wanted<'a>,
        instance: &Instance,
        vault: Option<&Vault>,
        sealed: bool,
    ) -> Self {
        let name = &wanted.declared.name;
        let version = |scope: &Scope, name: &SecretName| Some(vault?.find(scope, name)?.version());
        let (from, version) = match &wanted.source {
            Some(Source::Own) => ("its own".to_owned(), version(&scope(instance), name)),
            Some(Source::Bound(secret)) => {
                (format!("your {secret}"), version(&Scope::User, secret))
            }
            Some(Source::Sealed) => ("the package".to_owned(), None),
            // What is sealed is known only while it is open.
            None if sealed => ("missing, or sealed in the package".to_owned(), None),
            None => ("missing".to_owned(), None),
        };
        Self {
            wanted,
            from,
            version,
        }
    }

    fn delivery(&self) -> &'static str {
        match self.wanted.declared.deliver {
            Delivery::Env => "env",
            Delivery::File => "file",
            Delivery::Brokered => "brokered",
        }
    }

    fn cells(&self) -> [String; 5] {
        let declared = self.wanted.declared;
        [
            declared.name.to_string(),
            if declared.required { "yes" } else { "no" }.to_owned(),
            self.from.clone(),
            self.version
                .map(|version| version.to_string())
                .unwrap_or_default(),
            self.delivery().to_owned(),
        ]
    }

    fn json(&self) -> Value {
        let declared = self.wanted.declared;
        json!({
            "name": declared.name.as_str(),
            "required": declared.required,
            "description": declared.description,
            "howToObtain": declared.how_to_obtain,
            "delivery": self.delivery(),
            "source": match &self.wanted.source {
                Some(Source::Own) => Some("own"),
                Some(Source::Bound(_)) => Some("bound"),
                Some(Source::Sealed) => Some("sealed"),
                None => None,
            },
            "boundTo": match &self.wanted.source {
                Some(Source::Bound(secret)) => Some(secret.as_str()),
                _ => None,
            },
            "version": self.version,
        })
    }
}

fn scope(instance: &Instance) -> Scope {
    Scope::Instance(instance.id.as_str().into())
}

fn existing_vault(apps: &Apps, ui: &Ui, unlock: &UnlockArgs) -> Result<Vault, CommandError> {
    apps.vault(ui, unlock)?.ok_or_else(|| {
        CommandError::new(ErrorKind::Missing, "there is no vault")
            .hint("`mira init` makes a vault.")
    })
}

fn binding(
    apps: &Apps,
    instance: &Instance,
    name: &SecretName,
) -> Result<Option<String>, CommandError> {
    let bindings = apps.wait(apps.instances.store().bindings(&instance.id))?;
    let found = bindings
        .into_iter()
        .find(|binding| binding.name == name.as_str());
    Ok(found.map(|binding| binding.secret))
}
