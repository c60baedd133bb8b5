//! `mira restore`: takes a backup back, whole.
//!
//! The new home is made beside the old one and checked there; then the two change places in one step of the system's, so that
//! whatever happens there is the old one or the new one. What was there before is kept.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use mira_age::Key;
use mira_host::instances::Instances;
use mira_mcp::definition::Definitions;
use mira_store::{
    Actor, AuditAction, AuditEntry, Loaded, Location, Outcome, SHARED_TABLES, Shared, Store,
};
use mira_vault::home::Home;
use mira_vault::settings::Settings;
use mira_vault::{
    Backend, KeychainLink, LockedVault, NewSecret, NewVault, ProviderKind, Vault, recovery,
};
use rustix::fs::{CWD, RenameFlags, renameat_with, syncfs};
use tempfile::TempDir;

use crate::commands::init::{ProviderArgs, remember, tell_key};
use crate::error::{CommandError, Kind};
use crate::render::{bytes, count};
use crate::session::{self, read_secret};
use crate::ui::Ui;
use crate::whole::apps::place;
use crate::whole::backup::{Unpacked, unpack};
use crate::whole::commands::desk;
use crate::whole::packaging::{cannot, folder_of, read_secret_file};

/// The longest passphrase, in bytes.
// LIMIT: far beyond what anybody types; keeps a wrong file from being read whole.
const PASSPHRASE_BYTES_MAX: u64 = 4096;

/// The longest identity file, in bytes.
// LIMIT: an SSH key has a few thousand.
const IDENTITY_BYTES_MAX: u64 = 64 * 1024;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "  mira restore --identity key.txt backup.age\n  mira restore --identity key.txt --provider keyfile backup.age\n\
                  The second makes a new vault of the backup's recovery file (`mira backup --with-recovery`), for when what unlocked \
                  the old one is lost. Users, sessions and the audit go where DATABASE_URL says, or into this home."
)]
pub(crate) struct Args {
    /// The backup
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// The age identity file or SSH private key that opens it
    #[arg(long, value_name = "FILE")]
    identity: Option<PathBuf>,

    /// Read the backup's passphrase from stdin instead of asking
    #[arg(long, conflicts_with = "identity")]
    passphrase_stdin: bool,

    /// Put it in the place of the vault that is there, which is kept beside it
    #[arg(long)]
    replace: bool,

    #[command(flatten)]
    provider: ProviderArgs,
}

pub(crate) fn run(args: &Args, ui: &Ui) -> Result<(), CommandError> {
    let home = session::home()?;
    if home.credentials().try_exists()? && !args.replace {
        return Err(CommandError::failed(format!(
            "there is a vault already: {}",
            home.credentials().display()
        ))
        .hint("--replace puts the backup in its place, and keeps what is there beside it."));
    }
    let key = key(args, ui)?;
    // From here on nothing is started in this home.
    let _reserved = place(&home)?.reserve()?;
    let path = fs::canonicalize(home.path())?;
    let beside = folder_of(&path);
    let stage = tempfile::Builder::new()
        .prefix(".mira-restore-")
        .permissions(fs::Permissions::from_mode(0o700))
        .tempdir_in(beside)
        .map_err(|error| {
            cannot("write beside the home, in", beside, &error)
                .hint("Set MIRA_HOME to a folder within one that Mira may write to.")
        })?;
    let file = File::open(&args.file).map_err(|error| cannot("read", &args.file, &error))?;
    let found = unpack(mira_age::open(file, &key)?, stage.path(), ui)?;
    let new = Home::new(found.home.clone());
    vault(args, &found, &home, &new, &key, ui)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(check(&new))?;
    let (shared, loaded) = runtime.block_on(load(&found, &new))?;
    let kept = exchange(stage, &found, &path)?;
    if let Some(loaded) = loaded {
        runtime.block_on(loaded.commit()).map_err(|error| {
            CommandError::from(error)
                .hint("The home is restored, and the database is not; see to that, then restore again with --replace.")
        })?;
    }
    runtime.block_on(record(shared, &home, &args.file))?;
    tell(&found, &home, kept.as_deref(), ui);
    Ok(())
}

