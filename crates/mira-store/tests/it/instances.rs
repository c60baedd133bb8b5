//! Instances are made under a free name, found by what people write, changed, and deleted in two steps.

use std::future::{Future, poll_fn};
use std::task::Poll;

use mira_store::{Desired, InstanceName, PackageFacts, PortRequest, StoreError};

use crate::common::{Place, named, new, package, run};

#[test]
fn an_instance_is_what_was_put_in() {
    let place = Place::new();
    run(async {
        let store = place.store().await;
        let mut wanted = named("mine");
        wanted.package.publisher_key = Some("RWQ1".to_owned());
        let made = store.insert_instance(&wanted).await.unwrap();
        assert_eq!(made.name, "mine".parse().unwrap());
        assert!(made.id.as_str().starts_with("readlater-"), "{}", made.id);
        assert_eq!(made.app_id, wanted.app_id);
        assert_eq!(made.package, wanted.package);
        assert_eq!(made.created, made.opened);
        assert_eq!((made.desired, made.deleting), (Desired::Stopped, false));
        // Another pool reads the same.
        let other = place.store().await;
        assert_eq!(other.instance(&made.id).await.as_ref(), Ok(&made));
        assert_eq!(other.instances().await.unwrap(), [made]);
    });
}

#[test]
fn names_are_free_and_a_taken_one_is_refused() {
    let place = Place::new();
    run(async {
        let store = place.store().await;
        for expect in ["readlater", "readlater-2", "readlater-3"] {
            let made = store.insert_instance(&new()).await.unwrap();
            assert_eq!(made.name.as_str(), expect);
        }
        let second = store.find("readlater-2").await.unwrap();
        store.begin_delete(&second.id).await.unwrap();
        let made = store.insert_instance(&new()).await.unwrap();
        assert_eq!(
            made.name.as_str(),
            "readlater-4",
            "a name is kept until the end"
        );
        let taken = store.insert_instance(&named("readlater-2")).await;
        let name: InstanceName = "readlater-2".parse().unwrap();
        assert_eq!(taken, Err(StoreError::NameTaken { name: name.clone() }));
        store.finish_delete(&second.id).await.unwrap();
        let made = store.insert_instance(&new()).await.unwrap();
        assert_eq!(made.name, name);
        assert_eq!(store.instances().await.unwrap().len(), 4);
    });
}

#[test]
fn a_name_is_never_another_instances_id() {
    let place = Place::new();
    run(async {
        let store = place.store().await;
        let victim = store.insert_instance(&new()).await.unwrap();
        let id = victim.id.as_str();
        let refused = store.insert_instance(&named(id)).await;
        assert!(matches!(refused, Err(StoreError::NameTaken { .. })));
        // Nor does an app get it whose id was made for that.
        let mut evil = new();
        evil.app_id = format!("org.example.{id}");
        let evil = store.insert_instance(&evil).await.unwrap();
        assert_eq!(evil.name.as_str(), format!("{id}-2"));
        let renamed = store.rename(&evil.id, &id.parse().unwrap()).await;
        assert!(matches!(renamed, Err(StoreError::NameTaken { .. })));
        assert_eq!(store.find(id).await.unwrap(), victim);
    });
}

#[test]
fn an_instance_is_found_by_what_people_write() {
    let place = Place::new();
    run(async {
        let store = place.store().await;
        let one = store.insert_instance(&new()).await.unwrap();
        let two = store.insert_instance(&named("two")).await.unwrap();
        let mut other = named("other");
        other.app_id = "org.example.notes".to_owned();
        let other = store.insert_instance(&other).await.unwrap();
        for wanted in ["readlater", one.id.as_str()] {
            assert_eq!(store.find(wanted).await.unwrap(), one, "{wanted}");
        }
        for wanted in ["other", "note", "notes-", other.id.as_str()] {
            assert_eq!(store.find(wanted).await.unwrap(), other, "{wanted}");
        }
        let mut candidates = vec![one.id.clone(), two.id.clone()];
        candidates.sort();
        let ambiguous = store.find("readlater-").await.unwrap_err();
        assert!(
            ambiguous.to_string().contains(one.id.as_str()),
            "{ambiguous}"
        );
        assert_eq!(ambiguous, StoreError::Ambiguous { candidates });
        // Nothing of a pattern is a pattern here.
        for wanted in [
            "",
            "x",
            "%",
            "note_",
            "*",
            "note%",
            "' OR 1=1 --",
            "notes-\0",
        ] {
            let refused = store.find(wanted).await.unwrap_err();
            assert_eq!(refused, StoreError::NotFound, "{wanted}");
        }
        // What is being deleted is no candidate, and is told apart from what never was.
        store.begin_delete(&two.id).await.unwrap();
        assert_eq!(store.find("readlater-").await.unwrap(), one);
        for wanted in ["two", two.id.as_str()] {
            let id = two.id.clone();
            assert_eq!(store.find(wanted).await, Err(StoreError::Deleting { id }));
        }
    });
}

