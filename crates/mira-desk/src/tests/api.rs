//! The API as a script uses it, with a token: packages, secrets and bindings of instances, snapshots.

use mira_secret::SecretBytes;
use mira_store::{NewApiToken, Role, SessionOf, TokenScope};
use mira_testkit::canary::{Canary, Sweep};
use serde_json::{Value, json};

use super::*;

const MANIFEST: &str = r#"
kind: mira.app/v1
id: org.example.keeper
name: Keeper
version: 1.0.0
secrets:
  - {name: SOME_KEY, required: true, description: What it is for, howToObtain: Ask somebody}
  - {name: OTHER_KEY}
network: {allow: [api.example.org]}
state: {volumes: [{name: data}]}
services:
  - {name: web, command: [sleep, infinity], ports: [{name: http}]}
"#;

/// A script with a token.
struct Script<'a> {
    served: &'a Served,
    token: SecretBytes,
}

impl<'a> Script<'a> {
    async fn of(served: &'a Served, user: &User, scope: TokenScope) -> Self {
        let new = NewApiToken {
            user: &user.id,
            name: "a script",
            scope,
            expires: None,
        };
        let made = served.shared.create_api_token(&new, Timestamp::now()).await;
        Self {
            served,
            token: SecretBytes::copy_from(made.unwrap().0.expose().as_bytes()),
        }
    }

    async fn ask(&self, method: &str, path: &str, body: impl Into<reqwest::Body>) -> (u16, Value) {
        let token = std::str::from_utf8(self.token.expose()).unwrap();
        let request = self.served.request(method, path).bearer_auth(token);
        let answer = request.body(body).send().await.unwrap();
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap();
        let told = match text.is_empty() {
            true => Value::Null,
            false => serde_json::from_str(&text).unwrap_or_else(|_| panic!("{path}: {text}")),
        };
        (status, told)
    }

    async fn tell(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        self.ask(method, path, body.to_string()).await
    }
}

/// Returns a package of an app.
fn package(served: &Served, manifest: &str) -> Vec<u8> {
    let app = served.path().join("app");
    std::fs::create_dir_all(&app).unwrap();
    std::fs::write(app.join("mira.yaml"), manifest).unwrap();
    let file = served.path().join("app.mira");
    mira_package::archive::pack(&app, &file, &Default::default()).unwrap();
    std::fs::read(file).unwrap()
}

#[tokio::test]
async fn a_script_opens_a_package_and_answers_what_it_asks_for() {
    let served = Served::start().await;
    let user = served.user("ada", Role::Admin).await;
    let script = Script::of(&served, &user, TokenScope::Admin).await;
    let content = package(&served, MANIFEST);
    let (status, looked) = script
        .ask("POST", "/api/v1/packages", content.clone())
        .await;
    assert_eq!(status, 200, "{looked}");
    let asks = &looked["package"];
    assert_eq!(looked["encrypted"], false);
    assert_eq!(asks["id"], "org.example.keeper");
    assert_eq!(asks["trust"], "unsigned");
    assert_eq!(asks["ports"], json!(["web/http"]));
    assert_eq!(asks["network"], json!(["api.example.org"]));
    assert_eq!(asks["secrets"][0]["name"], "SOME_KEY");
    assert_eq!(asks["secrets"][0]["how_to_obtain"], "Ask somebody");
    let key = looked["key"].as_str().unwrap();
    let open = format!("/api/v1/packages/{key}/open");
    // Not somebody else's, nor an operator's.
    let eve = served.user("eve", Role::Admin).await;
    let other = Script::of(&served, &eve, TokenScope::Admin).await;
    assert_eq!(other.tell("POST", &open, json!({})).await.0, 404);
    let operator = Script::of(&served, &user, TokenScope::Operate).await;
    assert_eq!(operator.tell("POST", &open, json!({})).await.0, 403);
    // What is wrong with the answers opens nothing, and can be mended.
    for (answers, word) in [
        (
            json!({"secrets": {"NOT_ASKED": "a-value-of-some-length"}}),
            "declares no secret",
        ),
        (json!({"secrets": {"SOME_KEY": ""}}), "missing"),
        (json!({"name": "No Name!"}), "name"),
        (json!({"update": "nothing"}), "no"),
        (json!({"agreed": true}), "openapi.json"),
    ] {
        let (status, told) = script.tell("POST", &open, answers).await;
        assert!([404, 422].contains(&status), "{status} {told}");
        assert!(told["message"].as_str().unwrap().contains(word), "{told}");
    }
    let canaries = Canary::generate();
    let value = canaries
        .iter()
        .find_map(|canary| std::str::from_utf8(canary.value()).ok())
        .unwrap();
    let answers = json!({"name": "one", "secrets": {"SOME_KEY": value}});
    let (status, opened) = script.tell("POST", &open, answers).await;
    assert_eq!((status, &opened["name"]), (200, &json!("one")), "{opened}");
    let page = served
        .get(
            &served.cookie(SessionOf::User(&user)).await,
            "/instances/one",
        )
        .await
        .1;
    assert!(page.contains("its own"), "{page}");
    // It was opened, and is looked at no more.
    assert_eq!(script.tell("POST", &open, json!({})).await.0, 404);
    let (_, listed) = script.ask("GET", "/api/v1/instances", "").await;
    assert_eq!(listed[0]["name"], "one", "{listed}");
    let sweep = Sweep::new(&canaries);
    sweep
        .bytes("answer", opened.to_string().as_bytes())
        .assert_clean();
    sweep.bytes("page", page.as_bytes()).assert_clean();
    sweep.folder(served.path()).assert_clean();
    // What is none is refused with words; and what did not come at all.
    for content in [b"not a package".to_vec(), Vec::new()] {
        let (status, told) = script.ask("POST", "/api/v1/packages", content).await;
        assert_eq!(status, 422, "{told}");
    }
    let page = served
        .shared
        .audit(&Default::default(), None, 50)
        .await
        .unwrap();
    let rows: Vec<_> = page
        .rows
        .iter()
        .map(|row| (row.action.as_str(), row.subject.as_str()))
        .collect();
    assert!(
        rows.contains(&("instance.open", "org.example.keeper")),
        "{rows:?}"
    );
    assert!(
        rows.iter()
            .any(|(action, subject)| *action == "secret.set" && subject.contains("SOME_KEY")),
        "{rows:?}"
    );
}

