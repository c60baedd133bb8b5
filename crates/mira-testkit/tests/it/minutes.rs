//! Minutes: a text becomes minutes, errors are told, nothing is lost, and the key is nowhere.

use mira_testkit::canary::{Canary, Sweep};
use mira_testkit::home::TestHome;
use mira_testkit::model_server::{ChatRequest, ModelServer, Reply};
use serde_json::json;

use crate::browser::Browser;
use crate::service::{Service, app};

const TEXT: &str = "Anna: Shall we move the release to Friday?\nBen: Yes. I tell the customers.";

fn minutes() -> Reply {
    Reply::json(&json!({
        "title": "Release date",
        "summary": "The release moves to Friday.",
        "topics": [{"heading": "Schedule", "points": ["The tests are not done <yet>."]}],
        "decisions": ["The release moves to Friday."],
        "actions": [{"what": "Tell the customers", "who": "Ben", "due": ""}],
        "questions": [],
    }))
}

/// The app, its model service, and somebody who uses it.
struct Setup {
    home: TestHome,
    key: Canary,
    model: ModelServer,
    app: Service,
    browser: Browser,
}

impl Setup {
    fn new(respond: impl Fn(&ChatRequest) -> Reply + Send + Sync + 'static) -> Self {
        let key = Canary::generate().swap_remove(0);
        let model = ModelServer::start_with(Some(text_of(&key)), respond);
        Self::with(TestHome::new(), key, model)
    }

    fn with(home: TestHome, key: Canary, model: ModelServer) -> Self {
        let data = home.path().join("data");
        let env = [
            ("PORT", "0"),
            ("DATA", data.to_str().unwrap()),
            ("OPENAI_API_KEY", text_of(&key)),
            ("OPENAI_BASE_URL", &model.base_url()),
            ("OPENAI_MODEL", "small"),
        ];
        let app = Service::start(&home, &app("minutes"), &["python3", "web.py"], &env);
        let browser = Browser::new(app.address());
        Self {
            home,
            key,
            model,
            app,
            browser,
        }
    }

    /// Sends a text; returns the path of its page.
    fn paste(&self) -> String {
        self.browser.submit("/minutes", &[("text", TEXT)])
    }

    /// Sends a text, and returns its page once the work on it has ended.
    fn write(&self) -> String {
        let path = self.paste();
        self.ended(&path)
    }

    /// Returns a text's page once the work on it has ended.
    fn ended(&self, path: &str) -> String {
        let events = self.browser.page(&format!("{path}/events")).body;
        assert!(events.ends_with("event: ended\ndata: true\n\n"), "{events}");
        self.browser.page(path).body
    }

    /// Stops the app, and looks for the key in all that it wrote and showed.
    fn assert_no_key(self) {
        let output = self.app.stop();
        let canaries = [self.key];
        let sweep = Sweep::new(&canaries);
        sweep
            .folder(self.home.path())
            .and(sweep.bytes("the log", output.as_bytes()))
            .and(sweep.bytes("the pages", self.browser.seen().as_bytes()))
            .assert_clean();
    }
}

fn text_of(key: &Canary) -> &str {
    std::str::from_utf8(key.value()).unwrap()
}

