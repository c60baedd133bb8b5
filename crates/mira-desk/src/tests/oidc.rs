//! Signing in through a provider of OpenID Connect.

use mira_provider::{Caller, Reach, TIMEOUT};
use mira_secret::{Scope, SecretValue};
use mira_store::{AuditAction, AuditFilter};
use mira_testkit::oidc::{CLIENT, OidcProvider};
use mira_vault::NewSecret;
use serde_json::{Value, json};

use super::*;
use crate::{OidcError, OidcOptions};

const SECRET: &str = "s3cret of the client: ?&=";

fn options(issuer: &str) -> OidcOptions {
    let reach = Reach {
        proxies: mira_provider::Proxies::default(),
        timeout: TIMEOUT,
    };
    OidcOptions {
        issuer: issuer.to_owned(),
        client: CLIENT.to_owned(),
        scopes: vec!["profile".to_owned()],
        groups_claim: "groups".to_owned(),
        roles: vec![
            (Role::Viewer, "everybody".to_owned()),
            (Role::Admin, "platform".to_owned()),
            (Role::Operator, "oncall".to_owned()),
        ],
        caller: Caller::new(reach).unwrap(),
    }
}

/// Returns a desk, and the provider that people sign in through; both know the client's secret.
async fn both() -> (Served, OidcProvider) {
    let provider = OidcProvider::start(Some(SECRET));
    let oidc = Oidc::new(options(&provider.issuer())).unwrap();
    let served = Served::start_with(Some(oidc), |vault| {
        let name = "MIRA_OIDC_CLIENT_SECRET".parse().unwrap();
        let value = SecretValue::new(&name, SecretBytes::copy_from(SECRET.as_bytes())).unwrap();
        let new = NewSecret {
            value,
            label: None,
            kind: None,
            now: Timestamp::now(),
        };
        vault
            .update(|draft| draft.set(&Scope::User, &name, new).map(|_| ()))
            .unwrap();
    })
    .await;
    (served, provider)
}

/// What a browser has seen of a sign-in.
struct Trip {
    /// The cookie of the sign-in that has begun.
    begun: String,
    /// Where the provider leads back to: a path of the desk.
    back: String,
}

impl Served {
    /// Goes to the provider and is led back, as a browser that follows links.
    async fn there(&self, next: &str) -> Trip {
        let answer = self.request("GET", &format!("/login/oidc?next={next}"));
        let answer = answer.send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::SEE_OTHER, "{answer:?}");
        let cookie = header(&answer, "set-cookie");
        for wanted in [
            "HttpOnly",
            "Secure",
            "SameSite=Lax",
            "Path=/",
            "Max-Age=600",
        ] {
            assert!(cookie.contains(wanted), "{cookie}");
        }
        let begun = cookie.split(';').next().unwrap().to_owned();
        let there = self.client.get(header(&answer, "location"));
        let there = there.send().await.unwrap();
        assert_eq!(there.status(), StatusCode::FOUND, "{there:?}");
        let back = header(&there, "location");
        let back = back
            .strip_prefix(&format!("http://{}", self.address))
            .unwrap();
        let back = back.to_owned();
        Trip { begun, back }
    }

    async fn come_back(&self, trip: &Trip) -> Response {
        self.request("GET", &trip.back)
            .header("cookie", &trip.begun)
            .header("sec-fetch-site", "cross-site")
            .send()
            .await
            .unwrap()
    }

    /// Signs in, and returns the session's cookie or why not.
    async fn sign_in(&self) -> Result<String, (StatusCode, String)> {
        let answer = self.come_back(&self.there("/users").await).await;
        let cookies: Vec<String> = answer
            .headers()
            .get_all("set-cookie")
            .iter()
            .map(|cookie| cookie.to_str().unwrap().to_owned())
            .collect();
        assert!(
            cookies
                .iter()
                .any(|cookie| cookie.starts_with("__Host-mira-oidc=;")),
            "what has ended is forgotten: {cookies:?}"
        );
        let session = cookies
            .iter()
            .find(|cookie| cookie.starts_with(&format!("{COOKIE}=")));
        match session {
            Some(session) => {
                assert_eq!(header(&answer, "location"), "/users");
                Ok(session.split(';').next().unwrap().to_owned())
            }
            None => Err((answer.status(), answer.text().await.unwrap())),
        }
    }

    async fn refused_because(&self, words: &str) {
        let (status, page) = self.sign_in().await.unwrap_err();
        assert_eq!(status, StatusCode::FORBIDDEN, "{page}");
        assert!(page.contains(words), "{words:?} in {page}");
    }
}