#[tokio::test]
async fn a_script_saves_binds_and_takes_snapshots_of_an_instance() {
    let served = Served::start().await;
    let user = served.user("ada", Role::Admin).await;
    let script = Script::of(&served, &user, TokenScope::Admin).await;
    let content = package(&served, MANIFEST);
    let (_, looked) = script.ask("POST", "/api/v1/packages", content).await;
    let open = format!("/api/v1/packages/{}/open", looked["key"].as_str().unwrap());
    script.tell("POST", &open, json!({"name": "one"})).await;
    let here = "/api/v1/instances/one";
    // What it declares is saved, or bound, and not both.
    let value = json!({"value": "a-value-of-some-length"});
    let (status, told) = script
        .tell("PUT", &format!("{here}/secrets/NOT_ASKED"), value.clone())
        .await;
    assert_eq!(status, 422, "{told}");
    assert!(
        told["hint"]
            .as_str()
            .unwrap()
            .contains("SOME_KEY, OTHER_KEY"),
        "{told}"
    );
    script
        .tell("PUT", "/api/v1/secrets/YOUR_KEY", value.clone())
        .await;
    let bind = format!("{here}/bindings/SOME_KEY");
    let yours = json!({"secret": "YOUR_KEY"});
    assert_eq!(
        script
            .tell("PUT", &bind, json!({"secret": "NOT_THERE"}))
            .await
            .0,
        422
    );
    assert_eq!(script.tell("PUT", &bind, yours.clone()).await.0, 204);
    let own = format!("{here}/secrets/SOME_KEY");
    let (status, told) = script.tell("PUT", &own, value.clone()).await;
    assert_eq!(status, 422, "{told}");
    assert_eq!(script.ask("DELETE", &bind, "").await.0, 204);
    assert_eq!(script.tell("PUT", &own, value).await.0, 204);
    assert_eq!(script.tell("PUT", &bind, yours).await.0, 422);
    // Snapshots: taken, restored with what was saved first, removed; by who may.
    let all = format!("{here}/snapshots");
    assert_eq!(script.ask("GET", &all, "").await.1, json!([]));
    let viewer = Script::of(&served, &user, TokenScope::Read).await;
    assert_eq!(viewer.ask("POST", &all, "").await.0, 403);
    let (status, first) = script.tell("POST", &all, json!({"label": "first"})).await;
    assert_eq!((status, &first["label"]), (200, &json!("first")), "{first}");
    let (_, instances) = script.ask("GET", "/api/v1/instances", "").await;
    let id = instances[0]["id"].as_str().unwrap();
    let data = served.home().join("instances").join(id).join("state/data");
    std::fs::write(data.join("notes"), "later").unwrap();
    let first = format!("{all}/{}", first["id"].as_str().unwrap());
    let (status, safety) = script.ask("POST", &format!("{first}/restore"), "").await;
    assert_eq!(
        (status, &safety["tags"]),
        (200, &json!(["safety"])),
        "{safety}"
    );
    assert!(!data.join("notes").exists());
    let (_, listed) = viewer.ask("GET", &all, "").await;
    assert_eq!(listed.as_array().unwrap().len(), 2, "{listed}");
    std::fs::write(data.join("leak.txt"), "a-value-of-some-length").unwrap();
    let (status, told) = script.ask("POST", &all, "").await;
    assert_eq!(status, 409, "{told}");
    assert!(
        told["message"].as_str().unwrap().contains("/data/leak.txt"),
        "{told}"
    );
    let (status, _) = script.tell("POST", &all, json!({"leave_out": true})).await;
    assert_eq!(status, 200);
    let operator = Script::of(&served, &user, TokenScope::Operate).await;
    assert_eq!(operator.ask("DELETE", &first, "").await.0, 403);
    assert_eq!(script.ask("DELETE", &first, "").await.0, 204);
    assert_eq!(script.ask("DELETE", &first, "").await.0, 404);
    // A start without what it takes says so; here is nothing to start it with.
    let (status, told) = script
        .tell("POST", &format!("{here}/start"), json!({"pass": "x"}))
        .await;
    assert_eq!(status, 422, "{told}");
}

