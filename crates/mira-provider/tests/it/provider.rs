//! Keys of providers are tried, and what is wrong with them is said.

use mira_provider::Fault;
use mira_provider::provider::{Provider, Working, test};
use mira_secret::{SecretBytes, SecretName, SecretValue};
use mira_testkit::canary::{Canary, Sweep};
use mira_testkit::model_server::{ModelServer, Reply};
use mira_testkit::origin::Origin;
use mira_vault::settings::{ProviderSettings, Settings};

use crate::support::{caller, wait};

const KEY: &str = "sk-proj-Zq8LmN3vXy7RtBw2HcKd9PfGs4";

/// The providers, each with the path of its API on the server of the tests.
const PROVIDERS: [(&str, &str); 5] = [
    ("openai", "/v1"),
    ("anthropic", ""),
    ("openrouter", "/api/v1"),
    ("ollama", ""),
    ("mine", "/v1"),
];

fn server() -> ModelServer {
    ModelServer::start_with(Some(KEY), |_| Reply::text("Hi"))
}

/// A provider at an address, with a model if one is set.
fn provider(name: &str, url: &str, model: Option<&str>) -> Provider {
    let mut settings = Settings::default();
    let own = ProviderSettings {
        base_url: Some(url.parse().unwrap()),
        key: (name == "mine").then(|| "MY_KEY".parse().unwrap()),
        model: model.map(|model| model.parse().unwrap()),
    };
    let name = name.parse().unwrap();
    settings.providers.insert(name, own);
    let all = Provider::all(&settings);
    all.into_iter().find(|provider| provider.is_set).unwrap()
}

/// Tries a key, if the provider has one; and with `ask` a model.
fn tried(provider: &Provider, key: &str, ask: Option<&str>) -> Result<Working, Fault> {
    let name: Option<SecretName> = provider.key.clone();
    let key =
        name.map(|name| SecretValue::new(&name, SecretBytes::copy_from(key.as_bytes())).unwrap());
    let ask = ask.map(|model| model.parse().unwrap());
    wait(test(&caller(), provider, key.as_ref(), ask.as_ref()))
}

#[test]
fn a_good_key_lists_models_and_a_model_answers() {
    for (name, path) in PROVIDERS {
        let server = server();
        let url = server.root_url() + path;
        let working = |model: Option<&str>| {
            Ok(Working {
                models: 2,
                model: model.map(|model| model.parse().unwrap()),
            })
        };
        assert_eq!(
            tried(&provider(name, &url, None), KEY, None),
            working(None),
            "{name}"
        );
        let set = provider(name, &url, Some("small"));
        assert_eq!(tried(&set, KEY, None), working(Some("small")), "{name}");
        assert!(
            server.requests().is_empty(),
            "{name}: a listing costs nothing"
        );
        assert_eq!(
            tried(&set, KEY, Some("large")),
            working(Some("large")),
            "{name}"
        );
        let requests = server.requests();
        assert_eq!(requests.len(), 1, "{name}");
        assert_eq!(requests[0].model(), "large", "{name}");
    }
}

#[test]
fn a_model_that_is_not_there_is_told() {
    for (name, path) in PROVIDERS {
        let server = server();
        let url = server.root_url() + path;
        let fault = tried(&provider(name, &url, Some("huge")), KEY, None).unwrap_err();
        assert_eq!(fault.code(), "no-model", "{name}");
        for status in [403, 404] {
            server.script(Reply::error(status, "model_not_found", "No such model."));
            let fault = tried(&provider(name, &url, None), KEY, Some("huge")).unwrap_err();
            let expect = Fault::NoModel {
                model: "huge".to_owned(),
                said: "No such model.".to_owned(),
            };
            assert_eq!(fault, expect, "{name}");
        }
    }
}

#[test]
fn a_wrong_key_is_told_without_the_shortened_one_that_the_provider_repeats() {
    let other = "sk-proj-Wx5TgH8kLp2NvQz6JmRd1CsBy3";
    for (name, path) in PROVIDERS.into_iter().filter(|(name, _)| *name != "ollama") {
        let server = server();
        let fault = tried(
            &provider(name, &(server.root_url() + path), None),
            other,
            None,
        )
        .unwrap_err();
        assert_eq!(fault.code(), "bad-key", "{name}");
        let told = format!("{fault} {fault:?}");
        assert!(!told.contains("sBy3"), "{name}: {told}");
        assert!(!told.contains("sk-proj"), "{name}: {told}");
    }
}

#[test]
fn a_key_that_a_provider_repeats_is_in_no_fault() {
    let canary = Canary::new("API_KEY", KEY);
    for (name, path) in PROVIDERS.into_iter().filter(|(name, _)| *name != "ollama") {
        for status in [400, 401, 403, 404, 429, 500] {
            let server = server();
            let reply = Reply::error(status, "x", "It was").echoes_key();
            server.script_listing(reply);
            let url = server.root_url() + path;
            let fault = tried(&provider(name, &url, None), KEY, None).unwrap_err();
            let told = format!("{fault} {fault:?} {}", fault.hint());
            Sweep::new(std::slice::from_ref(&canary))
                .bytes(&format!("{name}, {status}"), told.as_bytes())
                .assert_clean();
        }
    }
}

#[test]
fn each_refusal_is_told_from_the_others() {
    for (name, path) in PROVIDERS {
        let check = |reply: Reply, code: &str| {
            let server = server();
            server.script_listing(reply);
            let url = server.root_url() + path;
            let fault = tried(&provider(name, &url, None), KEY, None).unwrap_err();
            assert_eq!(fault.code(), code, "{name}: {fault}");
            fault
        };
        let limited = check(Reply::rate_limited(17), "rate-limited");
        assert!(
            limited.to_string().contains("17 seconds"),
            "{name}: {limited}"
        );
        check(
            Reply::error(402, "x", "Insufficient credits"),
            "quota-exhausted",
        );
        check(Reply::error(403, "x", "Missing scope"), "no-permission");
        check(Reply::trouble(), "trouble");
        check(Reply::error(400, "x", "No."), "refused");
        check(Reply::page(200), "not-this-api");
        check(Reply::page(404), "not-this-api");
        check(Reply::page(502), "trouble");
        check(Reply::bytes(9 * 1024 * 1024), "not-this-api");
    }
    let server = server();
    server.script(Reply::quota_exhausted());
    let url = server.base_url();
    let fault = tried(&provider("openai", &url, None), KEY, Some("small")).unwrap_err();
    assert_eq!(fault.code(), "quota-exhausted");
}

#[test]
fn a_redirect_is_told_and_not_followed() {
    let elsewhere = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let elsewhere = Origin::start(elsewhere, None);
    for (name, path) in PROVIDERS {
        let server = server();
        server.script_listing(Reply::redirect(format!(
            "http://{}/echo",
            elsewhere.address()
        )));
        let fault = tried(
            &provider(name, &(server.root_url() + path), None),
            KEY,
            None,
        )
        .unwrap_err();
        assert_eq!(fault.code(), "redirected", "{name}");
        let to = elsewhere.address().to_string();
        assert!(fault.to_string().contains(&to), "{name}: {fault}");
    }
    assert_eq!(elsewhere.connections(), 0);
}

#[test]
fn a_key_that_no_header_can_carry_is_told() {
    let server = server();
    let openai = provider("openai", &server.base_url(), None);
    let fault = tried(&openai, "sk-proj-1\nsk-proj-2", None).unwrap_err();
    assert_eq!(
        fault,
        Fault::KeyShape {
            name: "OPENAI_API_KEY".to_owned()
        }
    );
    assert!(server.requests().is_empty());
}