fn ann(groups: &[&str]) -> Value {
    json!({"sub": "00u1", "preferred_username": "Ann", "groups": groups})
}

#[tokio::test]
async fn the_groups_of_the_moment_decide_the_role() {
    let (served, provider) = both().await;
    served.user("root", Role::Admin).await;
    let (_, page) = served.get("", "/login").await;
    assert!(page.contains("Sign in with 127.0.0.1:"), "{page}");

    provider.say(ann(&["everybody", "oncall"]));
    let cookie = served.sign_in().await.unwrap();
    let (status, page) = served.get(&cookie, "/account").await;
    assert_eq!(status, StatusCode::OK);
    assert!(page.contains("ann"), "{page}");
    let user = served.shared.user_named(&"ann".parse().unwrap()).await;
    let user = user.unwrap().unwrap();
    assert_eq!((user.role, user.has_password), (Role::Operator, false));
    assert_eq!(served.get(&cookie, "/users").await.0, StatusCode::FORBIDDEN);

    // A group more: the old session is worth nothing, the new one more.
    provider.say(ann(&["platform"]));
    let admin = served.sign_in().await.unwrap();
    assert_eq!(served.get(&admin, "/users").await.0, StatusCode::OK);
    assert_eq!(
        served.get(&cookie, "/account").await.0,
        StatusCode::SEE_OTHER
    );
    provider.say(ann(&["others"]));
    served.refused_because("none of the groups").await;
    for odd in [
        json!("everybody"),
        json!({"a": 1}),
        json!([1, null]),
        Value::Null,
    ] {
        let lets_in = odd == "everybody";
        let mut claims = ann(&[]);
        claims["groups"] = odd;
        provider.say(claims);
        assert_eq!(served.sign_in().await.is_ok(), lets_in);
    }
}

#[tokio::test]
async fn nobody_is_let_in_by_a_word_that_does_not_fit() {
    let (served, provider) = both().await;
    provider.say(ann(&["everybody"]));
    served.sign_in().await.unwrap();
    let with = |name: &str, value: Value| {
        let mut claims = ann(&["everybody"]);
        claims[name] = value;
        provider.say(claims);
    };
    with("iss", json!("https://id.example.org"));
    served.refused_because("another issuer").await;
    with("aud", json!("another-app"));
    served.refused_because("another client").await;
    with("azp", json!("another-app"));
    served.refused_because("another client").await;
    with("exp", json!(1_300_819_380));
    served.refused_because("expired").await;
    with("nonce", json!("of another sign-in"));
    served.refused_because("another sign-in").await;
    with("sub", Value::Null);
    served.refused_because("does not say of whom").await;
    let mut nameless = ann(&["everybody"]);
    nameless["sub"] = json!("../..");
    nameless["preferred_username"] = json!("<script>");
    provider.say(nameless);
    served.refused_because("no name that can be").await;
    provider.refuse(Some("<b>access_denied</b>"));
    served.refused_because("did not sign you in").await;
    provider.refuse(None);
    provider.say(ann(&["everybody"]));
    served.sign_in().await.unwrap();
    // The log hears of the client's secret, to be kept free of it.
    assert!(served.heard().iter().any(|value| value == SECRET));

    let filter = AuditFilter::default();
    let page = served.shared.audit(&filter, None, 100).await.unwrap();
    let failed = page
        .rows
        .iter()
        .filter(|row| row.action == AuditAction::SessionLoginFailed.as_str());
    assert_eq!(failed.count(), 8);
}