#[test]
fn an_instance_is_renamed_updated_opened_and_started() {
    let place = Place::new();
    run(async {
        let store = place.store().await;
        let one = store.insert_instance(&named("one")).await.unwrap();
        let two = store.insert_instance(&named("two")).await.unwrap();
        let name: InstanceName = "three".parse().unwrap();
        store.rename(&one.id, &name).await.unwrap();
        store.rename(&one.id, &name).await.unwrap();
        let taken = store.rename(&two.id, &name).await;
        assert_eq!(taken, Err(StoreError::NameTaken { name: name.clone() }));

        let signed = PackageFacts {
            app_version: "2.0.0".to_owned(),
            digest: "cd".repeat(32),
            publisher_key: Some("RWQ1".to_owned()),
            ..package()
        };
        store.update_package(&one.id, &signed).await.unwrap();
        store.set_desired(&one.id, Desired::Running).await.unwrap();
        store.record_open(&one.id).await.unwrap();
        let now = store.instance(&one.id).await.unwrap();
        assert_eq!((&now.name, &now.package), (&name, &signed));
        assert_eq!(now.desired, Desired::Running);
        assert_eq!(now.created, one.created);
        assert!(now.opened >= one.opened);
        assert_eq!(store.instance(&two.id).await.unwrap(), two, "siblings stay");
    });
}

#[test]
fn a_seen_key_stays_and_agreement_is_to_one_package() {
    let place = Place::new();
    run(async {
        let store = place.store().await;
        let mut signed = new();
        signed.package.publisher_key = Some("RWQ1".to_owned());
        let id = store.insert_instance(&signed).await.unwrap().id;
        store.update_package(&id, &package()).await.unwrap();
        let found = store.instance(&id).await.unwrap().package;
        assert_eq!(found.publisher_key.as_deref(), Some("RWQ1"));
        assert!(!found.unsigned_agreed);

        assert!(!store.agree_unsigned(&id, "another digest").await.unwrap());
        assert!(!store.instance(&id).await.unwrap().package.unsigned_agreed);
        assert!(store.agree_unsigned(&id, &package().digest).await.unwrap());
        assert!(store.instance(&id).await.unwrap().package.unsigned_agreed);
        store.update_package(&id, &package()).await.unwrap();
        assert!(!store.instance(&id).await.unwrap().package.unsigned_agreed);
    });
}

