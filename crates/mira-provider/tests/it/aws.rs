//! Keys of AWS are tried, and what is wrong with them is said.

use mira_provider::Fault;
use mira_provider::aws::{Identity, Report, Trial, test};
use mira_testkit::aws_server::{AwsServer, AwsService};
use mira_testkit::canary::{Canary, Sweep};
use mira_testkit::model_server::ModelServer;
use mira_vault::AwsCredentials;

use crate::support::{LONG, SECRET, SHORT, TOKEN, caller, credentials, keys, wait};

/// Tries keys at an address, and a model if one is named.
fn tried(url: &str, credentials: &AwsCredentials, model: Option<&str>) -> Report {
    let model = model.map(|model| model.parse().unwrap());
    let trial = Trial {
        credentials,
        region: &"eu-central-1".parse().unwrap(),
        endpoint: Some(&url.parse().unwrap()),
        model: model.as_ref(),
    };
    wait(test(&caller(), &trial))
}

/// The one fault of a report.
#[track_caller]
fn fault(report: &Report) -> &Fault {
    let mut faults = report.faults();
    let fault = faults.next().expect("something is wrong");
    assert_eq!(faults.next(), None);
    fault
}

#[test]
fn good_keys_have_an_account_models_and_an_answer() {
    for (id, token) in [(LONG, None), (SHORT, Some(TOKEN))] {
        let server = AwsServer::start(keys(id, SECRET, token));
        let model = Some("anthropic.claude-haiku-4-5-20251001-v1:0");
        let report = tried(&server.url(), &credentials(id, SECRET, token), model);
        let identity = Identity {
            account: "123456789012".to_owned(),
            arn: "arn:aws:iam::123456789012:user/me".to_owned(),
        };
        let expect = Report {
            identity: Ok(identity),
            bedrock: Some(Ok(2)),
            model: Some(Ok(())),
        };
        assert_eq!(report, expect);
        assert!(report.is_good());
        assert_eq!(
            server.asked(),
            [
                "POST /",
                "GET /foundation-models",
                "POST /model/anthropic.claude-haiku-4-5-20251001-v1%3A0/converse"
            ]
        );
    }
}

#[test]
fn no_model_is_asked_unless_one_is_named() {
    let server = AwsServer::start(keys(LONG, SECRET, None));
    let report = tried(&server.url(), &credentials(LONG, SECRET, None), None);
    assert_eq!(report.model, None);
    assert_eq!(server.asked(), ["POST /", "GET /foundation-models"]);
}

#[test]
fn each_wrong_part_of_a_key_is_told_from_the_others() {
    let other_secret = SECRET.replace('w', "x");
    let check = |own: (&str, Option<&str>), given: (&str, &str, Option<&str>), expect: Fault| {
        let server = AwsServer::start(keys(own.0, SECRET, own.1));
        let report = tried(&server.url(), &credentials(given.0, given.1, given.2), None);
        assert_eq!(fault(&report), &expect);
        assert_eq!(server.asked(), ["POST /"], "nothing is asked in vain");
    };
    let other_id = LONG.replace('O', "P");
    check(
        (LONG, None),
        (&other_id, SECRET, None),
        Fault::UnknownAccessKey,
    );
    check(
        (LONG, None),
        (LONG, &other_secret, None),
        Fault::WrongSecretKey,
    );
    let other_token = TOKEN.replace('A', "B");
    check(
        (SHORT, Some(TOKEN)),
        (SHORT, SECRET, Some(&other_token)),
        Fault::InvalidToken,
    );
}

#[test]
fn what_sts_refuses_is_told() {
    let server = AwsServer::start(keys(SHORT, SECRET, Some(TOKEN)));
    let message = "The security token included in the request is expired";
    server.refuse(AwsService::Sts, 403, "ExpiredToken", message);
    let report = tried(
        &server.url(),
        &credentials(SHORT, SECRET, Some(TOKEN)),
        None,
    );
    assert_eq!(fault(&report), &Fault::ExpiredToken);
    assert_eq!(report.bedrock, None);
}

