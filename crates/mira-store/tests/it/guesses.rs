//! The limiter's state is read and changed in one step, and is there before anybody is told.

use std::panic::AssertUnwindSafe;

use jiff::{Timestamp, ToSpan as _};
use mira_store::{GUESS_BYTES_MAX, StoreError};

use crate::common::{Place, run};

#[test]
fn a_state_is_changed_kept_and_forgotten() {
    let place = Place::new();
    run(async {
        let store = place.store().await;
        let put = |text: &str| Some(text.to_owned());
        let seen = store
            .update_guess("ab01", |state| {
                (put(r#"{"failures":1}"#), state.map(str::to_owned))
            })
            .await;
        assert_eq!(seen, Ok(None));
        let before = Timestamp::now();
        store.close().await;

        let store = place.store().await;
        let seen = store
            .update_guess("ab01", |state| (None, state.map(str::to_owned)))
            .await;
        assert_eq!(seen, Ok(put(r#"{"failures":1}"#)), "it survives");
        let seen = store
            .update_guess("ab01", |state| (put("1"), state.map(str::to_owned)))
            .await;
        assert_eq!(seen, Ok(None), "it was forgotten");

        assert_eq!(store.prune_guesses(before - 1.hour()).await, Ok(0));
        assert_eq!(store.prune_guesses(before + 1.hour()).await, Ok(1));
        let seen = store
            .update_guess("ab01", |state| (None, state.is_some()))
            .await;
        assert_eq!(seen, Ok(false));
    });
}

#[test]
fn what_is_refused_or_panics_changes_nothing() {
    let place = Place::new();
    run(async {
        let store = place.store().await;
        store
            .update_guess("ab", |_| (Some("1".to_owned()), ()))
            .await
            .unwrap();
        let long = format!("\"{}\"", "x".repeat(GUESS_BYTES_MAX));
        for wrong in ["", "{", "1 2", &long] {
            let refused = store
                .update_guess("ab", |_| (Some(wrong.to_owned()), ()))
                .await;
            assert!(matches!(refused, Err(StoreError::Unfit { .. })), "{wrong}");
        }
        for key in ["", "AB", "xy", &"0".repeat(129)] {
            let refused = store.update_guess(key, |_| (None, ())).await;
            assert!(matches!(refused, Err(StoreError::Unfit { .. })), "{key}");
        }
    });
    let panicked = std::panic::catch_unwind(AssertUnwindSafe(|| {
        run(async {
            let store = place.store().await;
            store
                .update_guess("ab", |_| -> (Option<String>, ()) { panic!("as a test") })
                .await
        })
    }));
    assert!(panicked.is_err());
    run(async {
        let store = place.store().await;
        let seen = store
            .update_guess("ab", |state| (None, state.map(str::to_owned)))
            .await;
        assert_eq!(seen, Ok(Some("1".to_owned())));
    });
}
