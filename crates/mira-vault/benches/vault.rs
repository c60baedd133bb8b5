//! What a vault costs as it grows: opening it and reading one secret, listing it, changing one secret, a new key.
//! Run with `cargo bench -p mira-vault`.
//!
//! Each figure is the best of a few rounds in milliseconds, on the disk of the temporary folder. The last line is the ratio of
//! 10,000 secrets to 1,000: near 10 is linear, near 100 would be quadratic.

use std::error::Error;
use std::hint::black_box;
use std::io::{self, Write};
use std::time::Instant;

use jiff::Timestamp;
use mira_secret::{Scope, SecretBytes, SecretName, SecretValue};
use mira_vault::home::Home;
use mira_vault::{
    Backend, KeychainLink, LockedVault, NewProvider, NewSecret, NewVault, UnlockOptions, Vault,
};

const COUNTS: [usize; 3] = [10, 1_000, 10_000];
const ROUNDS: usize = 7;
/// An API key of the usual length.
const VALUE: &[u8] = &[b'k'; 51];

type Outcome<T> = Result<T, Box<dyn Error>>;

/// What is measured: its name, and one round of it.
type Case = (&'static str, fn(&Home, usize) -> Outcome<()>);

const CASES: [Case; 5] = [
    ("open, read one", open_and_read_one),
    ("open, list", open_and_list),
    ("open, read all", open_and_read_all),
    ("change one", change_one),
    ("new key", rekey),
];

fn main() -> Outcome<()> {
    let out = &mut io::stdout();
    write!(out, "{:>8} {:>9}", "secrets", "file KiB")?;
    for (name, _) in CASES {
        write!(out, " {name:>15}")?;
    }
    writeln!(out)?;
    let mut rows = Vec::new();
    for count in COUNTS {
        let folder = tempfile::tempdir()?;
        let home = Home::new(folder.path().join("mira"));
        fill(&home, count)?;
        let file_bytes = std::fs::metadata(home.credentials())?.len();
        write!(out, "{count:>8} {:>9}", file_bytes / 1024)?;
        let mut row = Vec::new();
        for (_, case) in CASES {
            let best_ms = best_ms(|| case(&home, count))?;
            write!(out, " {best_ms:>15.3}")?;
            out.flush()?;
            row.push(best_ms);
        }
        writeln!(out)?;
        rows.push(row);
    }
    if let [.., thousand, ten_thousand] = &rows[..] {
        write!(out, "{:>18}", "ratio")?;
        for (less, more) in thousand.iter().zip(ten_thousand) {
            write!(out, " {:>15.1}", more / less)?;
        }
        writeln!(out)?;
    }
    Ok(())
}

fn best_ms(mut round: impl FnMut() -> Outcome<()>) -> Outcome<f64> {
    let mut best = f64::MAX;
    for _ in 0..ROUNDS {
        let begin = Instant::now();
        round()?;
        best = best.min(begin.elapsed().as_secs_f64() * 1e3);
    }
    Ok(best)
}

fn fill(home: &Home, count: usize) -> Outcome<()> {
    let new = NewVault {
        backend: Backend::File,
        provider: NewProvider::Keyfile { path: None },
        keychain: KeychainLink::default(),
    };
    let mut vault = Vault::create(home, new)?;
    let names = (0..count).map(name).collect::<Outcome<Vec<_>>>()?;
    vault.update(|draft| {
        for name in &names {
            draft.set(&Scope::User, name, secret(name))?;
        }
        Ok(())
    })?;
    Ok(())
}

fn name(number: usize) -> Outcome<SecretName> {
    Ok(format!("SERVICE_{number:05}_API_KEY").parse()?)
}

fn secret(name: &SecretName) -> NewSecret {
    NewSecret {
        value: SecretValue::new(name, SecretBytes::copy_from(VALUE))
            .expect("a short value without a zero byte"),
        label: None,
        kind: None,
        now: Timestamp::UNIX_EPOCH,
    }
}

fn open(home: &Home) -> Outcome<Vault> {
    let mut ask = || unreachable!("a key file asks nobody");
    Ok(LockedVault::read(home)?.unlock(&mut ask, &UnlockOptions::default())?)
}

fn open_and_read_one(home: &Home, count: usize) -> Outcome<()> {
    let vault = open(home)?;
    let entry = vault.find(&Scope::User, &name(count / 2)?);
    black_box(vault.value(entry.ok_or("not saved")?)?);
    Ok(())
}

fn open_and_list(home: &Home, _count: usize) -> Outcome<()> {
    let vault = open(home)?;
    let bytes: usize = vault
        .secrets()
        .map(|entry| entry.name().as_str().len() + entry.label().len())
        .sum();
    black_box(bytes);
    Ok(())
}

fn open_and_read_all(home: &Home, _count: usize) -> Outcome<()> {
    let vault = open(home)?;
    for entry in vault.secrets() {
        black_box(vault.value(entry)?);
    }
    Ok(())
}

fn change_one(home: &Home, count: usize) -> Outcome<()> {
    let mut vault = open(home)?;
    let name = name(count / 2)?;
    vault.update(|draft| draft.set(&Scope::User, &name, secret(&name)).map(drop))?;
    Ok(())
}

fn rekey(home: &Home, _count: usize) -> Outcome<()> {
    Ok(open(home)?.rekey(NewProvider::Keyfile { path: None })?)
}
