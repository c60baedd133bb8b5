//! STS as moto plays it: keys that it made are good, and what it refuses is understood.

use std::path::Path;
use std::process::Command;

use mira_provider::Fault;
use mira_provider::aws::{Report, Trial, test};
use mira_testkit::moto::Moto;

use crate::support::{SECRET, caller, credentials, wait};

/// Asks moto for something in the way of AWS's query APIs, and returns these elements of its answer.
fn ask<const N: usize>(moto: &Moto, service: &str, body: &str, elements: [&str; N]) -> [String; N] {
    let signed = format!(
        "Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20261128/us-east-1/{service}/aws4_request, SignedHeaders=host, Signature=0"
    );
    let output = Command::new("curl")
        .args(["--silent", "--noproxy", "*", "--max-time", "60"])
        .args(["--header", &signed, "--data", body, moto.url()])
        .output();
    let xml = String::from_utf8(output.unwrap().stdout).unwrap();
    elements.map(|name| {
        let (_, rest) = xml.split_once(&format!("<{name}>")).expect(&xml);
        rest.split_once('<').unwrap().0.to_owned()
    })
}

#[test]
fn keys_that_moto_made_are_good_and_others_are_not() {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let moto = Moto::start(target);
    ask(
        &moto,
        "iam",
        "Action=CreateUser&UserName=me&Version=2010-05-08",
        [],
    );
    let [id, secret] = ask(
        &moto,
        "iam",
        "Action=CreateAccessKey&UserName=me&Version=2010-05-08",
        ["AccessKeyId", "SecretAccessKey"],
    );
    let role = "Action=CreateRole&RoleName=r&AssumeRolePolicyDocument=%7B%7D&Version=2010-05-08";
    ask(&moto, "iam", role, []);
    let [short_id, short_secret, token] = ask(
        &moto,
        "sts",
        "Action=AssumeRole&RoleArn=arn:aws:iam::123456789012:role/r&RoleSessionName=s&Version=2011-06-15",
        ["AccessKeyId", "SecretAccessKey", "SessionToken"],
    );
    // From here on moto checks signatures.
    let strict = format!("{}/moto-api/reset-auth", moto.url());
    let output = Command::new("curl")
        .args([
            "--silent",
            "--noproxy",
            "*",
            "--fail",
            "--header",
            "Content-Type: text/plain",
            "--data",
            "0",
            &strict,
        ])
        .output();
    assert!(output.unwrap().status.success());

    let (region, endpoint) = ("us-east-1".parse().unwrap(), moto.url().parse().unwrap());
    let tried = |id: &str, secret: &str, token: Option<&str>| -> Report {
        let keys = credentials(id, secret, token);
        let trial = Trial {
            credentials: &keys,
            region: &region,
            endpoint: Some(&endpoint),
            model: None,
        };
        wait(test(&caller(), &trial))
    };
    let identity = tried(&id, &secret, None).identity.unwrap();
    assert_eq!(identity.account, "123456789012");
    assert_eq!(identity.arn, "arn:aws:iam::123456789012:user/me");
    let identity = tried(&short_id, &short_secret, Some(&token))
        .identity
        .unwrap();
    assert!(
        identity.arn.contains("assumed-role/r/s"),
        "{}",
        identity.arn
    );
    let refused = |id: &str, secret: &str, token: Option<&str>| {
        tried(id, secret, token).identity.unwrap_err()
    };
    assert_eq!(refused(&id, SECRET, None), Fault::WrongSecretKey);
    assert_eq!(
        refused("AKIAIOSFODNN7EXAMPLE", &secret, None),
        Fault::UnknownAccessKey
    );
    assert_eq!(
        refused("ASIAIOSFODNN7EXAMPLE", &short_secret, Some(&token)),
        Fault::InvalidToken
    );
}
