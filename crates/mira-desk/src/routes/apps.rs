//! The pages of apps: their instances, what these call, and what calls them.

use axum::extract::DefaultBodyLimit;
use axum::handler::Handler;

use super::{ADMIN, ANYBODY, OPERATOR, Routes, VIEWER};
use crate::{Handle, pages};

pub(super) fn add(routes: Routes) -> Routes {
    routes
        .add(
            "GET",
            "/instances",
            VIEWER,
            "apps and their instances",
            pages::instances::list,
        )
        .add(
            "GET",
            "/instances/{id}",
            VIEWER,
            "one instance",
            pages::instance::show,
        )
        .add(
            "GET",
            "/instances/{id}/state",
            VIEWER,
            "how its services fare",
            pages::instance::state,
        )
        .add(
            "GET",
            "/instances/{id}/report",
            VIEWER,
            "what an app tells of how it fares",
            pages::report::show,
        )
        .add(
            "GET",
            "/instances/{id}/live",
            VIEWER,
            "its log as it is written",
            pages::instance::live,
        )
        .add(
            "POST",
            "/instances/{id}/start",
            OPERATOR,
            "start it",
            pages::instance::start,
        )
        .add(
            "POST",
            "/instances/{id}/stop",
            OPERATOR,
            "stop it",
            pages::instance::stop,
        )
        .add(
            "POST",
            "/instances/{id}/secrets",
            OPERATOR,
            "save a secret that it declares",
            pages::instance::save_secret,
        )
        .add(
            "POST",
            "/instances/{id}/hosts",
            OPERATOR,
            "decide whether it may call a host",
            pages::instance::decide,
        )
        .add(
            "POST",
            "/instances/{id}/bindings",
            ADMIN,
            "bind a declared secret to one of yours",
            pages::binding::set_one,
        )
        .add(
            "POST",
            "/instances/{id}/bindings/{name}/remove",
            ADMIN,
            "take a binding back",
            pages::binding::remove_one,
        )
        .add(
            "GET",
            "/open",
            ADMIN,
            "choose a package to open",
            pages::open::choose,
        )
        .add(
            "POST",
            "/open",
            ADMIN,
            "upload a package, and show what it asks for",
            // It has a limit of its own, that of packages.
            Handler::<_, Handle>::layer(pages::open::upload, DefaultBodyLimit::disable()),
        )
        .add(
            "POST",
            "/open/path",
            ADMIN,
            "show what a package on this machine asks for",
            pages::open::path,
        )
        .add(
            "POST",
            "/open/{key}/password",
            ADMIN,
            "give the password of an encrypted package",
            pages::open::password,
        )
        .add(
            "POST",
            "/open/{key}",
            ADMIN,
            "open the package that was shown",
            pages::open::open,
        )
        .add(
            "GET",
            "/instances/{id}/snapshots",
            VIEWER,
            "the snapshots of an instance",
            pages::snapshots::list,
        )
        .add(
            "POST",
            "/instances/{id}/snapshots",
            OPERATOR,
            "take a snapshot",
            pages::snapshots::create,
        )
        .add(
            "POST",
            "/instances/{id}/snapshots/{snapshot}/restore",
            OPERATOR,
            "restore a snapshot, and save the state that it replaces",
            pages::snapshots::restore,
        )
        .add(
            "POST",
            "/instances/{id}/snapshots/{snapshot}/remove",
            ADMIN,
            "remove a snapshot",
            pages::snapshots::remove,
        )
        .add(
            "GET",
            "/network",
            VIEWER,
            "what was called, by whom, allowed or not",
            pages::network::show,
        )
        .add(
            "POST",
            "/webhooks/github",
            ANYBODY,
            "a webhook, let in by its signature alone",
            pages::webhooks::take,
        )
        .add(
            "GET",
            "/webhooks",
            VIEWER,
            "how webhooks fare",
            pages::webhooks::show,
        )
        .add(
            "POST",
            "/webhooks/{id}/replay",
            OPERATOR,
            "deliver a failed event again",
            pages::webhooks::replay,
        )
}
