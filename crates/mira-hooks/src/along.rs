//! What goes along with an event: where the API is, and a placeholder for each repository that the event is about.
//!
//! Most events are about one. Those that tell that an App was installed, or may see more, list repositories: for each of them the app gets a
//! placeholder of its own, since none is worth anything for two.

use mira_store::ClaimedHook;
use serde::Deserialize;

use crate::targets::{Endpoint, Grant, Placeholders};

/// For how many of the listed repositories there is a placeholder.
// LIMIT: a server reads some hundred KiB of headers at most; an app learns of the others by their own events.
const LISTED_MAX: usize = 100;

/// What goes along with an event.
#[derive(Debug, Default)]
pub(crate) struct Along {
    /// The base of the API that the placeholders are for.
    pub(crate) api: Option<String>,
    /// What stands for a token of the event's repository.
    pub(crate) placeholder: Option<String>,
    /// What stands for tokens of the repositories that the event lists: `owner/name=placeholder`, with commas between.
    pub(crate) listed: Option<String>,
}

/// The repositories that an event lists.
#[derive(Deserialize)]
struct Listing {
    action: String,
    #[serde(default)]
    repositories: Option<Vec<Named>>,
    #[serde(default)]
    repositories_added: Option<Vec<Named>>,
}

#[derive(Deserialize)]
struct Named {
    full_name: String,
}

impl Along {
    /// Returns what goes along with an event to an instance.
    pub(crate) async fn of(
        placeholders: &dyn Placeholders,
        endpoint: &Endpoint,
        claimed: &ClaimedHook,
        body: &str,
    ) -> Self {
        let mut along = Self {
            api: Some(placeholders.api()),
            ..Self::default()
        };
        let installation = claimed.installation.and_then(|id| u64::try_from(id).ok());
        let Some(installation) = installation.filter(|_| !endpoint.permissions.is_empty()) else {
            return along;
        };
        let names = listed_in(&claimed.event, body);
        let grant = |repository| Grant {
            instance: &endpoint.instance,
            app: claimed.sent_to.as_deref(),
            installation,
            repository,
            permissions: &endpoint.permissions,
        };
        along.placeholder = placeholders
            .placeholder(&grant(claimed.repository.as_deref()))
            .await;
        let mut listed = Vec::new();
        for name in &names {
            if let Some(placeholder) = placeholders.placeholder(&grant(Some(name))).await {
                listed.push(format!("{name}={placeholder}"));
            }
        }
        along.listed = Some(listed.join(",")).filter(|listed| !listed.is_empty());
        along
    }
}

/// Returns the repositories that an event says may be seen from now on.
fn listed_in(event: &str, body: &str) -> Vec<String> {
    if !matches!(event, "installation" | "installation_repositories") {
        return Vec::new();
    }
    // One that lists nothing in this form tells of none.
    let Ok(listing) = serde_json::from_str::<Listing>(body) else {
        return Vec::new();
    };
    let listed = match (event, listing.action.as_str()) {
        ("installation", "created" | "unsuspend") => listing.repositories,
        ("installation_repositories", "added") => listing.repositories_added,
        _ => None,
    };
    let names = listed.unwrap_or_default().into_iter();
    names.map(|one| one.full_name).take(LISTED_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_be_seen_from_now_on_is_listed_and_not_without_end() {
        let body = |action: &str, list: &str| {
            format!(
                r#"{{"action":"{action}","{list}":[{{"full_name":"a/b"}},{{"full_name":"a/c"}}]}}"#
            )
        };
        let (added, removed) = (
            body("added", "repositories_added"),
            body("removed", "repositories_removed"),
        );
        assert_eq!(
            listed_in("installation_repositories", &added),
            ["a/b", "a/c"]
        );
        assert!(listed_in("installation_repositories", &removed).is_empty());
        assert!(listed_in("push", &body("created", "repositories")).is_empty());
        let deleted = body("deleted", "repositories");
        assert!(listed_in("installation", &deleted).is_empty());
        for odd in ["[]", "{}", r#"{"action":"created","repositories":null}"#] {
            assert!(listed_in("installation", odd).is_empty(), "{odd}");
        }
        let many = r#"{"full_name":"a/b"},"#.repeat(300);
        let many =
            format!(r#"{{"action":"created","repositories":[{many}{{"full_name":"a/c"}}]}}"#);
        assert_eq!(listed_in("installation", &many).len(), LISTED_MAX);
    }
}
