//! A person at a terminal is asked about hosts that an instance in the foreground calls and no rule names.

use mira_testkit::origin::Origin;
use mira_testkit::terminal::{Terminal, key};
use mira_testkit::world::World;
use serde_json::Value;

use crate::apps::house::House;
use crate::support::MIRA;

const MANIFEST: &str = "
kind: mira.app/v1
id: org.example.caller
name: Caller
version: 1.0.0
services: [{name: web, command: [sh, call.sh]}]
";

const CALLS: &str = r#"
call() { curl -s -o /dev/null -w "$1 said %{http_code}\n" "https://$1/echo"; }
for host in once once always no near; do call "$host.asked.test"; done
exec sleep infinity
"#;

const FAR: &str = "93.184.216.34";
const NEAR: &str = "10.0.0.7";

#[test]
fn a_host_that_no_rule_names_is_called_as_the_person_answers() {
    let names = ["once.asked.test", "always.asked.test", "no.asked.test"];
    let [once, always, no] = names.map(|name| (name, FAR));
    let world = World::new(&[once, always, no, ("near.asked.test", NEAR)]);
    let tls = world.ca().server(&names);
    let far = Origin::start(world.listen(&format!("{FAR}:443")), Some(tls.clone()));
    let near = Origin::start(world.listen(&format!("{NEAR}:443")), Some(tls));
    let house = House::new();
    let app = house.app("caller", MANIFEST);
    app.write("call.sh", CALLS);
    let mira = |args: &[&str]| {
        let mut mira = world.command(MIRA);
        mira.args(args)
            .env_clear()
            .envs(house.home.env().iter().cloned())
            .env("SSL_CERT_FILE", world.ca().bundle());
        mira
    };

    let mut terminal = Terminal::start(mira(&["open", app.path()]));
    let mut answer = |host: &str, typed: &str, said: &str| {
        let asked = format!("caller (web) calls {host}.asked.test, which no rule names; may it?");
        terminal.expect(&asked);
        terminal.expect("Enter alone: no");
        terminal.send(format!("{typed}\n"));
        terminal.expect(&format!("{host}.asked.test said {said}"));
    };
    answer("once", "o", "200");
    // It was called again, and not asked about: the next question is another.
    answer("always", "a", "200");
    assert_eq!(far.connections(), 3);
    answer("no", "", "403");
    answer("near", "o", "403");
    assert_eq!((far.connections(), near.connections()), (3, 0));
    terminal.send(key::CTRL_C);
    terminal.wait();

    let rows = |args: &[&str]| -> Vec<Value> {
        let output = mira(args).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let values = serde_json::Deserializer::from_slice(&output.stdout).into_iter();
        values.map(Result::unwrap).collect()
    };
    let log = rows(&["net", "log", "caller", "--json"]);
    let rules_of = |host: &str| -> Vec<String> {
        let mine = log
            .iter()
            .filter(|row| row["host"] == host && row["how"] == "tunnel");
        mine.map(|row| row["rule"].as_str().unwrap().to_owned())
            .collect()
    };
    let once = "allow once.asked.test (asked)";
    assert_eq!(rules_of("once.asked.test"), [once, once]);
    assert_eq!(
        rules_of("always.asked.test"),
        ["allow always.asked.test (decision)"]
    );
    assert_eq!(rules_of("no.asked.test"), ["not listed"]);
    let near = format!("leads to {NEAR}, which is not public");
    assert_eq!(rules_of("near.asked.test"), [near]);
    // Only what was decided from then on is kept.
    let kept = format!("{:?}", rows(&["net", "rules", "caller", "--json"]));
    assert!(
        kept.contains("always.asked.test") && !kept.contains("once.asked.test"),
        "{kept}"
    );
}
