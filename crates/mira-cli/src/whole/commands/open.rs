//! `mira open`: makes an instance of a package, or opens the one that is there, and brings it up.

use std::path::Path;
use std::process::ExitCode;

use mira_host::instances::{Candidate, Claim, Created, KeyWanted, Unpacked};
use mira_package::manifest::{Delivery, Manifest};
use mira_package::trust::Secrets;
use mira_store::{Instance, InstanceName};

use crate::error::CommandError;
use crate::render::count;
use crate::ui::Ui;
use crate::whole::apps::{Apps, LaunchArgs, launch, prepare};
use crate::whole::github;
use crate::whole::packaging::{calls, joined};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Without a terminal, missing secrets are named and nothing is started; the instance is there then:\n  \
                  mira secret set --instance NAME SECRET --stdin < FILE\n  mira start NAME -d"
)]
pub(crate) struct Args {
    /// A package, a folder with a mira.yaml, or an instance that is there
    #[arg(value_name = "PACKAGE|FOLDER|INSTANCE")]
    target: String,

    /// What the instance is called; a name that is not taken makes a new one
    #[arg(long, value_name = "NAME", value_parser = parse_name)]
    name: Option<InstanceName>,

    /// Take a package whose publisher is not the one that the instance knows
    #[arg(long)]
    agree: bool,

    /// Print what came of it as JSON
    #[arg(long, requires = "detach")]
    json: bool,

    #[command(flatten)]
    launch: LaunchArgs,
}

pub(crate) fn parse_name(text: &str) -> Result<InstanceName, String> {
    text.parse()
        .map_err(|error: mira_store::NameError| error.to_string())
}

pub(crate) fn run(args: &Args, ui: &Ui) -> Result<ExitCode, CommandError> {
    ui.want_json(args.json);
    let apps = Apps::open()?;
    let path = Path::new(&args.target);
    let opened = bring_up(&apps, ui, args, path);
    // Also where it failed: what is unpacked in memory is of no use then.
    let swept = apps.sweep();
    opened.and(swept).map(|()| ExitCode::SUCCESS)
}

fn bring_up(apps: &Apps, ui: &Ui, args: &Args, path: &Path) -> Result<(), CommandError> {
    let Opened {
        instance,
        unpacked,
        claim,
        first,
    } = if path.exists() {
        open_package(apps, ui, args, path)?
    } else {
        open_instance(apps, ui, args)?
    };
    apps.wait(apps.instances.store().record_open(&instance.id))?;
    let ready = prepare(apps, ui, &instance, &unpacked, claim, &args.launch, first)?;
    launch(apps, ui, ready, &args.launch)
}

/// An instance that is about to be brought up.
struct Opened {
    instance: Instance,
    unpacked: Unpacked,
    claim: Claim,
    /// Whether it was made just now.
    first: bool,
}

/// Opens an instance that is there.
fn open_instance(apps: &Apps, ui: &Ui, args: &Args) -> Result<Opened, CommandError> {
    let found = apps.find(&args.target);
    let instance =
        found.map_err(|error| error.hint("There is no file or folder of this name either."))?;
    let (instance, claim) = claim_stopped(apps, &instance)?;
    let unpacked = unpacked(apps, ui, &instance, &args.launch)?;
    Ok(Opened {
        instance,
        unpacked,
        claim,
        first: false,
    })
}

/// Claims an instance that does not run.
pub(crate) fn claim_stopped(
    apps: &Apps,
    instance: &Instance,
) -> Result<(Instance, Claim), CommandError> {
    let (instance, claim) = apps.claim(instance)?;
    if apps.is_running(&instance)? {
        let name = &instance.name;
        return Err(
            CommandError::failed(format!("{name} runs already")).hint(format!(
                "`mira logs -f {name}` follows it; `mira restart {name}` starts it anew."
            )),
        );
    }
    Ok((instance, claim))
}

