//! The API of opening packages: sent, looked at, opened with answers to what they ask for.

use std::collections::BTreeMap;

use axum::Json;
use axum::body::Body as Raw;
use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::handler::Handler;
use futures_util::StreamExt as _;
use mira_server::openapi::{Answer, Content, Exchange};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::body::{Body, SecretText};
use crate::Handle;
use crate::access::Identity;
use crate::error::DeskError;
use crate::launch::Password;
use crate::opening::{self, Answers, Incoming, Look, Seen};
use crate::routes::{ADMIN, Routes};

pub(super) fn add(routes: Routes) -> Routes {
    let looked = |takes| Exchange {
        takes: Some(takes),
        answers: Answer::Content(Content::json::<Looked>()),
        ..Exchange::default()
    };
    routes
        .add(
            "POST",
            "/api/v1/packages",
            ADMIN,
            "send a package, and be told what it asks for; it is kept for half an hour, and nothing of it is unpacked or run",
            // It has a limit of its own, that of packages.
            Handler::<_, Handle>::layer(look, DefaultBodyLimit::disable()),
        )
        .with(looked(Content::bytes()))
        .add(
            "POST",
            "/api/v1/packages/{key}/password",
            ADMIN,
            "give the password of an encrypted package; wrong ones are counted",
            give_password,
        )
        .with(looked(Content::json::<GivePassword>()))
        .add(
            "POST",
            "/api/v1/packages/{key}/open",
            ADMIN,
            "open a package that was sent, and save the secrets that it asks for",
            open,
        )
        .with(Exchange {
            takes: Some(Content::json::<Open>()),
            answers: Answer::Content(Content::json::<Opened>()),
            ..Exchange::default()
        })
}

/// What is known of a package that was sent.
#[derive(Serialize, JsonSchema)]
struct Looked {
    /// What the next request calls it: only who sent it can use it.
    key: String,
    /// Whether its password is wanted before more is known.
    encrypted: bool,
    /// Why the password that was given was not taken.
    trouble: Option<String>,
    /// What it is and asks for.
    package: Option<Box<Seen>>,
}

impl From<Look> for Looked {
    fn from(look: Look) -> Self {
        match look {
            Look::Seen(seen) => Self {
                key: seen.key.clone(),
                encrypted: false,
                trouble: None,
                package: Some(seen),
            },
            Look::Encrypted { key, trouble } => Self {
                key,
                encrypted: true,
                trouble: trouble.map(|trouble| trouble.message),
                package: None,
            },
        }
    }
}

async fn look(
    State(desk): State<Handle>,
    identity: Identity,
    request: Request<Raw>,
) -> Result<Json<Looked>, DeskError> {
    let mut incoming = Incoming::begin(&desk)?;
    let mut parts = request.into_body().into_data_stream();
    while let Some(part) = parts.next().await {
        incoming.push(&part.map_err(|_| DeskError::unfit("the package did not come whole"))?)?;
    }
    let look = opening::look(&desk, &identity, incoming.end()?, Password(None)).await?;
    Ok(Json(look.into()))
}

/// The password of a package.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct GivePassword {
    /// It is in no answer, and kept nowhere.
    password: SecretText,
}

async fn give_password(
    State(desk): State<Handle>,
    Path(key): Path<String>,
    identity: Identity,
    Body(GivePassword { password }): Body<GivePassword>,
) -> Result<Json<Looked>, DeskError> {
    let password = password.told(&desk, "password");
    let look = opening::look_with(&desk, &identity, &key, Some(password)).await?;
    Ok(Json(look.into()))
}

/// What is answered to what a package asks for.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Open {
    /// What a new instance is called; as the app is, without.
    name: Option<String>,
    /// The name or id of an instance that is updated, instead of a new one.
    update: Option<String>,
    /// Whether it is taken although its publisher is not the one that is remembered; it gets the secrets then.
    #[serde(default)]
    agree: bool,
    /// Values of secrets that it declares, by their names. They are in no answer.
    #[serde(default)]
    secrets: BTreeMap<String, SecretText>,
}

/// An instance that was opened.
#[derive(Serialize, JsonSchema)]
struct Opened {
    id: String,
    name: String,
}

async fn open(
    State(desk): State<Handle>,
    Path(key): Path<String>,
    identity: Identity,
    Body(body): Body<Open>,
) -> Result<Json<Opened>, DeskError> {
    let secrets = body.secrets.into_iter().map(|(name, value)| {
        let value = value.told(&desk, &name);
        (name, value)
    });
    let answers = Answers {
        name: body.name,
        update: body.update,
        agreed: body.agree,
        secrets: secrets.collect(),
    };
    let instance = opening::open(&desk, &identity, &key, answers).await?;
    Ok(Json(Opened {
        id: instance.id.to_string(),
        name: instance.name.to_string(),
    }))
}
