//! The usual clients under the gate, as they are: a host that may be called, one whose requests carry a secret, a stream, and one that is refused.
//!
//! Each is started twice: in a room, where no client has a say in it, and where the system makes no rooms, for those that go by the usual variables.
//! What they do is in `tests/data/gate/clients`.

use std::path::Path;
use std::process::{Command, Output};
use std::thread;

use mira_testkit::origin::{AwsKeys, Seen};
use serde_json::{Value, json};

use super::street::{ALLOWED, BROKERED, REFUSED, Street, holds, said, told};
use crate::support::{VALUE, mira, set};

/// What a walk's stream says.
const EVENTS: [&str; 3] = ["one", "two", "three"];

/// Keys for AWS, of the shape that they have.
const AWS_ID: &str = "AKIA3SGQ7NVTXE2LKD5M";
const AWS_SECRET: &str = "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";

/// A temporary key, which is saved as one secret.
const AWS_TEMPORARY_ID: &str = "ASIAQ7WX2M4PKZ5TJ3VB";
const AWS_TOKEN: &str = "IQoJb3JpZ2luX2VjEPr+Zq8LmN3vXy7RtBw2HcKd9PfGs4/Tj6==";

/// What the denial says at least, where a client shows it.
const DENIAL: &str = "To allow it: mira run --allow api.refused.test";

/// A client: the words that start it, and what is to come of it.
struct Client {
    words: Vec<String>,
    /// Variables that it is started with, as a person may have set them.
    variables: Vec<(&'static str, String)>,
    /// What it says of the host that may be called, and of the one whose requests carry the secret.
    fine: [&'static str; 2],
    /// What the latter finds in `Authorization`, unless that is a signature.
    carried: Option<String>,
    /// What it says of the refused host in a room: the host itself answered, as it seems to it.
    answered: &'static str,
    /// What it says of it where its proxy refused.
    proxied: &'static str,
    /// What the stream says, for those that follow one.
    events: Vec<String>,
    /// The names by which AWS's keys are brokered.
    aws: &'static [&'static str],
    /// What it finds at the hosts.
    prepare: fn(&Street),
}

fn client(words: &[&str]) -> Client {
    Client {
        words: words.iter().map(|&word| word.to_owned()).collect(),
        variables: Vec::new(),
        fine: ["200", "200"],
        carried: Some(format!("Bearer {VALUE}")),
        answered: DENIAL,
        proxied: "403",
        events: EVENTS.map(ToOwned::to_owned).into(),
        aws: &["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"],
        prepare: |_| {},
    }
}

fn shell(file: &str) -> Client {
    client(&["sh", &data(file)])
}

fn python(file: &str) -> Client {
    let mut client = client(&[&installed("python/bin/python"), &data(file)]);
    // What is compiled is kept, but not among the tests.
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python-cache");
    client.variables = vec![("PYTHONPYCACHEPREFIX", cache.to_str().unwrap().to_owned())];
    client
}

fn node(file: &str) -> Client {
    let mut client = client(&["node", &data(file)]);
    client.variables = vec![("NODE_PATH", installed("node/node_modules"))];
    client
}

fn data(file: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/gate/clients");
    folder.join(file).to_str().unwrap().to_owned()
}

/// Returns a file of what `cargo xtask test programs` installs.
fn installed(file: &str) -> String {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let path = target.join("tools/clients").join(file);
    let hint = "`cargo xtask test programs` installs it";
    assert!(path.exists(), "{}: {hint}", path.display());
    path.to_str().unwrap().to_owned()
}

/// Runs a client in a room.
fn in_a_room(client: &Client) {
    let street = Street::new(true);
    let output = street.walk(client);
    let (said, told) = (said(&output), told(&output));
    assert!(!told.contains("not enforced"), "{told}");
    assert!(said.contains(client.answered), "{output:?}");
    assert!(
        told.contains("refused, with how often: api.refused.test:443 (1)"),
        "{told}"
    );
    street.check(client, &output);
}

/// Runs a client where there are no rooms.
fn by_variables(client: &Client) {
    let street = Street::new(false);
    let output = street.walk(client);
    let (said, told) = (said(&output), told(&output));
    assert!(told.contains("recorded, not enforced"), "{told}");
    let refused = said.split_once("refused ").unwrap().1;
    assert!(refused.contains(client.proxied), "{output:?}");
    assert!(told.contains("api.refused.test:443 (1)"), "{told}");
    street.check(client, &output);
}

impl Street {
    /// Lets a client call the three hosts.
    fn walk(&self, client: &Client) -> Output {
        (client.prepare)(self);
        let mut run = self.run();
        self.save_aws_keys(client.aws.len() == 1);
        for name in ["KEY"].iter().chain(client.aws) {
            run.arg("--broker").arg(format!("{name}={}", BROKERED.0));
        }
        run.arg("--").args(&client.words);
        run.args([ALLOWED, BROKERED, REFUSED].map(|(name, _)| format!("https://{name}")));
        run.envs(client.variables.iter().cloned());
        thread::scope(|scope| {
            if !client.events.is_empty() {
                scope.spawn(|| self.emit(&client.events, 1));
            }
            let output = run.output().unwrap();
            assert!(output.status.success(), "{output:?}");
            output
        })
    }