#[tokio::test]
async fn a_script_adds_users_changes_them_and_removes_them() {
    let served = Served::start().await;
    let admin = served.user("ada", Role::Admin).await;
    let script = Script::of(&served, &admin, TokenScope::Admin).await;
    let all = "/api/v1/users";
    let canaries = Canary::generate();
    let mut texts = canaries
        .iter()
        .filter_map(|canary| std::str::from_utf8(canary.value()).ok());
    let password = texts.find(|text| text.chars().count() >= 12).unwrap();
    let sweep = Sweep::new(&canaries);
    let new = |name: &str, role: &str, password: &str| json!({"name": name, "role": role, "password": password});
    let mut told = Vec::new();
    // What is wrong is said, and nobody is added.
    for (body, status, word) in [
        (new("bob", "viewer", "short"), 422, "12 characters"),
        (new("bob", "king", password), 422, "operator"),
        (new("b o b", "viewer", password), 422, "name"),
        (new("bob", "viewer", "bob is bob is bob"), 422, "name"),
        (new("ada", "viewer", password), 409, "ada"),
        (json!({"name": "bob", "role": "viewer"}), 422, "openapi"),
    ] {
        let (got, answer) = script.tell("POST", all, body).await;
        assert_eq!(got, status, "{answer}");
        assert!(
            answer["message"].as_str().unwrap().contains(word),
            "{answer}"
        );
        told.push(answer);
    }
    let (status, bob) = script
        .tell("POST", all, new("Bob", "operator", password))
        .await;
    assert_eq!((status, &bob["name"]), (200, &json!("bob")), "{bob}");
    let here = format!("{all}/{}", bob["id"].as_str().unwrap());
    let fields = [("name", "bob"), ("password", password)];
    let entered = served.post("", "/login", &fields).await;
    let cookie = header(&entered, "set-cookie").split(';').next().unwrap();
    assert_eq!(served.get(cookie, "/").await.0, StatusCode::OK);
    for (what, body) in [
        ("role", json!({"role": "viewer"})),
        ("disabled", json!({"disabled": true})),
        ("disabled", json!({"disabled": false})),
        ("password", json!({"password": "another long enough one"})),
    ] {
        let operator = Script::of(&served, &admin, TokenScope::Operate).await;
        let path = format!("{here}/{what}");
        assert_eq!(operator.tell("PUT", &path, body.clone()).await.0, 403);
        assert_eq!(script.tell("PUT", &path, body.clone()).await.0, 204);
        let nobody = format!("{all}/aaaaaaaaaaaaaaaa/{what}");
        assert_eq!(script.tell("PUT", &nobody, body).await.0, 404);
    }
    assert_eq!(served.get(cookie, "/").await.0, StatusCode::SEE_OTHER);
    let (_, listed) = script.ask("GET", all, "").await;
    let listed_bob = listed
        .as_array()
        .unwrap()
        .iter()
        .find(|user| user["name"] == "bob");
    assert_eq!(listed_bob.unwrap()["role"], "viewer", "{listed}");
    // Nobody removes themselves, and the last admin stays one.
    let own = format!("{all}/{}", admin.id);
    assert_eq!(script.ask("DELETE", &own, "").await.0, 409);
    let less = json!({"role": "viewer"});
    let last = script.tell("PUT", &format!("{own}/role"), less).await;
    assert_eq!(last.0, 409, "{last:?}");
    assert_eq!(script.ask("DELETE", &here, "").await.0, 204);
    assert_eq!(script.ask("DELETE", &here, "").await.0, 404);
    told.extend([bob, listed]);
    let told = Value::Array(told).to_string();
    sweep
        .bytes("answers", told.as_bytes())
        .and(sweep.folder(served.path()))
        .assert_clean();
    assert!(served.heard().iter().any(|heard| heard == password));
    let rows = served.shared.audit(&Default::default(), None, 50).await;
    let rows = rows.unwrap().rows;
    for action in [
        "user.create",
        "user.role",
        "user.disable",
        "user.password",
        "user.remove",
    ] {
        assert!(
            rows.iter().any(|row| row.action.as_str() == action),
            "{action}: {rows:?}"
        );
    }
}

