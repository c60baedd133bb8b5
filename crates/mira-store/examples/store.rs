//! Works on the database of a home, one task a process. The crate's integration tests start many of them at once, and kill some.
//!
//! ```sh
//! mkdir -m 0700 home
//! cargo run -p mira-store --example store -- names home 3 </dev/null
//! ```
//!
//! It begins when its standard input ends, and says what is done, a line each, once the database has acknowledged it.

use std::error::Error;
use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use jiff::{Timestamp, ToSpan as _};
use mira_secret::SecretBytes;
use mira_store::{
    DatabaseUrl, InstanceId, Location, NewInstance, NewSession, NewUser, PackageFacts, PortRequest,
    Role, SessionKind, SessionOf, Shared, Store, StoreError,
};

type Failure = Box<dyn Error>;

fn main() -> ExitCode {
    match work() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Standard error may be gone; there is nowhere else to say it.
            writeln!(io::stderr(), "store: {error}").ok();
            ExitCode::FAILURE
        }
    }
}

fn work() -> Result<(), Failure> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    io::stdin().read_to_end(&mut Vec::new())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        match args[..] {
            ["open", home] => open(home).await,
            ["names", home, count] => names(home, count.parse()?).await,
            ["ports", home, id, count] => ports(home, &id.parse()?, count.parse()?).await,
            ["guesses", home, key, count] => guesses(home, key, count.parse()?).await,
            ["churn", home, name] => churn(home, name).await,
            ["people", home, name] => people(Location::File(Path::new(home)), name).await,
            ["people-of", url, name] => {
                let url = DatabaseUrl::parse(&SecretBytes::copy_from(url.as_bytes()))?;
                people(Location::Postgres(url), name).await
            }
            _ => Err("usage: store open|names|ports|guesses|churn|people HOME [ARGUMENT]... | people-of URL NAME".into()),
        }
    })
}

fn say(line: &str) -> Result<(), Failure> {
    // One call, so that a killed process wrote the line or did not.
    let mut out = io::stdout();
    out.write_all(format!("{line}\n").as_bytes())?;
    Ok(out.flush()?)
}

/// Lists the instances, and leaves no journal behind.
async fn open(home: &str) -> Result<(), Failure> {
    let store = Store::open(Path::new(home)).await?;
    for instance in store.instances().await? {
        say(instance.name.as_str())?;
    }
    store.close().await;
    Ok(())
}

/// Makes instances without a name, and says which they got.
async fn names(home: &str, count: usize) -> Result<(), Failure> {
    let store = Store::open(Path::new(home)).await?;
    for _ in 0..count {
        let instance = store.insert_instance(&new(None)?).await?;
        say(instance.name.as_str())?;
    }
    Ok(())
}

/// Allocates a port for each of some services, and says which they got.
async fn ports(home: &str, id: &InstanceId, count: usize) -> Result<(), Failure> {
    let store = Store::open(Path::new(home)).await?;
    for service in 0..count {
        let request = PortRequest {
            service: format!("service-{service}"),
            name: "http".to_owned(),
            prefer: Some(8080),
        };
        let number = store.allocate_port(id, &request, &|_| true).await?;
        say(&format!("{service} {number}"))?;
    }
    Ok(())
}

/// Counts up, and says how far it saw the others get.
async fn guesses(home: &str, key: &str, count: usize) -> Result<(), Failure> {
    let store = Store::open(Path::new(home)).await?;
    for _ in 0..count {
        let seen = store
            .update_guess(key, |state| {
                let seen: u64 = state.unwrap_or("0").parse().unwrap_or_default();
                (Some((seen + 1).to_string()), seen)
            })
            .await?;
        say(&seen.to_string())?;
    }
    Ok(())
}

/// Makes instances with something in each, and deletes every third again, until it is killed or something fails.
async fn churn(home: &str, name: &str) -> Result<(), Failure> {
    let store = Store::open(Path::new(home)).await?;
    for number in 1_u64.. {
        let made = store
            .insert_instance(&new(Some(format!("{name}-{number}")))?)
            .await?;
        say(&format!("made {number}"))?;
        fill(&store, &made.id).await?;
        say(&format!("filled {number}"))?;
        if number.is_multiple_of(3) {
            store.begin_delete(&made.id).await?;
            store.finish_delete(&made.id).await?;
            say(&format!("gone {number}"))?;
        }
    }
    Ok(())
}

async fn fill(store: &Store, id: &InstanceId) -> Result<(), StoreError> {
    let request = PortRequest {
        service: "web".to_owned(),
        name: "http".to_owned(),
        prefer: None,
    };
    store.set_binding(id, "OPENAI_API_KEY", "OPENAI").await?;
    store.set_setting(id, "NOTE", &"x".repeat(2_000)).await?;
    store.allocate_port(id, &request, &|_| true).await.map(drop)
}

/// Adds users with a session each, and removes every third again, until it is killed or something fails.
async fn people(location: Location<'_>, name: &str) -> Result<(), Failure> {
    let shared = Shared::open(location).await?;
    let now = Timestamp::now();
    for number in 1_u64.. {
        let new = NewUser {
            name: format!("{name}-{number}").parse()?,
            role: Role::Viewer,
            password: None,
        };
        let user = shared.create_user(&new, now).await?;
        say(&format!("made {number}"))?;
        let session = NewSession {
            of: SessionOf::User(&user),
            kind: SessionKind::Oidc,
            idle: Duration::from_secs(3600),
            expires: now + 1.hour(),
            address: None,
            user_agent: "",
        };
        shared.create_session(&session, now).await?;
        say(&format!("filled {number}"))?;
        if number.is_multiple_of(3) {
            shared.remove_user(&user.id).await?;
            say(&format!("gone {number}"))?;
        }
    }
    Ok(())
}

fn new(name: Option<String>) -> Result<NewInstance, Failure> {
    Ok(NewInstance {
        name: name.map(|name| name.parse()).transpose()?,
        app_id: "org.example.readlater".to_owned(),
        package: PackageFacts {
            app_name: "Read later".to_owned(),
            app_version: "1.2.0".to_owned(),
            digest: "0".repeat(64),
            source: "readlater.mira".to_owned(),
            publisher_key: None,
            unsigned_agreed: false,
        },
    })
}
