//! The pages of people: signing in, users, accounts, the audit; and of what watches the server.

use super::{ADMIN, ANYBODY, Routes, VIEWER};
use crate::access::{login, oidc};
use crate::{assets, metrics, pages};

pub(super) fn add(routes: Routes) -> Routes {
    routes
        .add(
            "GET",
            "/assets/{digest}/{name}",
            ANYBODY,
            "a style sheet or script",
            assets::file,
        )
        .add(
            "GET",
            "/healthz",
            ANYBODY,
            "whether the process serves",
            pages::health::alive,
        )
        .add(
            "GET",
            "/readyz",
            ANYBODY,
            "whether it can do its work",
            pages::health::ready,
        )
        .add(
            "GET",
            "/metrics",
            VIEWER,
            "what a monitor asks for: numbers of requests, sessions, instances",
            metrics::show,
        )
        .add("GET", "/login", ANYBODY, "where one signs in", login::show)
        .add(
            "POST",
            "/login",
            ANYBODY,
            "sign in by name and password",
            login::by_password,
        )
        .add(
            "GET",
            "/login/oidc",
            ANYBODY,
            "sign in through the provider of OpenID Connect",
            oidc::begin_there,
        )
        .add(
            "GET",
            "/login/oidc/callback",
            ANYBODY,
            "where the provider leads back to",
            oidc::come_back,
        )
        .add(
            "GET",
            "/enter/{token}",
            ANYBODY,
            "sign in by a link that works once",
            login::by_link,
        )
        .add("POST", "/logout", VIEWER, "sign out", login::out)
        .add("GET", "/audit", ADMIN, "who did what", pages::audit::show)
        .add(
            "GET",
            "/users",
            ADMIN,
            "who may sign in",
            pages::users::list,
        )
        .add("POST", "/users", ADMIN, "add a user", pages::users::add)
        .add(
            "POST",
            "/users/{id}/role",
            ADMIN,
            "change a user's role",
            pages::users::set_role,
        )
        .add(
            "POST",
            "/users/{id}/password",
            ADMIN,
            "give a user another password",
            pages::users::set_password,
        )
        .add(
            "POST",
            "/users/{id}/disabled",
            ADMIN,
            "let a user in or not",
            pages::users::set_disabled,
        )
        .add(
            "POST",
            "/users/{id}/remove",
            ADMIN,
            "remove a user",
            pages::users::remove,
        )
        .add(
            "GET",
            "/account",
            VIEWER,
            "one's own password, sessions and tokens",
            pages::account::show,
        )
        .add(
            "POST",
            "/account/password",
            VIEWER,
            "change one's own password",
            pages::account::set_password,
        )
        .add(
            "POST",
            "/account/sessions/{id}/end",
            VIEWER,
            "end one of one's own sessions",
            pages::account::end_session,
        )
        .add(
            "POST",
            "/account/tokens",
            VIEWER,
            "make an API token",
            pages::account::make_token,
        )
        .add(
            "POST",
            "/account/tokens/{id}/revoke",
            VIEWER,
            "revoke one of one's own API tokens",
            pages::account::revoke_token,
        )
        .add(
            "GET",
            "/health",
            VIEWER,
            "what this machine and this server are like",
            pages::health::show,
        )
}
