//! Runs a program with secrets from a file of `NAME=value` lines and takes their values out of what it says.
//!
//! ```sh
//! printf 'API_KEY=sk-proj-0123456789\n' > keys
//! cargo run -p mira-run --example run -- keys sh -c 'echo "my key is $API_KEY"'
//! ```
//!
//! With no lines in the file nothing is redacted and the program has our own streams.
//! The crate's integration tests drive this example as their `mira run`.

use std::error::Error;
use std::ffi::OsStr;
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;

use mira_redact::NeedleSet;
use mira_run::{Environment, Outcome, RunSpec, die_by, protect_self, run};

fn main() -> ExitCode {
    match launch() {
        Ok(code) => code,
        Err(error) => {
            // Standard error may be gone; there is nowhere else to say it.
            writeln!(std::io::stderr(), "run: {error}").ok();
            ExitCode::from(2)
        }
    }
}

fn launch() -> Result<ExitCode, Box<dyn Error>> {
    protect_self()?;
    let mut args = std::env::args_os().skip(1);
    let (Some(keys), Some(program)) = (args.next(), args.next()) else {
        return Err("usage: run KEYS PROGRAM [ARGUMENT]...".into());
    };
    let mut environment = Environment::inherit(std::env::vars_os());
    let mut needles = NeedleSet::builder();
    for line in std::fs::read_to_string(keys)?.lines() {
        let (name, value) = line.split_once('=').ok_or("a line without '='")?;
        environment.set(OsStr::new(name), value.as_bytes())?;
        needles.add(name, value.as_bytes());
    }
    let spec = RunSpec {
        program,
        args: args.collect(),
        environment,
        needles: Arc::new(needles.build()),
        messages: false,
        room: None,
    };
    let outcome = match run(spec, &mut |_process| {}) {
        Ok(report) => report.outcome,
        Err(error) => {
            writeln!(std::io::stderr(), "run: {error}").ok();
            return Ok(ExitCode::from(error.exit_code()));
        }
    };
    let code = match outcome {
        Outcome::Exited(code) => u8::try_from(code).unwrap_or(u8::MAX),
        Outcome::Signaled(signal) => die_by(signal),
    };
    Ok(ExitCode::from(code))
}