#[test]
fn a_deletion_is_found_until_it_is_finished_and_takes_all_with_it() {
    let place = Place::new();
    run(async {
        let store = place.store().await;
        let gone = store.insert_instance(&new()).await.unwrap();
        let stays = store.insert_instance(&new()).await.unwrap();
        for id in [&gone.id, &stays.id] {
            let request = port("web");
            store.set_binding(id, "KEY", "OPENAI").await.unwrap();
            store.set_setting(id, "URL", "x").await.unwrap();
            store.decide(id, "api.example.org", true).await.unwrap();
            store.allocate_port(id, &request, &|_| true).await.unwrap();
        }
        let refused = store.finish_delete(&gone.id).await;
        let id = gone.id.clone();
        assert_eq!(refused, Err(StoreError::DeletionNotBegun { id }));
        for _ in 0..2 {
            let begun = store.begin_delete(&gone.id).await.unwrap();
            assert!(begun.deleting);
        }
        store.close().await;

        // Whoever comes later finds it.
        let store = place.store().await;
        let found = store.deleting().await.unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].id, gone.id);
        assert_eq!(
            store.instances().await.unwrap(),
            std::slice::from_ref(&stays)
        );
        for _ in 0..2 {
            store.finish_delete(&gone.id).await.unwrap();
        }
        assert_eq!(store.deleting().await.unwrap(), []);
        assert_eq!(store.instance(&gone.id).await, Err(StoreError::NotFound));
        assert_eq!(
            store.begin_delete(&gone.id).await,
            Err(StoreError::NotFound)
        );
        assert_eq!(store.bindings(&gone.id).await.unwrap(), []);
        assert_eq!(store.settings(&gone.id).await.unwrap(), []);
        assert_eq!(store.ports(&gone.id).await.unwrap(), []);
        assert_eq!(store.decisions(&gone.id).await.unwrap(), []);
        assert_eq!(store.bindings(&stays.id).await.unwrap().len(), 1);
        assert_eq!(store.settings(&stays.id).await.unwrap().len(), 1);
        assert_eq!(store.ports(&stays.id).await.unwrap().len(), 1);
        assert_eq!(store.decisions(&stays.id).await.unwrap().len(), 1);
        store.check().await.unwrap();
    });
}

#[test]
fn nothing_is_added_to_an_instance_that_is_being_deleted_or_gone() {
    let place = Place::new();
    run(async {
        let store = place.store().await;
        let instance = store.insert_instance(&new()).await.unwrap();
        let id = &instance.id;
        let name: InstanceName = "other".parse().unwrap();
        store.begin_delete(id).await.unwrap();
        let mut expect = StoreError::Deleting { id: id.clone() };
        for _ in 0..2 {
            let web = port("web");
            let refused = [
                store.rename(id, &name).await,
                store.update_package(id, &package()).await,
                store.agree_unsigned(id, &package().digest).await.map(drop),
                store.record_open(id).await,
                store.set_desired(id, Desired::Running).await,
                store.set_binding(id, "KEY", "OPENAI").await,
                store.set_setting(id, "URL", "x").await,
                store.decide(id, "api.example.org", true).await,
                store.allocate_port(id, &web, &|_| true).await.map(drop),
            ];
            for refused in refused {
                assert_eq!(refused, Err(expect.clone()));
            }
            store.finish_delete(id).await.unwrap();
            expect = StoreError::NotFound;
        }
    });
}

#[test]
fn texts_that_are_not_fit_are_refused_and_not_repeated() {
    let place = Place::new();
    run(async {
        let store = place.store().await;
        let id = store.insert_instance(&new()).await.unwrap().id;
        let bad = "canary\x1b[2J";
        let mut app = new();
        app.app_id = bad.to_owned();
        let mut version = new();
        version.package.app_version = bad.to_owned();
        let refused = [
            store.insert_instance(&app).await.map(drop),
            store.insert_instance(&version).await.map(drop),
            store.set_binding(&id, bad, "OPENAI").await,
            store.set_binding(&id, "KEY", bad).await,
            store.set_setting(&id, bad, "x").await,
            store.decide(&id, bad, true).await,
            store.set_setting(&id, "URL", "canary\0").await,
            store
                .allocate_port(&id, &port(bad), &|_| true)
                .await
                .map(drop),
            store.remember_publisher("app", bad, "x").await.map(drop),
            store.update_guess(bad, |_| (None, ())).await,
            store
                .update_guess("ab", |_| (Some("canary".to_owned()), ()))
                .await,
        ];
        for refused in refused {
            let error = refused.unwrap_err();
            assert!(matches!(error, StoreError::Unfit { .. }), "{error}");
            assert!(!format!("{error} {error:?}").contains("canary"), "{error}");
        }
        assert_eq!(store.instances().await.unwrap().len(), 1);
    });
}

