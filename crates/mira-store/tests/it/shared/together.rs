//! Several servers on one database: what only one may do, one does, and what was acknowledged is there after a crash.

use std::collections::HashSet;
use std::io::Read as _;
use std::process::{Child, Command, Stdio};

use mira_store::{
    LinkPurpose, Location, LoginAttempt, NewUser, Role, SessionOf, Shared, SharedError, UserName,
};
use mira_testkit::postgres::Postgres;
use tokio::task::JoinSet;

use crate::common::{example, run};
use crate::shared::ground::{DATABASE, Ground, add, at, hash, new_user, on_both, url};
use crate::shared::sessions::new;

on_both! {
    servers_that_start_at_once_all_start
    of_two_admins_who_remove_each_other_one_stays
    one_of_many_gets_a_name_and_one_becomes_the_first_admin
    a_link_is_used_by_one_of_many
    many_sessions_begin_at_once
    a_session_that_begins_while_the_password_changes_is_worth_nothing
    tries_at_the_same_time_are_all_counted
}

/// How many servers there are.
const SERVERS: usize = 3;

impl Ground {
    async fn servers(&self) -> Vec<Shared> {
        let mut servers = Vec::new();
        for _ in 0..SERVERS {
            servers.push(self.shared().await);
        }
        servers
    }
}

/// Does something on all servers at once, several times on each; returns what came of each.
async fn everywhere<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
    servers: &[Shared],
    times: usize,
    work: impl Fn(Shared, usize) -> F,
) -> Vec<T> {
    let mut all = JoinSet::new();
    for number in 0..times {
        let server = &servers[number % servers.len()];
        all.spawn(work(server.clone(), number));
    }
    all.join_all().await
}

async fn servers_that_start_at_once_all_start(ground: Ground) {
    let open = || ground.shared();
    let (one, two, three, four) = tokio::join!(open(), open(), open(), open());
    for shared in [one, two, three, four] {
        assert_eq!(shared.users().await, Ok(vec![]));
    }
}

async fn of_two_admins_who_remove_each_other_one_stays(ground: Ground) {
    let servers = ground.servers().await;
    let mut admins = vec![add(&servers[0], "root", Role::Admin).await];
    for round in 0..10 {
        for number in 1..SERVERS {
            let name = format!("admin{round}-{number}");
            admins.push(add(&servers[0], &name, Role::Admin).await);
        }
        // Each takes away a different one, in a different manner.
        let done = everywhere(&servers, SERVERS, |server, number| {
            let id = admins[number].id.clone();
            async move {
                match number {
                    0 => server.remove_user(&id).await,
                    1 => server.set_disabled(&id, true, at(1)).await,
                    _ => server.set_role(&id, Role::Viewer, at(1)).await,
                }
                .map(drop)
            }
        })
        .await;
        let refused = done
            .iter()
            .filter(|done| **done == Err(SharedError::LastAdmin));
        assert_eq!(refused.count(), 1, "{done:?}");
        admins = servers[1].users().await.unwrap();
        admins.retain(|user| user.role == Role::Admin && !user.disabled);
        assert_eq!(admins.len(), 1);
    }
}

async fn one_of_many_gets_a_name_and_one_becomes_the_first_admin(ground: Ground) {
    let servers = ground.servers().await;
    let made = everywhere(&servers, 12, |server, number| async move {
        let name: UserName = format!("first{number}").parse().unwrap();
        server.create_first_admin(&name, None, at(0)).await.unwrap()
    })
    .await;
    assert_eq!(made.iter().flatten().count(), 1);
    let made = everywhere(&servers, 12, |server, _| async move {
        server
            .create_user(&new_user("anna", Role::Viewer), at(0))
            .await
    })
    .await;
    assert_eq!(made.iter().filter(|made| made.is_ok()).count(), 1);
    let taken = |error: &SharedError| matches!(error, SharedError::NameTaken { .. });
    assert!(
        made.iter()
            .all(|made| made.as_ref().err().is_none_or(taken)),
        "{made:?}"
    );
    assert_eq!(servers[0].users().await.unwrap().len(), 2);
}

async fn a_link_is_used_by_one_of_many(ground: Ground) {
    let servers = ground.servers().await;
    for _ in 0..5 {
        let link = servers[0]
            .make_link(LinkPurpose::FirstAdmin, at(9), at(0))
            .await
            .unwrap();
        let link = std::sync::Arc::new(link);
        let used = everywhere(&servers, 12, |server, _| {
            let link = link.clone();
            async move { server.use_link(&link, at(1)).await.unwrap() }
        })
        .await;
        assert_eq!(used.iter().flatten().count(), 1, "{used:?}");
    }
}

async fn many_sessions_begin_at_once(ground: Ground) {
    let servers = ground.servers().await;
    let anna = add(&servers[0], "anna", Role::Viewer).await;
    let made = everywhere(&servers, 32, |server, _| {
        let anna = anna.clone();
        async move {
            let made = server
                .create_session(&new(SessionOf::User(&anna)), at(0))
                .await;
            let (token, session) = made.unwrap();
            assert!(
                server
                    .find_session(&token, at(100))
                    .await
                    .unwrap()
                    .is_some()
            );
            session.id
        }
    })
    .await;
    let distinct: HashSet<_> = made.into_iter().collect();
    let listed = servers[1].sessions_of(Some(&anna.id), at(1)).await.unwrap();
    let listed: HashSet<_> = listed.into_iter().map(|session| session.id).collect();
    assert_eq!((distinct.len(), listed), (32, distinct));
}

