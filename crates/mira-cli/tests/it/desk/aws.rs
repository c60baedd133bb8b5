//! The desk's form for AWS: what AWS says of keys is shown, what it refuses is not saved unless the person insists, and no part of
//! them is anywhere to be seen.

use mira_testkit::aws_server::{AwsServer, AwsService};
use mira_testkit::canary::{Canary, Sweep};
use mira_testkit::origin::AwsKeys;

use super::served::{ADMIN, Served, curl, log_in, post};
use crate::apps::house::House;

const LONG: &str = "AKIAQ7WX2M4PKZ5TJ3VB";
const SHORT: &str = "ASIAQ7WX2M4PKZ5TJ3VB";
const SECRET: &str = "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";
const OTHER: &str = "i4Xq/9sLmT2vB7nKwYp+Zr3cGfD8jUe6RaQ1oVtN";
const TOKEN: &str = "IQoJb3JpZ2luX2VjEPr+Zq8LmN3vXy7RtBw2HcKd9PfGs4/Tj6==";

/// A desk whose AWS is somewhere else, and all that it ever said.
struct Bench {
    house: House,
    desk: Served,
    said: String,
}

impl Bench {
    fn start(endpoint: &str) -> Self {
        let house = House::new();
        let variables = [("ADMIN_PASSWORD", ADMIN), ("AWS_ENDPOINT_URL", endpoint)];
        let args = ["serve", "--listen", "127.0.0.1:0", "--log", "json"];
        let desk = Served::start(&house, &args, &variables);
        log_in(&house, &desk);
        let said = String::new();
        Self { house, desk, said }
    }

    /// Sends the form, and returns what the page says.
    fn send(&mut self, fields: &[(&str, &str)]) -> String {
        let url = format!("{}/aws", self.desk.url);
        let page = post(&self.house, &url, fields);
        self.said.push_str(&page);
        page
    }

    fn shown(&mut self) -> String {
        let page = curl(&self.house, &[&format!("{}/providers", self.desk.url)]);
        self.said.push_str(&page);
        page
    }

    /// Ends the desk; fails if a part of the keys is in what it said, wrote or logged.
    fn end(self) {
        let Self { house, desk, said } = self;
        let audit = curl(&house, &[&format!("{}/audit", desk.url)]);
        for action in ["aws.test", "aws.set"] {
            assert!(
                audit.contains(&format!("<code>{action}</code>")),
                "{action}"
            );
        }
        let (code, log) = desk.end_and_tell();
        assert_eq!(code, Some(0), "{log}");
        let sweep = Sweep::new(&[
            Canary::new("ID", LONG),
            Canary::new("SHORT_ID", SHORT),
            Canary::new("SECRET", SECRET),
            Canary::new("OTHER", OTHER),
            Canary::new("TOKEN", TOKEN),
        ]);
        sweep
            .bytes("pages", (said + &audit).as_bytes())
            .and(sweep.bytes("log", log.as_bytes()))
            .and(sweep.folder(house.home.path()))
            .assert_clean();
    }
}

fn server(id: &str, token: Option<&str>) -> AwsServer {
    AwsServer::start(AwsKeys {
        access_key_id: id.to_owned(),
        secret_access_key: SECRET.to_owned(),
        session_token: token.map(str::to_owned),
    })
}

/// Sends keys that do not work: nothing is saved, then they are saved since the person insists.
#[track_caller]
fn refused(server_of: impl FnOnce() -> AwsServer, secret: &str, says: &str) {
    let server = server_of();
    let mut bench = Bench::start(&server.url());
    let fields = [("id", LONG), ("key", secret), ("region", "eu-central-1")];
    let page = bench.send(&fields);
    assert!(page.contains("Nothing was saved"), "{page}");
    assert!(page.contains(says), "{says}: {page}");
    assert!(bench.shown().contains("No credentials of AWS are saved"));
    let settings = bench.house.home.mira_home().join("settings.json");
    assert!(!settings.exists());
    let insisting = [&fields[..], &[("anyway", "yes")]].concat();
    let page = bench.send(&insisting);
    assert!(page.contains("are saved all the same"), "{page}");
    assert!(bench.shown().contains("long-term"));
    bench.end();
}

#[test]
fn good_keys_are_saved_and_the_page_says_when_they_end() {
    let server = server(SHORT, Some(TOKEN));
    let mut bench = Bench::start(&server.url());
    let keys = [
        ("id", SHORT),
        ("key", SECRET),
        ("token", TOKEN),
        ("region", "eu-central-1"),
    ];
    let with = |expires| [&keys[..], &[("expires", expires)]].concat();
    let page = bench.send(&with("when I am old"));
    assert!(page.contains("such as 12h"), "{page}");
    assert!(server.asked().is_empty());
    let page = bench.send(&with("2099-01-02T03:04:05Z"));
    assert!(
        page.contains("The credentials work, and are saved"),
        "{page}"
    );
    let page = bench.shown();
    assert!(
        page.contains("2099-01-02 03:04 UTC") && page.contains("temporary"),
        "{page}"
    );
    assert!(!page.contains("get new keys"), "{page}");
    bench.send(&with("2020-01-02T03:04:05Z"));
    let page = bench.shown();
    assert!(
        page.contains("2020-01-02 03:04 UTC") && page.contains("get new keys"),
        "{page}"
    );
    // Only a temporary key ends.
    let page = bench.send(&[("id", LONG), ("key", SECRET), ("expires", "12h")]);
    assert!(page.contains("only a temporary key"), "{page}");
    bench.end();
}

#[test]
fn a_wrong_key_is_not_saved_in_the_desk_unless_the_person_insists() {
    refused(|| server(LONG, None), OTHER, "secret access key is wrong");
}

#[test]
fn what_may_not_use_bedrock_is_not_saved_in_the_desk() {
    let forbidden = || {
        let server = server(LONG, None);
        server.refuse(
            AwsService::Bedrock,
            403,
            "AccessDeniedException",
            "Not you.",
        );
        server
    };
    refused(forbidden, SECRET, "bedrock:ListFoundationModels");
}

#[test]
fn a_token_that_has_ended_is_not_saved_in_the_desk() {
    let ended = || {
        let server = server(LONG, None);
        server.refuse(AwsService::Sts, 403, "ExpiredToken", "Over.");
        server
    };
    refused(ended, SECRET, "expired");
}

#[test]
fn the_desk_says_how_wrong_a_clock_is() {
    let ahead = || {
        let server = server(LONG, None);
        server.set_clock(3600 * 5 + 9);
        server
    };
    refused(ahead, SECRET, "5 hours behind");
}

#[test]
fn an_aws_that_does_not_answer_is_given_up_and_nothing_is_saved() {
    // It takes connections, and says nothing.
    let hung = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", hung.local_addr().unwrap());
    let mut bench = Bench::start(&url);
    let page = bench.send(&[("id", LONG), ("key", SECRET), ("region", "eu-central-1")]);
    assert!(page.contains("Nothing was saved"), "{page}");
    assert!(
        page.contains("did not answer") || page.contains("no answer"),
        "{page}"
    );
    assert!(bench.shown().contains("No credentials of AWS are saved"));
}
