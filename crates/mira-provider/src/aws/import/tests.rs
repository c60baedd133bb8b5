//! Credentials are found in all the forms in which AWS's tools have and print them, and what is wrong is said without a part of a key.

use super::*;

// The examples of AWS's documentation.
const LONG: &str = "AKIAIOSFODNN7EXAMPLE";
const SHORT: &str = "ASIAIOSFODNN7EXAMPLE";
const KEY: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const TOKEN: &str = "AQoDYXdzEJr1K8Ejd1ez+o/GLvgJ8l==";

/// An import as one line: the variables, the expiry and the region.
fn told(imported: Result<Imported, ImportError>) -> Result<String, ImportError> {
    let Imported {
        credentials,
        region,
    } = imported?;
    let variables = credentials.variables().unwrap();
    let values = variables
        .iter()
        .map(|(_, value)| String::from_utf8_lossy(value.expose()).into_owned());
    let mut words: Vec<String> = values.collect();
    words.extend(credentials.expires().map(|time| time.to_string()));
    words.extend(region.map(|region| region.to_string()));
    Ok(words.join(" "))
}

fn text(text: &str) -> Result<String, ImportError> {
    told(from_text(&SecretBytes::copy_from(text.as_bytes())))
}

#[test]
fn what_the_tools_print_is_taken() {
    let temporary = format!("{SHORT} {KEY} {TOKEN} 2026-11-24T07:05:09Z");
    let check =
        |input: &str, expect: &str| assert_eq!(text(input).as_deref(), Ok(expect), "{input}");
    let set = format!(
        r#""AccessKeyId":"{SHORT}","SecretAccessKey":"{KEY}","SessionToken":"{TOKEN}","Expiration":"2026-11-24T07:05:09+00:00""#
    );
    check(&format!(r#"{{"Credentials":{{{set}}}}}"#), &temporary);
    check(&format!(r#" {{"Version":1,{set}}}"#), &temporary);
    check(
        &format!(
            r#"{{"AccessKey":{{"UserName":"me","AccessKeyId":"{LONG}","SecretAccessKey":"{KEY}"}}}}"#
        ),
        &format!("{LONG} {KEY}"),
    );
    check(
        &format!(
            "[default]\naws_access_key_id = {LONG}\naws_secret_access_key={KEY}\nregion = eu-west-1\n"
        ),
        &format!("{LONG} {KEY} eu-west-1"),
    );
    check(
        &format!("aws_access_key_id={LONG}\r\naws_secret_access_key={KEY}\r\n"),
        &format!("{LONG} {KEY}"),
    );
    check(
        &format!(
            "export AWS_ACCESS_KEY_ID=\"{SHORT}\"\nexport AWS_SECRET_ACCESS_KEY=\"{KEY}\"\nexport AWS_SESSION_TOKEN=\"{TOKEN}\"\n"
        ),
        &format!("{SHORT} {KEY} {TOKEN}"),
    );
}

#[test]
fn a_profile_is_put_together_from_both_files() {
    let bytes = |text: String| Some(SecretBytes::from_vec(text.into_bytes()));
    let files = Files {
        credentials: bytes(format!(
            "# mine\n[default]\naws_access_key_id={LONG}\naws_secret_access_key={KEY}\n\n[work]\naws_access_key_id={SHORT}\n\
             aws_secret_access_key={KEY}\naws_session_token={TOKEN}\nx_security_token_expires=2026-11-24T07:05:09Z\n"
        )),
        config: bytes(format!(
            "[default]\nregion=us-east-1\ns3 =\n  region = us-west-9\n[profile work]\ns3 =\n  region = us-west-9\nregion = eu-central-1\n\
             [profile single]\nsso_session = corp\nregion = us-east-1\n[profile whole]\naws_access_key_id={LONG}\n\
             aws_secret_access_key={KEY}\n[profile half]\nregion = us-east-1\n[sso-session corp]\nsso_region=us-east-1\n"
        )),
    };
    let profile = |name: Option<&str>| told(from_profile(&files, name));
    assert_eq!(profile(None), Ok(format!("{LONG} {KEY} us-east-1")));
    assert_eq!(
        profile(Some("work")),
        Ok(format!(
            "{SHORT} {KEY} {TOKEN} 2026-11-24T07:05:09Z eu-central-1"
        ))
    );
    assert_eq!(profile(Some("whole")), Ok(format!("{LONG} {KEY}")));
    let elsewhere = ImportError::Elsewhere {
        name: "single".to_owned(),
        by: "sso_session",
    };
    assert_eq!(profile(Some("single")), Err(elsewhere));
    let half = ImportError::Part {
        part: "access key id",
        of: "the profile half".to_owned(),
    };
    assert_eq!(profile(Some("half")), Err(half));
    let unknown = ImportError::NoProfile {
        name: "home".to_owned(),
        known: "default, half, single, whole, work".to_owned(),
    };
    assert_eq!(profile(Some("home")), Err(unknown));
}

#[test]
fn errors_hold_nothing_of_a_key() {
    let inputs = [
        KEY.to_owned(),
        format!("{LONG}\n{KEY}"),
        format!("{{\"AccessKeyId\":\"{KEY}\""),
        format!("{{\"AccessKeyId\":\"{KEY}\",\"SecretAccessKey\":\"{KEY}\"}}"),
        format!("{{\"SecretAccessKey\":\"{KEY}\"}}"),
        format!(
            "{{\"AccessKeyId\":\"{LONG}\",\"SecretAccessKey\":\"{KEY}\",\"Expiration\":\"{KEY}\"}}"
        ),
        format!("[default\naws_secret_access_key={KEY}"),
        format!("aws_access_key_id={KEY}\naws_secret_access_key={KEY}"),
        format!("aws_access_key_id={LONG}\naws_secret_access_key={KEY}{KEY}"),
        format!("aws_access_key_id={LONG}\naws_secret_access_key={KEY}\nregion={KEY}"),
    ];
    for input in inputs {
        let error = text(&input).unwrap_err();
        let shown = format!("{error} {error:?}");
        for piece in [KEY, "wJalr", "MDENG", "EXAMPLE"] {
            assert!(!shown.contains(piece), "{input}: {shown}");
        }
    }
}