    /// Saves the keys that are good at the host whose requests carry them: as one secret, or each by itself.
    fn save_aws_keys(&self, as_one: bool) {
        if as_one {
            let lines = format!(
                "aws_access_key_id={AWS_TEMPORARY_ID}\naws_secret_access_key={AWS_SECRET}\naws_session_token={AWS_TOKEN}\n"
            );
            mira(&self.home, &["aws", "set", "--stdin", "--no-test"])
                .stdin_bytes(lines)
                .run()
                .assert_code(0);
        } else {
            set(&self.home, "AWS_ACCESS_KEY_ID", AWS_ID);
            set(&self.home, "AWS_SECRET_ACCESS_KEY", AWS_SECRET);
        }
        let id = if as_one { AWS_TEMPORARY_ID } else { AWS_ID };
        self.brokered.set_aws_keys(AwsKeys {
            access_key_id: id.to_owned(),
            secret_access_key: AWS_SECRET.to_owned(),
            session_token: as_one.then(|| AWS_TOKEN.to_owned()),
        });
    }

    /// Checks what every walk leaves behind, refused or not by whom.
    fn check(&self, client: &Client, output: &Output) {
        let said = said(output);
        let all = |word: &str| -> Vec<String> {
            let mine = said.lines().filter_map(|line| line.strip_prefix(word));
            mine.map(|rest| rest.trim().to_owned()).collect()
        };
        let key = all("key ").pop().unwrap_or_else(|| panic!("{output:?}"));
        // What is the value would be redacted.
        assert!(key.len() >= 20 && !key.contains("redacted"), "{key}");
        let parts = all("parts ").concat();
        assert!(!parts.contains("redacted"), "{parts}");
        let [allowed, brokered] = client.fine;
        assert!(all("allowed ").concat().starts_with(allowed), "{output:?}");
        assert!(
            all("brokered ").concat().starts_with(brokered),
            "{output:?}"
        );
        assert_eq!(all("event ").len(), client.events.len(), "{output:?}");

        let at = self.brokered.requests();
        assert!(at.iter().all(|request| !holds(request, &key)), "{at:?}");
        if let Some(carried) = &client.carried {
            let is_carried = |request: &Seen| request.header("authorization") == Some(carried);
            assert!(at.iter().any(is_carried), "{at:?}");
        }
        let at = self.allowed.requests();
        assert!(!at.is_empty());
        assert!(at.iter().all(|request| !holds(request, VALUE)), "{at:?}");
        assert_eq!(self.refused.connections(), 0);

        // The allowed host's own certificate was shown: its connections were not looked into.
        let rows = self.rows();
        let of = |host: &'static str| rows.iter().filter(move |row| row["host"] == host);
        assert!(of(ALLOWED.0).count() > 0 && of(ALLOWED.0).all(|row| row["how"] == "tunnel"));
        assert!(of(BROKERED.0).any(|row| row["how"] == "https"), "{rows:?}");
        let is_refused = |row: &Value| row["verdict"] == "refused";
        assert!(of(REFUSED.0).count() > 0 && of(REFUSED.0).all(is_refused));
    }
}

/// Makes tests of clients.
macro_rules! tests {
    ($($name:ident: $client:expr => $($test:ident),+;)+) => {
        $(mod $name {
            use super::*;

            $(#[test]
            fn $test() {
                super::$test(&$client);
            })+
        })+
    };
}

tests! {
    curl: shell("curl.sh") => in_a_room, by_variables;
    wget: wget() => in_a_room;
    wget_with_its_option: wget_with_its_option() => by_variables;
    git: git() => in_a_room, by_variables;
    python_urllib: python("urllib_client.py") => in_a_room, by_variables;
    python_requests: python("requests_client.py") => in_a_room, by_variables;
    python_httpx: python("httpx_client.py") => in_a_room, by_variables;
    python_aiohttp: python("aiohttp_client.py") => in_a_room;
    python_aiohttp_with_trust_env: aiohttp() => by_variables;
    python_openai: openai() => in_a_room, by_variables;
    python_boto3: boto3() => in_a_room, by_variables;
    python_boto3_with_one_secret: boto3_with(&["AWS_CREDENTIALS"]) => in_a_room, by_variables;
    python_boto3_with_a_part_of_one: boto3_with(&["AWS_ACCESS_KEY_ID"]) => in_a_room;
    node_fetch: node("fetch.mjs") => in_a_room;
    node_https: node("https.mjs") => in_a_room;
    node_undici: node("undici.mjs") => in_a_room, by_variables;
    node_axios: node("axios.mjs") => in_a_room, by_variables;
    go_net_http: go() => in_a_room, by_variables;
    java_http_client: client(&["java", &data("Client.java")]) => in_a_room;
}

fn wget() -> Client {
    let mut wget = shell("wget.sh");
    wget.proxied = "Forbidden";
    wget.events.clear();
    wget
}

fn wget_with_its_option() -> Client {
    let mut wget = wget();
    wget.variables = vec![("WITH_OPTION", "1".to_owned())];
    wget
}

fn git() -> Client {
    let mut git = shell("git.sh");
    git.fine = ["A commit", "HEAD"];
    // `x-access-token`, a colon and the value.
    git.carried =
        Some("Basic eC1hY2Nlc3MtdG9rZW46c2stcHJvai03RnEybVh2OUxyVDRiV2M4Wm5ZZA==".to_owned());
    git.events.clear();
    git.prepare = |street| {
        let folder = street.home.path().join("repository.git");
        let made = street
            .command("sh")
            .args(["-ec", REPOSITORY])
            .arg("sh")
            .arg(&folder)
            .status();
        assert!(made.unwrap().success());
        for origin in [&street.allowed, &street.brokered] {
            origin.serve_folder("/repository.git", &folder);
        }
    };
    git
}

/// Makes a repository of one commit that any server of files can serve.
const REPOSITORY: &str = r#"
git init -q work
git -C work -c user.name=Somebody -c user.email=somebody@example.org commit -q --allow-empty -m "A commit"
git clone -q --bare work "$1"
git -C "$1" update-server-info
"#;

fn aiohttp() -> Client {
    let mut aiohttp = python("aiohttp_client.py");
    aiohttp.variables.push(("TRUST_ENV", "1".to_owned()));
    aiohttp
}

fn openai() -> Client {
    let mut openai = python("openai_client.py");
    let piece = |text: &String| {
        let choice = json!({"index": 0, "delta": {"content": text}});
        json!({"id": "any", "object": "chat.completion.chunk", "created": 0, "model": "any", "choices": [choice]})
            .to_string()
    };
    openai.events = openai.events.iter().map(piece).collect();
    openai
}

fn boto3() -> Client {
    let mut boto3 = python("boto3_client.py");
    boto3.carried = None;
    boto3.events.clear();
    boto3
}

fn boto3_with(aws: &'static [&'static str]) -> Client {
    Client { aws, ..boto3() }
}

