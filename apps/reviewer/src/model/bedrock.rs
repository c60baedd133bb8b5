//! The Converse API of Amazon Bedrock, with requests signed by Signature Version 4.

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4::SigningParams;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::{Answer, Ask, Prepared};
use crate::secret::Key;

pub(super) fn prepare(
    base: &str,
    (access, secret, session): (&Key, &Key, Option<&Key>),
    region: &str,
    model: &str,
    ask: &Ask,
) -> Option<Prepared> {
    let mut body = json!({
        "system": [{"text": ask.system}],
        "messages": [{"role": "user", "content": [{"text": ask.user}]}],
        "inferenceConfig": {"maxTokens": ask.max_tokens},
    });
    if let Some(temperature) = ask.temperature {
        body["inferenceConfig"]["temperature"] = temperature.into();
    }
    if let Some((name, schema)) = &ask.tool {
        body["toolConfig"] = json!({
            "tools": [{"toolSpec": {"name": name, "inputSchema": {"json": schema}}}],
            "toolChoice": {"tool": {"name": name}},
        });
    }
    let body = body.to_string().into_bytes();
    let url = format!(
        "{base}/model/{}/converse",
        utf8_percent_encode(model, NON_ALPHANUMERIC)
    );
    let mut request = http::Request::post(&url)
        .header("content-type", "application/json")
        .body(())
        .ok()?;
    let identity = Credentials::new(
        // EXPOSE: to the signature, which holds none of it, and the session token to AWS.
        access.expose(),
        secret.expose(),
        session.map(|session| session.expose().to_owned()),
        None,
        "reviewer",
    )
    .into();
    let params = SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name("bedrock")
        .time(SystemTime::now())
        .settings(SigningSettings::default())
        .build()
        .ok()?
        .into();
    let typed = [("content-type", "application/json")];
    let signable =
        SignableRequest::new("POST", &url, typed.into_iter(), SignableBody::Bytes(&body)).ok()?;
    let (instructions, _) = sign(signable, &params).ok()?.into_parts();
    instructions.apply_to_request_http1x(&mut request);
    let headers = request.headers().iter();
    let headers = headers.filter_map(|(name, value)| {
        Some((name.to_string(), Key::new(value.to_str().ok()?.to_owned())))
    });
    Some(Prepared {
        url: url.clone(),
        headers: headers.collect(),
        body,
    })
}

pub(super) fn read(value: &Value) -> Option<Answer> {
    let blocks = value["output"]["message"]["content"].as_array()?;
    Some(Answer {
        call: blocks
            .iter()
            .find_map(|block| block.get("toolUse"))
            .map(|call| call["input"].clone()),
        text: blocks
            .iter()
            .filter_map(|block| block["text"].as_str())
            .collect(),
        input_tokens: value["usage"]["inputTokens"].as_u64().unwrap_or(0),
        output_tokens: value["usage"]["outputTokens"].as_u64().unwrap_or(0),
        model: String::new(),
    })
}