#[test]
fn a_clock_that_is_wrong_is_told_with_how_much_and_in_which_direction() {
    let check = |server_ahead_s: i64, expect: &str| {
        let server = AwsServer::start(keys(LONG, SECRET, None));
        server.set_clock(server_ahead_s);
        let report = tried(&server.url(), &credentials(LONG, SECRET, None), None);
        let fault = fault(&report);
        assert_eq!(fault.code(), "clock-skew");
        assert!(fault.to_string().contains(expect), "{fault}");
    };
    check(3600 * 3 + 60, "3 hours behind");
    check(-86_400 * 40 - 60, "40 days ahead");
    // What AWS tolerates is not remarked on.
    let server = AwsServer::start(keys(LONG, SECRET, None));
    server.set_clock(120);
    assert!(tried(&server.url(), &credentials(LONG, SECRET, None), None).is_good());
}

#[test]
fn what_bedrock_refuses_is_told() {
    let check = |service, status, code: &str, message: &str, expect: Fault| {
        let server = AwsServer::start(keys(LONG, SECRET, None));
        server.refuse(service, status, code, message);
        let report = tried(
            &server.url(),
            &credentials(LONG, SECRET, None),
            Some("m.x-v1:0"),
        );
        assert!(report.identity.is_ok());
        assert_eq!(fault(&report), &expect, "{code}");
    };
    let said = |text: &str| text.to_owned();
    let denied = "User: arn:aws:iam::123456789012:user/me is not authorized to perform: bedrock:ListFoundationModels";
    check(
        AwsService::Bedrock,
        403,
        "AccessDeniedException",
        denied,
        Fault::NoPermission {
            action: said("call bedrock:ListFoundationModels"),
            said: said(denied),
        },
    );
    check(
        AwsService::Bedrock,
        404,
        "UnknownOperationException",
        "",
        Fault::NoBedrock {
            region: said("eu-central-1"),
        },
    );
    let message = "You don't have access to the model with the specified model ID.";
    let no_model = |message: &str| Fault::NoModel {
        model: said("m.x-v1:0"),
        said: said(message),
    };
    check(
        AwsService::Runtime,
        403,
        "AccessDeniedException",
        message,
        no_model(message),
    );
    let message = "The provided model identifier is invalid.";
    check(
        AwsService::Runtime,
        400,
        "ValidationException",
        message,
        no_model(message),
    );
    let limited = Fault::RateLimited {
        retry_after_s: None,
        said: said("Too many requests"),
    };
    check(
        AwsService::Runtime,
        429,
        "ThrottlingException",
        "Too many requests",
        limited,
    );
}

#[test]
fn something_that_is_not_aws_is_told() {
    let server = ModelServer::start();
    let report = tried(&server.base_url(), &credentials(LONG, SECRET, None), None);
    let told = fault(&report).to_string();
    assert!(told.contains("not as AWS does"), "{told}");
}

#[test]
fn keys_that_aws_repeats_are_in_no_fault() {
    // The beginning of the secret key.
    const START: &str = "wJalrX";
    let server = AwsServer::start(keys(SHORT, SECRET, Some(TOKEN)));
    let message = format!("No: {SHORT} {SECRET} {TOKEN} and {START}...");
    server.refuse(AwsService::Sts, 403, "AccessDenied", &message);
    let report = tried(
        &server.url(),
        &credentials(SHORT, SECRET, Some(TOKEN)),
        None,
    );
    let told = format!("{report:?} {}", fault(&report));
    assert!(told.contains("[redacted:AWS_SECRET_ACCESS_KEY]"), "{told}");
    let canaries = [
        Canary::new("AWS_ACCESS_KEY_ID", SHORT),
        Canary::new("AWS_SECRET_ACCESS_KEY", SECRET),
        Canary::new("AWS_SESSION_TOKEN", TOKEN),
    ];
    Sweep::new(&canaries)
        .bytes("the fault", told.as_bytes())
        .assert_clean();
    assert!(!told.contains(START), "{told}");
}
