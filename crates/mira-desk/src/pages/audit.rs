//! Who did what.

use axum::extract::{Query, State};
use maud::html;
use mira_store::{AuditAction, AuditCursor, AuditFilter};
use serde::Deserialize;

use super::{Page, badge, page, table, time};
use crate::Handle;
use crate::access::Identity;
use crate::error::DeskError;

/// The rows of a page.
const ROWS: u32 = 100;

/// What is asked for.
#[derive(Debug, Deserialize)]
pub(crate) struct Wanted {
    who: Option<String>,
    action: Option<String>,
    after: Option<String>,
}

/// Shows it, the newest first.
pub(crate) async fn show(
    State(desk): State<Handle>,
    Query(wanted): Query<Wanted>,
    identity: Identity,
) -> Result<Page, DeskError> {
    let action = wanted.action.as_deref().filter(|action| !action.is_empty());
    let action = action
        .map(str::parse::<AuditAction>)
        .transpose()
        .map_err(|_| DeskError::unfit("there is no such action"))?;
    let after = wanted
        .after
        .as_deref()
        .map(str::parse::<AuditCursor>)
        .transpose()
        .map_err(|_| DeskError::unfit("there is no such page"))?;
    let who = wanted.who.filter(|who| !who.is_empty());
    let filter = AuditFilter {
        actor: who.clone(),
        action,
        ..AuditFilter::default()
    };
    let found = desk.shared.audit(&filter, after.as_ref(), ROWS).await?;
    let body = html! {
        h1 { "Audit" }
        form method="get" action="/audit" class="inline" {
            label { "Who" input name="who" value=(who.as_deref().unwrap_or_default()) maxlength="64"; }
            label { "Action" select name="action" { option value="" { "all" } @for known in AuditAction::ALL { option value=(known) selected[action == Some(*known)] { (known) } } } }
            button { "Show" }
        }
        @if found.rows.is_empty() {
            p class="empty" { "Nothing is written down here." }
        } @else {
            (table("Audit", &["Time", "Who", "From", "Action", "What", "Outcome"], &html! {
                @for row in &found.rows {
                    tr {
                        td { (time(row.time)) }
                        th scope="row" { (row.actor) }
                        td { (row.address.as_deref().unwrap_or("-")) }
                        td { code { (row.action) } }
                        td { (row.subject) }
                        td { (badge(&row.outcome)) }
                    }
                }
            }))
            @if let Some(next) = &found.next {
                p { a href={ "/audit?" (form_urlencoded::Serializer::new(String::new()).append_pair("after", &next.to_string()).append_pair("who", who.as_deref().unwrap_or_default()).append_pair("action", action.map_or("", |action| action.as_str())).finish()) } { "Older" } }
            }
        }
    };
    Ok(page(&identity, "/audit", "Audit", &body))
}
