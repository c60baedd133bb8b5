//! Who made a package: remembered at the first open, and nobody else's gets the instance's secrets without a word from the user.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use mira_package::signature::signature_path;

use super::app::{App, MANIFEST, Publisher, password};
use super::house::House;
use crate::support::VALUE;

const PASSWORD: &str = "correct horse battery staple";

/// A version of the parrot that says which one it is.
fn version(house: &House, version: &str, publisher: &str) -> App {
    let manifest = MANIFEST
        .replace("version: 1.0.0", &format!("version: {version}"))
        .replace(
            "env: {DATA",
            &format!("env: {{VERSION: \"{version}\", DATA"),
        );
    house.app(&format!("parrot-{version}"), &(manifest + publisher))
}

/// A house with an instance of a signed package, which is not started.
fn opened(publisher: &Publisher) -> House {
    let house = House::new();
    let first = version(&house, "1.0.0", &publisher.declared()).pack();
    publisher.sign(&first);
    let open = house.run(&["open", &first, "-d", "--name", "parrot"], 3);
    assert!(open.stderr_text().contains("new publisher"), "{open:?}");
    house.save("parrot", "API_KEY", VALUE);
    house
}

/// Starts what there is, and says which version that is.
fn runs(house: &House) -> String {
    house.run(&["start", "parrot", "-d"], 0);
    let version = house.variable("parrot", "web", "VERSION").unwrap();
    house.run(&["stop", "parrot"], 0);
    assert_eq!(house.ps("parrot")["version"], version);
    version
}

/// Opens a package, which is refused, and changes nothing.
#[track_caller]
fn refused(house: &House, args: &[&str], says: &str) {
    let run = house.run(&[&["open", "-d", "--name", "parrot"], args].concat(), 5);
    assert!(run.stderr_text().contains(says), "{says}: {run:?}");
    assert_eq!(runs(house), "1.0.0");
}

#[test]
fn an_update_by_the_same_publisher_is_taken() {
    let publisher = Publisher::new();
    let house = opened(&publisher);
    assert_eq!(
        house.ps("parrot")["publisherKey"],
        publisher.0.key.to_string()
    );
    assert_eq!(runs(&house), "1.0.0");
    let second = version(&house, "1.1.0", &publisher.declared()).pack();
    publisher.sign(&second);
    let update = house.run(&["open", &second, "-d"], 0);
    assert!(
        update
            .stderr_text()
            .contains("goes from version 1.0.0 to 1.1.0"),
        "{update:?}"
    );
    house.run(&["stop", "parrot"], 0);
    assert_eq!(runs(&house), "1.1.0");
    // The copy of the one before is nobody's.
    let copies = fs::read_dir(house.home.mira_home().join("packages")).unwrap();
    assert_eq!(copies.count(), 1);
    // A second instance knows the publisher already.
    let other = house.run(&["open", &second, "-d", "--name", "other"], 3);
    assert!(other.stderr_text().contains(", trusted"), "{other:?}");
}

#[test]
fn an_update_that_nobody_or_somebody_else_signed_changes_nothing() {
    let (publisher, other) = (Publisher::new(), Publisher::new());
    let house = opened(&publisher);
    let unsigned = version(&house, "1.1.0", &publisher.declared()).pack();
    refused(&house, &[&unsigned], "--agree");
    let foreign = version(&house, "1.2.0", &other.declared()).pack();
    other.sign(&foreign);
    refused(&house, &[&foreign], "--agree");
    // It says whose it is, and is not: no agreement helps.
    let forged = version(&house, "1.3.0", &publisher.declared()).pack();
    other.sign(&forged);
    refused(&house, &[&forged], "tampered");
    refused(&house, &[&forged, "--agree"], "tampered");
    // Neither does a new name.
    let args = ["open", "-d", "--name", "new"];
    house.run(&[&args[..], &[&unsigned]].concat(), 5);
    house.run(&[&args[..], &[&forged, "--agree"]].concat(), 5);
    assert_eq!(
        house.json(&["ps", "--json"], 0).as_array().unwrap().len(),
        1
    );
    house.run(&[&args[..], &[&unsigned, "--agree"]].concat(), 3);
    assert_eq!(
        house.json(&["ps", "--json"], 0).as_array().unwrap().len(),
        2
    );
}

#[test]
fn an_update_that_the_user_agrees_to_is_taken_once() {
    let publisher = Publisher::new();
    let house = opened(&publisher);
    let unsigned = version(&house, "1.1.0", "").pack();
    refused(&house, &[&unsigned], "unsigned");
    let mut terminal = house.terminal(&["open", &unsigned, "-d"]);
    terminal.expect("this one is unsigned. Give it the secrets all the same? [y/N] ");
    terminal.send("\n");
    assert_eq!(terminal.wait().code(), Some(5));
    assert_eq!(runs(&house), "1.0.0");
    house.run(&["open", &unsigned, "-d", "--agree"], 0);
    house.run(&["stop", "parrot"], 0);
    assert_eq!(runs(&house), "1.1.0");
    // The same once more is no new question; another is.
    house.run(&["open", &unsigned, "-d"], 0);
    house.run(&["stop", "parrot"], 0);
    let next = version(&house, "1.2.0", "").pack();
    house.run(&["open", &next, "-d"], 5);
    let signed = version(&house, "1.3.0", &publisher.declared()).pack();
    publisher.sign(&signed);
    house.run(&["open", &signed, "-d"], 0);
}