#[tokio::test]
async fn a_script_sees_to_its_own_account_and_to_nobody_elses() {
    let served = Served::start().await;
    let (ada, bob) = (
        served.user("ada", Role::Viewer).await,
        served.user("bob", Role::Viewer).await,
    );
    let script = Script::of(&served, &ada, TokenScope::Read).await;
    let other = Script::of(&served, &bob, TokenScope::Read).await;
    let ids = |listed: &Value| -> Vec<String> {
        let rows = listed.as_array().unwrap().iter();
        rows.map(|row| row["id"].as_str().unwrap().to_owned())
            .collect()
    };
    let (sessions, tokens) = ("/api/v1/account/sessions", "/api/v1/account/tokens");
    let cookie = served.cookie(SessionOf::User(&ada)).await;
    for all in [sessions, tokens] {
        let (status, listed) = script.ask("GET", all, "").await;
        assert_eq!(status, 200, "{listed}");
        let own = ids(&listed);
        assert_eq!(own.len(), 1, "{listed}");
        // Bob sees another one or none, and does not get at hers.
        let (_, bobs) = other.ask("GET", all, "").await;
        assert!(!ids(&bobs).contains(&own[0]), "{bobs}");
        let hers = format!("{all}/{}", own[0]);
        assert_eq!(other.ask("DELETE", &hers, "").await.0, 404);
    }
    assert_eq!(served.get(&cookie, "/").await.0, StatusCode::OK);
    let (_, listed) = script.ask("GET", sessions, "").await;
    let here = format!("{sessions}/{}", ids(&listed)[0]);
    assert_eq!(script.ask("DELETE", &here, "").await.0, 204);
    assert_eq!(served.get(&cookie, "/").await.0, StatusCode::SEE_OTHER);
    assert_eq!(script.ask("DELETE", &here, "").await.0, 404);
    // The password, which ends what was signed in.
    let cookie = served.cookie(SessionOf::User(&ada)).await;
    let new = "another long enough one";
    let change = |present: &str, password: &str| json!({"present": present, "password": password});
    let path = "/api/v1/account/password";
    for (body, status, word) in [
        (json!({"password": new}), 422, "openapi"),
        (change("wrong", new), 403, "wrong"),
        (change(PASSWORD, "short"), 422, "12 characters"),
    ] {
        let (got, answer) = script.tell("PUT", path, body).await;
        assert_eq!(got, status, "{answer}");
        let message = answer["message"].as_str().unwrap();
        assert!(message.contains(word), "{answer}");
        assert_eq!(served.get(&cookie, "/").await.0, StatusCode::OK);
    }
    let changed = script.tell("PUT", path, change(PASSWORD, new)).await;
    assert_eq!(changed, (204, Value::Null));
    assert_eq!(served.get(&cookie, "/").await.0, StatusCode::SEE_OTHER);
    let fields = [("name", "ada"), ("password", new)];
    let entered = served.post("", "/login", &fields).await;
    let cookie = header(&entered, "set-cookie").split(';').next().unwrap();
    assert_eq!(served.get(cookie, "/").await.0, StatusCode::OK);
    for heard in [PASSWORD, new] {
        assert!(served.heard().iter().any(|one| one == heard), "{heard}");
    }
    // A script gives up its own token last.
    let (_, listed) = script.ask("GET", tokens, "").await;
    let own = format!("{tokens}/{}", ids(&listed)[0]);
    assert_eq!(script.ask("DELETE", &own, "").await.0, 204);
    assert_eq!(script.ask("GET", tokens, "").await.0, 401);
}

