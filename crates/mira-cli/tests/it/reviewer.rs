//! The reviewer under a real server: from a signed delivery to a posted review, in an enforced room, which never holds a secret.

mod local;
mod servers;
mod town;

use std::fs;

use mira_testkit::canary::{Canary, Sweep};

use town::{KEY, Server, TITLE, Town};

#[test]
fn a_signed_delivery_becomes_one_review_and_no_secret_is_where_the_reviewer_is() {
    let town = Town::new();
    let mut server = Server::start(&town, &[]);
    server.open_reviewer(None);
    let ps = server.house.ps("reviewer");
    assert_eq!(ps["network"]["mode"], "enforced", "{ps}");
    let rules = server.json(&["net", "rules", "reviewer", "--json"]);
    assert_eq!(rules[0]["hosts"], "api.github.test", "{rules}");
    assert_eq!(rules[0]["origin"], "code host", "{rules}");
    town.model.script(town::report().held());
    server.send("opened", "e-1");
    let asked = town.model.wait_for_requests(1);
    assert_eq!(asked[0].bearer.as_deref(), Some(KEY));

    // The review is under way, and both keys were used for it.
    let secrets = town.secrets();
    let known = Sweep::new(&[Canary::new("TITLE", TITLE)]);
    let mut is_seen = false;
    for pid in server.room() {
        secrets.memory(pid).assert_clean();
        is_seen |= !known.memory(pid).is_clean();
        for file in ["environ", "cmdline"] {
            let bytes = fs::read(format!("/proc/{pid}/{file}")).unwrap();
            secrets.bytes(file, &bytes).assert_clean();
        }
    }
    assert!(is_seen, "the sweep sees what it looks for");
    secrets.folder(server.house.home.path()).assert_clean();
    secrets.folder(server.house.memory.path()).assert_clean();
    town.model.release();

    server.until_delivered("e-1", "done");
    let reviews = town.repo.reviews(town.pull);
    assert_eq!(reviews.len(), 1, "{reviews:?}");
    let comments = town.repo.review_comments(town.pull);
    assert!(
        comments[0]["body"].as_str().unwrap().contains("It panics"),
        "{comments:?}"
    );
    assert_eq!(town.repo.comments(town.pull).len(), 1);
    let head = town.repo.pull(town.pull)["head"]["sha"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(town.repo.check_runs(&head).len(), 1);
    // The same commit by another event.
    server.send("reopened", "e-2");
    server.until_delivered("e-2", "done");
    assert_eq!(town.repo.reviews(town.pull).len(), 1);
    assert_eq!(town.model.requests().len(), 1);

    // What was asked with a token was asked with a real one, and minted once.
    let tokens = town.github.tokens();
    assert_eq!(tokens.len(), 1);
    let bearer = format!("Bearer {}", tokens[0]);
    for asked in town.github.asked() {
        let is_mint = asked.is("POST", "/access_tokens");
        assert!(
            is_mint || asked.header("authorization") == Some(&bearer),
            "{}",
            asked.target
        );
    }
    let log = server.mira(&["net", "log", "reviewer", "--json"], 0);
    let logs = server.mira(&["logs", "reviewer"], 0);
    server.mira(&["stop", "reviewer"], 0);
    let (code, said) = server.served.take().unwrap().end_and_tell();
    assert_eq!(code, Some(0));
    for (name, bytes) in [("net log", &log.stdout), ("logs", &logs.stdout)] {
        secrets.bytes(name, bytes).assert_clean();
    }
    secrets
        .bytes("the server's log", said.as_bytes())
        .assert_clean();
    secrets.folder(server.house.home.path()).assert_clean();
}
