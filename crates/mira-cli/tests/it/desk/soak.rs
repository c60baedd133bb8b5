//! Many clients at once, that read, write and sign in: none is answered that the server failed, and no write is lost.
//!
//! As a test it is some thousand requests, whatever time they take. `cargo xtask soak` has it go on for as long as it is told to.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use mira_desk::hash_password;
use mira_secret::SecretBytes;
use mira_store::{
    AuditAction, AuditFilter, DatabaseUrl, Location, NewUser, Role, Shared, UserName,
};
use mira_testkit::postgres::Postgres;
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, StatusCode, header};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::served::Served;
use crate::apps::house::House;

const CLIENTS: usize = 32;

/// How many rounds each client makes, where no time is given.
const ROUNDS: usize = 48;

/// What says how long it is to take instead, in seconds.
const SECONDS: &str = "MIRA_SOAK_SECONDS";

/// After how many rounds a client signs in again, which costs the most.
const SIGN_IN_EVERY: usize = 40;

const PASSWORD: &str = "four words that hold";

/// What is read in turn.
const READ: [&str; 7] = [
    "/",
    "/instances",
    "/api/v1/secrets",
    "/audit",
    "/account",
    "/metrics",
    "/readyz",
];

#[test]
fn many_clients_at_once_lose_nothing_on_sqlite() {
    soak(&House::new(), None);
}

#[test]
fn many_clients_at_once_lose_nothing_on_postgres() {
    let server = Postgres::start();
    let mut house = House::new();
    house.home.set("DATABASE_URL", server.url("postgres"));
    soak(&house, Some(&server));
}

fn soak(house: &House, server: Option<&Postgres>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let shared = runtime.block_on(people(house, server));
    let desk = Served::start(house, &["serve", "--listen", "127.0.0.1:0"], &[]);
    let until = std::env::var(SECONDS).ok().map(|seconds| {
        let seconds = seconds.parse().expect("a number of seconds");
        Instant::now() + Duration::from_secs(seconds)
    });
    let (written, requests) = runtime.block_on(clients(&desk.url, until));
    assert!(requests >= CLIENTS * ROUNDS / 2, "{requests}");
    // What was acknowledged is there: as often as it was written, with the value that was written last, and in the audit.
    let listed = house.json(&["list", "--json"], 0);
    let versions: BTreeMap<&str, u64> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| {
            let name = entry["name"].as_str().unwrap();
            (name, entry["version"].as_u64().unwrap())
        })
        .collect();
    let mut expected = String::new();
    for (name, (times, last)) in &written {
        assert_eq!(versions.get(name.as_str()), Some(times), "{name}");
        expected.push_str(&format!("{name} {last}\n"));
    }
    let path = house.home.path().join("expected");
    std::fs::write(&path, expected).unwrap();
    let script = "while read -r name value; do eval \"test \\\"\\$$name\\\" = $value\" || echo lost; done < \"$0\"";
    let path = path.to_str().unwrap();
    let compared = house.run(&["run", "--", "sh", "-c", script, path], 0);
    assert_eq!(compared.stdout_text(), "");
    let total: u64 = written.values().map(|(times, _)| times).sum();
    assert_eq!(runtime.block_on(recorded(&shared)), total);
    assert_eq!(desk.end(), Some(0));
}

/// Makes a user for each client.
async fn people(house: &House, server: Option<&Postgres>) -> Shared {
    let home = house.home.mira_home();
    let location = match server {
        None => Location::File(&home),
        Some(server) => {
            let url = SecretBytes::copy_from(server.url("postgres").as_bytes());
            Location::Postgres(DatabaseUrl::parse(&url).unwrap())
        }
    };
    let shared = Shared::open(location).await.unwrap();
    for number in 0..CLIENTS {
        let name: UserName = format!("client{number}").parse().unwrap();
        let password = SecretBytes::copy_from(PASSWORD.as_bytes());
        let new = NewUser {
            password: Some(hash_password(&name, &password).unwrap()),
            name,
            role: Role::Admin,
        };
        shared.create_user(&new, Timestamp::now()).await.unwrap();
    }
    shared
}

