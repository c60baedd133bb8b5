//! Who signs in elsewhere is one user here, known by issuer and subject alone.

use mira_store::{Identity, NewSession, Role, SessionKind, SessionOf, SharedError, UserName};

use crate::shared::ground::{DAY, Ground, add, at, on_both};

on_both! {
    a_new_identity_gets_a_user_and_keeps_it
    nobody_becomes_a_user_by_having_its_name
    another_role_ends_the_sessions
    the_last_admin_is_not_made_less_from_elsewhere
    who_is_disabled_or_removed_does_not_come_back_as_before
    two_tabs_make_one_user
}

const ISSUER: &str = "https://id.example.org";

fn name(text: &str) -> UserName {
    text.parse().unwrap()
}

fn identity<'a>(subject: &'a str, name: &'a UserName, role: Role) -> Identity<'a> {
    Identity {
        issuer: ISSUER,
        subject,
        name,
        role,
    }
}

async fn a_new_identity_gets_a_user_and_keeps_it(ground: Ground) {
    let shared = ground.shared().await;
    let ann = name("ann");
    let first = shared
        .user_of_identity(&identity("1", &ann, Role::Viewer), at(1))
        .await
        .unwrap();
    assert_eq!((&first.name, first.role), (&ann, Role::Viewer));
    assert!(!first.has_password && !first.disabled);
    // Another name at the provider is still the same person.
    let renamed = name("ann.b");
    let again = shared
        .user_of_identity(&identity("1", &renamed, Role::Viewer), at(2))
        .await
        .unwrap();
    assert_eq!(again, first);
    let elsewhere = Identity {
        issuer: "https://id.example.com",
        ..identity("1", &renamed, Role::Viewer)
    };
    let other = shared.user_of_identity(&elsewhere, at(3)).await.unwrap();
    assert_ne!(other.id, first.id);
    for (issuer, subject) in [("", "1"), (ISSUER, ""), (ISSUER, "a\0b")] {
        let odd = Identity {
            issuer,
            ..identity(subject, &ann, Role::Viewer)
        };
        let refused = shared.user_of_identity(&odd, at(3)).await;
        assert!(
            matches!(refused, Err(SharedError::Unfit { .. })),
            "{refused:?}"
        );
    }
}

async fn nobody_becomes_a_user_by_having_its_name(ground: Ground) {
    let shared = ground.shared().await;
    let root = add(&shared, "root", Role::Admin).await;
    let refused = shared
        .user_of_identity(&identity("1", &root.name, Role::Admin), at(1))
        .await;
    let taken = root.name.clone();
    assert_eq!(refused, Err(SharedError::NameTaken { name: taken }));
    assert_eq!(shared.users().await, Ok(vec![root]));
}

async fn another_role_ends_the_sessions(ground: Ground) {
    let shared = ground.shared().await;
    add(&shared, "root", Role::Admin).await;
    let ann = name("ann");
    let user = shared
        .user_of_identity(&identity("1", &ann, Role::Admin), at(1))
        .await
        .unwrap();
    let session = NewSession {
        of: SessionOf::User(&user),
        kind: SessionKind::Oidc,
        idle: std::time::Duration::from_secs(3600),
        expires: at(DAY),
        address: None,
        user_agent: "",
    };
    let (token, _) = shared.create_session(&session, at(1)).await.unwrap();
    let same = shared
        .user_of_identity(&identity("1", &ann, Role::Admin), at(2))
        .await
        .unwrap();
    assert_eq!(same, user);
    assert!(shared.find_session(&token, at(3)).await.unwrap().is_some());
    let less = shared
        .user_of_identity(&identity("1", &ann, Role::Viewer), at(4))
        .await
        .unwrap();
    assert_eq!(less.role, Role::Viewer);
    assert!(shared.find_session(&token, at(5)).await.unwrap().is_none());
}

async fn the_last_admin_is_not_made_less_from_elsewhere(ground: Ground) {
    let shared = ground.shared().await;
    let ann = name("ann");
    let admin = identity("1", &ann, Role::Admin);
    let user = shared.user_of_identity(&admin, at(1)).await.unwrap();
    let less = identity("1", &ann, Role::Viewer);
    let refused = shared.user_of_identity(&less, at(2)).await;
    assert_eq!(refused, Err(SharedError::LastAdmin));
    assert_eq!(shared.user(&user.id).await, Ok(Some(user)));
}

async fn who_is_disabled_or_removed_does_not_come_back_as_before(ground: Ground) {
    let shared = ground.shared().await;
    add(&shared, "root", Role::Admin).await;
    let ann = name("ann");
    let as_ann = identity("1", &ann, Role::Operator);
    let user = shared.user_of_identity(&as_ann, at(1)).await.unwrap();
    shared.set_disabled(&user.id, true, at(2)).await.unwrap();
    let disabled = shared.user_of_identity(&as_ann, at(3)).await.unwrap();
    assert!(disabled.disabled && disabled.id == user.id);
    shared.remove_user(&user.id).await.unwrap();
    let anew = shared.user_of_identity(&as_ann, at(4)).await.unwrap();
    assert!(!anew.disabled && anew.id != user.id);
}

async fn two_tabs_make_one_user(ground: Ground) {
    let (one, other) = (ground.shared().await, ground.shared().await);
    let ann = name("ann");
    let as_ann = identity("1", &ann, Role::Operator);
    let (first, second) = tokio::join!(
        one.user_of_identity(&as_ann, at(1)),
        other.user_of_identity(&as_ann, at(1))
    );
    assert_eq!(first.unwrap().id, second.unwrap().id);
}
