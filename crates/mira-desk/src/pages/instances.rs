//! The instances of apps, in a list.

use axum::extract::State;
use maud::html;
use mira_store::Role;

use super::{Page, badge, page, table, time};
use crate::Handle;
use crate::access::Identity;
use crate::error::DeskError;

/// Shows all.
pub(crate) async fn list(
    State(desk): State<Handle>,
    identity: Identity,
) -> Result<Page, DeskError> {
    let instances = desk.house.all().await?;
    let body = html! {
        h1 { "Apps" }
        @if instances.is_empty() {
            p class="empty" { "No app was opened yet." }
        } @else {
            (table("Instances", &["Instance", "App", "Version", "State", "Opened"], &html! {
                @for known in &instances {
                    tr {
                        th scope="row" { a href={ "/instances/" (known.instance.id) } { (known.instance.name) } }
                        td { (known.instance.package.app_name) }
                        td { (known.instance.package.app_version) }
                        td { (badge(known.phase())) }
                        td { (time(known.instance.opened)) }
                    }
                }
            }))
        }
        @if identity.may(Role::Admin) { p { a href="/open" { "Open a package" } } }
    };
    Ok(page(&identity, "/instances", "Apps", &body))
}
