//! `mira backup`: all that this home holds, in one encrypted file.
//!
//! Nothing that is copied changes meanwhile: every instance is claimed and stands still, and every snapshot repository is held. The
//! vault's document is replaced whole by whoever changes it, the database is copied by itself, as of one moment, and what
//! servers share in a Postgres is read in one transaction.

use std::fs::{File, Permissions};
use std::io::{self, BufWriter, IsTerminal, Read, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use mira_age::Recipients;
use mira_host::instances::Claim;
use mira_store::{
    Actor, AuditAction, AuditEntry, FILE_NAME, Instance, Outcome, SHARED_TABLES, Shared,
};
use mira_vault::home::Home;
use mira_vault::recovery;

use crate::error::CommandError;
use crate::render::{bytes, count};
use crate::session::{self, UnlockArgs};
use crate::ui::Ui;
use crate::whole::apps::{Apps, LaunchArgs, launch, prepare};
use crate::whole::backup::{Archive, FILES, INDEX, INSTANCES, Index, PACKAGES, RECOVERY, SHARED};
use crate::whole::commands::desk;
use crate::whole::commands::open::unpacked;
use crate::whole::packaging::{cannot, folder_of, new_password};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "  mira backup --recipient age1... backup.age\n  mira backup backup.age\n\
                  `mira restore backup.age` takes it back; `age -d backup.age | tar -t` shows what is in it. It has the vault's \
                  file as it is, encrypted, and not what unlocks it: keep the key file or the passphrase apart, or have the secrets \
                  once more in it with --with-recovery."
)]
pub(crate) struct Args {
    /// Where to write it; never over a file that is there. `-` is stdout
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Encrypt to an age or SSH recipient instead of a passphrase (may be repeated)
    #[arg(long, value_name = "RECIPIENT")]
    recipient: Vec<String>,

    /// Read the backup's passphrase from stdin instead of asking
    #[arg(long, conflicts_with = "recipient")]
    passphrase_stdin: bool,

    /// Add a recovery file, as `mira export --recovery` writes it: what opens the backup then opens the secrets
    #[arg(long)]
    with_recovery: bool,

    /// Stop the instances that run, and start them again afterwards
    #[arg(long)]
    stop: bool,

    #[command(flatten)]
    unlock: UnlockArgs,
}

pub(crate) fn run(args: &Args, ui: &Ui) -> Result<(), CommandError> {
    let to_stdout = args.file.as_os_str() == "-";
    if to_stdout && io::stdout().is_terminal() {
        return Err(CommandError::usage(
            "a backup is binary; give FILE, or redirect stdout",
        ));
    }
    if !to_stdout && args.file.try_exists()? {
        return Err(CommandError::failed(format!(
            "{} is there already, and is not written over",
            args.file.display()
        ))
        .hint("Give another name."));
    }
    let home = session::home()?;
    if !home.path().try_exists()? {
        return Err(CommandError::missing(
            "there is nothing to back up:",
            [home.path().display()],
        ));
    }
    let recipients = recipients(args, ui)?;
    let recovery = match args.with_recovery {
        true => {
            let vault = session::open(ui, &args.unlock)?;
            Some(recovery::seal(&vault, vault.secrets(), &recipients)?.0)
        }
        false => None,
    };
    let apps = Apps::open()?;
    let (running, still) = claimed(&apps)?;
    let (running, claims): (Vec<Instance>, Vec<Claim>) = running.into_iter().unzip();
    if !running.is_empty() && !args.stop {
        let names = running.iter().map(|instance| &instance.name);
        return Err(CommandError::failed(format!(
            "{} and would change what is copied:",
            match running.len() {
                1 => "an instance runs".to_owned(),
                number => format!("{number} instances run"),
            }
        ))
        .hint(
            names
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(", "),
        )
        .hint("--stop stops them for as long as it takes, and starts them again."));
    }
    // Before anything is stopped: what is missing to start them again is told while they still run.
    let launching = LaunchArgs {
        detach: true,
        unlock: args.unlock.clone(),
        ..LaunchArgs::default()
    };
    let mut copies = Vec::with_capacity(running.len());
    for instance in &running {
        copies.push(unpacked(&apps, ui, instance, &launching)?);
    }
    let mut known: Vec<&Instance> = still.iter().map(|(instance, _)| instance).collect();
    let mut ready = Vec::with_capacity(running.len());
    for ((instance, unpacked), claim) in running.iter().zip(&copies).zip(claims) {
        ready.push(prepare(
            &apps, ui, instance, unpacked, claim, &launching, false,
        )?);
        known.push(instance);
    }
    let saved = stop(&apps, &running, ui).and_then(|()| {
        let shared = apps.wait(desk::shared(&home))?;
        let source = Source {
            apps: &apps,
            shared: &shared,
            instances: &known,
            recovery: recovery.as_deref(),
        };
        let saved = source.save(&args.file, to_stdout, &recipients, ui)?;
        apps.wait(record(&shared, args, to_stdout))?;
        Ok(saved)
    });
    // Whatever came of it, what ran before runs again.
    let mut launched = Ok(());
    for ready in ready {
        launched = launched.and(launch(&apps, ui, ready, &launching));
    }
    let (files, size) = saved?;
    let files = usize::try_from(files).unwrap_or(usize::MAX);
    ui.say(&format!(
        "wrote {} and {} of {} into {}",
        count(files, "file"),
        bytes(size),
        count(known.len(), "instance"),
        args.file.display()
    ));
    match args.with_recovery {
        true => ui.detail("Whoever opens it can read the secrets."),
        false => ui.detail("What unlocks the vault is not in it: keep that too, apart from it."),
    }
    launched
}