async fn a_session_that_begins_while_the_password_changes_is_worth_nothing(ground: Ground) {
    let servers = ground.servers().await;
    let mut anna = add(&servers[0], "anna", Role::Viewer).await;
    for round in 0..10 {
        let mut all = JoinSet::new();
        for server in servers.clone() {
            let anna = anna.clone();
            all.spawn(async move {
                match server
                    .create_session(&new(SessionOf::User(&anna)), at(0))
                    .await
                {
                    Ok((token, _)) => Some(token),
                    Err(SharedError::Stale) => None,
                    Err(error) => panic!("{error}"),
                }
            });
        }
        let password = hash(&round.to_string());
        let changed = servers[0]
            .set_password(&anna.id, Some(&password), at(1))
            .await;
        for token in all.join_all().await.into_iter().flatten() {
            let found = servers[1].find_session(&token, at(2)).await;
            assert_eq!(found, Ok(None));
        }
        anna = changed.unwrap();
        assert_eq!(
            servers[2].sessions_of(Some(&anna.id), at(2)).await,
            Ok(vec![])
        );
    }
}

async fn tries_at_the_same_time_are_all_counted(ground: Ground) {
    let servers = ground.servers().await;
    let tried = everywhere(&servers, 32, |server, _| async move {
        let address = "192.0.2.1".parse().unwrap();
        server.attempt_login("anna", address, at(0)).await.unwrap()
    })
    .await;
    let allowed = tried
        .iter()
        .filter(|tried| **tried == LoginAttempt::Allowed);
    assert_eq!(
        allowed.count(),
        6,
        "five are free, and the sixth begins the wait"
    );
}

/// Starts a process that adds users and sessions until it is killed.
fn people(place: &[&str]) -> Child {
    let mut child = Command::new(example())
        .args(place)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdin.take());
    child
}

/// Kills a process once it has said that much, and returns all that it said.
fn killed_after(mut child: Child, bytes: usize) -> String {
    let mut out = child.stdout.take().unwrap();
    let mut said = vec![0; bytes];
    out.read_exact(&mut said).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    out.read_to_end(&mut said).unwrap();
    String::from_utf8(said).unwrap()
}

/// Checks that a killed process left what it had acknowledged.
async fn verify(shared: &Shared, name: &str, said: &str) {
    let users = shared.users().await.unwrap();
    let mut last = std::collections::HashMap::new();
    for line in said.lines() {
        let (what, number) = line.split_once(' ').unwrap();
        let number: u64 = number.parse().unwrap();
        last.insert(number, what);
    }
    assert!(!last.is_empty());
    for (number, what) in last {
        let name = format!("{name}-{number}");
        let user = users.iter().find(|user| user.name.as_str() == name);
        match (what, user) {
            ("gone", user) => assert_eq!(user, None),
            // Every third may be in the middle of its removal.
            ("filled", None) => assert!(number.is_multiple_of(3), "{name}"),
            ("filled", Some(user)) => {
                let now = jiff::Timestamp::now();
                let sessions = shared.sessions_of(Some(&user.id), now).await.unwrap();
                assert_eq!(sessions.len(), 1, "{name}");
            }
            (_, user) => assert!(user.is_some(), "{name}"),
        }
    }
    let next = NewUser {
        name: format!("{name}-next").parse().unwrap(),
        role: Role::Viewer,
        password: None,
    };
    shared.create_user(&next, at(0)).await.unwrap();
}

#[test]
fn a_killed_server_leaves_all_that_it_acknowledged_in_its_file() {
    let ground = Ground::file();
    let Ground::File(home) = &ground else {
        unreachable!("it is one")
    };
    for round in 0..10 {
        let name = format!("round{round}");
        let home = home.mira_home();
        let child = people(&["people", home.to_str().unwrap(), &name]);
        let said = killed_after(child, 9 + 37 * round);
        run(async { verify(&ground.shared().await, &name, &said).await });
    }
}

#[test]
fn a_killed_server_or_database_leaves_all_that_was_acknowledged() {
    let mut server = Postgres::start();
    for round in 0..6 {
        let name = format!("round{round}");
        let child = people(&["people-of", &server.socket_url(DATABASE), &name]);
        let said = match round % 2 {
            0 => killed_after(child, 9 + 37 * round),
            _ => crashed_after(&mut server, child, 9 + 37 * round),
        };
        run(async {
            let location = Location::Postgres(url(&server.url(DATABASE)));
            let shared = Shared::open(location).await.unwrap();
            verify(&shared, &name, &said).await;
        });
    }
}

/// Kills the database under a process once that has said so much; it ends by itself then.
fn crashed_after(server: &mut Postgres, mut child: Child, bytes: usize) -> String {
    let mut out = child.stdout.take().unwrap();
    let mut said = vec![0; bytes];
    out.read_exact(&mut said).unwrap();
    server.crash();
    out.read_to_end(&mut said).unwrap();
    assert!(!child.wait().unwrap().success());
    String::from_utf8(said).unwrap()
}

#[test]
fn a_server_goes_on_when_its_database_is_back() {
    let server = Postgres::start();
    run(async {
        let location = Location::Postgres(url(&server.url("postgres")));
        let shared = Shared::open(location).await.unwrap();
        add(&shared, "anna", Role::Viewer).await;
        let end_all = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'mira'";
        server.sql("postgres", end_all);
        assert_eq!(shared.users().await.unwrap().len(), 1);
    });
}