fn key(args: &Args, ui: &Ui) -> Result<Key, CommandError> {
    let open = || File::open(&args.file).map_err(|error| cannot("read", &args.file, &error));
    if let Some(path) = &args.identity {
        return read_secret_file(path, IDENTITY_BYTES_MAX).map(Key::Identities);
    }
    if !mira_age::asks_for_passphrase(open()?)? {
        return Err(CommandError::missing(
            "the backup is encrypted to somebody's key; give:",
            ["--identity FILE"],
        ));
    }
    let passphrase = if args.passphrase_stdin {
        read_secret(io::stdin().lock(), PASSPHRASE_BYTES_MAX)?
    } else if ui.can_ask_hidden() {
        ui.ask_hidden("Passphrase of the backup: ")?
    } else {
        return Err(CommandError::missing(
            "the backup needs its passphrase, and there is no terminal to ask on; give:",
            ["--passphrase-stdin"],
        ));
    };
    Ok(Key::Passphrase(passphrase))
}

/// Sees to the new home's vault: as it was, or a new one of the recovery file.
fn vault(
    args: &Args,
    found: &Unpacked,
    old: &Home,
    new: &Home,
    key: &Key,
    ui: &Ui,
) -> Result<(), CommandError> {
    if args.provider.provider.is_none() {
        if !new.credentials().try_exists()? {
            return Ok(());
        }
        let locked = LockedVault::read(new)?;
        // A key file in the home is of the home, and not of the backup: it comes along.
        let keyfile = old.default_keyfile();
        if locked.keyfile_path() == Some(new.default_keyfile()) && keyfile.try_exists()? {
            fs::copy(&keyfile, new.default_keyfile())
                .map_err(|error| cannot("copy", &keyfile, &error))?;
        }
        return Ok(());
    }
    let recovery = found.recovery()?.ok_or_else(|| {
        CommandError::new(
            Kind::Missing,
            "the backup has no recovery file, so no new vault can be made of it",
        )
        .hint("Without --provider the vault is as it was, and is unlocked as it was.")
    })?;
    let secrets = recovery::open(&recovery, key)?;
    match fs::remove_file(new.credentials()) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let mut vault = Vault::create(
        new,
        NewVault {
            backend: Backend::File,
            provider: args.provider.choose(ui)?,
            keychain: KeychainLink::default(),
        },
    )?;
    let number = secrets.len();
    vault.update(|draft| {
        for secret in secrets {
            let saved = NewSecret {
                value: secret.value,
                label: Some(secret.label),
                kind: Some(secret.kind),
                now: Timestamp::now(),
            };
            draft.set(&secret.scope, &secret.name, saved)?;
        }
        Ok(())
    })?;
    remember(ui, &vault);
    ui.say(&format!(
        "made a new vault with {}",
        count(number, "secret")
    ));
    tell_key(
        ui,
        vault.provider(),
        vault
            .keyfile_path()
            .map(|path| match path == new.default_keyfile() {
                true => old.default_keyfile(),
                false => path,
            })
            .as_deref(),
    );
    Ok(())
}

/// Reads all that Mira will read.
async fn check(new: &Home) -> Result<(), CommandError> {
    let not_ours = |error: &dyn std::fmt::Display| {
        CommandError::new(
            Kind::Integrity,
            format!("the backup is not taken: {error}; nothing was changed"),
        )
    };
    Settings::read(new).map_err(|error| not_ours(&error))?;
    Definitions::read(new.path()).map_err(|error| not_ours(&error))?;
    let runtime = TempDir::new_in(folder_of(new.path()))?;
    let instances = Instances::open(new.clone(), runtime.path().to_owned()).await?;
    let store: &Store = instances.store();
    store.check().await.map_err(|error| not_ours(&error))?;
    for instance in store.instances().await? {
        // Every file of it is compared with the package's digests.
        instances
            .unpacked(&instance)
            .map_err(|error| not_ours(&error))?;
    }
    store.close().await;
    Ok(())
}