#[tokio::test]
async fn a_script_takes_a_clients_servers_over_and_puts_them_back() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(".cursor/mcp.json");
    std::fs::create_dir(folder.path().join(".cursor")).unwrap();
    let value = "ghp_7Fq2mXv9LrT4bWc8ZnYdK2pQ8sVx3hJ6mN1b";
    let content = format!(
        r#"{{"mcpServers": {{"tracker": {{"command": "npx", "args": ["tracker"], "env": {{"TRACKER_TOKEN": "{value}"}}}}}}}}"#
    );
    std::fs::write(&file, &content).unwrap();
    let variables = vec![("HOME".into(), folder.path().into())];
    let served = Served::start_with_variables(variables).await;
    let user = served.user("ada", Role::Admin).await;
    let script = Script::of(&served, &user, TokenScope::Admin).await;
    let sweep = Sweep::new(&[Canary::new("TRACKER", value)]);
    let all = "/api/v1/mcp-import";
    let mut told = Vec::new();
    let (_, files) = script.ask("GET", all, "").await;
    let expect = json!({"found": [file.display().to_string()], "taken": []});
    assert_eq!(files, expect);
    // One that is sent is given back without its values, and only to who sent it.
    let sent = format!("{all}?name=mcp.json");
    let (status, look) = script.ask("POST", &sent, content.clone()).await;
    assert_eq!(status, 200, "{look}");
    assert_eq!(look["servers"][0]["secrets"], json!(["TRACKER_TOKEN"]));
    let here = format!("{all}/{}", look["key"].as_str().unwrap());
    let eve = served.user("eve", Role::Admin).await;
    let other = Script::of(&served, &eve, TokenScope::Admin).await;
    assert_eq!(other.ask("POST", &format!("{here}/take"), "").await.0, 404);
    let (status, done) = script.ask("POST", &format!("{here}/take"), "").await;
    assert_eq!((status, &done["left"]), (200, &json!([])), "{done}");
    let given = format!("{all}/{}/file", done["given"].as_str().unwrap());
    assert_eq!(other.ask("GET", &given, "").await.0, 404);
    let (status, text) = script.ask("GET", &given, "").await;
    assert_eq!(status, 200);
    let now = &text["mcpServers"]["tracker"]["command"];
    assert_eq!(now, "/nowhere/mira", "{text}");
    // One of this machine is changed, and that is undone, once.
    let named = json!({"file": file.display().to_string()});
    let unknown = json!({"file": "/etc/passwd"});
    for path in ["file", "undo"] {
        let path = format!("{all}/{path}");
        assert_eq!(script.tell("POST", &path, unknown.clone()).await.0, 404);
        let operator = Script::of(&served, &user, TokenScope::Operate).await;
        assert_eq!(operator.tell("POST", &path, named.clone()).await.0, 403);
    }
    let (status, look) = script
        .tell("POST", &format!("{all}/file"), named.clone())
        .await;
    assert_eq!((status, &look["is_file"]), (200, &json!(true)), "{look}");
    let here = format!("{all}/{}", look["key"].as_str().unwrap());
    let (_, taken) = script.ask("POST", &format!("{here}/take"), "").await;
    assert_eq!(taken["given"], Value::Null);
    sweep
        .bytes("file", &std::fs::read(&file).unwrap())
        .assert_clean();
    let cookie = served.cookie(SessionOf::User(&user)).await;
    let (_, page) = served.get(&cookie, "/mcp-import").await;
    assert!(page.contains("Put its servers back"), "{page}");
    let undo = format!("{all}/undo");
    let (status, undone) = script.tell("POST", &undo, named.clone()).await;
    assert_eq!(
        (status, &undone["servers"]),
        (200, &json!(["tracker"])),
        "{undone}"
    );
    assert_eq!(script.tell("POST", &undo, named).await.0, 404);
    let back: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let back = &back["mcpServers"]["tracker"];
    assert_eq!(back["command"], "npx", "{back}");
    assert_eq!(back["env"]["TRACKER_TOKEN"], "", "{back}");
    told.extend([files, look, done, text, taken, undone]);
    let told = Value::Array(told).to_string();
    sweep
        .bytes("answers", told.as_bytes())
        .and(sweep.bytes("page", page.as_bytes()))
        .and(sweep.folder(served.path()))
        .assert_clean();
    // What is too long, or nothing, is said.
    let long = vec![b' '; 9 * 1024 * 1024];
    for (content, expect) in [(long, 413), (Vec::new(), 422)] {
        assert_eq!(script.ask("POST", all, content).await.0, expect);
    }
}
