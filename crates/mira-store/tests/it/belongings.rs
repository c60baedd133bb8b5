//! Bindings, settings, decisions and publishers: set, replaced, listed, removed.

use mira_store::{SETTING_BYTES_MAX, StoreError};

use crate::common::{Place, new, run};

#[test]
fn bindings_are_listed_by_instance_and_by_secret() {
    let place = Place::new();
    run(async {
        let store = place.store().await;
        let one = store.insert_instance(&new()).await.unwrap().id;
        let two = store.insert_instance(&new()).await.unwrap().id;
        store
            .set_binding(&one, "OPENAI_API_KEY", "OPENAI")
            .await
            .unwrap();
        store
            .set_binding(&one, "GITHUB_TOKEN", "GITHUB")
            .await
            .unwrap();
        store.set_binding(&two, "KEY", "GITHUB").await.unwrap();
        store.set_binding(&two, "KEY", "OPENAI").await.unwrap();

        let pairs = |bindings: Vec<mira_store::Binding>| -> Vec<(String, String)> {
            let pair = |binding: mira_store::Binding| (binding.name, binding.secret);
            bindings.into_iter().map(pair).collect()
        };
        let own = |name: &str, secret: &str| (name.to_owned(), secret.to_owned());
        assert_eq!(
            pairs(store.bindings(&one).await.unwrap()),
            [
                own("GITHUB_TOKEN", "GITHUB"),
                own("OPENAI_API_KEY", "OPENAI")
            ]
        );
        assert_eq!(
            pairs(store.bindings(&two).await.unwrap()),
            [own("KEY", "OPENAI")]
        );
        let bound = store.bound_to("OPENAI").await.unwrap();
        let mut who: Vec<_> = bound.iter().map(|binding| &binding.instance).collect();
        who.sort();
        let mut both = [&one, &two];
        both.sort();
        assert_eq!(who, both);
        assert_eq!(store.bound_to("NONE").await.unwrap(), []);

        assert!(store.remove_binding(&two, "KEY").await.unwrap());
        assert!(!store.remove_binding(&two, "KEY").await.unwrap());
        assert_eq!(store.bindings(&two).await.unwrap(), []);
        assert_eq!(store.bound_to("OPENAI").await.unwrap().len(), 1);
    });
}

#[test]
fn settings_are_set_replaced_and_unset() {
    let place = Place::new();
    run(async {
        let store = place.store().await;
        let id = store.insert_instance(&new()).await.unwrap().id;
        for value in ["http://a", "", "two\nlines", &"x".repeat(SETTING_BYTES_MAX)] {
            store.set_setting(&id, "URL", value).await.unwrap();
            let settings = store.settings(&id).await.unwrap();
            assert_eq!(settings.len(), 1);
            assert_eq!((&*settings[0].name, &*settings[0].value), ("URL", value));
        }
        let long = "x".repeat(SETTING_BYTES_MAX + 1);
        let refused = store.set_setting(&id, "URL", &long).await;
        assert!(matches!(refused, Err(StoreError::Unfit { .. })));
        store.set_setting(&id, "A", "1").await.unwrap();
        let settings = store.settings(&id).await.unwrap();
        let names: Vec<&str> = settings.iter().map(|setting| &*setting.name).collect();
        assert_eq!(names, ["A", "URL"]);
        assert!(store.unset_setting(&id, "URL").await.unwrap());
        assert!(!store.unset_setting(&id, "URL").await.unwrap());
        assert_eq!(store.settings(&id).await.unwrap().len(), 1);
    });
}

#[test]
fn decisions_are_kept_in_the_order_in_which_they_were_made() {
    let place = Place::new();
    run(async {
        let store = place.store().await;
        let id = store.insert_instance(&new()).await.unwrap().id;
        let other = store.insert_instance(&new()).await.unwrap().id;
        let hosts = ["b.example.org", "*.example.org", "a.example.org:8443"];
        for host in hosts {
            store.decide(&id, host, true).await.unwrap();
        }
        // Decided anew, it is the last one.
        store.decide(&id, hosts[0], false).await.unwrap();
        let decisions = store.decisions(&id).await.unwrap();
        let told: Vec<(&str, bool)> = decisions
            .iter()
            .map(|decision| (&*decision.host, decision.allow))
            .collect();
        assert_eq!(
            told,
            [(hosts[1], true), (hosts[2], true), (hosts[0], false)]
        );
        assert!(
            decisions.is_sorted_by(|one, next| one.decided < next.decided),
            "{decisions:?}"
        );
        assert_eq!(store.decisions(&other).await.unwrap(), []);

        assert!(store.forget_decision(&id, hosts[1]).await.unwrap());
        assert!(!store.forget_decision(&id, hosts[1]).await.unwrap());
        assert!(!store.forget_decision(&other, hosts[2]).await.unwrap());
        assert_eq!(store.decisions(&id).await.unwrap().len(), 2);
    });
}

/// The clock was set back by years after the last decision.
#[test]
fn a_decision_is_later_than_the_last_one_whatever_the_clock_does() {
    let place = Place::new();
    let id = place.with_instance().id;
    run(async { place.store().await.decide(&id, "a", true).await }).unwrap();
    place.sqlite("UPDATE net_decisions SET decided_ms = 4000000000000");
    run(async {
        let store = place.store().await;
        store.decide(&id, "b", true).await.unwrap();
        let decisions = store.decisions(&id).await.unwrap();
        assert_eq!(decisions[1].host, "b");
        assert_eq!(decisions[1].decided.as_millisecond(), 4_000_000_000_001);
    });
}

#[test]
fn a_publisher_is_new_once() {
    let place = Place::new();
    run(async {
        let store = place.store().await;
        assert_eq!(store.publishers("org.example.a").await.unwrap(), []);
        assert!(
            store
                .remember_publisher("org.example.a", "RWQ1", "Ann")
                .await
                .unwrap()
        );
        assert!(
            !store
                .remember_publisher("org.example.a", "RWQ1", "Eve")
                .await
                .unwrap()
        );
        assert!(
            store
                .remember_publisher("org.example.a", "RWQ2", "Ann")
                .await
                .unwrap()
        );
        assert!(
            store
                .remember_publisher("org.example.b", "RWQ1", "Ann")
                .await
                .unwrap()
        );
        let known = store.publishers("org.example.a").await.unwrap();
        let mut keys: Vec<(&str, &str)> = known.iter().map(|p| (&*p.key, &*p.name)).collect();
        keys.sort_unstable();
        assert_eq!(keys, [("RWQ1", "Ann"), ("RWQ2", "Ann")]);
    });
}