#[test]
fn a_changed_package_is_refused() {
    let publisher = Publisher::new();
    let house = opened(&publisher);
    let second = version(&house, "1.1.0", &publisher.declared()).pack();
    publisher.sign(&second);
    let good = fs::read(&second).unwrap();
    for at in (0..good.len()).step_by(good.len() / 12) {
        let mut bad = good.clone();
        bad[at] ^= 1;
        fs::write(&second, &bad).unwrap();
        house.run(&["open", &second, "-d", "--agree"], 5);
    }
    fs::write(&second, &good).unwrap();
    fs::write(signature_path(Path::new(&second)), "no signature at all").unwrap();
    house.run(&["open", &second, "-d"], 5);
    assert_eq!(runs(&house), "1.0.0");
}

#[test]
fn a_running_instance_has_its_own_copy_of_the_package() {
    let house = House::new();
    let app = version(&house, "1.0.0", "");
    let package = app.pack();
    house.run(&["open", &package, "-d", "--name", "parrot"], 3);
    house.save("parrot", "API_KEY", VALUE);
    house.run(&["start", "parrot", "-d"], 0);
    fs::write(&package, "something else").unwrap();
    house.run(&["restart", "parrot", "-d"], 0);
    assert_eq!(
        house.variable("parrot", "web", "VERSION").as_deref(),
        Some("1.0.0")
    );
    fs::remove_file(&package).unwrap();
    house.run(&["restart", "parrot", "-d"], 0);
    // Another package while it runs is no update.
    let other = version(&house, "1.1.0", "").pack();
    let refused = house.run(&["open", &other, "-d"], 1);
    assert!(
        refused.stderr_text().contains("runs already"),
        "{refused:?}"
    );
    assert_eq!(house.ps("parrot")["version"], "1.0.0");
}

#[test]
fn a_copy_that_was_changed_is_not_run_and_made_anew_from_the_package() {
    let house = House::new();
    let package = version(&house, "1.0.0", "").pack();
    house.run(&["open", &package, "-d", "--name", "parrot"], 3);
    house.save("parrot", "API_KEY", VALUE);
    assert_eq!(runs(&house), "1.0.0");
    let script = copy(&house).join("service.sh");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&script) & 0o222, 0, "read-only");
    let honest = fs::read_to_string(&script).unwrap();
    let tampering: [&dyn Fn(); 3] = [
        &|| {
            write_anyway(
                &script,
                &format!("{honest}\necho \"$API_KEY\" > /tmp/stolen\n"),
            )
        },
        &|| {
            unprotect(script.parent().unwrap());
            fs::remove_file(&script).unwrap();
        },
        &|| {
            unprotect(script.parent().unwrap());
            fs::write(script.parent().unwrap().join("added.sh"), "exit 0").unwrap();
        },
    ];
    for tamper in tampering {
        tamper();
        let refused = house.run(&["start", "parrot", "-d"], 5);
        assert!(!refused.stderr_text().contains("panicked"), "{refused:?}");
        house.run(&["open", &package, "-d"], 0);
        house.run(&["stop", "parrot"], 0);
        assert_eq!(fs::read_to_string(&script).unwrap(), honest);
        assert_eq!(runs(&house), "1.0.0");
    }
}

fn copy(house: &House) -> PathBuf {
    let digest = house.ps("parrot")["digest"].as_str().unwrap().to_owned();
    house.home.mira_home().join("packages").join(digest)
}

fn unprotect(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o700)).unwrap();
}

fn write_anyway(path: &Path, content: &str) {
    unprotect(path);
    fs::write(path, content).unwrap();
}

#[test]
fn a_signed_and_encrypted_package_asks_for_its_password_once() {
    let publisher = Publisher::new();
    let house = House::new();
    let app = version(&house, "1.0.0", &publisher.declared());
    let package = app.pack_encrypted(password(PASSWORD));
    publisher.sign(&package);
    for state in ["new publisher", "parrot is up"] {
        let mut terminal = house.terminal(&["open", &package, "-d"]);
        terminal.expect("Password of the package: ");
        terminal.send(format!("{PASSWORD}\n"));
        let shown = terminal.expect(match state {
            "new publisher" => "Value of API_KEY",
            state => state,
        });
        assert!(!shown.contains("Password"), "{shown}");
        if state == "new publisher" {
            terminal.send(format!("{VALUE}\n"));
            terminal.expect("EXTRA_KEY (not shown; Enter for none): ");
            terminal.send("\n");
            terminal.expect("parrot is up");
        }
        assert_eq!(terminal.wait().code(), Some(0));
        house.run(&["stop", "parrot"], 0);
    }
    assert_eq!(
        house.ps("parrot")["publisherKey"],
        publisher.0.key.to_string()
    );
}
