//! What an instance needs: the secrets that its app declares, and where each comes from.

use maud::{Markup, html};
use mira_package::manifest::{Delivery, Manifest};
use mira_secret::{Scope, SecretName};
use mira_store::Role;

use crate::Desk;
use crate::access::Identity;
use crate::error::DeskError;
use crate::house::Known;
use crate::pages::{badge, table};

/// A declared secret, and where it comes from.
pub(super) struct Wanted {
    name: SecretName,
    pub(super) required: bool,
    description: Option<String>,
    how_to_obtain: Option<String>,
    delivery: &'static str,
    pub(super) source: Option<String>,
    /// Whether it is one of the person's.
    bound: bool,
}

/// Says where each declared secret comes from, and which secrets the person has.
pub(super) async fn wanted(
    desk: &Desk,
    known: &Known,
    manifest: &Manifest,
) -> Result<(Vec<Wanted>, Vec<SecretName>), DeskError> {
    let bindings = desk
        .house
        .instances
        .store()
        .bindings(&known.instance.id)
        .await?;
    let own = Scope::Instance(known.instance.id.as_str().into());
    let listing = desk.custody.listing_if_there().await?;
    let source = |name: &SecretName| {
        let listing = listing.as_deref()?;
        if listing.find(&own, name).is_some() {
            return Some(("its own".to_owned(), false));
        }
        let bound = bindings
            .iter()
            .find(|binding| binding.name == name.as_str())?;
        let secret: SecretName = bound.secret.parse().ok()?;
        listing
            .find(&Scope::User, &secret)
            .map(|entry| (format!("your {}", entry.name()), true))
    };
    let declared = manifest.secrets.iter();
    let declared = declared.map(|declared| (declared, source(&declared.name)));
    let wanted = declared
        .map(|(declared, source)| Wanted {
            name: declared.name.clone(),
            required: declared.required,
            description: declared.description.clone(),
            how_to_obtain: declared.how_to_obtain.clone(),
            delivery: match declared.deliver {
                Delivery::Env => "environment",
                Delivery::File => "file in memory",
                Delivery::Brokered => "brokered: it gets a placeholder",
            },
            bound: source.as_ref().is_some_and(|(_, bound)| *bound),
            source: source.map(|(source, _)| source),
        })
        .collect();
    let all = listing.iter().flat_map(|listing| listing.secrets());
    let yours = all.filter(|entry| *entry.scope() == Scope::User && !entry.name().is_of_server());
    let yours = yours.map(|entry| entry.name().clone()).collect();
    Ok((wanted, yours))
}

pub(super) fn secrets_part(
    here: &str,
    wanted: &[Wanted],
    yours: &[SecretName],
    identity: &Identity,
) -> Markup {
    let admin = identity.may(Role::Admin);
    html! {
        @if !wanted.is_empty() {
            h2 { "Secrets" }
            (table("Secrets", &["Variable", "What for", "Delivery", "From"], &html! {
                @for wanted in wanted {
                    tr {
                        th scope="row" { code { (wanted.name) } @if wanted.required { " (required)" } }
                        td {
                            @if let Some(description) = &wanted.description { (description) }
                            @if let Some(how) = &wanted.how_to_obtain { br; small { "How to obtain it: " (how) } }
                        }
                        td { (wanted.delivery) }
                        td {
                            @match &wanted.source { Some(source) => (source), None => (badge("missing")) }
                            @if wanted.bound && admin {
                                form method="post" action={ (here) "/bindings/" (wanted.name) "/remove" } { button class="quiet" aria-label={ "Take back the binding of " (wanted.name) } { "Take back" } }
                            }
                        }
                    }
                }
            }))
            @if admin && !yours.is_empty() {
                form method="post" action={ (here) "/bindings" } class="inline" {
                    label { "Give it for" select name="name" required { @for wanted in wanted { option value=(wanted.name) selected[wanted.source.is_none()] { (wanted.name) } } } }
                    label { "your secret" select name="secret" required { @for name in yours { option value=(name) { (name) } } } }
                    button { "Bind" }
                }
            }
            @if identity.may(Role::Operator) {
                form method="post" action={ (here) "/secrets" } autocomplete="off" {
                    label { "Variable" select name="name" required { @for wanted in wanted { option value=(wanted.name) selected[wanted.source.is_none()] { (wanted.name) } } } }
                    label { "Value" textarea class="secret" name="value" required rows="1" spellcheck="false" autocomplete="off" {} small { "For this instance alone. A service gets a new value when it is started again." } }
                    button { "Save" }
                }
            }
        }
    }
}