/// Opens a package for the instance that it is meant for, or for a new one.
fn open_package(apps: &Apps, ui: &Ui, args: &Args, path: &Path) -> Result<Opened, CommandError> {
    let named = match &args.name {
        Some(name) => apps.named(name)?,
        None => None,
    };
    let mut candidate = candidate(apps, ui, path, named.as_ref(), &args.launch)?;
    let known = match (named, &args.name) {
        (Some(instance), _) => Some(instance),
        (None, Some(_)) => None,
        (None, None) => only_instance(apps, &candidate.manifest)?,
    };
    let Some(instance) = known else {
        tell_asks(apps, ui, &candidate)?;
        let agreed = agree(ui, args, None, &candidate)?;
        let created = apps
            .instances
            .create(&mut candidate, args.name.clone(), agreed);
        let Created {
            instance,
            unpacked,
            claim,
        } = apps.wait(created)?;
        return Ok(Opened {
            instance,
            unpacked,
            claim,
            first: true,
        });
    };
    let (instance, claim) = claim_stopped(apps, &instance)?;
    // Judged anew, by what this instance remembers.
    apps.wait(apps.instances.judge_for(&mut candidate, &instance))?;
    let agreed = agree(ui, args, Some(&instance), &candidate)?;
    if candidate.digest() != instance.package.digest {
        let (name, before) = (&instance.name, &instance.package.app_version);
        let version = candidate.manifest.version.to_string();
        ui.say(&match *before == version {
            true => format!("{name} goes to another package of version {version}"),
            false => format!("{name} goes from version {before} to {version}"),
        });
    }
    let updated = apps.instances.update(&instance, &mut candidate, agreed);
    let unpacked = apps.wait(updated)?;
    let instance = apps.wait(apps.instances.store().instance(&instance.id))?;
    Ok(Opened {
        instance,
        unpacked,
        claim,
        first: false,
    })
}

/// Returns whether the user agrees to a package that another publisher signed, or nobody.
fn agree(
    ui: &Ui,
    args: &Args,
    instance: Option<&Instance>,
    candidate: &Candidate,
) -> Result<bool, CommandError> {
    let agreed_before = instance.is_some_and(|instance| {
        candidate.digest() == instance.package.digest && instance.package.unsigned_agreed
    });
    if candidate.judgement.secrets != Secrets::AfterAgreement || args.agree || agreed_before {
        return Ok(true);
    }
    if !ui.can_ask() {
        // The update says so.
        return Ok(false);
    }
    let question = format!(
        "{} was opened from a package of a publisher that is remembered, and this one is {}. Give it the secrets all the same?",
        instance.map_or(candidate.manifest.id.as_str(), |known| known.name.as_str()),
        candidate.judgement.trust.as_str()
    );
    ui.confirm(&question, "--agree")
}

/// Returns the instance of an app, if there is exactly one.
fn only_instance(apps: &Apps, manifest: &Manifest) -> Result<Option<Instance>, CommandError> {
    let mut instances = apps.wait(apps.instances.store().instances())?;
    instances.retain(|instance| instance.app_id == manifest.id.as_str());
    if instances.len() > 1 {
        let names: Vec<&str> = instances.iter().map(|known| known.name.as_str()).collect();
        return Err(CommandError::usage(format!(
            "{} has {}: {}",
            manifest.id,
            count(names.len(), "instance"),
            names.join(", ")
        ))
        .hint("--name says which, or makes a new one."));
    }
    Ok(instances.pop())
}

pub(crate) fn candidate(
    apps: &Apps,
    ui: &Ui,
    path: &Path,
    instance: Option<&Instance>,
    args: &LaunchArgs,
) -> Result<Candidate, CommandError> {
    let mut ask = |wanted: KeyWanted| args.key.ask(ui, wanted);
    Ok(apps.wait(apps.instances.candidate(path, instance, &mut ask))?)
}

/// Returns the unpacked copy of an instance's package; one that is encrypted is opened again from where it was.
pub(crate) fn unpacked(
    apps: &Apps,
    ui: &Ui,
    instance: &Instance,
    args: &LaunchArgs,
) -> Result<Unpacked, CommandError> {
    let mut ask = |wanted: KeyWanted| args.key.ask(ui, wanted);
    Ok(apps.wait(apps.instances.reopen(instance, &mut ask))?)
}

/// Shows what an app asks for, before anything of it runs.
fn tell_asks(apps: &Apps, ui: &Ui, candidate: &Candidate) -> Result<(), CommandError> {
    let Manifest {
        id,
        name,
        version,
        services,
        secrets,
        ..
    } = &candidate.manifest;
    ui.say(&format!(
        "{name} {version} ({id}), {}",
        candidate.judgement.trust.as_str()
    ));
    let programs: Vec<&str> = services
        .iter()
        .map(|service| service.name.as_str())
        .collect();
    ui.detail(&format!("runs {}", programs.join(", ")));
    for secret in secrets {
        let need = match secret.required {
            true => "needs",
            false => "can use",
        };
        let only = match secret.deliver {
            Delivery::Brokered => format!(", in requests to {} only", joined(&secret.hosts)),
            Delivery::Env | Delivery::File => String::new(),
        };
        ui.detail(&format!("{need} {}{only}", secret.name));
    }
    let code_host = github::rules(apps.instances.home(), &candidate.manifest)?;
    ui.detail(&calls(&candidate.manifest, code_host));
    Ok(())
}
