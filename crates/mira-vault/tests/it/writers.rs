//! Many writers at once, and writers that fail.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use mira_vault::VaultError;

use crate::common::{Place, name, new_secret, save, scope, value};

const WRITERS: usize = 32;
const UPDATES: usize = 1_000;

#[test]
fn no_update_of_many_writers_is_lost() {
    let (place, vault) = Place::with_vault();
    let running = AtomicUsize::new(WRITERS);
    thread::scope(|threads| {
        for writer in 0..WRITERS {
            let (place, running) = (&place, &running);
            threads.spawn(move || {
                let mut vault = place.unlock().expect("it opens while others write");
                for update in (writer..UPDATES).step_by(WRITERS) {
                    // Half of the updates are of one secret that all of them replace.
                    let name = match update % 2 {
                        0 => "SHARED".to_owned(),
                        _ => format!("OWN_{writer}"),
                    };
                    let value = format!("{writer} {update}");
                    save(&mut vault, "user", &name, value.as_bytes()).expect("it is saved");
                }
                running.fetch_sub(1, Ordering::Release);
            });
        }
        let mut last = 0;
        while running.load(Ordering::Acquire) > 0 {
            let seen = place
                .unlock()
                .expect("a reader sees a whole document")
                .generation();
            assert!(seen >= last, "{seen} after {last}");
            last = seen;
        }
    });
    let after = place.unlock().unwrap();
    let updates = u64::try_from(UPDATES).unwrap();
    assert_eq!(after.generation(), vault.generation() + updates);
    let versions: u64 = after.secrets().map(mira_vault::Entry::version).sum();
    assert_eq!(versions, updates);
    for entry in after.secrets() {
        assert!(after.value(entry).is_ok(), "{}", entry.name());
    }
    assert_eq!(
        place.files(),
        [
            "credentials.generation",
            "credentials.json",
            "credentials.lock",
            "root.key"
        ]
    );
}

#[test]
fn a_change_that_fails_changes_nothing() {
    let (place, mut vault) = Place::with_vault();
    save(&mut vault, "user", "KEY", b"kept").unwrap();
    let before = place.document();
    let (user, key) = (scope("user"), name("KEY"));
    let failed = vault.update(|draft| {
        draft.remove(&user, &key)?;
        let mut new = new_secret(&key, b"other");
        new.label = Some("two\nlines".to_owned());
        draft.set(&user, &key, new).map(drop)
    });
    assert!(matches!(failed, Err(VaultError::Label(_))));
    assert_eq!(place.document(), before);
    assert_eq!(value(&vault, "user", "KEY").unwrap(), b"kept");
    // Nor does one that changes nothing write anything.
    assert!(
        !vault
            .update(|draft| draft.remove(&user, &name("NONE")))
            .unwrap()
    );
    assert_eq!(place.document(), before);
}

#[test]
fn what_a_killed_writer_left_is_removed() {
    let (place, mut vault) = Place::with_vault();
    for left in [
        "credentials.json.new",
        "credentials.generation.new",
        "root.key.new",
    ] {
        crate::common::put(&place.home.path().join(left), b"half");
    }
    save(&mut vault, "user", "KEY", b"value").unwrap();
    assert_eq!(
        place.files(),
        [
            "credentials.generation",
            "credentials.json",
            "credentials.lock",
            "root.key"
        ]
    );
}

#[test]
fn a_writer_sees_what_others_wrote() {
    let (place, mut one) = Place::with_vault();
    let mut other = place.unlock().unwrap();
    save(&mut one, "user", "ONE", b"1").unwrap();
    save(&mut other, "user", "TWO", b"2").unwrap();
    assert_eq!(value(&other, "user", "ONE").unwrap(), b"1");
    let names: Vec<_> = place
        .unlock()
        .unwrap()
        .secrets()
        .map(|entry| entry.name().to_string())
        .collect();
    assert_eq!(names, ["ONE", "TWO"]);
}