/// How often each secret was written, and what last; and how many requests there were.
type Done = (BTreeMap<String, (u64, String)>, usize);

async fn clients(url: &str, until: Option<Instant>) -> Done {
    // Another test of this process may have been quicker.
    rustls::crypto::ring::default_provider()
        .install_default()
        .ok();
    let mut running = JoinSet::new();
    for number in 0..CLIENTS {
        let browser = Browser::new(url, number);
        running.spawn(browser.go_on(until));
    }
    let (mut written, mut requests) = (BTreeMap::new(), 0);
    while let Some(ended) = running.join_next().await {
        let browser = ended.unwrap();
        requests += browser.requests;
        written.insert(browser.secret(), (browser.times, browser.last));
    }
    (written, requests)
}

/// One client, with the cookie of its session.
struct Browser {
    client: Client,
    url: String,
    number: usize,
    cookie: String,
    requests: usize,
    times: u64,
    last: String,
}

impl Browser {
    fn new(url: &str, number: usize) -> Self {
        let client = Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .build()
            .unwrap();
        Self {
            client,
            url: url.to_owned(),
            number,
            cookie: String::new(),
            requests: 0,
            times: 0,
            last: String::new(),
        }
    }

    fn secret(&self) -> String {
        format!("SOAK_{}", self.number)
    }

    async fn go_on(mut self, until: Option<Instant>) -> Self {
        let mut round = 0;
        while until.map_or(round < ROUNDS, |until| Instant::now() < until) {
            match round {
                round if round % SIGN_IN_EVERY == 0 => self.sign_in().await,
                round if round % 4 == 1 => self.write(round).await,
                round => {
                    let path = READ[round % READ.len()];
                    let request = self.client.get(format!("{}{path}", self.url));
                    self.send(request, StatusCode::OK).await;
                }
            }
            round += 1;
        }
        self
    }

    async fn sign_in(&mut self) {
        let body = format!(
            "name=client{}&password={}",
            self.number,
            PASSWORD.replace(' ', "+")
        );
        let request = self
            .client
            .post(format!("{}/login", self.url))
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(body);
        let answer = self.send(request, StatusCode::SEE_OTHER).await;
        let cookie = answer.headers()[header::SET_COOKIE].to_str().unwrap();
        self.cookie = cookie.split(';').next().unwrap().to_owned();
    }

    /// Writes a value that nobody else writes, and reads back that it is there.
    async fn write(&mut self, round: usize) {
        let value = format!("value-{}-{round}-of-this-soak", self.number);
        let path = format!("{}/api/v1/secrets/{}", self.url, self.secret());
        let request = self.client.put(path).json(&json!({"value": value}));
        let answer = self.send(request, StatusCode::OK).await;
        let saved: Value = answer.json().await.unwrap();
        self.times += 1;
        self.last = value;
        assert_eq!(saved["version"], self.times, "client {}", self.number);
        let request = self.client.get(format!("{}/api/v1/secrets", self.url));
        let answer = self.send(request, StatusCode::OK).await;
        let all: Vec<Value> = answer.json().await.unwrap();
        let name = self.secret();
        let found = all.iter().find(|entry| entry["name"] == name.as_str());
        assert_eq!(
            found.map(|entry| &entry["version"]),
            Some(&self.times.into())
        );
    }

    async fn send(&mut self, request: RequestBuilder, expect: StatusCode) -> reqwest::Response {
        self.requests += 1;
        let request = request
            .header(header::COOKIE, &self.cookie)
            .header("sec-fetch-site", "same-origin");
        let answer = request.send().await.unwrap();
        assert_eq!(
            answer.status(),
            expect,
            "client {}: {}",
            self.number,
            answer.url()
        );
        answer
    }
}

/// Returns how many writes are in the audit.
async fn recorded(shared: &Shared) -> u64 {
    let filter = AuditFilter {
        action: Some(AuditAction::SecretSet),
        ..AuditFilter::default()
    };
    let (mut rows, mut after) = (0, None);
    loop {
        let page = shared.audit(&filter, after.as_ref(), 1000).await.unwrap();
        rows += page.rows.len() as u64;
        match page.next {
            Some(next) => after = Some(next),
            None => return rows,
        }
    }
}