/// Builds the client in Go.
fn go() -> Client {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let (program, new) = (
        "client-in-go",
        format!("client-in-go-{}", std::process::id()),
    );
    let (program, new) = (folder.join(program), folder.join(new));
    let built = Command::new("go")
        .args(["build", "-o"])
        .args([&new, Path::new(&data("client.go"))])
        .env("GOCACHE", folder.join("go-cache"))
        .status();
    assert!(built.unwrap().success());
    // Another test may be running the one that was there.
    std::fs::rename(new, &program).unwrap();
    let mut go = client(&[program.to_str().unwrap()]);
    go.proxied = "Forbidden";
    go
}

/// reqwest, which this program is the client of: it is started again, for a test that finds addresses among its words.
mod rust_reqwest {
    use std::error::Error;

    use super::{Client, client};

    #[test]
    fn in_a_room() {
        match walkers_hosts() {
            Some(hosts) => walk(hosts),
            None => super::in_a_room(&reqwest("in_a_room")),
        }
    }

    #[test]
    fn by_variables() {
        match walkers_hosts() {
            Some(hosts) => walk(hosts),
            None => super::by_variables(&reqwest("by_variables")),
        }
    }

    fn reqwest(test: &str) -> Client {
        let program = std::env::current_exe().unwrap();
        let test = format!("gate::clients::rust_reqwest::{test}");
        let mut reqwest = client(&[program.to_str().unwrap(), "--nocapture", "--exact", &test]);
        reqwest.proxied = "unsuccessful";
        reqwest
    }