fn recipients(args: &Args, ui: &Ui) -> Result<Recipients, CommandError> {
    if !args.recipient.is_empty() {
        return Ok(Recipients::parse(&args.recipient)?);
    }
    let option = "--passphrase-stdin, or --recipient";
    let stdin = args.passphrase_stdin.then_some(Path::new("/dev/stdin"));
    let passphrase = new_password(ui, "the backup", stdin, option)?;
    Ok(Recipients::passphrase(passphrase))
}

type Claimed = Vec<(Instance, Claim)>;

/// Claims all instances; returns those that run, and those that do not.
fn claimed(apps: &Apps) -> Result<(Claimed, Claimed), CommandError> {
    let mut all = Vec::new();
    for instance in apps.wait(apps.instances.store().instances())? {
        if !instance.deleting {
            all.push(apps.claim(&instance)?);
        }
    }
    let ids: Vec<String> = apps.running()?.into_iter().map(|state| state.id).collect();
    let runs = |(instance, _): &(Instance, Claim)| ids.iter().any(|id| id == instance.id.as_str());
    Ok(all.into_iter().partition(runs))
}

fn stop(apps: &Apps, running: &[Instance], ui: &Ui) -> Result<(), CommandError> {
    for instance in running {
        apps.wait(apps.client.stop(instance.id.as_str()))?;
        ui.say(&format!("{} is stopped", instance.name));
    }
    Ok(())
}

/// Writes down that the owner of this home made a backup.
async fn record(shared: &Shared, args: &Args, to_stdout: bool) -> Result<(), CommandError> {
    let subject = match to_stdout {
        true => "stdout".to_owned(),
        false => args.file.display().to_string(),
    };
    let entry = AuditEntry {
        actor: Actor::LocalOwner,
        address: None,
        action: AuditAction::BackupCreate,
        subject: &subject,
        outcome: Outcome::Ok,
    };
    Ok(shared.record(&entry, Timestamp::now()).await?)
}

/// What is backed up.
struct Source<'a> {
    apps: &'a Apps,
    shared: &'a Shared,
    /// The instances; all of them stand still.
    instances: &'a [&'a Instance],
    recovery: Option<&'a [u8]>,
}

