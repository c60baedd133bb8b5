//! Wrong passwords make everybody wait, longer and longer, whatever the clock and the process do.

use std::net::IpAddr;

use mira_store::{LoginAttempt, Shared};

use crate::shared::ground::{DAY, Ground, HOUR, at, on_both};

on_both! {
    five_wrong_passwords_are_free_and_each_further_one_doubles_the_wait
    a_right_password_forgets_the_wrong_ones_of_the_account
    an_address_is_counted_for_all_its_accounts
    a_clock_that_is_set_back_makes_no_wait_shorter
    a_day_without_a_try_forgets
    hostile_names_are_counted_too
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Tries, and returns for how many seconds to wait: none where it was allowed.
async fn attempt(shared: &Shared, account: &str, from: &str, now: i64) -> i64 {
    let done = shared.attempt_login(account, address(from), at(now)).await;
    match done.unwrap() {
        LoginAttempt::Allowed => 0,
        LoginAttempt::Wait { until } => until.as_second() - at(now).as_second(),
    }
}

async fn five_wrong_passwords_are_free_and_each_further_one_doubles_the_wait(ground: Ground) {
    let shared = ground.shared().await;
    for _ in 0..5 {
        assert_eq!(attempt(&shared, "anna", "192.0.2.1", 0).await, 0);
    }
    // From anywhere, in any spelling, after a restart.
    let mut now = 0;
    for wait in [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300] {
        assert_eq!(attempt(&shared, "ANNA", "192.0.2.2", now).await, 0);
        let again = ground.shared().await;
        assert_eq!(attempt(&again, "anna", "192.0.2.3", now).await, wait);
        // Who does not wait makes it no longer.
        assert_eq!(
            attempt(&again, "anna", "192.0.2.3", now + wait - 1).await,
            1
        );
        now += wait;
    }
    assert_eq!(attempt(&shared, "bo", "192.0.2.1", now).await, 0);
}

async fn a_right_password_forgets_the_wrong_ones_of_the_account(ground: Ground) {
    let shared = ground.shared().await;
    for _ in 0..6 {
        assert_eq!(attempt(&shared, "anna", "192.0.2.1", 0).await, 0);
    }
    assert_eq!(attempt(&shared, "anna", "192.0.2.1", 0).await, 1);
    assert_eq!(attempt(&shared, "anna", "192.0.2.1", 1).await, 0);
    shared
        .login_succeeded("Anna", address("192.0.2.1"), at(1))
        .await
        .unwrap();
    for _ in 0..6 {
        assert_eq!(attempt(&shared, "anna", "192.0.2.1", 1).await, 0);
    }
    assert_eq!(attempt(&shared, "anna", "192.0.2.1", 1).await, 1);
}

async fn an_address_is_counted_for_all_its_accounts(ground: Ground) {
    let shared = ground.shared().await;
    let own = "2001:db8::1";
    for number in 0..50 {
        assert_eq!(attempt(&shared, &format!("user{number}"), own, 0).await, 0);
        // One who signs in rightly in between has no free tries for it.
        assert_eq!(attempt(&shared, "mallory", "2001:db8::2", 0).await, 0);
        shared
            .login_succeeded("mallory", address("2001:db8::2"), at(0))
            .await
            .unwrap();
    }
    assert_eq!(attempt(&shared, "user51", own, 0).await, 0);
    assert_eq!(attempt(&shared, "user52", own, 0).await, 1);
    assert_eq!(attempt(&shared, "user52", "2001:db8::ffff:3", 0).await, 1);
    assert_eq!(attempt(&shared, "user52", "2001:db8:0:1::1", 0).await, 0);
}

async fn a_clock_that_is_set_back_makes_no_wait_shorter(ground: Ground) {
    let shared = ground.shared().await;
    let mut now = 0;
    for wait in [0, 0, 0, 0, 0, 1, 2, 4, 8, 16] {
        assert_eq!(attempt(&shared, "anna", "192.0.2.1", now).await, 0);
        now += wait;
    }
    now -= 16;
    assert_eq!(attempt(&shared, "anna", "192.0.2.1", now + 10).await, 6);
    assert_eq!(attempt(&shared, "anna", "192.0.2.1", now - DAY).await, 16);
    assert_eq!(
        attempt(&shared, "anna", "192.0.2.1", now - DAY + 15).await,
        1
    );
    assert_eq!(
        attempt(&shared, "anna", "192.0.2.1", now - 2 * DAY).await,
        16
    );
    assert_eq!(
        attempt(&shared, "anna", "192.0.2.1", now - 2 * DAY + 16).await,
        0
    );
    assert_eq!(
        attempt(&shared, "anna", "192.0.2.1", now - 2 * DAY + 16).await,
        32
    );
}

async fn a_day_without_a_try_forgets(ground: Ground) {
    let shared = ground.shared().await;
    for _ in 0..6 {
        attempt(&shared, "anna", "192.0.2.1", 0).await;
    }
    assert_eq!(attempt(&shared, "anna", "192.0.2.1", 0).await, 1);
    for _ in 0..6 {
        assert_eq!(attempt(&shared, "anna", "192.0.2.1", DAY + HOUR).await, 0);
    }
    assert_eq!(attempt(&shared, "anna", "192.0.2.1", DAY + HOUR).await, 1);
}

async fn hostile_names_are_counted_too(ground: Ground) {
    let shared = ground.shared().await;
    let long = "a".repeat(1_000_000);
    for name in ["", "\0", "'; DROP TABLE login_throttles; --", "😀", &long] {
        for _ in 0..6 {
            assert_eq!(attempt(&shared, name, "192.0.2.1", 0).await, 0);
        }
        assert_eq!(attempt(&shared, name, "192.0.2.2", 0).await, 1);
    }
}
