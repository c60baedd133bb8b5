//! Two servers on one Postgres, each with a reviewer of its own: they share the work, and what one is told the other heeds.

use mira_testkit::postgres::Postgres;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use super::town::{Server, Town, report};

/// Two servers, with the database that they and their reviewers share.
struct Pair<'a> {
    servers: [Server<'a>; 2],
    postgres: Postgres,
}

impl<'a> Pair<'a> {
    fn new(town: &'a Town) -> Self {
        let postgres = Postgres::start();
        let (reviewers, ours) = town.connect(&postgres);
        let servers = [(), ()].map(|()| {
            let server = Server::start(town, &[("DATABASE_URL", ours.clone())]);
            server.open_reviewer(Some(&reviewers));
            server
        });
        Self { servers, postgres }
    }

    /// Returns which server is at the delivery, and the other one, by whose reviewer holds the pull request.
    fn at_work(&self) -> (usize, usize) {
        let called = |server: &Server<'_>| {
            let log = server.mira(&["net", "log", "reviewer", "--json"], 0);
            String::from_utf8(log.stdout)
                .unwrap()
                .contains("api.openai.com")
        };
        match self.servers.each_ref().map(called) {
            [true, false] => (0, 1),
            [false, true] => (1, 0),
            both => panic!("one of them is at it: {both:?}"),
        }
    }
}

#[test]
fn of_two_servers_one_is_killed_in_the_middle_and_one_review_is_posted() {
    let town = Town::new();
    let mut pair = Pair::new(&town);
    town.model.script(report().held());
    pair.servers[0].send("opened", "e-1");
    drop(town.model.wait_for_requests(1));
    let (dying, living) = pair.at_work();
    let served = pair.servers[dying].served.take().unwrap();
    kill_process(Pid::from_child(&served.child), Signal::KILL).unwrap();
    drop(served);
    town.model.release();
    assert!(town.repo.reviews(town.pull).is_empty());

    // A minute later: nobody has given a sign of life.
    pair.postgres.sql(
        "postgres",
        "UPDATE hook_deliveries SET lease_until_ms = 0 WHERE state = 'running'",
    );
    pair.postgres
        .sql("reviewer", "UPDATE rv_pull SET until = 0");
    pair.servers[living].until_delivered("e-1", "done");
    let reviews = town.repo.reviews(town.pull);
    assert_eq!(reviews.len(), 1, "{reviews:?}");
    assert_eq!(town.repo.comments(town.pull).len(), 1);
    assert_eq!(town.model.requests().len(), 2);

    // The one that died comes back, and is told of the same commit.
    pair.servers[dying].serve();
    pair.servers[dying].send("reopened", "e-2");
    pair.servers[dying].until_delivered("e-2", "done");
    assert_eq!(town.repo.reviews(town.pull).len(), 1);
    assert_eq!(town.model.requests().len(), 2);
    // Nothing of the database's password is in a file of the servers.
    for server in &pair.servers {
        town.secrets()
            .folder(server.house.home.path())
            .assert_clean();
    }
}

#[test]
fn a_server_keeps_no_token_of_an_installation_that_another_was_told_is_suspended() {
    let town = Town::new();
    let pair = Pair::new(&town);
    town.model.script(report().held());
    pair.servers[0].send("opened", "e-1");
    drop(town.model.wait_for_requests(1));
    let (working, other) = pair.at_work();
    // It has a token that lasts for most of an hour, and has used it.
    let tokens = town.github.tokens();
    assert_eq!(tokens.len(), 1);
    let event = json!({"action": "suspend", "installation": {"id": town.installation}});
    pair.servers[other].send_event("installation", "e-2", &event);
    let before = town.github.asked().len();
    town.model.release();
    pair.servers[working].until_delivered("e-1", "done");
    // The installation is asked for anew, which GitHub would refuse were it suspended there too.
    let bearer = format!("Bearer {}", tokens[0]);
    for asked in town.github.asked().iter().skip(before) {
        assert_ne!(
            asked.header("authorization"),
            Some(&*bearer),
            "{}",
            asked.target
        );
    }
    assert_eq!(town.github.mints(), 2);
}
