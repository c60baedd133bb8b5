//! Read later: three services and what goes between them, also when one of them is gone.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;

use mira_testkit::canary::{Canary, Sweep};
use mira_testkit::home::TestHome;
use mira_testkit::model_server::{ModelServer, Reply};

use crate::browser::Browser;
use crate::service::{Service, app};

const TEXT: &str = "Bees make honey from the nectar of flowers all summer. A hive of bees needs flowers to make honey.";

/// The app's three services, and somebody who uses it.
struct Setup {
    home: TestHome,
    key: Option<Canary>,
    model: ModelServer,
    redis_port: u16,
    redis: Service,
    worker: Service,
    web: Service,
    browser: Browser,
}

impl Setup {
    fn new(key: Option<Canary>) -> Self {
        let home = TestHome::new();
        let model = ModelServer::start_with(key.as_ref().map(text_of), |_| {
            Reply::text("The model's own summary.")
        });
        let (redis, redis_port) = first_redis(&home);
        let worker = start_worker(&home, key.as_ref(), &model, redis_port);
        let web = start_web(&home, redis_port);
        let browser = Browser::new(web.address());
        Self {
            home,
            key,
            model,
            redis_port,
            redis,
            worker,
            web,
            browser,
        }
    }

    fn add(&self, what: &str) {
        assert_eq!(self.browser.submit("/articles", &[("what", what)]), "/");
    }

    /// Returns an article's page once the worker is done with it.
    fn ready(&self, id: u32) -> String {
        let line = self.worker.line(&format!("article {id}:"), 1);
        line.expect("the worker goes on");
        self.browser.page(&format!("/articles/{id}")).body
    }

    fn restart_worker(&mut self) {
        self.worker = start_worker(&self.home, self.key.as_ref(), &self.model, self.redis_port);
    }

    /// Asks as the health check does.
    fn worker_is_healthy(&self) -> bool {
        let run = self
            .home
            .mira("python3")
            .args(["-B", "worker.py", "--health"])
            .env("QUEUE", queue(self.redis_port))
            .current_dir(app("readlater"))
            .run();
        run.code() == Some(0)
    }

    /// Stops all three, and looks for the key in all that they wrote and showed.
    fn assert_no_key(self) {
        let output = [self.web.stop(), self.worker.stop(), self.redis.stop()].concat();
        let canaries: Vec<Canary> = self.key.into_iter().collect();
        let sweep = Sweep::new(&canaries);
        sweep
            .folder(self.home.path())
            .and(sweep.bytes("the logs", output.as_bytes()))
            .and(sweep.bytes("the pages", self.browser.seen().as_bytes()))
            .assert_clean();
    }
}

fn text_of(key: &Canary) -> &str {
    std::str::from_utf8(key.value()).unwrap()
}

fn key() -> Option<Canary> {
    Some(Canary::generate().swap_remove(0))
}

fn queue(port: u16) -> String {
    format!("redis://127.0.0.1:{port}")
}

/// Starts Redis as the manifest does; returns nothing where something else has the port.
fn start_redis(home: &TestHome, port: u16) -> Option<Service> {
    let folder = home.path().join("queue");
    fs::create_dir_all(&folder).unwrap();
    let port = port.to_string();
    let folder_text = folder.to_str().unwrap();
    let words = [
        "redis-server",
        "--port",
        &port,
        "--bind",
        "127.0.0.1",
        "--dir",
        folder_text,
        "--appendonly",
        "yes",
        "--save",
        "",
    ];
    let redis = Service::start(home, &folder, &words, &[]);
    redis.line("Ready to accept connections", 1).map(|_| redis)
}

/// Starts Redis on a port that is free.
fn first_redis(home: &TestHome) -> (Service, u16) {
    loop {
        let probe = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = probe.local_addr().unwrap().port();
        drop(probe);
        if let Some(redis) = start_redis(home, port) {
            return (redis, port);
        }
    }
}

fn data(home: &TestHome) -> PathBuf {
    home.path().join("data")
}

fn start_worker(home: &TestHome, key: Option<&Canary>, model: &ModelServer, port: u16) -> Service {
    let (queue, base_url, data) = (queue(port), model.base_url(), data(home));
    let mut env = vec![
        ("QUEUE", queue.as_str()),
        ("DATA", data.to_str().unwrap()),
        ("OPENAI_BASE_URL", &base_url),
        ("OPENAI_MODEL", "small"),
        ("PRIVATE_ADDRESSES", "yes"),
    ];
    env.extend(key.map(|key| ("OPENAI_API_KEY", text_of(key))));
    let worker = Service::start(home, &app("readlater"), &["python3", "worker.py"], &env);
    worker
        .line("waiting for articles", 1)
        .expect("the worker starts");
    worker
}

