//! What was there before a program was started behind a gate, and would be a way around it: what is open, what its variables hold, what its clients
//! call without a proxy.

use std::fs::{self, File};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Output, Stdio};

use mira_testkit::home::TestHome;
use mira_testkit::origin::Origin;

use super::street::{Street, said, told};
use crate::apps::app::App;
use crate::apps::house::House;
use crate::support::{MIRA, VALUE, keyfile_home, mira, set};

/// Prepares a program in a home.
fn command(home: &TestHome, program: &str) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .envs(home.env().iter().cloned())
        .current_dir(home.path())
        .stdin(Stdio::null());
    command
}

/// Makes a home with a secret `KEY`.
fn home() -> TestHome {
    let home = keyfile_home();
    set(&home, "KEY", VALUE);
    home
}

#[test]
fn nothing_that_was_open_before_is_the_programs_but_its_streams() {
    let home = home();
    let run = |gate: &str| {
        let script = format!(
            "exec 9<.; exec \"$0\" run --only KEY {gate} -- sh -c 'echo /proc/self/fd/9/mira/*'"
        );
        let output = command(&home, "sh").args(["-c", &script, MIRA]).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{output:?}");
        said(&output)
    };
    for gate in ["--gate", "--broker KEY=api.brokered.test"] {
        assert_eq!(run(gate), "/proc/self/fd/9/mira/*\n", "{gate}");
    }
    // Without a gate what is passed on is passed on.
    assert!(run("").contains("credentials.json"));
}

