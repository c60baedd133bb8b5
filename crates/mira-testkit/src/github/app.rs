//! The App's own part of the API: its tokens, its installations, the tokens of these.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::serve::{Query, Reply, Who};
use super::state::{State, Token, time, user};

/// By how much a token's times may differ from the clock here.
const LEEWAY_S: i64 = 0;
/// How far ahead a token may end.
const LIFETIME_MAX_S: i64 = 600;

/// Checks a token that an App signed for itself.
pub(super) fn check_jwt(state: &State, token: &str) -> Result<(), Reply> {
    let refuse = |why: &str| Err(Reply::error(401, why));
    let Some(claims) = state.app.key.claims(token) else {
        return refuse("A JSON web token could not be decoded");
    };
    let issuer = match &claims["iss"] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    if issuer != state.app.id.to_string() {
        return Err(Reply::error(404, "Integration not found"));
    }
    let now = state.now_s();
    match claims["iat"].as_i64() {
        Some(issued) if issued <= now + LEEWAY_S => {}
        _ => {
            return refuse(
                "'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued",
            );
        }
    }
    match claims["exp"].as_i64() {
        Some(expires) if expires > now + LIFETIME_MAX_S => {
            refuse("'Expiration time' claim ('exp') is too far in the future")
        }
        Some(expires) if expires > now => Ok(()),
        _ => refuse(
            "'Expiration time' claim ('exp') must be a numeric value representing the future time at which the assertion expires",
        ),
    }
}

pub(super) fn answer(state: &mut State, query: &Query, path: &[&str]) -> Reply {
    if let ["installation", rest @ ..] = path {
        return match (&query.who, &*query.method, rest) {
            (Who::Installation(token), "GET", ["repositories"]) => {
                repositories(state, query, token)
            }
            (Who::Installation(token), "DELETE", ["token"]) => {
                state.tokens.retain(|known| known.text != token.text);
                Reply::empty()
            }
            _ => Reply::error(401, "Bad credentials"),
        };
    }
    if !matches!(query.who, Who::App) {
        return Reply::error(401, "A JSON web token could not be decoded");
    }
    match (&*query.method, path) {
        ("GET", ["app"]) => Reply::ok(&document(state)),
        ("GET", ["app", "installations"]) => {
            let all = state.installations.keys();
            let all = all.map(|id| installation(state, *id)).collect();
            query.page(all)
        }
        ("GET", ["app", "installations", id]) => match known(state, id) {
            Some(id) => Reply::ok(&installation(state, id)),
            None => Reply::not_found(),
        },
        ("POST", ["app", "installations", id, "access_tokens"]) => match known(state, id) {
            Some(id) => mint(state, id, &query.body),
            None => Reply::not_found(),
        },
        _ => Reply::not_found(),
    }
}

/// Answers which installation a repository has.
pub(super) fn of_repository(state: &State, query: &Query, full_name: &str) -> Reply {
    if !matches!(query.who, Who::App) {
        return Reply::error(401, "A JSON web token could not be decoded");
    }
    let mut all = state.installations.iter();
    let found = all.find(|(_, one)| state.repositories_of(one).contains(full_name));
    match found {
        Some((id, _)) => Reply::ok(&installation(state, *id)),
        None => Reply::not_found(),
    }
}

fn known(state: &State, id: &str) -> Option<u64> {
    let id = id.parse().ok()?;
    state.installations.contains_key(&id).then_some(id)
}

fn document(state: &State) -> Value {
    let app = &state.app;
    json!({
        "id": app.id,
        "slug": app.slug,
        "name": app.slug,
        "node_id": format!("A_{}", app.id),
        "owner": user("octo-org"),
        "permissions": {"contents": "read", "metadata": "read"},
        "events": ["pull_request"],
        "installations_count": state.installations.len(),
    })
}

fn installation(state: &State, id: u64) -> Value {
    let Some(one) = state.installations.get(&id) else {
        return Value::Null;
    };
    json!({
        "id": id,
        "account": user(&one.account),
        "app_id": state.app.id,
        "app_slug": state.app.slug,
        "target_type": "Organization",
        "repository_selection": if one.selected.is_some() { "selected" } else { "all" },
        "permissions": one.permissions,
        "events": ["pull_request"],
        "suspended_at": one.suspended.then(|| state.time()),
        "access_tokens_url": format!("{}/app/installations/{id}/access_tokens", state.url),
    })
}

fn mint(state: &mut State, id: u64, asked: &Value) -> Reply {
    let Some(one) = state.installations.get(&id) else {
        return Reply::not_found();
    };
    if one.suspended {
        return Reply::error(403, "This installation has been suspended");
    }
    let mine = state.repositories_of(one);
    let repositories: BTreeSet<String> = match asked["repositories"].as_array() {
        None => mine,
        Some(names) => {
            let names = names.iter().filter_map(Value::as_str);
            let names: BTreeSet<String> = names
                .map(|name| format!("{}/{name}", one.account))
                .collect();
            if names.is_empty() || !names.is_subset(&mine) {
                return Reply::error(
                    422,
                    "There is at least one repository that does not exist or is not accessible to the parent installation.",
                );
            }
            names
        }
    };
    let mut permissions = BTreeMap::new();
    match asked["permissions"].as_object() {
        None => permissions.clone_from(&one.permissions),
        Some(wanted) => {
            for (name, access) in wanted {
                let access = access.as_str().unwrap_or_default();
                let granted = one.permissions.get(name).map(String::as_str);
                if !is_within(access, granted) {
                    return Reply::error(
                        422,
                        "The permissions requested are not granted to this installation.",
                    );
                }
                permissions.insert(name.clone(), access.to_owned());
            }
            permissions.insert("metadata".to_owned(), "read".to_owned());
        }
    }
    let selected = asked["repositories"].is_array();
    let expires_at = time(state.now_s() + state.token_lifetime_s);
    let mut body = json!({
        "expires_at": expires_at,
        "permissions": permissions,
        "repository_selection": if selected { "selected" } else { "all" },
    });
    if selected {
        let documents = repositories
            .iter()
            .filter_map(|name| state.repositories.get(name));
        body["repositories"] = documents.map(|one| one.document(&state.url)).collect();
    }
    body["token"] = json!(state.add_token(id, permissions, repositories));
    Reply::json(201, &body)
}

/// Returns whether what is asked for is within what is granted.
pub(super) fn is_within(asked: &str, granted: Option<&str>) -> bool {
    let rank = |access: &str| {
        ["read", "write", "admin"]
            .iter()
            .position(|known| *known == access)
    };
    match (rank(asked), granted.and_then(rank)) {
        (Some(asked), Some(granted)) => asked <= granted,
        _ => false,
    }
}

fn repositories(state: &State, query: &Query, token: &Token) -> Reply {
    let names = token
        .repositories
        .iter()
        .filter_map(|name| state.repositories.get(name));
    let all = names.map(|one| one.document(&state.url)).collect();
    query.page_in("repositories", all)
}
