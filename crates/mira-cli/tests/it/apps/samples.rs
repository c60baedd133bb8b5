//! The sample app with three services, under Mira: packed, opened, used, and its key nowhere but in its worker.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use mira_package::archive::{PackOptions, pack};
use mira_testkit::canary::{Canary, Sweep};
use mira_testkit::model_server::{ModelServer, Reply};

use super::house::House;

const TEXT: &str = "Bees make honey from the nectar of flowers all summer. A hive of bees needs flowers to make honey.";

/// Packs the app, with another model service as its default.
fn packed(house: &House, model: &ModelServer) -> String {
    let folder = house.home.path().join("readlater");
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../apps/readlater");
    let copied = Command::new("cp")
        .arg("-r")
        .args([&sample, &folder])
        .status();
    assert!(copied.unwrap().success());
    let manifest = fs::read_to_string(folder.join("mira.yaml")).unwrap();
    let manifest = manifest.replace(
        "default: https://api.openai.com/v1",
        &format!("default: {}", model.base_url()),
    );
    // What a person would decide who has the model on their own machine.
    let address = model.base_url();
    let address = address.trim_start_matches("http://").split('/').next();
    let manifest = manifest.replace("allow: [", &format!("allow: [\"{}\", ", address.unwrap()));
    fs::write(folder.join("mira.yaml"), manifest).unwrap();
    let package: PathBuf = house.home.path().join("readlater.mira");
    pack(&folder, &package, &PackOptions::default()).unwrap();
    package.to_str().unwrap().to_owned()
}

fn curl(args: &[&str]) -> String {
    let always = [
        "--silent",
        "--show-error",
        "--fail",
        "--noproxy",
        "*",
        "--max-time",
        "60",
    ];
    let output = Command::new("curl")
        .args(always)
        .args(args)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn an_article_is_kept_and_summarised_with_the_instances_own_key() {
    let key = Canary::generate().swap_remove(0);
    let key_text = std::str::from_utf8(key.value()).unwrap();
    let model =
        ModelServer::start_with(Some(key_text), |_| Reply::text("The model's own summary."));
    let house = House::new();
    let package = packed(&house, &model);
    // It is not required: without it, the app runs.
    house.run(&["open", &package, "-d"], 0);
    let ports = house.ps("readlater")["ports"].clone();
    house.save("readlater", "OPENAI_API_KEY", key.value());
    let up = house.json(&["restart", "readlater", "-d", "--json"], 0);
    assert_eq!(house.ps("readlater")["ports"], ports);
    let address = up["urls"][0].as_str().unwrap();

    let mut log = house.terminal(&["logs", "-f", "readlater", "--service", "worker"]);
    let page = curl(&[address]);
    let (_, after) = page.split_once("name=token value=\"").unwrap();
    let token = format!("token={}", after.split_once('"').unwrap().0);
    let (origin, what) = (format!("Origin: {address}"), format!("what={TEXT}"));
    let place = format!("{address}/articles");
    curl(&[
        "--header",
        &origin,
        "--data",
        &token,
        "--data-urlencode",
        &what,
        &place,
    ]);
    log.expect("article 1:");
    let article = curl(&[&format!("{address}/articles/1")]);
    assert!(
        article.contains("The model&#x27;s own summary.")
            || article.contains("The model's own summary."),
        "{article}"
    );
    assert_eq!(model.requests().len(), 1);

    // What it keeps survives a restart, and the key is nowhere.
    house.run(&["stop", "readlater"], 0);
    assert_eq!(log.wait().code(), Some(0));
    house.run(&["start", "readlater", "-d"], 0);
    let again = curl(&[&format!("{address}/articles/1")]);
    assert!(again.contains("own summary."), "{again}");
    let sweep = Sweep::new(&[key]);
    sweep
        .folder(house.home.path())
        .and(sweep.folder(house.memory.path()))
        .and(sweep.bytes("the log", log.transcript().as_bytes()))
        .and(sweep.bytes("the page", again.as_bytes()))
        .assert_clean();
}