fn start_web(home: &TestHome, port: u16) -> Service {
    let (queue, data) = (queue(port), data(home));
    let env = [
        ("PORT", "0"),
        ("QUEUE", queue.as_str()),
        ("DATA", data.to_str().unwrap()),
    ];
    Service::start(home, &app("readlater"), &["python3", "web.py"], &env)
}

#[test]
fn a_link_is_fetched_and_summarised_and_the_key_is_nowhere() {
    let setup = Setup::new(key());
    let browser = &setup.browser;
    let folder = setup.home.path().join("site");
    fs::create_dir_all(&folder).unwrap();
    let page = format!(
        "<!doctype html><title>On bees</title><nav>Menu</nav><script>1</script><p>{TEXT}<p>{TEXT} &lt;b&gt;"
    );
    fs::write(folder.join("bees.html"), page).unwrap();
    let words = [
        "python3",
        "-u",
        "-m",
        "http.server",
        "--bind",
        "127.0.0.1",
        "0",
    ];
    let site = Service::start(&setup.home, &folder, &words, &[]);

    setup.add(&format!("{}/bees.html", site.address()));
    let article = setup.ready(1);
    for text in [
        "<h1>On bees</h1>",
        "The model&#x27;s own summary.",
        "Summary by small",
        "make honey. &lt;b&gt;",
    ] {
        assert!(article.contains(text), "no “{text}” in {article}");
    }
    assert!(!article.contains("Menu"), "{article}");
    assert!(setup.model.requests()[0].last_message().contains(TEXT));

    assert!(
        browser
            .page("/?q=nectar")
            .body
            .contains("<mark>nectar</mark>")
    );
    browser.submit("/articles/1/read", &[]);
    assert!(!browser.page("/").body.contains("On bees"));
    assert!(browser.page("/?show=read").body.contains("On bees"));
    assert_eq!(browser.page("/healthz").status, 200);
    assert!(setup.worker_is_healthy());
    setup.assert_no_key();
}

#[test]
fn without_a_key_the_summary_is_of_the_texts_own_sentences() {
    let setup = Setup::new(None);
    setup.add(TEXT);
    let article = setup.ready(1);
    assert!(
        article.contains("Summary by its own sentences"),
        "{article}"
    );
    assert_eq!(setup.model.requests(), []);
}

#[test]
fn a_model_that_fails_is_told_and_does_without() {
    let setup = Setup::new(key());
    setup.model.script(Reply::bad_key().echoes_key());
    setup.add(TEXT);
    let article = setup.ready(1);
    assert!(
        article.contains("Summary by its own sentences"),
        "{article}"
    );
    assert!(article.contains("does not accept the key"), "{article}");
    setup.browser.submit("/articles/1/again", &[]);
    setup.worker.line("article 1: ready", 2).unwrap();
    assert!(
        setup
            .browser
            .page("/articles/1")
            .body
            .contains("Summary by small")
    );
    setup.assert_no_key();
}

#[test]
fn what_a_killed_worker_had_taken_is_worked_on_by_the_next() {
    let mut setup = Setup::new(key());
    setup.model.script(Reply::text("never").held());
    setup.add(TEXT);
    drop(setup.model.wait_for_requests(1));
    let page = setup.browser.page("/articles/1").body;
    assert!(page.contains("Being fetched"), "{page}");
    let worker = std::mem::replace(&mut setup.worker, start_web(&setup.home, setup.redis_port));
    worker.kill();
    setup.restart_worker();
    assert!(setup.ready(1).contains("Summary by small"));
    setup.assert_no_key();
}

#[test]
fn nothing_is_lost_while_redis_is_gone() {
    let mut setup = Setup::new(key());
    let redis = std::mem::replace(&mut setup.redis, start_web(&setup.home, setup.redis_port));
    redis.kill();
    assert!(!setup.worker_is_healthy());
    setup.add(TEXT);
    setup.worker.line("the queue:", 1).unwrap();
    setup.redis = start_redis(&setup.home, setup.redis_port).expect("its port is free still");
    assert!(setup.ready(1).contains("Summary by small"));
    // Also what is added from now on.
    setup.add(&format!("{TEXT} {TEXT}"));
    assert!(setup.ready(2).contains("Summary by small"));
    setup.assert_no_key();
}