impl Source<'_> {
    fn home(&self) -> &Home {
        self.apps.instances.home()
    }

    /// Writes the backup; returns how many files are in it, and how many bytes they have.
    fn save(
        &self,
        file: &Path,
        to_stdout: bool,
        to: &Recipients,
        ui: &Ui,
    ) -> Result<(u64, u64), CommandError> {
        if to_stdout {
            return self.write(io::stdout().lock(), to, ui);
        }
        let failed = |error: io::Error| cannot("write", file, &error);
        let beside = folder_of(file);
        let mut staged = tempfile::Builder::new()
            .prefix(".#mira-backup-")
            .tempfile_in(beside)
            .map_err(failed)?;
        let saved = self.write(BufWriter::new(staged.as_file_mut()), to, ui)?;
        staged.as_file().sync_all().map_err(failed)?;
        let placed = staged.persist_noclobber(file);
        placed.map_err(|error| failed(error.error))?;
        File::open(beside)
            .and_then(|folder| folder.sync_all())
            .map_err(failed)?;
        Ok(saved)
    }

    fn write(
        &self,
        output: impl Write,
        to: &Recipients,
        ui: &Ui,
    ) -> Result<(u64, u64), CommandError> {
        let mut archive = Archive::begin(mira_age::seal(output, to)?, ui);
        let names = self.instances.iter().map(|instance| &instance.name);
        let index = Index::new(
            !self.shared.is_in_home(),
            names.map(ToString::to_string).collect(),
        );
        let index = serde_json::to_vec_pretty(&index).map_err(io::Error::from)?;
        archive.bytes(INDEX, &index)?;
        self.files(&mut archive)?;
        self.databases(&mut archive)?;
        self.packages(&mut archive)?;
        self.folders(&mut archive)?;
        let (files, size) = (archive.files, archive.bytes);
        for path in std::mem::take(&mut archive.left_out) {
            ui.say(&format!("{} is no file, and left out", path.display()));
        }
        archive.finish()?.finish()?.flush()?;
        Ok((files, size))
    }

    fn files(&self, archive: &mut Archive<impl Write>) -> Result<(), CommandError> {
        for name in FILES {
            let path = self.home().path().join(name);
            // Each is replaced whole by whoever changes it.
            let mut content = Vec::new();
            match File::open(&path).and_then(|mut file| file.read_to_end(&mut content)) {
                Ok(_) => archive.bytes(name, &content)?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(cannot("read", &path, &error)),
            }
        }
        match self.recovery {
            Some(recovery) => archive.bytes(RECOVERY, recovery),
            None => Ok(()),
        }
    }

    fn databases(&self, archive: &mut Archive<impl Write>) -> Result<(), CommandError> {
        let home = self.home().path();
        let store = self.apps.instances.store();
        let copied = tempfile::Builder::new()
            .prefix(".#mira-backup-")
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in(home)
            .map_err(|error| cannot("write into", home, &error))?;
        let path = copied.path().join(FILE_NAME);
        self.apps.wait(store.copy_into(&path))?;
        let copy = File::open(&path)?;
        drop(copied);
        archive.content(FILE_NAME, &copy)?;
        // Nobody makes or deletes one that is claimed; and one that is not was made after we looked.
        let now = self.apps.wait(store.instances())?;
        let known = |one: &Instance| self.instances.iter().any(|known| known.id == one.id);
        if let Some(new) = now.iter().find(|one| !one.deleting && !known(one)) {
            return Err(CommandError::failed(format!(
                "{} was made meanwhile; try again",
                new.name
            )));
        }
        if self.shared.is_in_home() {
            return Ok(());
        }
        let mut tables = Vec::with_capacity(SHARED_TABLES.len());
        for table in SHARED_TABLES {
            tables.push((table, BufWriter::new(tempfile::tempfile_in(home)?)));
        }
        let dumped = self.shared.dump(|table, line| {
            let mut known = tables.iter_mut();
            match known.find(|(name, _)| *name == table) {
                Some((_, file)) => writeln!(file, "{line}"),
                None => Ok(()),
            }
        });
        self.apps.wait(dumped)?;
        for (table, file) in tables {
            let mut file = file.into_inner().map_err(|error| error.into_error())?;
            io::Seek::rewind(&mut file)?;
            archive.content(&format!("{SHARED}/{table}.jsonl"), &file)?;
        }
        Ok(())
    }

    /// Adds the packages that instances need.
    fn packages(&self, archive: &mut Archive<impl Write>) -> Result<(), CommandError> {
        let all = self.apps.instances.layout().packages();
        let mut digests: Vec<&str> = self
            .instances
            .iter()
            .map(|instance| instance.package.digest.as_str())
            .collect();
        digests.sort_unstable();
        digests.dedup();
        for digest in digests {
            let folder = all.join(digest);
            // One that is encrypted is in memory alone, and opened again from where it came.
            if folder.try_exists()? {
                archive.tree(&Path::new(PACKAGES).join(digest), &folder, |_| true)?;
            }
        }
        Ok(())
    }

    /// Adds what instances have on the disk, but for what is for one run alone.
    fn folders(&self, archive: &mut Archive<impl Write>) -> Result<(), CommandError> {
        let layout = self.apps.instances.layout();
        for instance in self.instances {
            let folder = layout.instance(&instance.id);
            if !folder.try_exists()? {
                continue;
            }
            let _held = mira_snapshot::hold(&layout.snapshots(&instance.id))?;
            let name = Path::new(INSTANCES).join(instance.id.as_str());
            archive.tree(&name, &folder, |path| {
                let is_lock = path.extension().is_some_and(|end| end == "lock");
                let at_top = path.components().count() == 1;
                !(at_top && (is_lock || path == Path::new("tmp")))
            })?;
        }
        Ok(())
    }
}
