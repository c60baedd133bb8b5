//! What a vault with 10, 1,000 and 10,000 secrets costs to open, to list and to change. Run with `cargo bench -p mira-vault`.
//!
//! Each figure is the best of a few rounds. The last column shows growth: what is 1,000 times as much work may cost 1,000 times as much.

use std::hint::black_box;
use std::io::{self, Write};
use std::time::Instant;

use jiff::Timestamp;
use mira_secret::{Scope, SecretBytes, SecretName, SecretValue};
use mira_vault::home::Home;
use mira_vault::{
    Backend, KeychainLink, LockedVault, NewProvider, NewSecret, NewVault, UnlockOptions, Vault,
    VaultError,
};

const COUNTS: [usize; 3] = [10, 1_000, 10_000];
const ROUNDS: usize = 7;

type Failure = Box<dyn std::error::Error>;

/// What is measured, in milliseconds.
const ROWS: [&str; 4] = [
    "open and read one",
    "open and list",
    "list (open already)",
    "update one",
];

fn main() -> Result<(), Failure> {
    let mut columns = Vec::new();
    for count in COUNTS {
        columns.push(measure(count)?);
    }
    let out = &mut io::stdout();
    let [small, middle, large] = COUNTS;
    writeln!(
        out,
        "milliseconds with so many secrets (keyfile, values of 50 bytes)\n"
    )?;
    writeln!(
        out,
        "{:<20} {small:>9} {middle:>9} {large:>9} {:>16}",
        "", "10,000 : 1,000"
    )?;
    for (row, title) in ROWS.iter().enumerate() {
        write!(out, "{title:<20}")?;
        let figures: Vec<f64> = columns
            .iter()
            .filter_map(|column| column.get(row))
            .copied()
            .collect();
        for figure in &figures {
            write!(out, " {figure:>9.3}")?;
        }
        if let [_, middle, large] = figures[..] {
            writeln!(out, " {:>16.1}", large / middle)?;
        }
    }
    Ok(())
}

fn measure(count: usize) -> Result<[f64; ROWS.len()], Failure> {
    let folder = tempfile::tempdir()?;
    let home = Home::new(folder.path().join("mira"));
    let mut vault = fill(&home, count)?;
    let wanted: SecretName = format!("KEY_{:05}", count / 2).parse()?;
    let read = best(|| {
        let vault = open(&home)?;
        let entry = vault.find(&Scope::User, &wanted).ok_or("it was saved")?;
        black_box(vault.value(entry)?);
        Ok(())
    })?;
    let open_and_list = best(|| {
        black_box(list(&open(&home)?));
        Ok(())
    })?;
    let list_only = best(|| {
        black_box(list(&vault));
        Ok(())
    })?;
    let update = best(|| {
        vault.update(|draft| draft.set(&Scope::User, &wanted, secret(&wanted)?).map(drop))?;
        Ok(())
    })?;
    Ok([read, open_and_list, list_only, update])
}

fn fill(home: &Home, count: usize) -> Result<Vault, Failure> {
    let new = NewVault {
        backend: Backend::File,
        provider: NewProvider::Keyfile { path: None },
        keychain: KeychainLink::default(),
    };
    let mut vault = Vault::create(home, new)?;
    let names = (0..count).map(|at| format!("KEY_{at:05}").parse());
    let names: Vec<SecretName> = names.collect::<Result<_, _>>()?;
    vault.update(|draft| {
        for name in &names {
            draft.set(&Scope::User, name, secret(name)?)?;
        }
        Ok(())
    })?;
    Ok(vault)
}

fn secret(name: &SecretName) -> Result<NewSecret, VaultError> {
    let value = SecretValue::new(name, SecretBytes::from_vec(vec![b'x'; 50]));
    Ok(NewSecret {
        value: value.map_err(|source| VaultError::Value {
            name: name.clone(),
            source,
        })?,
        label: None,
        kind: None,
        now: Timestamp::UNIX_EPOCH,
    })
}

fn open(home: &Home) -> Result<Vault, VaultError> {
    let mut ask = || unreachable!("a key file asks nobody");
    LockedVault::read(home)?.unlock(&mut ask, &UnlockOptions::default())
}

fn list(vault: &Vault) -> usize {
    vault.secrets().map(|entry| entry.label().len()).sum()
}

/// Returns the shortest of a few runs, in milliseconds.
fn best(mut run: impl FnMut() -> Result<(), Failure>) -> Result<f64, Failure> {
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        let begin = Instant::now();
        run()?;
        best = best.min(begin.elapsed().as_secs_f64() * 1e3);
    }
    Ok(best)
}