#[tokio::test]
async fn a_sign_in_ends_where_it_was_begun_and_once() {
    let (served, provider) = both().await;
    provider.say(ann(&["everybody"]));
    let mine = served.there("/").await;
    let others = served.there("/").await;
    // The link of another's sign-in, sent to somebody (RFC 6749, section 10.12).
    let crossed = Trip {
        begun: mine.begun.clone(),
        back: others.back.clone(),
    };
    let bare = Trip {
        begun: String::new(),
        back: others.back.clone(),
    };
    let forged = Trip {
        begun: "__Host-mira-oidc=bm90IGpzb24".to_owned(),
        back: others.back.clone(),
    };
    for trip in [crossed, bare, forged] {
        let answer = served.come_back(&trip).await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
    }
    // Another provider's answer (RFC 9207).
    let mixed = Trip {
        back: mine
            .back
            .replace("iss=http%3A%2F%2F127", "iss=http%3A%2F%2F128"),
        begun: mine.begun.clone(),
    };
    assert_ne!(mixed.back, mine.back);
    assert_eq!(
        served.come_back(&mixed).await.status(),
        StatusCode::FORBIDDEN
    );
    assert_eq!(
        served.come_back(&mine).await.status(),
        StatusCode::SEE_OTHER
    );
    let again = served.come_back(&mine).await;
    assert_eq!(again.status(), StatusCode::FORBIDDEN);
    assert!(again.text().await.unwrap().contains("invalid_grant"));
    // Nobody is led to another host afterwards.
    let away = served.there("https://evil.example/").await;
    let answer = served.come_back(&away).await;
    assert_eq!(header(&answer, "location"), "/");
}

#[tokio::test]
async fn a_name_that_somebody_has_here_is_not_taken_over() {
    let (served, provider) = both().await;
    let local = served.user("ann", Role::Admin).await;
    provider.say(ann(&["platform"]));
    let (status, page) = served.sign_in().await.unwrap_err();
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(page.contains("there is a user ann already"), "{page}");
    assert_eq!(served.shared.users().await.unwrap(), [local]);

    provider.say(json!({"sub": "00u2", "email": "bo@example.org", "groups": ["everybody"]}));
    let cookie = served.sign_in().await.unwrap();
    let bo = served
        .shared
        .user_named(&"bo@example.org".parse().unwrap())
        .await;
    let bo = bo.unwrap().unwrap();
    let now = Timestamp::now();
    served.shared.set_disabled(&bo.id, true, now).await.unwrap();
    assert_eq!(served.get(&cookie, "/").await.0, StatusCode::SEE_OTHER);
    served.refused_because("disabled").await;
}

#[tokio::test]
async fn a_new_key_is_asked_for_at_most_once_a_minute() {
    let (served, provider) = both().await;
    provider.say(ann(&["everybody"]));
    served.sign_in().await.unwrap();
    assert_eq!(provider.keys_asked(), 1);
    provider.rotate();
    // Just asked: not again yet, whoever sends what.
    served.refused_because("does not publish").await;
    served.refused_because("does not publish").await;
    assert_eq!(provider.keys_asked(), 1);
}

#[tokio::test]
async fn the_clients_secret_is_the_vaults_or_none() {
    // The provider wants one, and none is saved.
    let provider = OidcProvider::start(Some(SECRET));
    let oidc = Oidc::new(options(&provider.issuer())).unwrap();
    let served = Served::start_with(Some(oidc), |_| ()).await;
    provider.say(ann(&["everybody"]));
    served.refused_because("invalid_client").await;
    // It wants none: the proof of the sign-in is enough.
    let provider = OidcProvider::start(None);
    let oidc = Oidc::new(options(&provider.issuer())).unwrap();
    let served = Served::start_with(Some(oidc), |_| ()).await;
    provider.say(ann(&["everybody"]));
    served.sign_in().await.unwrap();
}

#[tokio::test]
async fn a_provider_that_is_gone_or_odd_is_told() {
    let issuer = OidcProvider::start(None).issuer();
    let oidc = Oidc::new(options(&issuer)).unwrap();
    let served = Served::start_with(Some(oidc), |_| ()).await;
    let (status, page) = served.get("", "/login/oidc").await;
    assert_eq!(status, StatusCode::BAD_GATEWAY);
    assert!(page.contains("the connection was refused"), "{page}");
    // Letter by letter: with another slash it is another issuer.
    let provider = OidcProvider::start(None);
    let oidc = Oidc::new(options(&format!("{}/", provider.issuer()))).unwrap();
    let served = Served::start_with(Some(oidc), |_| ()).await;
    let (status, page) = served.get("", "/login/oidc").await;
    assert_eq!(status, StatusCode::BAD_GATEWAY);
    assert!(page.contains("is of another issuer"), "{page}");

    for plain in [
        "http://id.example.org",
        "id.example.org",
        "https://a:b@id.example.org",
        "",
    ] {
        assert_eq!(Oidc::new(options(plain)).unwrap_err(), OidcError::Issuer);
    }
    let mut nobody = options("https://id.example.org");
    nobody.roles.clear();
    assert_eq!(Oidc::new(nobody).unwrap_err(), OidcError::NoRole);
}
