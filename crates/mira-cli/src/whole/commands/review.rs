//! `mira review`: a diff from here, reviewed by the reviewer that is opened here: its program, its settings and its key, in a room as that of its
//! services. Whether it runs meanwhile makes no difference.
//!
//! INVARIANT: the program has placeholders of secrets alone, but for the key of a service at an address of the person's own, which its service holds
//! as well; of the person's files it sees the diff and the repository's `.mira.yaml`, if that is a file and no link.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::ValueEnum;
use mira_host::instances::{Instances, KeyWanted, Layout, Unpacked};
use mira_host::network::{Broker, Network, Visible};
use mira_host::service::Value;
use mira_package::manifest;
use mira_run::lease::Delivery;
use mira_run::{Environment, RunSpec};
use mira_secret::SecretName;
use mira_store::Instance;
use mira_vault::settings::Settings;

use crate::commands::run::{add, attend, refuse_held};
use crate::error::{CommandError, Kind};
use crate::session::UnlockArgs;
use crate::ui::Ui;
use crate::whole::apps::{Apps, KeyArgs};
use crate::whole::gate::begin;
use crate::whole::packaging::cannot;

/// The app that is looked for where no instance is named.
const REVIEWER: &str = "org.mira.reviewer";

/// The secret that the reviewer itself holds: it is for a model service whose host is the person's to choose.
const HELD: &str = "REVIEWER_MODEL_API_KEY";

/// Where a repository says what is looked at.
const CONFIG: &str = ".mira.yaml";

#[derive(Debug, clap::Args)]
#[command(after_help = "git diff main | mira review --diff -")]
pub(crate) struct Args {
    /// The reviewer: its name or id; it may be left out where there is one
    #[arg(value_name = "INSTANCE")]
    instance: Option<String>,

    /// The diff: a file, or - for standard input
    #[arg(long, value_name = "FILE")]
    diff: PathBuf,

    /// How the findings are written
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,

    #[command(flatten)]
    key: KeyArgs,

    #[command(flatten)]
    unlock: UnlockArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// One JSON document
    Json,
    /// SARIF 2.1.0, for code hosts and editors
    Sarif,
}

impl Format {
    fn word(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
            Self::Sarif => "sarif",
        }
    }
}

pub(crate) fn run(args: &Args, ui: &Ui) -> Result<ExitCode, CommandError> {
    let apps = Apps::open()?;
    let instance = reviewer(&apps, args.instance.as_deref())?;
    let unpacked = apps.unpacked(&instance)?;
    let values = values(&apps, ui, &instance, &unpacked, args)?;
    let (mut network, home) = (
        network(&apps, &instance, &unpacked, &values)?,
        apps.instances.home().clone(),
    );
    let mut words = vec!["review".into(), "--diff".into()];
    if args.diff.as_os_str() == "-" {
        words.push("-".into());
    } else {
        let diff = args.diff.canonicalize();
        let diff = diff.map_err(|error| cannot("read", &args.diff, &error))?;
        words.push(diff.clone().into());
        network.visible.readable.push(diff);
    }
    if let Some(config) = configuration()? {
        words.extend(["--config".into(), config.clone().into()]);
        network.visible.readable.push(config);
    }
    words.extend(["--format".into(), args.format.word().into()]);
    // What is around the person now is not there in the room.
    std::env::set_current_dir(&unpacked.folder)?;

    let value = |name: &SecretName| {
        let mut values = values.iter().filter(|value| value.name == *name);
        values.next().map(|value| &value.value)
    };
    let mut environment = Environment::inherit(
        std::env::vars_os()
            .filter(|(name, _)| ["PATH", "LANG", "TZ"].iter().any(|one| name == one)),
    );
    add(
        &mut environment,
        "MIRA_INSTANCE".as_ref(),
        instance.name.as_str().as_bytes(),
    )?;
    let region = Settings::read(&home)?.aws_region;
    let region = region.as_ref().map(|region| region.as_str());
    let settings = apps
        .instances
        .settings(&instance, &unpacked.manifest, region);
    let settings = apps.wait(settings)?;
    for (name, value) in &settings {
        add(&mut environment, name.as_ref(), value.as_bytes())?;
    }
    let mut needles = mira_redact::NeedleSet::builder();
    for value in &values {
        // EXPOSE: to the redactor, which looks for it in what the program would get, and in its output.
        needles.add(value.name.as_str(), value.value.expose());
    }
    let needles = Arc::new(needles.build());
    refuse_held(&needles, &environment, &words, |variable| {
        settings.keys().all(|setting| variable != setting.as_str())
    })?;
    let gate = begin(&network, value, ui)?;
    for (name, value) in gate.variables() {
        add(&mut environment, &name, value.as_encoded_bytes())?;
    }
    let mut deliveries = Vec::new();
    for held in values.iter().filter(|value| value.name.as_str() == HELD) {
        add(
            &mut environment,
            HELD.as_ref(),
            // EXPOSE: to the program's environment: this is the delivery, as to its service.
            held.value.expose(),
        )?;
        deliveries.extend(held.origin.as_ref().map(|origin| Delivery {
            secret_id: origin.secret_id.clone(),
            scope: origin.scope.clone(),
            name: held.name.clone(),
            version: origin.version,
        }));
    }
    let spec = RunSpec {
        program: program(&unpacked)?.into(),
        args: words,
        environment,
        needles,
        messages: false,
        room: gate.room()?,
    };
    let ended = attend(spec, instance.name.as_str(), deliveries, &home, ui);
    gate.close(ui);
    if matches!(&ended, Ok(code) if *code == Kind::Missing.exit_code()) {
        ui.say(&format!(
            "`mira secret set --instance {0} NAME` saves a key of {0}, and `mira secret list --instance {0}` shows which it can use",
            instance.name
        ));
    }
    ended
}

