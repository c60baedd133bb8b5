//! The audit is written, read page by page, filtered and cut; nothing that is written into it does harm.

use mira_store::{
    Actor, AuditAction, AuditCursor, AuditEntry, AuditFilter, Outcome, Role, Shared, Who,
};

use crate::shared::ground::{DAY, Ground, add, at, on_both};

on_both! {
    what_was_done_is_read_page_by_page_the_newest_first
    the_audit_is_filtered
    a_name_stays_as_it_was
    old_rows_go_by_time_and_by_number
    hostile_subjects_are_cut_and_cleaned
    every_action_and_outcome_is_taken
}

fn entry(subject: &str) -> AuditEntry<'_> {
    AuditEntry {
        actor: Actor::LocalOwner,
        address: None,
        action: AuditAction::SecretSet,
        subject,
        outcome: Outcome::Ok,
    }
}

async fn subjects(shared: &Shared, filter: &AuditFilter, rows_max: u32) -> Vec<String> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = shared
            .audit(filter, after.as_ref(), rows_max)
            .await
            .unwrap();
        assert!(page.rows.len() <= rows_max as usize);
        all.extend(page.rows.into_iter().map(|row| row.subject));
        let Some(next) = page.next else { return all };
        after = Some(next.to_string().parse().unwrap());
    }
}

async fn what_was_done_is_read_page_by_page_the_newest_first(ground: Ground) {
    let shared = ground.shared().await;
    let all = AuditFilter::default();
    assert!(subjects(&shared, &all, 10).await.is_empty());
    for number in 0..20_i64 {
        // Several in one moment.
        let name = format!("NAME_{number:02}");
        shared.record(&entry(&name), at(number / 5)).await.unwrap();
    }
    let whole = subjects(&shared, &all, 1_000).await;
    assert_eq!(whole.len(), 20);
    for rows_max in [1, 3, 5, 19, 20, 21] {
        assert_eq!(subjects(&shared, &all, rows_max).await, whole, "{rows_max}");
    }
    let mut moments: Vec<Vec<String>> = whole.chunks(5).map(<[String]>::to_vec).collect();
    moments.iter_mut().for_each(|moment| moment.sort());
    moments.reverse();
    let expected: Vec<String> = (0..20).map(|number| format!("NAME_{number:02}")).collect();
    assert_eq!(moments.concat(), expected);
    // What is added meanwhile moves no page.
    let page = shared.audit(&all, None, 5).await.unwrap();
    shared.record(&entry("LATER"), at(9)).await.unwrap();
    let next = shared.audit(&all, page.next.as_ref(), 5).await.unwrap();
    let names: Vec<&String> = next.rows.iter().map(|row| &row.subject).collect();
    assert_eq!(names, whole[5..10].iter().collect::<Vec<_>>());
}

async fn the_audit_is_filtered(ground: Ground) {
    let shared = ground.shared().await;
    let anna = add(&shared, "anna", Role::Admin).await;
    let who = Who::User(anna);
    for number in 0..12 {
        let mut entry = entry(["ONE", "TWO"][number % 2]);
        if number % 3 == 0 {
            entry.actor = Actor::of(&who);
            entry.address = Some("::ffff:192.0.2.9".parse().unwrap());
        }
        if number % 4 == 0 {
            entry.action = AuditAction::SecretRemove;
        }
        shared.record(&entry, at(number as i64)).await.unwrap();
    }
    let count = async |filter: AuditFilter| {
        let page = shared.audit(&filter, None, 100).await.unwrap();
        page.rows.len()
    };
    let all = AuditFilter::default();
    let actor = Some("anna".to_owned());
    assert_eq!(
        count(AuditFilter {
            actor,
            ..all.clone()
        })
        .await,
        4
    );
    let actor = Some("a\0".to_owned());
    assert_eq!(
        count(AuditFilter {
            actor,
            ..all.clone()
        })
        .await,
        0
    );
    let action = Some(AuditAction::SecretRemove);
    assert_eq!(
        count(AuditFilter {
            action,
            ..all.clone()
        })
        .await,
        3
    );
    let subject = Some("TWO".to_owned());
    assert_eq!(
        count(AuditFilter {
            subject,
            ..all.clone()
        })
        .await,
        6
    );
    let (since, until) = (Some(at(3)), Some(at(8)));
    assert_eq!(
        count(AuditFilter {
            since,
            until,
            ..all.clone()
        })
        .await,
        5
    );
    let rows = shared.audit(&all, None, 100).await.unwrap().rows;
    assert_eq!(rows[2].address.as_deref(), Some("192.0.2.9"));
    assert_eq!(
        (rows[2].action.as_str(), rows[2].outcome.as_str()),
        ("secret.set", "ok")
    );
    assert_eq!(
        (rows[0].actor.as_str(), &rows[0].actor_id),
        ("local", &None)
    );
}