#[test]
fn a_folder_or_a_socket_of_a_network_is_no_stream_of_a_program_behind_a_gate() {
    let home = home();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let socket = || OwnedFd::from(TcpStream::connect(listener.local_addr().unwrap()).unwrap());
    let run = |streams: &dyn Fn(&mut Command) -> &mut Command| -> Output {
        let mut command = command(&home, MIRA);
        command
            .args(["run", "--gate", "--", "sh", "-c", "echo up; : > started"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        streams(&mut command);
        command.spawn().unwrap().wait_with_output().unwrap()
    };
    let folder = || File::open(home.mira_home()).unwrap();
    let refused = [
        (
            run(&|it| it.stdin(folder())),
            "standard input is a folder",
            "</dev/null",
        ),
        (
            run(&|it| it.stdout(folder())),
            "standard output is a folder",
            ">/dev/null",
        ),
        (
            run(&|it| it.stdin(socket())),
            "standard input is a socket of a network",
            "</dev/null",
        ),
        (
            run(&|it| it.stdout(socket())),
            "standard output is a socket of a network",
            ">/dev/null",
        ),
    ];
    for (output, what, instead) in refused {
        let told = told(&output);
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.contains(what) && told.contains(instead), "{told}");
    }
    // Nobody reads the reason there.
    assert_eq!(run(&|it| it.stderr(socket())).status.code(), Some(2));
    assert!(!home.path().join("started").exists());

    // What a program such as Node gives those that it starts.
    let (near, far) = UnixStream::pair().unwrap();
    let output = run(&|it| {
        it.stdin(OwnedFd::from(near.try_clone().unwrap()))
            .stderr(OwnedFd::from(far.try_clone().unwrap()))
    });
    assert_eq!(
        (said(&output).as_str(), output.status.code()),
        ("up\n", Some(0))
    );
    assert!(home.path().join("started").exists());
}

#[test]
fn a_brokered_value_in_another_variable_or_an_argument_is_refused() {
    let home = home();
    let file = home.path().join("started");
    let script = format!(": > {file:?}");
    let run = |variables: &[(&str, &str)], words: &[&str], code: i32| {
        let mut run = mira(&home, &["run", "--broker", "KEY=api.brokered.test"]).args(words);
        for (name, value) in variables {
            run = run.env(name, value);
        }
        let told = run.run().assert_code(code).stderr_text();
        assert!(!told.contains(VALUE), "{told}");
        assert_eq!(file.exists(), code == 0, "{told}");
        told
    };
    let program = ["--", "sh", "-c", script.as_str()];
    let url = format!("https://user:{VALUE}@api.brokered.test");
    let told_of = run(&[("FOO", VALUE), ("URL", &url)], &program, 2);
    assert!(
        told_of.contains("FOO holds the value of KEY")
            && told_of.contains("URL holds the value of KEY")
            && told_of.contains("-u FOO")
            && told_of.contains("-u URL"),
        "{told_of}"
    );
    let setting = format!("FOO={VALUE}");
    let told_of = run(&[], &[&["--with", &setting], &program[..]].concat(), 2);
    assert!(
        told_of.contains("FOO holds") && !told_of.contains("-u FOO"),
        "{told_of}"
    );
    let header = format!("x-api-key: {VALUE}");
    let told_of = run(&[], &[&program[..], &["sh", &header]].concat(), 2);
    assert!(
        told_of.contains("an argument holds the value of KEY"),
        "{told_of}"
    );
    // Another secret of the same value is another way to it.
    set(&home, "TWIN", VALUE);
    let told_of = run(&[], &program, 2);
    assert!(told_of.contains("TWIN holds the value of KEY"), "{told_of}");
    // In the variable of its own name there is the placeholder.
    run(
        &[("KEY", VALUE)],
        &[&["--except", "TWIN"], &program[..]].concat(),
        0,
    );
}

#[test]
fn a_setting_of_an_instance_that_holds_a_brokered_value_is_refused() {
    const BROKERING: &str = "
kind: mira.app/v1
id: org.example.parrot
name: Parrot
version: 1.0.0
services: [{name: web, command: [sleep, infinity]}]
secrets: [{name: API_KEY, required: true, deliver: brokered, hosts: [api.example.org]}]
settings: [{name: MODEL, default: small}]
";
    let house = House::new();
    let app = house.app("parrot", BROKERING);
    house.run(&["open", app.path(), "-d"], 3);
    house.save("parrot", "API_KEY", VALUE);
    let setting = format!("MODEL={VALUE}");
    let refused = house.run(&["start", "parrot", "-d", "--with", &setting], 2);
    let told = refused.stderr_text();
    assert!(
        told.contains("MODEL holds the value of API_KEY") && !told.contains(VALUE),
        "{told}"
    );
    house.run(&["start", "parrot", "-d", "--with", "MODEL=large"], 0);
}

#[test]
fn a_secret_that_cannot_be_brokered_is_told_apart_from_one_that_is_not_saved() {
    let home = home();
    set(&home, "OTHER", "sk-proj-0nKd83JwQxTzLm5RbVyA");
    let check = |words: &[&str], code: i32, what: &str, not: &str| {
        let run = mira(&home, &["run", "--broker", "KEY=api.brokered.test"]);
        let run = run.args(words).args(["--", "true"]).env("KEY", "another");
        let told = run.run().assert_code(code).stderr_text();
        assert!(told.contains(what) && !told.contains(not), "{told}");
    };
    check(
        &["--prefer", "inherited"],
        2,
        "KEY is taken from the environment",
        "mira set",
    );
    check(&["--only", "OTHER"], 2, "--only", "mira set");
    check(&["--scope", "mcp/none"], 3, "mira set", "--prefer");
}

#[test]
fn an_option_that_is_wrong_is_called_by_its_whole_name() {
    let home = home();
    let wrong = mira(&home, &["run", "--broker", "KEY", "--", "true"]).run();
    let told = wrong.assert_code(2).stderr_text();
    assert!(
        told.starts_with("mira: --broker <NAME=HOST[,HOST]>: write NAME=HOST"),
        "{told}"
    );
}

#[test]
fn a_service_of_this_machine_is_called_through_the_gate_where_there_are_no_rooms() {
    let street = Street::new(false);
    let origin = Origin::start(street.world.listen("127.0.0.1:8080"), None);
    let call = |words: &[&str]| -> Output {
        let script = "curl -sS -o /dev/null -o /dev/null -w '%{http_code} ' -H \"x-api-key: $KEY\" http://localhost:8080/echo http://127.0.0.1:8080/echo";
        let mut command = street.command(MIRA);
        // What the user has said of proxies is not the program's.
        command.env("NO_PROXY", "*").env("no_proxy", "*");
        command
            .arg("run")
            .args(words)
            .args(["--", "sh", "-c", script]);
        command.output().unwrap()
    };
    let output = call(&["--broker", "KEY=localhost:8080,127.0.0.1:8080"]);
    assert_eq!(said(&output), "200 200 ", "{output:?}");
    let requests = origin.requests();
    let values = requests.iter().map(|request| request.header("x-api-key"));
    assert_eq!(values.collect::<Vec<_>>(), [Some(VALUE); 2]);
    let rows = street.rows();
    assert!(
        rows.iter()
            .any(|row| row["host"] == "localhost" && row["port"] == 8080),
        "{rows:?}"
    );

    let output = call(&["--gate", "--except", "KEY"]);
    assert_eq!(said(&output), "403 403 ", "{output:?}");
    assert_eq!(origin.requests().len(), 2);
}

#[test]
fn nobody_is_sent_to_the_log_of_services_that_were_not_started() {
    let street = Street::new(false);
    let memory = tempfile::Builder::new()
        .prefix("mira-run-")
        .tempdir_in("/dev/shm")
        .unwrap();
    let app = App::new(
        street.home.path().join("app"),
        "
kind: mira.app/v1
id: org.example.parrot
name: Parrot
version: 1.0.0
services: [{name: web, command: [sleep, infinity]}]
",
    );
    let mut open = street.command(MIRA);
    open.env("XDG_RUNTIME_DIR", memory.path());
    let output = open
        .args(["open", app.path(), "-d", "--require-enforcement"])
        .output()
        .unwrap();
    let told = told(&output);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(
        told.contains("cannot be enforced") && !told.contains("mira logs"),
        "{told}"
    );
}

/// Where the run-time folder is in none of the folders that are hidden anyway.
#[test]
fn an_instance_does_not_see_the_folder_that_the_supervisor_is_reached_in() {
    let elsewhere = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut house = House::new();
    house.home.set("XDG_RUNTIME_DIR", elsewhere.path());
    let path = elsewhere.path().display();
    let app = house.app(
        "parrot",
        &format!(
            r#"
kind: mira.app/v1
id: org.example.parrot
name: Parrot
version: 1.0.0
services:
  - name: web
    command: [sh, -c, 'echo "it has: $$(ls -A {path})"; touch "$$DATA/ready"; exec sleep infinity']
    env: {{DATA: "${{volume:data}}"}}
    health: {{command: [sh, -c, 'test -e "$$DATA/ready"'], interval: 100ms, startPeriod: 60s}}
state: {{volumes: [{{name: data}}]}}
"#
        ),
    );
    house.run(&["open", app.path(), "-d"], 0);
    let log = house.run(&["logs", "parrot"], 0).stdout_text();
    assert!(
        log.contains("it has: \n") || log.trim_end().ends_with("it has:"),
        "{log}"
    );
    assert!(fs::read_dir(elsewhere.path()).unwrap().next().is_some());
    house.run(&["stop", "parrot"], 0);
}
