//! Users are added, changed and removed, and the last admin stays.

use mira_store::{PasswordHash, Role, SharedError, UserId, UserName};

use crate::shared::ground::{DAY, Ground, add, at, hash, new_user, on_both};

on_both! {
    users_are_added_listed_and_found
    one_name_has_one_user
    a_change_of_a_user_is_kept_and_counted
    a_user_who_is_removed_is_gone
    the_last_admin_stays
    who_is_gone_is_not_changed
    the_first_admin_is_the_first_user
}

async fn users_are_added_listed_and_found(ground: Ground) {
    let shared = ground.shared().await;
    assert_eq!(shared.users().await, Ok(vec![]));
    let zoe = add(&shared, "Zoë", Role::Viewer).await;
    let anna = add(&shared, "Anna", Role::Admin).await;
    let mut elsewhere = new_user("bo@example.org", Role::Operator);
    elsewhere.password = None;
    let bo = shared.create_user(&elsewhere, at(DAY)).await.unwrap();
    assert_eq!((anna.name.as_str(), anna.role), ("anna", Role::Admin));
    assert!(anna.has_password && !anna.disabled && !bo.has_password);
    assert_eq!((bo.created, bo.changed), (at(DAY), at(DAY)));

    let again = ground.shared().await;
    let all = [anna.clone(), bo.clone(), zoe];
    assert_eq!(again.users().await, Ok(all.to_vec()));
    assert_eq!(again.user(&bo.id).await, Ok(Some(bo.clone())));
    let name: UserName = "ANNA".parse().unwrap();
    let login = again.login(&name).await.unwrap().unwrap();
    assert_eq!((login.user, login.password), (anna, Some(hash("Anna"))));
    let login = again.login(&bo.name).await.unwrap().unwrap();
    assert_eq!((login.user, login.password), (bo, None));
    let nobody: UserName = "nobody".parse().unwrap();
    assert_eq!(again.user_named(&nobody).await, Ok(None));
}

async fn one_name_has_one_user(ground: Ground) {
    let shared = ground.shared().await;
    let anna = add(&shared, "anna", Role::Admin).await;
    for spelling in ["anna", "ANNA", "Ａnna"] {
        let again = new_user(spelling, Role::Viewer);
        let refused = shared.create_user(&again, at(1)).await;
        let name = anna.name.clone();
        assert_eq!(refused, Err(SharedError::NameTaken { name }));
    }
    assert_eq!(shared.users().await, Ok(vec![anna]));
}

async fn a_change_of_a_user_is_kept_and_counted(ground: Ground) {
    let shared = ground.shared().await;
    add(&shared, "root", Role::Admin).await;
    let anna = add(&shared, "anna", Role::Viewer).await;
    let promoted = shared
        .set_role(&anna.id, Role::Operator, at(1))
        .await
        .unwrap();
    assert_eq!(promoted.role, Role::Operator);
    let other = hash("other");
    let rekeyed = shared
        .set_password(&anna.id, Some(&other), at(2))
        .await
        .unwrap();
    let login = shared.login(&anna.name).await.unwrap().unwrap();
    assert_eq!((login.user, login.password), (rekeyed, Some(other)));
    let disabled = shared.set_disabled(&anna.id, true, at(3)).await.unwrap();
    assert!(disabled.disabled);
    let enabled = shared.set_disabled(&anna.id, false, at(4)).await.unwrap();
    let without = shared.set_password(&anna.id, None, at(5)).await.unwrap();
    assert!(!enabled.disabled && !without.has_password);
    assert_eq!(without.changed, at(5));
    assert_eq!(without.credentials_version, anna.credentials_version + 5);
    assert_eq!(shared.user(&anna.id).await, Ok(Some(without)));
}

async fn a_user_who_is_removed_is_gone(ground: Ground) {
    let shared = ground.shared().await;
    let root = add(&shared, "root", Role::Admin).await;
    let anna = add(&shared, "anna", Role::Admin).await;
    assert_eq!(shared.remove_user(&anna.id).await, Ok(anna.clone()));
    assert_eq!(
        shared.remove_user(&anna.id).await,
        Err(SharedError::NoSuchUser)
    );
    assert_eq!(shared.users().await, Ok(vec![root]));
    let second = add(&shared, "anna", Role::Viewer).await;
    assert_ne!(second.id, anna.id);
}

async fn the_last_admin_stays(ground: Ground) {
    let shared = ground.shared().await;
    let anna = add(&shared, "anna", Role::Admin).await;
    let bo = add(&shared, "bo", Role::Admin).await;
    add(&shared, "zoe", Role::Operator).await;
    let disabled = shared.set_disabled(&bo.id, true, at(1)).await;
    assert!(disabled.unwrap().disabled);
    let before = shared.users().await.unwrap();
    let refused = Err(SharedError::LastAdmin);
    assert_eq!(shared.set_disabled(&anna.id, true, at(2)).await, refused);
    assert_eq!(
        shared.set_role(&anna.id, Role::Operator, at(2)).await,
        refused
    );
    assert_eq!(shared.remove_user(&anna.id).await, refused);
    assert_eq!(shared.users().await, Ok(before));
    // What leaves an admin is done.
    shared.set_role(&anna.id, Role::Admin, at(3)).await.unwrap();
    shared.set_password(&anna.id, None, at(3)).await.unwrap();
    shared.set_disabled(&bo.id, false, at(3)).await.unwrap();
    shared
        .set_role(&anna.id, Role::Viewer, at(4))
        .await
        .unwrap();
    assert_eq!(
        shared.remove_user(&bo.id).await,
        Err(SharedError::LastAdmin)
    );
    shared.remove_user(&anna.id).await.unwrap();
}

async fn who_is_gone_is_not_changed(ground: Ground) {
    let shared = ground.shared().await;
    let id: UserId = "abcdefghijklmnop".parse().unwrap();
    let refused = Err(SharedError::NoSuchUser);
    assert_eq!(shared.set_role(&id, Role::Admin, at(0)).await, refused);
    assert_eq!(shared.set_password(&id, None, at(0)).await, refused);
    assert_eq!(shared.set_disabled(&id, true, at(0)).await, refused);
    assert_eq!(shared.remove_user(&id).await, refused);
    assert_eq!(shared.user(&id).await, Ok(None));
}

async fn the_first_admin_is_the_first_user(ground: Ground) {
    let shared = ground.shared().await;
    let (name, other) = ("anna".parse().unwrap(), "bo".parse().unwrap());
    let first = shared
        .create_first_admin(&name, Some(&hash("a")), at(0))
        .await;
    let first = first.unwrap().unwrap();
    assert_eq!(first.role, Role::Admin);
    assert_eq!(
        shared.create_first_admin(&other, None, at(1)).await,
        Ok(None)
    );
    assert_eq!(shared.users().await, Ok(vec![first]));
}

#[test]
fn a_passwords_hash_is_one_and_is_not_printed() {
    assert_eq!(format!("{:?}", hash("salt")), "PasswordHash");
    let long = format!("${}", "a".repeat(600));
    for wrong in ["", "hunter2", "$a\0", "$a\n", &long] {
        let refused = PasswordHash::new(wrong).unwrap_err();
        assert!(!refused.to_string().contains("hunter2"), "{refused}");
    }
}