async fn a_name_stays_as_it_was(ground: Ground) {
    let shared = ground.shared().await;
    add(&shared, "root", Role::Admin).await;
    let local = add(&shared, "local", Role::Admin).await;
    let (id, name) = (&local.id, &local.name);
    let mut by_user = entry("KEY");
    by_user.actor = Actor::User { id, name };
    shared.record(&by_user, at(0)).await.unwrap();
    shared.remove_user(&local.id).await.unwrap();
    let row = shared
        .audit(&AuditFilter::default(), None, 1)
        .await
        .unwrap()
        .rows
        .remove(0);
    // A user of that name is told from the owner by the id.
    assert_eq!(
        (row.actor.as_str(), row.actor_id.as_deref()),
        ("local", Some(id.as_str()))
    );
}

async fn old_rows_go_by_time_and_by_number(ground: Ground) {
    let shared = ground.shared().await;
    for number in 0..10 {
        shared
            .record(&entry(&number.to_string()), at(number * DAY))
            .await
            .unwrap();
    }
    let all = AuditFilter::default();
    assert_eq!(shared.purge_audit(at(3 * DAY), 100).await, Ok(3));
    assert_eq!(shared.purge_audit(at(3 * DAY), 100).await, Ok(0));
    assert_eq!(shared.purge_audit(at(0), 4).await, Ok(3));
    assert_eq!(subjects(&shared, &all, 100).await, ["9", "8", "7", "6"]);
    assert_eq!(shared.purge_audit(at(8 * DAY), 1).await, Ok(3));
    assert_eq!(subjects(&shared, &all, 100).await, ["9"]);
}

async fn hostile_subjects_are_cut_and_cleaned(ground: Ground) {
    let shared = ground.shared().await;
    let long = "😀".repeat(250_000);
    for hostile in [
        "\0",
        "'; DROP TABLE audit; --",
        "\x1b]0;x\x07\n\u{202e}",
        "<script>",
        &long,
    ] {
        shared.record(&entry(hostile), at(0)).await.unwrap();
    }
    let read = subjects(&shared, &AuditFilter::default(), 100).await;
    assert_eq!(read.len(), 5);
    let is_plain = |text: &String| text.len() <= 256 && !text.contains(char::is_control);
    assert!(read.iter().all(is_plain), "{read:?}");
    assert!(read.contains(&"'; DROP TABLE audit; --".to_owned()));
}

async fn every_action_and_outcome_is_taken(ground: Ground) {
    let shared = ground.shared().await;
    for action in AuditAction::ALL {
        for outcome in Outcome::ALL {
            let mut entry = entry("x");
            (entry.action, entry.outcome) = (*action, *outcome);
            entry.actor = Actor::Nobody;
            shared.record(&entry, at(0)).await.unwrap();
        }
        assert_eq!(action.as_str().parse(), Ok(*action));
    }
    let rows = shared
        .audit(&AuditFilter::default(), None, 1_000)
        .await
        .unwrap()
        .rows;
    assert_eq!(rows.len(), AuditAction::ALL.len() * Outcome::ALL.len());
}

#[test]
fn a_place_in_the_audit_is_one_that_was_told() {
    for wrong in [
        "",
        ".",
        "1",
        "1.",
        "1.abc",
        "x.abcdefghijklmnop",
        "1.ABCDEFGHIJKLMNOP",
        "1.'; DROP",
    ] {
        assert!(wrong.parse::<AuditCursor>().is_err(), "{wrong:?}");
    }
    let place: AuditCursor = "-1.abcdefghijklmnop".parse().unwrap();
    assert_eq!(place.to_string(), "-1.abcdefghijklmnop");
}
