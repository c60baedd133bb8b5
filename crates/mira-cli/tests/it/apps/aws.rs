//! AWS credentials for an app: bound part by part to the one secret, with the region, and an end that is said.

use super::app::MANIFEST;
use super::house::House;

const ID: &str = "ASIAQ7WX2M4PKZ5TJ3VB";
const SECRET: &str = "h4Xq/9sLmT2vB7nKwYp+Zr3cGfD8jUe6RaQ1oVtN";
const TOKEN: &str = "IQoJb3JpZ2luX2VjEPr+Zq8LmN3vXy7RtBw2HcKd9PfGs4/Tj6==";

/// The parrot, with AWS's variables as the secrets of its first service.
fn manifest() -> String {
    MANIFEST
        .replace("name: API_KEY", "name: AWS_ACCESS_KEY_ID")
        .replace(
            "name: EXTRA_KEY",
            "name: AWS_SECRET_ACCESS_KEY\n    services: [web]",
        )
        .replace(
            "state:",
            "  - name: AWS_SESSION_TOKEN\n    services: [web]\nstate:",
        )
}

fn save(house: &House, token: bool, expires: &str) {
    let mut lines = format!("aws_access_key_id={ID}\naws_secret_access_key={SECRET}\n");
    match token {
        true => lines += &format!("aws_session_token={TOKEN}\naws_expiration={expires}\n"),
        false => lines = lines.replace("ASIA", "AKIA"),
    }
    house
        .mira(&[
            "aws",
            "set",
            "--stdin",
            "--replace",
            "--no-test",
            "--region",
            "eu-west-3",
        ])
        .stdin_bytes(lines)
        .run()
        .assert_code(0);
}

fn bind(house: &House, name: &str, code: i32) -> String {
    let args = ["secret", "bind", "--instance", "parrot", name];
    house.run(&args, code).stderr_text()
}

#[test]
fn an_app_gets_the_parts_that_it_declares_and_the_region() {
    let house = House::new();
    let package = house.app("parrot", &manifest()).pack();
    house.run(&["open", &package, "-d"], 3);
    save(&house, true, "2099-01-02T03:04:05Z");
    for name in [
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
    ] {
        let told = bind(&house, name, 0);
        assert!(told.contains("is your AWS_CREDENTIALS"), "{told}");
    }
    house.run(&["start", "parrot", "-d"], 0);
    let check = |name: &str, expect: Option<&str>| {
        let value = house.variable("parrot", "web", name);
        assert_eq!(value.as_deref(), expect, "{name}");
    };
    check("AWS_ACCESS_KEY_ID", Some(ID));
    check("AWS_SECRET_ACCESS_KEY", Some(SECRET));
    check("AWS_SESSION_TOKEN", Some(TOKEN));
    check("AWS_REGION", Some("eu-west-3"));
    check("AWS_DEFAULT_REGION", Some("eu-west-3"));
    // A service without keys has no use for it.
    assert_eq!(house.variable("parrot", "store", "AWS_REGION"), None);
    house.run(&["stop", "parrot"], 0);
    // A long-term key has no token, and an old one is not kept beside it.
    save(&house, false, "");
    house.run(&["start", "parrot", "-d"], 0);
    check("AWS_ACCESS_KEY_ID", Some(&ID.replace("ASIA", "AKIA")));
    check("AWS_SESSION_TOKEN", None);
    house.run(&["stop", "parrot"], 0);
    save(&house, true, "2020-01-02T03:04:05Z");
    let told = house.run(&["start", "parrot", "-d"], 0).stderr_text();
    assert_eq!(told.matches("AWS_CREDENTIALS expired").count(), 1, "{told}");
}

#[test]
fn a_part_that_the_credentials_do_not_have_cannot_be_bound() {
    let house = House::new();
    let package = house.app("parrot", &manifest()).pack();
    house.run(&["open", &package, "-d"], 3);
    save(&house, false, "");
    let told = bind(&house, "AWS_SESSION_TOKEN", 3);
    assert!(told.contains("AWS_SESSION_TOKEN"), "{told}");
    let args = [
        "secret",
        "bind",
        "--instance",
        "parrot",
        "AWS_SESSION_TOKEN",
        "--to",
        "AWS_CREDENTIALS",
    ];
    let told = house.run(&args, 2).stderr_text();
    assert!(
        told.contains("AWS_CREDENTIALS has no AWS_SESSION_TOKEN"),
        "{told}"
    );
}