/// A server drops the work of a caller that went away, at any of its steps.
#[test]
fn an_operation_that_is_dropped_happened_or_did_not_and_blocks_nobody() {
    let place = Place::new();
    run(async {
        let store = place.store().await;
        let mut finished = false;
        for polls in 1..100 {
            let name = format!("dropped-{polls}");
            finished = polled(polls, store.insert_instance(&named(&name))).await;
            let sure = format!("sure-{polls}");
            store.insert_instance(&named(&sure)).await.unwrap();
            if finished {
                store.find(&name).await.unwrap();
                break;
            }
        }
        assert!(finished);
        store.check().await.unwrap();
    });
}

/// Polls a future so often, then drops it; returns whether it was done.
async fn polled<T>(polls: usize, work: impl Future<Output = T>) -> bool {
    let mut work = Box::pin(work);
    let mut left = polls;
    poll_fn(|context| {
        left -= 1;
        match work.as_mut().poll(context) {
            Poll::Ready(_) => Poll::Ready(true),
            Poll::Pending if left == 0 => Poll::Ready(false),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Operations run inside a server's tasks.
#[test]
fn operations_can_move_between_threads() {
    fn check<T: Send>(_: &T) {}
    let place = Place::new();
    run(async {
        let store = place.store().await;
        let id = store.insert_instance(&new()).await.unwrap().id;
        check(&mira_store::Store::open(&place.home()));
        check(&store.insert_instance(&new()));
        check(&store.find("x"));
        check(&store.allocate_port(&id, &port("web"), &|_| true));
        check(&store.update_guess("ab", |_| (None, ())));
        check(&store.check());
    });
}

fn port(service: &str) -> PortRequest {
    PortRequest {
        service: service.to_owned(),
        name: "http".to_owned(),
        prefer: None,
    }
}

#[test]
fn a_copy_has_package_settings_and_decisions_and_is_nobodys_until_it_is_finished() {
    let place = Place::new();
    run(async {
        let store = place.store().await;
        let mut wanted = named("mine");
        wanted.package.publisher_key = Some("RWQ1".to_owned());
        wanted.package.unsigned_agreed = true;
        let source = store.insert_instance(&wanted).await.unwrap();
        store
            .set_setting(&source.id, "MODEL", "small")
            .await
            .unwrap();
        store
            .set_binding(&source.id, "KEY", "MY_KEY")
            .await
            .unwrap();
        store
            .decide(&source.id, "api.example.org", false)
            .await
            .unwrap();
        let taken = store
            .begin_copy(&source, Some("mine".parse().unwrap()), false)
            .await;
        assert!(
            matches!(taken, Err(StoreError::NameTaken { .. })),
            "{taken:?}"
        );
        let copy = store.begin_copy(&source, None, false).await.unwrap();
        assert_ne!(copy.id, source.id);
        assert_eq!(
            store.instances().await.unwrap(),
            std::slice::from_ref(&source)
        );
        assert_eq!(store.deleting().await.unwrap(), std::slice::from_ref(&copy));
        let half = store.find(copy.id.as_str()).await;
        assert!(matches!(half, Err(StoreError::Deleting { .. })), "{half:?}");

        let copy = store.finish_copy(&copy.id).await.unwrap();
        assert_eq!(store.instances().await.unwrap().len(), 2);
        assert_eq!(copy.package.digest, source.package.digest);
        assert_eq!(copy.package.publisher_key, source.package.publisher_key);
        assert!(
            !copy.package.unsigned_agreed,
            "an agreement is for one instance"
        );
        assert_eq!(store.settings(&copy.id).await.unwrap()[0].value, "small");
        assert_eq!(store.bindings(&copy.id).await.unwrap(), []);
        assert_eq!(
            store.decisions(&copy.id).await.unwrap(),
            store.decisions(&source.id).await.unwrap()
        );
        assert_eq!(store.decisions(&copy.id).await.unwrap().len(), 1);

        let abandoned = store.begin_copy(&source, None, false).await.unwrap();
        store.begin_delete(&abandoned.id).await.unwrap();
        store.finish_delete(&abandoned.id).await.unwrap();
        let gone = store.finish_copy(&abandoned.id).await;
        assert_eq!(gone, Err(StoreError::NotFound));
    });
}