#[test]
fn a_text_becomes_minutes_and_the_key_is_nowhere() {
    let setup = Setup::new(|_| minutes());
    let browser = &setup.browser;
    assert_eq!(browser.page("/healthz").status, 200);
    let page = setup.write();
    for text in [
        "<h1>Release date</h1>",
        "<li>The release moves to Friday.</li>",
        "Tell the customers</span> <b class=who>Ben</b>",
        "The tests are not done &lt;yet&gt;.",
    ] {
        assert!(page.contains(text), "no “{text}” in {page}");
    }
    let asked = &setup.model.requests()[0];
    assert_eq!(asked.bearer.as_deref(), Some(text_of(&setup.key)));
    assert_eq!(asked.last_message(), TEXT);
    assert_eq!(asked.format(), "json_schema");

    browser.submit("/minutes/1/action", &[("number", "0")]);
    assert_eq!(
        browser.send("/minutes/1/action", &[("number", "1")]).status,
        400
    );
    let markdown = browser.page("/minutes/1.md").body;
    assert!(
        markdown.contains("- [x] Tell the customers (Ben)\n"),
        "{markdown}"
    );
    assert!(browser.page("/?q=customers").body.contains("Release date"));
    assert!(!browser.page("/?q=nothing").body.contains("Release date"));
    let models = browser.page("/models").body;
    assert_eq!(models, r#"{"models": ["large", "small"]}"#);
    browser.submit("/minutes/1/delete", &[]);
    assert_eq!(browser.page("/minutes/1").status, 404);
    setup.assert_no_key();
}

#[test]
fn progress_is_shown_while_the_model_writes() {
    let setup = Setup::new(|_| minutes().held());
    let path = setup.paste();
    drop(setup.model.wait_for_requests(1));
    let page = setup.browser.page(&path).body;
    assert!(page.contains("Reading the text") && page.contains("data-events=/minutes/1/events"));
    setup.model.release();
    let events = setup.browser.page(&format!("{path}/events")).body;
    assert!(events.ends_with("event: ended\ndata: true\n\n"), "{events}");
    // Stopped while the model is silent: it ends with the model's next word.
    let path = setup.paste();
    drop(setup.model.wait_for_requests(2));
    setup.browser.submit(&format!("{path}/stop"), &[]);
    setup.model.release();
    assert!(setup.ended(&path).contains("You stopped this."));
}

#[test]
fn a_service_without_schemas_is_asked_more_loosely() {
    let setup = Setup::new(|request| match request.format() {
        "" => minutes(),
        _ => Reply::no_such_format(),
    });
    assert!(setup.write().contains("Release date"));
    assert!(setup.write().contains("Release date"));
    let requests = setup.model.requests();
    let formats: Vec<&str> = requests.iter().map(ChatRequest::format).collect();
    assert_eq!(formats, ["json_schema", "json_object", "", ""]);
}

#[test]
fn what_goes_wrong_is_told_without_the_key() {
    let setup = Setup::new(|_| Reply::error(400, "x", "Strange request by").echoes_key());
    for (reply, words) in [
        (Reply::bad_key().echoes_key(), "does not accept the key"),
        (Reply::no_such_model(), "has no model “small”"),
        (
            Reply::rate_limited(90).echoes_key(),
            "Try again in 90 seconds",
        ),
        (minutes().cut(), "broke in the middle"),
        (
            Reply::error(403, "x", "Not here").echoes_key(),
            "It says: Not here [key]",
        ),
    ] {
        setup.model.script(reply);
        let page = setup.write();
        assert!(page.contains(words), "no “{words}” in {page}");
    }
    let page = setup.write();
    assert!(
        page.contains("Strange request by [key]") && page.contains("Try again"),
        "{page}"
    );
    // Nothing was lost: the same text is tried again.
    setup.model.script(minutes());
    let changed = [("text", TEXT), ("model", "large")];
    setup.browser.submit("/minutes/1/again", &changed);
    assert!(setup.ended("/minutes/1").contains("Release date"));
    assert_eq!(setup.model.requests().last().unwrap().model(), "large");
    setup.assert_no_key();
}

#[test]
fn a_service_that_is_away_is_told() {
    let mut setup = Setup::new(|_| minutes());
    setup.model = ModelServer::start();
    let page = setup.write();
    assert!(page.contains("127.0.0.1 cannot be reached"), "{page}");
    setup.assert_no_key();
}

#[test]
fn a_killed_app_has_its_history_when_it_is_back() {
    let setup = Setup::new(|_| minutes());
    assert!(setup.write().contains("Release date"));
    setup.model.script(minutes().held());
    let path = setup.paste();
    drop(setup.model.wait_for_requests(2));
    let Setup {
        home,
        key,
        model,
        app,
        ..
    } = setup;
    app.kill();
    let setup = Setup::with(home, key, model);
    assert!(
        setup
            .browser
            .page("/minutes/1")
            .body
            .contains("Tell the customers")
    );
    let page = setup.browser.page(&path).body;
    assert!(
        page.contains("The app was stopped") && page.contains("Try again"),
        "{page}"
    );
    setup
        .browser
        .submit(&format!("{path}/again"), &[("text", TEXT)]);
    assert!(setup.ended(&path).contains("Release date"));
    setup.assert_no_key();
}

#[test]
fn a_port_in_use_is_told() {
    let setup = Setup::new(|_| minutes());
    let run = setup
        .home
        .mira("python3")
        .args(["-B", "web.py"])
        .env("PORT", setup.browser.port())
        .env("DATA", setup.home.path().join("other"))
        .current_dir(app("minutes"))
        .run()
        .assert_code(1);
    assert!(run.stderr_text().contains("is it in use?"), "{run:?}");
}
