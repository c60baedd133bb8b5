//! API tokens act for their user, never beyond that one's role, until they end.

use mira_store::{ApiToken, NewApiToken, Role, SharedError, TokenScope, User};

use crate::shared::ground::{Ground, HOUR, MINUTE, add, at, on_both};

on_both! {
    a_token_acts_for_its_user
    a_token_never_reaches_further_than_its_user
    a_token_ends_when_it_is_old_or_revoked_or_its_user_is_gone
    a_tokens_name_is_a_line
}

fn new(user: &User, scope: TokenScope) -> NewApiToken<'_> {
    NewApiToken {
        user: &user.id,
        name: "nightly job",
        scope,
        expires: None,
    }
}

async fn a_token_acts_for_its_user(ground: Ground) {
    let shared = ground.shared().await;
    let anna = add(&shared, "anna", Role::Operator).await;
    let bo = add(&shared, "bo", Role::Viewer).await;
    let made = shared
        .create_api_token(&new(&anna, TokenScope::Read), at(0))
        .await;
    let (token, entry) = made.unwrap();
    let other = shared
        .create_api_token(&new(&bo, TokenScope::Read), at(1))
        .await
        .unwrap();
    assert_eq!(
        (entry.name.as_str(), entry.last_used),
        ("nightly job", None)
    );
    let again = ground.shared().await;
    assert_eq!(
        again.api_tokens(Some(&anna.id)).await,
        Ok(vec![entry.clone()])
    );
    assert_eq!(
        again.api_tokens(None).await,
        Ok(vec![entry.clone(), other.1])
    );

    let token = ApiToken::parse(token.expose().as_bytes()).unwrap();
    let used = async |now: i64| {
        again
            .find_api_token(&token, at(now))
            .await
            .unwrap()
            .unwrap()
    };
    let bearer = used(5).await;
    assert_eq!((bearer.user, bearer.scope), (anna, TokenScope::Read));
    assert_eq!(bearer.token.id, entry.id);
    assert_eq!(used(5 + MINUTE - 1).await.token.last_used, Some(at(5)));
    assert_eq!(used(5 + MINUTE).await.token.last_used, Some(at(5 + MINUTE)));
    let listed = shared.api_tokens(Some(&entry.user)).await.unwrap();
    assert_eq!(listed[0].last_used, Some(at(5 + MINUTE)));
}

async fn a_token_never_reaches_further_than_its_user(ground: Ground) {
    let shared = ground.shared().await;
    add(&shared, "root", Role::Admin).await;
    let anna = add(&shared, "anna", Role::Operator).await;
    let refused = shared
        .create_api_token(&new(&anna, TokenScope::Admin), at(0))
        .await;
    assert_eq!(refused.map(|_| ()), Err(SharedError::ScopeAboveRole));
    let made = shared
        .create_api_token(&new(&anna, TokenScope::Operate), at(0))
        .await;
    let token = made.unwrap().0;
    let scope = async || {
        let bearer = shared.find_api_token(&token, at(1)).await.unwrap();
        bearer.unwrap().scope
    };
    assert_eq!(scope().await, TokenScope::Operate);
    shared
        .set_role(&anna.id, Role::Viewer, at(1))
        .await
        .unwrap();
    assert_eq!(scope().await, TokenScope::Read);
    shared.set_role(&anna.id, Role::Admin, at(1)).await.unwrap();
    assert_eq!(scope().await, TokenScope::Operate);
}

async fn a_token_ends_when_it_is_old_or_revoked_or_its_user_is_gone(ground: Ground) {
    let shared = ground.shared().await;
    add(&shared, "root", Role::Admin).await;
    let anna = add(&shared, "anna", Role::Operator).await;
    let mut mortal = new(&anna, TokenScope::Read);
    mortal.expires = Some(at(HOUR));
    let (token, entry) = shared.create_api_token(&mortal, at(0)).await.unwrap();
    let works = async |now: i64| {
        shared
            .find_api_token(&token, at(now))
            .await
            .unwrap()
            .is_some()
    };
    assert!(works(HOUR - 1).await && !works(HOUR).await);
    shared.set_disabled(&anna.id, true, at(1)).await.unwrap();
    assert!(!works(1).await);
    let refused = shared.create_api_token(&mortal, at(0)).await;
    assert_eq!(refused.map(|_| ()), Err(SharedError::NoSuchUser));
    shared.set_disabled(&anna.id, false, at(1)).await.unwrap();
    assert!(works(1).await);
    let revoked = shared.revoke_api_token(&entry.id).await.unwrap().unwrap();
    assert_eq!(revoked.id, entry.id);
    assert!(!works(1).await);
    assert_eq!(shared.revoke_api_token(&entry.id).await, Ok(None));
    let (token, _) = shared.create_api_token(&mortal, at(0)).await.unwrap();
    shared.remove_user(&anna.id).await.unwrap();
    assert_eq!(shared.find_api_token(&token, at(1)).await, Ok(None));
    assert_eq!(shared.api_tokens(None).await, Ok(vec![]));
}

async fn a_tokens_name_is_a_line(ground: Ground) {
    let shared = ground.shared().await;
    let anna = add(&shared, "anna", Role::Operator).await;
    let long = "a".repeat(1_000_000);
    for wrong in ["", "a\0b", "a\nb", "\x1b[2J", &long] {
        let mut new = new(&anna, TokenScope::Read);
        new.name = wrong;
        let refused = shared.create_api_token(&new, at(0)).await;
        assert!(
            matches!(refused, Err(SharedError::Unfit { .. })),
            "{wrong:.9}"
        );
    }
    for right in ["'; DROP TABLE api_tokens; --", "😀", "ü"] {
        let mut new = new(&anna, TokenScope::Read);
        new.name = right;
        let (_, entry) = shared.create_api_token(&new, at(0)).await.unwrap();
        assert_eq!(entry.name, right);
        assert!(shared.api_tokens(None).await.unwrap().contains(&entry));
    }
}
