//! What AWS's errors mean, and the answer of STS: XML for STS, JSON for Bedrock.

use http::{HeaderName, StatusCode};
use roxmltree::Document;

use super::Identity;
use crate::call::Answer;
use crate::fault::Fault;
use crate::said::Keys;
use mira_vault::settings::{ModelName, Region};

/// By how much a clock may differ, in seconds.
// LIMIT: AWS refuses signatures that are more than 5 minutes from its own clock.
const SKEW_SECONDS_MAX: i64 = 5 * 60;

/// The header in which services that speak JSON name an error.
const ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");

/// What was asked for.
pub(super) struct Asked<'a> {
    /// The action, as permissions name it.
    pub(super) action: &'a str,
    /// The model, if one was.
    pub(super) model: Option<&'a ModelName>,
    pub(super) region: &'a Region,
    /// Whether the key is a temporary one.
    pub(super) has_token: bool,
    pub(super) keys: &'a Keys,
}

/// Says what a refusal means.
pub(super) fn fault(answer: &Answer, asked: &Asked<'_>) -> Fault {
    let Some((code, message)) = error(answer) else {
        return unnamed(answer, asked);
    };
    let said = asked.keys.clean(&message);
    let skew = answer
        .ahead_s()
        .filter(|ahead| ahead.abs() > SKEW_SECONDS_MAX);
    // A signature that was made at another time is told as one that does not match.
    let is_of_time = code.contains("Signature")
        || matches!(code.as_str(), "RequestTimeTooSkewed" | "RequestExpired");
    if let Some(ahead_s) = skew.filter(|_| is_of_time) {
        return Fault::ClockSkew { ahead_s };
    }
    let status = answer.status.as_u16();
    let at = answer.at.clone();
    match (code.as_str(), asked.model) {
        ("SignatureDoesNotMatch" | "InvalidSignatureException", ..) => Fault::WrongSecretKey,
        ("InvalidClientTokenId" | "UnrecognizedClientException", ..) => match asked.has_token {
            true => Fault::InvalidToken,
            false => Fault::UnknownAccessKey,
        },
        ("InvalidToken", ..) => Fault::InvalidToken,
        ("ExpiredToken" | "ExpiredTokenException", ..) => Fault::ExpiredToken,
        // Of a model that the account was not given, and of one that is not there.
        ("AccessDeniedException", Some(model))
            if !message.contains("is not authorized to perform") =>
        {
            Fault::NoModel {
                model: model.to_string(),
                said,
            }
        }
        (
            "ValidationException" | "ResourceNotFoundException" | "ModelNotReadyException",
            Some(model),
        ) => Fault::NoModel {
            model: model.to_string(),
            said,
        },
        ("AccessDenied" | "AccessDeniedException" | "OptInRequired" | "NotAuthorized", ..) => {
            Fault::NoPermission {
                action: format!("call {}", asked.action),
                said,
            }
        }
        ("ServiceQuotaExceededException", ..) => Fault::QuotaExhausted { said },
        ("ThrottlingException" | "Throttling" | "TooManyRequestsException", ..) => {
            Fault::RateLimited {
                retry_after_s: answer.retry_after_s(),
                said,
            }
        }
        ("UnknownOperationException", ..) if asked.action.starts_with("bedrock:") => {
            Fault::NoBedrock {
                region: asked.region.to_string(),
            }
        }
        _ if answer.status.is_server_error() => Fault::Trouble { at, status, said },
        _ => Fault::Refused {
            at,
            status,
            said: asked.keys.clean(&format!("{code}: {message}")),
        },
    }
}

/// What a refusal means that names no error.
fn unnamed(answer: &Answer, asked: &Asked<'_>) -> Fault {
    let status = answer.status.as_u16();
    let at = answer.at.clone();
    match answer.status {
        StatusCode::TOO_MANY_REQUESTS => Fault::RateLimited {
            retry_after_s: answer.retry_after_s(),
            said: String::new(),
        },
        status if status.is_server_error() => Fault::Trouble {
            at,
            status: status.as_u16(),
            said: String::new(),
        },
        StatusCode::FORBIDDEN if !answer.kind().contains("web page") => Fault::Refused {
            at,
            status,
            said: asked.keys.clean(&answer.text()),
        },
        _ => Fault::NotThisApi {
            at,
            api: "AWS".to_owned(),
            found: answer.kind(),
        },
    }
}

/// Returns an error's code and message.
fn error(answer: &Answer) -> Option<(String, String)> {
    if let Some(body) = answer.json() {
        let text = |name: &str| body.get(name).and_then(|value| value.as_str());
        let named = answer.header(&ERROR_TYPE).or_else(|| text("__type"));
        // `code:http://...` in the header, `namespace#code` in the body.
        let code = named?.split(':').next()?.rsplit('#').next()?.to_owned();
        let message = text("message").or_else(|| text("Message"));
        return Some((code, message.unwrap_or_default().to_owned()));
    }
    let text = answer.text();
    let document = Document::parse(&text).ok()?;
    let code = element(&document, "Code")?;
    Some((code, element(&document, "Message").unwrap_or_default()))
}

/// Reads STS's answer to `GetCallerIdentity`.
pub(super) fn identity(answer: &Answer) -> Option<Identity> {
    let text = answer.text();
    let document = Document::parse(&text).ok()?;
    Some(Identity {
        account: element(&document, "Account")?,
        arn: element(&document, "Arn")?,
    })
}

fn element(document: &Document<'_>, name: &str) -> Option<String> {
    let mut all = document.descendants();
    let found = all.find(|node| node.tag_name().name() == name)?;
    Some(found.text()?.trim().to_owned())
}
