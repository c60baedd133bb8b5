//! Webhooks: what comes in, what became of it, what waits; and the one route that takes them.

use axum::extract::{Path, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Redirect, Response};
use jiff::{SignedDuration, Timestamp};
use maud::{Markup, html};
use mira_hooks::Verdict;
use mira_store::{AuditAction, HookEvent, HookEventId, HookFilter, HookState, HookStats, Role};

use super::{Page, badge, page, table, time};
use crate::Handle;
use crate::access::Identity;
use crate::error::DeskError;
use crate::guard::Origin;

/// The most events that are shown.
const ROWS: u32 = 100;

/// How far back requests are counted.
const COUNTED: SignedDuration = SignedDuration::from_hours(24);

/// Takes a webhook. Its own signature is what lets it in.
pub(crate) async fn take(
    State(desk): State<Handle>,
    origin: Origin,
    request: Request,
) -> Result<Response, DeskError> {
    let Some(ingress) = &desk.ingress else {
        return Err(DeskError::not_found("such page"));
    };
    let (head, body) = request.into_parts();
    let answer = ingress.take(&head.headers, origin.address, body).await;
    let kind = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
    let mut response = (answer.status, kind, format!("{}\n", answer.words)).into_response();
    if let Some(seconds) = answer.retry_after {
        let seconds = HeaderValue::from(seconds);
        response.headers_mut().insert(header::RETRY_AFTER, seconds);
    }
    Ok(response)
}

/// Shows how webhooks fare.
pub(crate) async fn show(
    State(desk): State<Handle>,
    identity: Identity,
) -> Result<Page, DeskError> {
    let since = Timestamp::now().saturating_sub(COUNTED);
    let stats = desk
        .shared
        .hook_stats(since.unwrap_or(Timestamp::MIN))
        .await?;
    let events = desk.shared.hooks(&HookFilter::default(), ROWS).await?;
    let may_replay = identity.may(Role::Operator);
    let body = html! {
        h1 { "Webhooks" }
        @if desk.ingress.is_none() {
            p class="hint" { "This server takes none. " code { "mira serve --listen … --hooks" } " takes them at " code { "/webhooks/github" } "." }
        }
        @if number(&stats, Verdict::PreviousSecret) > 0 {
            p class="trouble" role="status" { "Some were signed with the previous secret. Give the new one to the sender, then remove the previous one here." }
        }
        (requests(&stats))
        h2 { "Queue" }
        dl {
            @for (state, number) in &stats.deliveries { dt { (badge(shown(*state))) } dd { (number) } }
            @if let Some(oldest) = stats.oldest { dt { "oldest that waits" } dd { (time(oldest)) } }
            dt { "bytes that wait" } dd { (stats.backlog.bytes) }
        }
        h2 { "Events" }
        @if events.is_empty() {
            p class="empty" { "None has come yet." }
        } @else {
            (table("Events", &["Time", "Event", "About", "For", "State", "Tries", "Answer", ""], &html! {
                @for event in &events { (row(event, may_replay)) }
            }))
        }
    };
    Ok(page(&identity, "/webhooks", "Webhooks", &body))
}

fn number(stats: &HookStats, verdict: Verdict) -> u64 {
    let mut counts = stats.requests.iter();
    let found = counts.find(|count| count.verdict == verdict.as_str());
    found.map_or(0, |count| count.number)
}

fn requests(stats: &HookStats) -> Markup {
    html! {
        h2 { "Requests of the last day" }
        @if stats.requests.is_empty() {
            p class="empty" { "There were none." }
        } @else {
            (table("Requests", &["What came of them", "How many"], &html! {
                @for count in &stats.requests {
                    tr { th scope="row" { (count.verdict.replace('_', " ")) } td { (count.number) } }
                }
            }))
        }
    }
}

/// Returns a state's word, as the desk's colours know it.
const fn shown(state: HookState) -> &'static str {
    match state {
        HookState::Queued => "waiting",
        other => other.as_str(),
    }
}

fn row(event: &HookEvent, may_replay: bool) -> Markup {
    let state = event
        .delivery
        .as_ref()
        .map_or(HookState::Ignored, |one| one.state);
    html! {
        tr {
            td { (time(event.accepted)) }
            th scope="row" { code { (event.event) } @if let Some(action) = &event.action { " " (action) } }
            td { (event.repository.as_deref().unwrap_or("-")) @if let Some(number) = event.number { " #" (number) } }
            td { @if let Some(delivery) = &event.delivery { (delivery.target) } @else { "-" } }
            td { (badge(shown(state))) }
            td { @if let Some(delivery) = &event.delivery { (delivery.attempts) } }
            td { @if let Some(delivery) = &event.delivery { (delivery.answer.as_deref().unwrap_or("-")) } }
            td {
                @if may_replay && state == HookState::Failed {
                    form method="post" action={ "/webhooks/" (event.id) "/replay" } class="inline" { button class="quiet" { "Deliver again" } }
                }
            }
        }
    }
}

/// Queues a failed event again.
pub(crate) async fn replay(
    State(desk): State<Handle>,
    Path(id): Path<String>,
    identity: Identity,
) -> Result<Redirect, DeskError> {
    let id: HookEventId = id
        .parse()
        .map_err(|_| DeskError::new(StatusCode::NOT_FOUND, "there is no such event"))?;
    let done = desk.shared.replay_hook(&id, Timestamp::now()).await;
    desk.told(&identity, AuditAction::HookReplay, id.as_str(), done)
        .await?;
    Ok(Redirect::to("/webhooks"))
}