/// Returns the instance that is named, or the one that there is.
fn reviewer(apps: &Apps, named: Option<&str>) -> Result<Instance, CommandError> {
    if let Some(named) = named {
        return apps.find(named);
    }
    let instances = apps.wait(apps.instances.store().instances())?.into_iter();
    let mut found = instances.filter(|one| !one.deleting && one.app_id == REVIEWER);
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one),
        (Some(one), Some(other)) => Err(CommandError::usage(format!(
            "there are several reviewers, such as {} and {}: name one",
            one.name, other.name
        ))),
        (None, _) => Err(CommandError::missing(
            "no reviewer is opened here:",
            [REVIEWER],
        )
        .hint("`mira open` opens it, from its package or, in a checkout of Mira, from apps/reviewer after `cargo xtask reviewer`.")),
    }
}

/// Returns the repository's configuration, if it has one: a link would show what it leads to, and a pipe would be waited for.
fn configuration() -> Result<Option<PathBuf>, CommandError> {
    let unread = |error: &std::io::Error| cannot("read", Path::new(CONFIG), error);
    match Path::new(CONFIG).symlink_metadata() {
        Ok(found) if found.is_file() => {
            let folder = Path::new(".").canonicalize();
            Ok(Some(folder.map_err(|error| unread(&error))?.join(CONFIG)))
        }
        Ok(_) => Err(CommandError::usage(format!(
            "{CONFIG} is a link, or no regular file, and is not read; put the file itself there"
        ))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unread(&error)),
    }
}

/// Returns the values that the gate puts into requests, and the one that the program holds.
fn values(
    apps: &Apps,
    ui: &Ui,
    instance: &Instance,
    unpacked: &Unpacked,
    args: &Args,
) -> Result<Vec<Value>, CommandError> {
    let app = &unpacked.manifest;
    let sealed = match &unpacked.sealed {
        Some(sealed) => {
            let mut ask = |wanted: KeyWanted| args.key.ask(ui, wanted);
            apps.wait(apps.instances.unseal(sealed, &mut ask))?
        }
        None => Vec::new(),
    };
    let vault = match Instances::needs_vault(app) {
        true => apps.vault(ui, &args.unlock)?,
        false => None,
    };
    let names: Vec<SecretName> = sealed.iter().map(|(name, _)| name.clone()).collect();
    let resolved = apps
        .instances
        .resolve(instance, app, vault.as_ref(), &names);
    let resolution = apps.wait(resolved)?;
    let mut values = apps
        .instances
        .values(instance, &resolution, vault.as_ref(), sealed)?;
    values.retain(|value| {
        let mut declared = app.secrets.iter();
        let declared = declared.find(|one| one.name == value.name);
        declared.is_some_and(|one| match one.deliver {
            manifest::Delivery::Brokered => true,
            manifest::Delivery::Env => one.name.as_str() == HELD,
            manifest::Delivery::File => false,
        })
    });
    Ok(values)
}

/// Returns what the program may call and see: what its services may, but for their folders.
fn network(
    apps: &Apps,
    instance: &Instance,
    unpacked: &Unpacked,
    values: &[Value],
) -> Result<Network, CommandError> {
    let app = &unpacked.manifest;
    let home = apps.instances.home();
    let [user, runtime, path] = ["HOME", "XDG_RUNTIME_DIR", "PATH"].map(std::env::var_os);
    let mut visible = Visible::of_instance(
        user.as_deref().map(Path::new),
        runtime.as_deref().map(Path::new),
        [home.path(), apps.instances.layout().runtime()],
        path.as_deref(),
    );
    visible.readable.push(unpacked.folder.clone());
    let brokered = app.secrets.iter();
    let brokered = brokered.filter(|declared| declared.deliver == manifest::Delivery::Brokered);
    let brokered = brokered.filter_map(|declared| {
        let value = values.iter().find(|value| value.name == declared.name)?;
        let (hosts, query) = (declared.hosts.clone(), declared.query.clone());
        Some(Broker::new(&declared.name, &value.value, hosts, query))
    });
    Ok(Network {
        name: instance.name.to_string(),
        is_command: false,
        rules: apps.wait(apps.instances.policy_rules(instance, app))?,
        brokered: brokered.collect(),
        has_tokens: false,
        record: Layout::net_of_runs(home.path()),
        require_enforcement: false,
        visible,
    })
}

/// Returns the program of the first service, in the package.
fn program(unpacked: &Unpacked) -> Result<PathBuf, CommandError> {
    let services = unpacked.manifest.services.first();
    let word = services.and_then(|service| service.command.first());
    let word = word.map(|word| word.render(&|_| String::new()));
    let word = word.filter(|word| word.contains('/')).ok_or_else(|| {
        CommandError::failed("this app has no program of its own that could review a diff")
    })?;
    Ok(unpacked.folder.join(word))
}
