//! Sessions begin, are found, grow old and are revoked; one-time links are used once.

use std::time::Duration;

use jiff::Timestamp;
use mira_store::{
    LinkPurpose, NewSession, Role, SessionKind, SessionOf, SessionToken, Shared, SharedError, Who,
};

use crate::shared::ground::{DAY, Ground, HOUR, MINUTE, add, at, hash, on_both};

on_both! {
    a_session_is_found_by_its_token_alone
    a_session_ends_when_it_is_old_or_long_unused
    what_was_used_is_written_down_once_a_minute
    a_session_ends_with_the_credentials_that_it_began_with
    credentials_that_changed_meanwhile_begin_no_session
    sessions_are_revoked_one_by_one_and_all_of_one
    what_is_worth_nothing_is_forgotten
    what_a_browser_says_of_itself_does_no_harm
    a_link_is_used_once_and_in_time
}

pub(crate) fn new(of: SessionOf<'_>) -> NewSession<'_> {
    NewSession {
        of,
        kind: SessionKind::Password,
        idle: Duration::from_secs(3600),
        expires: at(DAY),
        address: Some("::ffff:192.0.2.7".parse().unwrap()),
        user_agent: "Mozilla/5.0",
    }
}

async fn begin(shared: &Shared, of: SessionOf<'_>) -> SessionToken {
    shared.create_session(&new(of), at(0)).await.unwrap().0
}

async fn lives(shared: &Shared, token: &SessionToken, now: Timestamp) -> bool {
    shared.find_session(token, now).await.unwrap().is_some()
}

async fn a_session_is_found_by_its_token_alone(ground: Ground) {
    let shared = ground.shared().await;
    let anna = add(&shared, "anna", Role::Operator).await;
    let made = shared
        .create_session(&new(SessionOf::User(&anna)), at(0))
        .await;
    let (token, session) = made.unwrap();
    assert_eq!(session.address.as_deref(), Some("192.0.2.7"));
    let again = ground.shared().await;
    let found = again.find_session(&token, at(1)).await.unwrap().unwrap();
    assert_eq!(
        (found.session, found.who),
        (session.clone(), Who::User(anna.clone()))
    );
    let other = begin(&shared, SessionOf::User(&anna)).await;
    let found = again.find_session(&other, at(1)).await.unwrap().unwrap();
    assert_ne!(found.session.id, session.id);

    let mut local = new(SessionOf::LocalOwner);
    (local.kind, local.address) = (SessionKind::OneTimeLink, None);
    let (token, session) = shared.create_session(&local, at(0)).await.unwrap();
    let found = again.find_session(&token, at(1)).await.unwrap().unwrap();
    assert_eq!((found.session, found.who), (session, Who::LocalOwner));
    // A token of another store is well-formed, and nothing here.
    let elsewhere = Ground::file().shared().await;
    let foreign = begin(&elsewhere, SessionOf::LocalOwner).await;
    assert_eq!(shared.find_session(&foreign, at(1)).await, Ok(None));
}

async fn a_session_ends_when_it_is_old_or_long_unused(ground: Ground) {
    let shared = ground.shared().await;
    let anna = add(&shared, "anna", Role::Viewer).await;
    let token = begin(&shared, SessionOf::User(&anna)).await;
    assert!(lives(&shared, &token, at(HOUR - 1)).await);
    assert!(
        !lives(&shared, &token, at(2 * HOUR - 1)).await,
        "unused for an hour"
    );
    assert!(
        lives(&shared, &token, at(2 * HOUR - 2)).await,
        "used in time"
    );
    let mut now = 2 * HOUR;
    while now < DAY {
        assert!(lives(&shared, &token, at(now)).await, "{now}");
        now += HOUR / 2;
    }
    assert!(lives(&shared, &token, at(DAY - 1)).await);
    assert!(!lives(&shared, &token, at(DAY)).await, "it is a day old");
    // A clock that is set back ends nothing.
    assert!(lives(&shared, &token, at(-HOUR)).await);
}

async fn what_was_used_is_written_down_once_a_minute(ground: Ground) {
    let shared = ground.shared().await;
    let token = begin(&shared, SessionOf::LocalOwner).await;
    let seen = async |now: i64| {
        let found = shared.find_session(&token, at(now)).await.unwrap();
        found.unwrap().session.last_seen
    };
    assert_eq!(seen(MINUTE - 1).await, at(0));
    assert_eq!(seen(MINUTE).await, at(MINUTE));
    assert_eq!(seen(2 * MINUTE - 1).await, at(MINUTE));
    let listed = shared.sessions_of(None, at(2 * MINUTE)).await.unwrap();
    assert_eq!(listed[0].last_seen, at(MINUTE));
}

async fn a_session_ends_with_the_credentials_that_it_began_with(ground: Ground) {
    let shared = ground.shared().await;
    add(&shared, "root", Role::Admin).await;
    let mut anna = add(&shared, "anna", Role::Viewer).await;
    let bo = add(&shared, "bo", Role::Viewer).await;
    let others = begin(&shared, SessionOf::User(&bo)).await;
    for change in 0..4 {
        let token = begin(&shared, SessionOf::User(&anna)).await;
        assert!(lives(&shared, &token, at(1)).await);
        let changed = match change {
            0 => shared.set_role(&anna.id, Role::Operator, at(1)).await,
            1 => {
                shared
                    .set_password(&anna.id, Some(&hash("new")), at(1))
                    .await
            }
            2 => shared.set_disabled(&anna.id, true, at(1)).await,
            _ => shared.remove_user(&anna.id).await,
        };
        anna = changed.unwrap();
        assert!(!lives(&shared, &token, at(1)).await, "{change}");
        assert_eq!(shared.sessions_of(Some(&anna.id), at(1)).await, Ok(vec![]));
        if anna.disabled && change == 2 {
            anna = shared.set_disabled(&anna.id, false, at(1)).await.unwrap();
            assert!(!lives(&shared, &token, at(1)).await);
        }
    }
    assert!(lives(&shared, &others, at(1)).await);
}

async fn credentials_that_changed_meanwhile_begin_no_session(ground: Ground) {
    let shared = ground.shared().await;
    add(&shared, "root", Role::Admin).await;
    let seen = add(&shared, "anna", Role::Viewer).await;
    let stale = async || {
        let made = shared
            .create_session(&new(SessionOf::User(&seen)), at(2))
            .await;
        assert_eq!(made.map(|_| ()), Err(SharedError::Stale));
    };
    let now = shared
        .set_password(&seen.id, Some(&hash("new")), at(1))
        .await
        .unwrap();
    stale().await;
    shared
        .create_session(&new(SessionOf::User(&now)), at(2))
        .await
        .unwrap();
    let now = shared.set_disabled(&seen.id, true, at(1)).await.unwrap();
    let made = shared
        .create_session(&new(SessionOf::User(&now)), at(2))
        .await;
    assert_eq!(made.map(|_| ()), Err(SharedError::Stale));
    shared.remove_user(&seen.id).await.unwrap();
    stale().await;
}

async fn sessions_are_revoked_one_by_one_and_all_of_one(ground: Ground) {
    let shared = ground.shared().await;
    let anna = add(&shared, "anna", Role::Viewer).await;
    let mut tokens = Vec::new();
    for _ in 0..3 {
        tokens.push(begin(&shared, SessionOf::User(&anna)).await);
    }
    let local = begin(&shared, SessionOf::LocalOwner).await;
    let found = shared.find_session(&tokens[0], at(HOUR / 2)).await.unwrap();
    let first = found.unwrap().session;
    let listed = shared
        .sessions_of(Some(&anna.id), at(HOUR / 2))
        .await
        .unwrap();
    assert_eq!((listed.len(), &listed[0]), (3, &first));
    assert_eq!(shared.revoke_session(&first.id).await, Ok(true));
    assert_eq!(shared.revoke_session(&first.id).await, Ok(false));
    assert!(!lives(&shared, &tokens[0], at(1)).await);
    assert!(lives(&shared, &tokens[1], at(1)).await);
    assert_eq!(shared.revoke_sessions_of(Some(&anna.id)).await, Ok(2));
    assert!(!lives(&shared, &tokens[1], at(1)).await);
    assert!(lives(&shared, &local, at(1)).await);
    assert_eq!(shared.revoke_sessions_of(None).await, Ok(1));
    assert!(!lives(&shared, &local, at(1)).await);
}

async fn what_is_worth_nothing_is_forgotten(ground: Ground) {
    let shared = ground.shared().await;
    let anna = add(&shared, "anna", Role::Viewer).await;
    let used = begin(&shared, SessionOf::User(&anna)).await;
    begin(&shared, SessionOf::User(&anna)).await;
    begin(&shared, SessionOf::LocalOwner).await;
    let link = shared
        .make_link(LinkPurpose::FirstAdmin, at(HOUR), at(0))
        .await
        .unwrap();
    assert_eq!(shared.purge_sessions(at(HOUR - 1)).await, Ok(0));
    assert!(lives(&shared, &used, at(HOUR - 1)).await);
    assert_eq!(shared.purge_sessions(at(HOUR)).await, Ok(3));
    assert!(lives(&shared, &used, at(HOUR)).await);
    assert_eq!(shared.use_link(&link, at(0)).await, Ok(None));
    assert_eq!(shared.purge_sessions(at(DAY)).await, Ok(1));
    assert!(!lives(&shared, &used, at(0)).await);
}

async fn what_a_browser_says_of_itself_does_no_harm(ground: Ground) {
    let shared = ground.shared().await;
    let long = "a".repeat(1_000_000);
    for hostile in [
        "",
        "\0",
        "'; DROP TABLE sessions; --",
        "\u{202e}😀\x1b[2J",
        &long,
    ] {
        let mut new = new(SessionOf::LocalOwner);
        new.user_agent = hostile;
        let (token, session) = shared.create_session(&new, at(0)).await.unwrap();
        assert!(session.user_agent.len() <= 256 && !session.user_agent.contains('\0'));
        let found = shared.find_session(&token, at(1)).await.unwrap().unwrap();
        assert_eq!(found.session, session);
    }
}

async fn a_link_is_used_once_and_in_time(ground: Ground) {
    let shared = ground.shared().await;
    for purpose in LinkPurpose::ALL {
        let link = shared.make_link(*purpose, at(HOUR), at(0)).await.unwrap();
        let again = ground.shared().await;
        assert_eq!(again.use_link(&link, at(1)).await, Ok(Some(*purpose)));
        assert_eq!(shared.use_link(&link, at(1)).await, Ok(None));
        let late = shared.make_link(*purpose, at(HOUR), at(0)).await.unwrap();
        assert_eq!(shared.use_link(&late, at(HOUR)).await, Ok(None));
        assert_eq!(shared.use_link(&late, at(1)).await, Ok(None), "it is gone");
    }
}
