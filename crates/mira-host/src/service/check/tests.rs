//! What is found in specifications that do not fit together.

use std::time::Duration;

use mira_secret::{SecretBytes, SecretValue};

use super::*;
use crate::service::{Folders, Health, Restart, StopSignal, Value};

fn service(name: &str, change: impl FnOnce(&mut ServiceSpec)) -> ServiceSpec {
    let mut service = ServiceSpec {
        name: name.to_owned(),
        command: vec!["true".into()],
        env: Vec::new(),
        env_secrets: Vec::new(),
        file_secrets: Vec::new(),
        health: None,
        restart: Restart::default(),
        stop_signal: StopSignal::default(),
        stop_grace: Duration::from_secs(10),
        depends_on: Vec::new(),
        ports: Vec::new(),
    };
    change(&mut service);
    service
}

fn instance(services: Vec<ServiceSpec>) -> InstanceSpec {
    InstanceSpec {
        id: "app-1".to_owned(),
        name: "app".to_owned(),
        folders: Folders {
            package: "/p".into(),
            home: "/h".into(),
            tmp: "/t".into(),
            logs: "/l".into(),
            runtime_secrets: "/s".into(),
        },
        services,
        values: Vec::new(),
        network: None,
        report: None,
    }
}

fn check(services: Vec<ServiceSpec>, expect: Result<(), SpecError>) {
    assert_eq!(instance(services).check(), expect);
}

fn one(change: impl FnOnce(&mut ServiceSpec), expect: Result<(), SpecError>) {
    check(vec![service("web", change)], expect);
}

#[test]
fn services_come_after_what_they_depend_on_and_have_names_of_their_own() {
    let on = |on: &str| {
        let on = vec![on.to_owned()];
        move |service: &mut ServiceSpec| service.depends_on = on
    };
    let broken = |name: &str, on: &str| {
        Err(SpecError::Dependency {
            service: name.to_owned(),
            on: on.to_owned(),
        })
    };
    let plain = |name: &str| service(name, |_| {});
    check(vec![], Err(SpecError::NoService));
    check(vec![plain("db"), service("web", on("db"))], Ok(()));
    check(
        vec![service("web", on("db")), plain("db")],
        broken("web", "db"),
    );
    check(vec![service("web", on("web"))], broken("web", "web"));
    check(
        vec![plain("a"), plain("a")],
        Err(SpecError::ServiceTwice("a".to_owned())),
    );
    for name in ["", "A", "-a", "a/b", "..", "a.b", &"a".repeat(64)] {
        check(
            vec![plain(name)],
            Err(SpecError::ServiceName(name.to_owned())),
        );
    }
    let mut odd = instance(vec![plain("a")]);
    odd.id = "../x".to_owned();
    assert_eq!(odd.check(), Err(SpecError::Id("../x".to_owned())));
}

#[test]
fn what_no_program_could_be_given_is_refused() {
    let not_passable = |what: &str| {
        Err(SpecError::NotPassable {
            service: "web".to_owned(),
            what: what.into(),
        })
    };
    let empty = || Err(SpecError::NoCommand("web".to_owned()));
    one(|web| web.command = Vec::new(), empty());
    one(|web| web.command = vec!["".into()], empty());
    one(|web| web.command.push("a\0".into()), not_passable("a\0"));
    one(
        |web| web.env = vec![("A=".into(), "1".into())],
        not_passable("A="),
    );
    one(
        |web| web.env = vec![("".into(), "1".into())],
        not_passable(""),
    );
    one(
        |web| web.env = vec![("A".into(), "\0".into())],
        not_passable("A"),
    );
    let health = |check: Check, retries: u32| {
        move |web: &mut ServiceSpec| {
            web.health = Some(Health {
                check,
                interval: Duration::from_secs(1),
                timeout: Duration::from_secs(1),
                retries,
                start_period: Duration::ZERO,
            });
        }
    };
    one(health(Check::Command(Vec::new()), 1), empty());
    one(
        health(Check::Tcp { port: 1 }, 0),
        Err(SpecError::Health("web".to_owned())),
    );
    one(health(Check::Tcp { port: 1 }, 1), Ok(()));
    for (path, fits) in [("/ok?x=1", true), ("x", false), ("/a b", false)] {
        let path = path.to_owned();
        let expect = if fits {
            Ok(())
        } else {
            Err(SpecError::Health("web".to_owned()))
        };
        one(health(Check::Http { port: 1, path }, 1), expect);
    }
}

#[test]
fn a_variable_is_set_once() {
    let twice = |name: &str| {
        Err(SpecError::VariableTwice {
            service: "web".to_owned(),
            name: name.into(),
        })
    };
    let names = |names: &[&str]| names.iter().map(|name| name.parse().unwrap()).collect();
    let env = |name: &str| vec![(name.into(), "1".into())];
    one(
        |web| (web.env, web.env_secrets) = (env("KEY"), names(&["KEY"])),
        twice("KEY"),
    );
    one(
        |web| (web.env, web.file_secrets) = (env("KEY_FILE"), names(&["KEY"])),
        twice("KEY_FILE"),
    );
    one(|web| web.env_secrets = names(&["KEY", "KEY"]), twice("KEY"));
    one(
        |web| (web.env_secrets, web.file_secrets) = (names(&["KEY"]), names(&["KEY"])),
        Ok(()),
    );
    let value = || {
        let name = "KEY".parse().unwrap();
        let value = SecretValue::new(&name, SecretBytes::copy_from(b"v")).unwrap();
        let origin = None;
        Value {
            name,
            value,
            origin,
        }
    };
    let mut two = instance(vec![service("web", |_| {})]);
    two.values = vec![value(), value()];
    assert_eq!(
        two.check(),
        Err(SpecError::ValueTwice("KEY".parse().unwrap()))
    );
}