/// Brings what servers share to where it belongs; what is loaded into a server's database is to be committed.
async fn load(
    found: &Unpacked,
    new: &Home,
) -> Result<(Option<Shared>, Option<Loaded>), CommandError> {
    let here = async || Shared::open(Location::File(new.path())).await;
    if !desk::is_shared_elsewhere() {
        if found.index.shared_apart {
            let shared = here().await?;
            let mut loaded = shared.load().await?;
            add_rows(found, &mut loaded).await?;
            loaded.commit().await?;
            shared.close().await;
        }
        return Ok((None, None));
    }
    let shared = desk::shared(new).await?;
    let mut loaded = shared.load().await?;
    if found.index.shared_apart {
        add_rows(found, &mut loaded).await?;
    } else {
        let local = here().await?;
        let mut rows = Vec::new();
        let dumped = local.dump(|table, line| {
            rows.push((table, line.to_owned()));
            Ok(())
        });
        dumped.await?;
        local.close().await;
        for (table, line) in rows {
            loaded.add(table, &line).await?;
        }
    }
    Ok((Some(shared), Some(loaded)))
}

async fn add_rows(found: &Unpacked, loaded: &mut Loaded) -> Result<(), CommandError> {
    for table in SHARED_TABLES {
        if let Some(file) = found.rows_of(table)? {
            for line in BufReader::new(file).lines() {
                loaded.add(table, &line?).await?;
            }
        }
    }
    Ok(())
}

/// Puts the new home into its place in one step; returns where the old one is kept, if anything was in it.
fn exchange(
    stage: TempDir,
    found: &Unpacked,
    home: &Path,
) -> Result<Option<PathBuf>, CommandError> {
    let failed = |error: io::Error| cannot("replace", home, &error).hint("Nothing was changed.");
    // All that was written is on the disk before anybody can find it.
    File::open(&found.home)
        .and_then(|folder| Ok(syncfs(folder)?))
        .map_err(failed)?;
    renameat_with(CWD, &found.home, CWD, home, RenameFlags::EXCHANGE)
        .map_err(|error| failed(error.into()))?;
    // What is in the stage is the old home now, and must not go with it.
    let stage = stage.keep();
    let kept = match fs::remove_dir(&found.home) {
        Ok(()) => None,
        Err(_) => {
            let time = Timestamp::now().strftime("%Y%m%dT%H%M%SZ");
            let mut name = home.as_os_str().to_owned();
            name.push(format!(".before-restore-{time}"));
            let kept = PathBuf::from(name);
            fs::rename(&found.home, &kept).map_err(|error| cannot("keep", &found.home, &error))?;
            Some(kept)
        }
    };
    // What is left of the stage has been used; one that stays is no harm.
    drop(fs::remove_dir_all(&stage));
    File::open(folder_of(home))?.sync_all()?;
    Ok(kept)
}

/// Writes down that the owner of this home restored a backup.
async fn record(shared: Option<Shared>, home: &Home, file: &Path) -> Result<(), CommandError> {
    let shared = match shared {
        Some(shared) => shared,
        None => desk::shared(home).await?,
    };
    let entry = AuditEntry {
        actor: Actor::LocalOwner,
        address: None,
        action: AuditAction::BackupRestore,
        subject: &file.display().to_string(),
        outcome: Outcome::Ok,
    };
    shared.record(&entry, Timestamp::now()).await?;
    shared.close().await;
    Ok(())
}

fn tell(found: &Unpacked, home: &Home, kept: Option<&Path>, ui: &Ui) {
    let files = usize::try_from(found.files).unwrap_or(usize::MAX);
    ui.say(&format!(
        "restored {} and {} of {} into {}",
        count(files, "file"),
        bytes(found.bytes),
        count(found.index.instances.len(), "instance"),
        home.path().display()
    ));
    ui.detail(&format!(
        "made {} by Mira {}",
        found.index.made, found.index.mira
    ));
    if let Some(kept) = kept {
        ui.detail(&format!("what was there before is in {}", kept.display()));
    }
    if let Ok(locked) = LockedVault::read(home) {
        match (locked.provider(), locked.keyfile_path()) {
            (ProviderKind::Keyfile, Some(path)) if !path.exists() => ui.detail(&format!(
                "its key is not here: put it back at {}",
                path.display()
            )),
            (ProviderKind::Keyring, _) => {
                ui.detail("its key is in the keyring of the machine that the backup was made on");
            }
            _ => {}
        }
    }
}
