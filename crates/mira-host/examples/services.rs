//! Runs shell scripts as the services of an instance, with secrets from a file of `NAME=value` lines as variables and files.
//!
//! ```sh
//! mkdir -p demo/package; printf 'API_KEY=sk-proj-0123456789\n' > demo/keys
//! cargo run -p mira-host --example services -- demo /dev/shm/demo demo/keys 'echo "my key is $API_KEY"; sleep 9'
//! ```
//!
//! The services are called s1, s2 and so on. What happens to them is written line by line; the end of standard input stops
//! them. With `keep` as its first word it is their keeper. The crate's integration tests drive this example as their `mira`.

use std::error::Error;
use std::ffi::OsString;
use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use mira_host::service::{
    Folders, InstanceSpec, Restart, ServiceSpec, StopSignal, Value, base_environment,
};
use mira_host::supervisor::{Config, Event, Events, Supervisor};
use mira_run::lease::Leases;
use mira_secret::{SecretBytes, SecretName, SecretValue};

/// The argument that makes this program a keeper.
const KEEP: &str = "keep";

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    if arguments.first().is_some_and(|first| first == KEEP) {
        return mira_host::keeper::main();
    }
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Standard error may be gone; there is nowhere else to say it.
            writeln!(std::io::stderr(), "services: {error}").ok();
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[OsString]) -> Result<(), Box<dyn Error>> {
    mira_run::protect_self()?;
    let [folder, memory, keys, scripts @ ..] = arguments else {
        return Err("usage: services FOLDER MEMORY KEYS SCRIPT...".into());
    };
    let folder = std::path::absolute(folder)?;
    let folders = Folders {
        package: folder.join("package"),
        home: folder.join("home"),
        tmp: folder.join("tmp"),
        logs: folder.join("logs"),
        runtime_secrets: memory.into(),
    };
    let mut values = Vec::new();
    for line in std::fs::read_to_string(keys)?.lines() {
        let (name, value) = line.split_once('=').ok_or("a line without '='")?;
        let name: SecretName = name.parse()?;
        let value = SecretValue::new(&name, SecretBytes::copy_from(value.as_bytes()))?;
        let origin = None;
        values.push(Value {
            name,
            value,
            origin,
        });
    }
    let names: Vec<SecretName> = values.iter().map(|value| value.name.clone()).collect();
    let services = (1..).zip(scripts).map(|(number, script)| ServiceSpec {
        name: format!("s{number}"),
        command: vec!["sh".into(), "-c".into(), script.clone()],
        env: base_environment(std::env::vars_os(), &folders, "demo", &format!("s{number}")),
        env_secrets: names.clone(),
        file_secrets: names.clone(),
        health: None,
        restart: Restart::Never,
        stop_signal: StopSignal::Term,
        stop_grace: Duration::from_secs(10),
        depends_on: Vec::new(),
        ports: Vec::new(),
    });
    let spec = InstanceSpec {
        id: "demo".to_owned(),
        name: "demo".to_owned(),
        services: services.collect(),
        folders,
        values,
        network: None,
        report: None,
    };
    let config = Config::new(
        KEEP,
        "room",
        Leases::at(PathBuf::from(&folder).join("leases")),
    );
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let supervisor = Supervisor::new(config)?;
        let begun = supervisor.begin(spec, false).await?;
        let shown = tokio::spawn(show(begun.events));
        begun.up.wait().await?;
        let input = || std::io::stdin().read_to_end(&mut Vec::new());
        tokio::task::spawn_blocking(input).await??;
        supervisor.shutdown().await?;
        drop(supervisor);
        Ok(shown.await??)
    })
}

async fn show(mut events: Events) -> std::io::Result<()> {
    let mut output = std::io::stdout();
    while let Some(event) = events.next().await {
        match event {
            Event::State { service, state } => {
                let pid = state.pid.unwrap_or_default();
                writeln!(output, "{service} {} {pid}", state.phase)?;
            }
            Event::Line(line) => writeln!(output, "{}: {}", line.service, line.line)?,
            Event::Refused(refused) => {
                writeln!(output, "refused {}:{}", refused.host, refused.port)?;
            }
            Event::Asked { host, port, .. } => writeln!(output, "asks for {host}:{port}")?,
            Event::Lost(count) => writeln!(output, "{count} lines lost")?,
        }
    }
    Ok(())
}
