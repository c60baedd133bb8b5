//! Tokens of the standard, of OpenSSL's keys, and forged ones.

use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use data_encoding::BASE64URL_NOPAD;
use mira_secret::SecretBytes;
use ring::rsa::PublicKeyComponents;
use serde_json::{Value, json};

use crate::{Expected, KeyError, KeySet, SigningKey, VerifyError, provider};

/// RFC 7515, appendix A.2: a token signed by RS256, long expired, and its key.
const RS256: &str = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
const RS256_N: &str = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";
/// RFC 7515, appendix A.3: the same claims, signed by ES256.
const ES256: &str = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";

fn rfc_keys() -> [KeySet; 2] {
    let rsa = json!({"keys": [{"kty": "RSA", "n": RS256_N, "e": "AQAB"}]});
    let curve = json!({"keys": [{"kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]});
    [rsa, curve].map(|keys| KeySet::from_json(keys.to_string().as_bytes()).unwrap())
}

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

/// Makes a key with OpenSSL, in one of its two forms.
fn generated(bits: u32, traditional: bool) -> SecretBytes {
    let mut command = Command::new("openssl");
    command.arg("genrsa");
    if traditional {
        command.arg("-traditional");
    }
    let made = command.arg(bits.to_string()).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    SecretBytes::from_vec(made.stdout)
}

/// Publishes the public half of a key.
fn published(pem_text: &SecretBytes, id: &str) -> Value {
    let der = pem::parse(pem_text.expose()).unwrap().into_contents();
    let key = provider::rsa_key(&der).unwrap();
    let public: PublicKeyComponents<Vec<u8>> = key.public().into();
    json!({
        "kty": "RSA", "use": "sig", "alg": "RS256", "kid": id,
        "n": BASE64URL_NOPAD.encode(&public.n), "e": BASE64URL_NOPAD.encode(&public.e),
    })
}

const EXPECTED: Expected<'_> = Expected {
    issuer: "https://id.example.org",
    audience: "mira",
};

fn claims() -> Value {
    json!({"iss": EXPECTED.issuer, "aud": EXPECTED.audience, "exp": now() + 300, "sub": "ann"})
}

fn text(token: &SecretBytes) -> &str {
    std::str::from_utf8(token.expose()).unwrap()
}

#[test]
fn the_tokens_of_the_standard_are_signed_right_and_fail_by_what_they_lack() {
    let joe = Expected {
        issuer: "joe",
        audience: "mira",
    };
    for (token, keys) in [RS256, ES256].into_iter().zip(rfc_keys()) {
        // They are for nobody in particular, which is looked at only once the signature was right.
        assert_eq!(
            keys.verify::<Value>(token, joe),
            Err(VerifyError::Malformed)
        );
        // One letter of the claims, of the signature.
        for at in [40, token.len() - 10] {
            let mut changed = token.to_owned().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert_eq!(
                keys.verify::<Value>(&changed, joe),
                Err(VerifyError::Signature)
            );
        }
    }
    // A key of one family does not check the other's token.
    let [rsa, curve] = rfc_keys();
    for (token, keys) in [(ES256, rsa), (RS256, curve)] {
        assert!(keys.verify::<Value>(token, joe).is_err());
    }
}

#[test]
fn a_token_is_believed_when_all_it_says_is_as_expected() {
    for traditional in [true, false] {
        let pem = generated(2048, traditional);
        let key = SigningKey::from_pem(&pem).unwrap();
        let keys = json!({"keys": [published(&pem, "one")]}).to_string();
        let keys = KeySet::from_json(keys.as_bytes()).unwrap();
        let token = key.sign(&claims()).unwrap();
        let read: Value = keys.verify(text(&token), EXPECTED).unwrap();
        assert_eq!(read["sub"], "ann");

        let with = |name: &str, value: Value| {
            let mut claims = claims();
            claims[name] = value;
            keys.verify::<Value>(text(&key.sign(&claims).unwrap()), EXPECTED)
        };
        assert_eq!(
            with("iss", json!("https://id.example.com")),
            Err(VerifyError::Issuer)
        );
        assert_eq!(with("aud", json!("another")), Err(VerifyError::Audience));
        assert_eq!(with("aud", json!(["another"])), Err(VerifyError::Audience));
        assert!(with("aud", json!(["another", "mira"])).is_ok());
        assert_eq!(with("exp", json!(now() - 120)), Err(VerifyError::Time));
        assert!(with("exp", json!(now() - 5)).is_ok(), "within the skew");
        assert_eq!(with("nbf", json!(now() + 300)), Err(VerifyError::Time));
        for (name, value) in [
            ("exp", Value::Null),
            ("exp", json!("never")),
            ("iss", Value::Null),
            ("aud", Value::Null),
            ("nbf", json!("soon")),
        ] {
            assert!(with(name, value.clone()).is_err(), "{name}: {value}");
        }
    }
}

#[test]
fn only_a_published_key_and_a_taken_algorithm_count() {
    let pem = generated(2048, true);
    let other = generated(2048, true);
    let key = SigningKey::from_pem(&pem).unwrap();
    let token = key.sign(&claims()).unwrap();
    let set =
        |keys: Value| KeySet::from_json(json!({"keys": keys}).to_string().as_bytes()).unwrap();
    let two = set(json!([published(&pem, "one"), published(&other, "two")]));
    assert_eq!(
        two.verify::<Value>(text(&token), EXPECTED),
        Err(VerifyError::UnknownKey),
        "which of the two is not said"
    );
    let wrong = set(json!([published(&other, "two")]));
    assert_eq!(
        wrong.verify::<Value>(text(&token), EXPECTED),
        Err(VerifyError::Signature)
    );
    let mut encrypts = published(&pem, "one");
    encrypts["use"] = json!("enc");
    for useless in [
        json!([]),
        json!([encrypts]),
        json!([{"kty": "oct", "k": "c2VjcmV0"}]),
    ] {
        assert_eq!(
            set(useless).verify::<Value>(text(&token), EXPECTED),
            Err(VerifyError::UnknownKey)
        );
    }
    let keys = set(json!([published(&pem, "one")]));
    let body = BASE64URL_NOPAD.encode(claims().to_string().as_bytes());
    for header in [
        r#"{"alg":"none"}"#,
        r#"{"alg":"HS256"}"#,
        r#"{"alg":"EdDSA"}"#,
        r#"{"alg":"x"}"#,
        "{}",
        "[]",
        "no",
    ] {
        let forged = format!("{}.{body}.c2ln", BASE64URL_NOPAD.encode(header.as_bytes()));
        let refused = keys.verify::<Value>(&forged, EXPECTED).unwrap_err();
        assert!(
            matches!(refused, VerifyError::Algorithm | VerifyError::Malformed),
            "{header}: {refused}"
        );
    }
    for odd in ["", ".", "..", "a.b", "a.b.c.d", &"a".repeat(70_000)] {
        assert_eq!(
            keys.verify::<Value>(odd, EXPECTED),
            Err(VerifyError::Malformed)
        );
    }
}

#[test]
fn what_is_no_key_is_told_apart_and_shown_to_nobody() {
    let right = generated(2048, false);
    assert_eq!(
        format!("{:?}", SigningKey::from_pem(&right).unwrap()),
        "SigningKey"
    );
    let refused = |text: &[u8]| SigningKey::from_pem(&SecretBytes::copy_from(text)).unwrap_err();
    assert_eq!(refused(b""), KeyError::NotPem);
    assert_eq!(refused(b"ghp_0123456789"), KeyError::NotPem);
    let certificate = pem::encode(&pem::Pem::new("CERTIFICATE", b"x".as_slice()));
    assert_eq!(refused(certificate.as_bytes()), KeyError::OtherBlock);
    let damaged = pem::encode(&pem::Pem::new("RSA PRIVATE KEY", b"x".as_slice()));
    assert_eq!(refused(damaged.as_bytes()), KeyError::NotRsa);
    assert_eq!(refused(generated(1024, true).expose()), KeyError::NotRsa);
}