    fn walkers_hosts() -> Option<[String; 3]> {
        let hosts = std::env::args().filter(|word| word.starts_with("https://"));
        hosts.collect::<Vec<_>>().try_into().ok()
    }

    #[tokio::main(flavor = "current_thread")]
    async fn walk([allowed, brokered, refused]: [String; 3]) {
        let installed = rustls::crypto::ring::default_provider().install_default();
        installed.unwrap();
        let client = reqwest::Client::new();
        let key = std::env::var("KEY").unwrap();
        say(&format!("key {key}"));
        let answer = client.get(format!("{allowed}/echo")).send().await.unwrap();
        say(&format!("allowed {}", answer.status()));
        let request = client.get(format!("{brokered}/echo")).bearer_auth(&key);
        let answer = request.send().await.unwrap();
        say(&format!("brokered {}", answer.status()));
        let mut events = client.get(format!("{brokered}/sse")).send().await.unwrap();
        let mut rest = String::new();
        while let Some(piece) = events.chunk().await.unwrap() {
            rest.push_str(std::str::from_utf8(&piece).unwrap());
            while let Some((line, after)) = rest.split_once('\n') {
                if let Some(event) = line.strip_prefix("data: ") {
                    say(&format!("event {event}"));
                    let answer = client.get(format!("{allowed}/echo?ack={event}"));
                    answer.send().await.unwrap();
                }
                rest = after.to_owned();
            }
        }
        match client.get(&refused).send().await {
            Ok(answer) => say(&format!("refused {}", answer.text().await.unwrap())),
            Err(error) => say(&format!("refused {}", causes(&error))),
        }
    }

    fn causes(error: &dyn Error) -> String {
        let causes = std::iter::successors(error.source(), |&cause| cause.source());
        causes.fold(error.to_string(), |all, cause| format!("{all}: {cause}"))
    }

    #[expect(clippy::print_stdout, reason = "the client's own output")]
    fn say(line: &str) {
        // The runner has begun a line of its own.
        println!("\n{line}");
    }
}

#[test]
fn an_mcp_server_from_npm_works_in_a_room() {
    let street = Street::new(true);
    let mut server = node("mcp.mjs");
    server.events.clear();
    let output = street.walk(&server);
    let said = said(&output);
    assert!(
        said.contains("sum The sum of 2 and 40 is 42."),
        "{output:?}"
    );
    let key = said.lines().find_map(|line| line.strip_prefix("key "));
    let key = key.unwrap();
    assert!(key.len() >= 20 && !key.contains("redacted"), "{output:?}");
    assert_eq!(street.rows(), Vec::<Value>::new());
}

/// What the guide says of them is so: nothing keeps a client from calling anybody where there are no rooms, and it is told to whoever starts it.
#[test]
fn a_client_that_goes_by_no_variable_goes_past_the_gate_where_there_are_no_rooms() {
    let street = Street::new(false);
    let output = street.walk(&python("aiohttp_client.py"));
    assert!(
        told(&output).contains("recorded, not enforced"),
        "{output:?}"
    );
    assert_eq!(street.refused.connections(), 1);
    assert_eq!(street.rows(), Vec::<Value>::new());
    // It has no secret to take along.
    let requests = street.brokered.requests();
    assert!(requests.iter().all(|request| !holds(request, VALUE)));

    let mut strict = street.run();
    let refused = strict
        .args(["--require-enforcement", "--", "true"])
        .output();
    assert_eq!(refused.unwrap().status.code(), Some(1));
}
