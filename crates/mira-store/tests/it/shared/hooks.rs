//! Events are accepted once, delivered at least once and in order, and their content goes when nobody needs it any more.

use std::collections::{BTreeMap, HashMap};

use mira_store::{
    ClaimedHook, HookAcceptance, HookClaim, HookEnd, HookFilter, HookPurge, HookState,
    NewHookDelivery, NewHookEvent, Shared, SharedError,
};
use mira_testkit::canary::Canary;

use crate::shared::ground::{DAY, Ground, HOUR, MINUTE, at, on_both};

on_both! {
    an_event_is_accepted_once
    what_was_accepted_is_claimed_in_order_and_one_of_a_key_at_a_time
    a_claim_that_is_not_renewed_is_anybodys_and_its_owner_can_end_nothing
    the_content_goes_with_the_last_delivery
    what_failed_is_queued_again_behind_the_others
    old_events_go_and_what_waits_too_long_has_failed
    an_installation_or_an_instance_that_is_gone_leaves_nothing_behind
    servers_that_claim_at_once_share_the_queue_and_keep_its_order
    whatever_happens_each_key_is_delivered_in_order
    what_came_of_requests_is_counted
    hostile_texts_are_cut_and_unfit_ones_refused
}

const APP: &str = "org.example.app/app";

fn event<'a>(sent_id: &'a str, body: &'a str, keys: &[&str]) -> NewHookEvent<'a> {
    NewHookEvent {
        sent_id,
        event: "pull_request",
        action: Some("opened"),
        sent_to: Some("7"),
        installation: Some(11),
        repository: Some("octo/repo"),
        number: Some(3),
        body,
        accepted: at(0),
        deliveries: keys
            .iter()
            .map(|key| NewHookDelivery {
                target: APP.to_owned(),
                order_key: (*key).to_owned(),
            })
            .collect(),
    }
}

async fn accept(shared: &Shared, sent_id: &str, key: &str) {
    let event = event(sent_id, "{}", &[key]);
    let accepted = shared.accept_hooks(&[event]).await.unwrap();
    assert!(matches!(accepted.as_slice(), [HookAcceptance::Accepted(_)]));
}

async fn claim(shared: &Shared, owner: &str, now: i64, most: u32) -> Vec<ClaimedHook> {
    let targets = [APP.to_owned()];
    let claim = HookClaim {
        owner,
        targets: &targets,
        until: at(now + MINUTE),
        deliveries_max: most,
    };
    shared.claim_hooks(&claim, at(now)).await.unwrap()
}

fn ids(claimed: &[ClaimedHook]) -> Vec<&str> {
    claimed.iter().map(|one| one.sent_id.as_str()).collect()
}

async fn end(shared: &Shared, owner: &str, one: &ClaimedHook, end: HookEnd, now: i64) -> bool {
    let ended = shared.end_hook((owner, one), end, "200", at(now)).await;
    ended.unwrap()
}

async fn an_event_is_accepted_once(ground: Ground) {
    let shared = ground.shared().await;
    let (first, second) = (event("a", "{\"n\":1}", &["k"]), event("b", "{}", &[]));
    let again = event("a", "{\"n\":2}", &["k"]);
    let accepted = shared.accept_hooks(&[first, second, again.clone()]).await;
    let accepted = accepted.unwrap();
    assert_eq!(accepted[2], HookAcceptance::Repeated);
    assert_eq!(
        shared.accept_hooks(&[again]).await.unwrap(),
        [HookAcceptance::Repeated]
    );
    let [
        HookAcceptance::Accepted(id),
        HookAcceptance::Accepted(ignored),
        _,
    ] = accepted.as_slice()
    else {
        panic!("{accepted:?}")
    };
    let body = shared.hook_body(id).await.unwrap();
    assert_eq!(body.as_deref(), Some("{\"n\":1}"));
    assert_eq!(shared.hook_body(ignored).await, Ok(None));
    let all = shared.hooks(&HookFilter::default(), 10).await.unwrap();
    assert_eq!(all.len(), 2);
    let queued = HookFilter {
        state: Some(HookState::Queued),
        id: None,
    };
    let queued = shared.hooks(&queued, 10).await.unwrap();
    assert_eq!((queued.len(), &queued[0].id), (1, id));
    assert_eq!(queued[0].repository.as_deref(), Some("octo/repo"));
    let ignored = HookFilter {
        state: Some(HookState::Ignored),
        id: None,
    };
    assert_eq!(shared.hooks(&ignored, 10).await.unwrap().len(), 1);
    let backlog = shared.hook_backlog().await.unwrap();
    assert_eq!((backlog.deliveries, backlog.bytes), (1, 7));
}

async fn what_was_accepted_is_claimed_in_order_and_one_of_a_key_at_a_time(ground: Ground) {
    let shared = ground.shared().await;
    for (sent_id, key) in [("1", "a"), ("2", "a"), ("3", "b"), ("4", "a"), ("5", "c")] {
        accept(&shared, sent_id, key).await;
    }
    let first = claim(&shared, "x", 1, 2).await;
    assert_eq!(ids(&first), ["1", "3"]);
    assert_eq!(first[0].attempt, 1);
    assert_eq!(ids(&claim(&shared, "y", 1, 9).await), ["5"]);
    assert!(claim(&shared, "y", 1, 9).await.is_empty());
    // What is to be tried again keeps the others of its key waiting.
    assert!(end(&shared, "x", &first[0], HookEnd::Again(at(10)), 2).await);
    assert!(claim(&shared, "y", 9, 9).await.is_empty());
    let again = claim(&shared, "y", 10, 9).await;
    assert_eq!((ids(&again), again[0].attempt), (vec!["1"], 2));
    assert!(end(&shared, "y", &again[0], HookEnd::Failed, 11).await);
    // What was given up does not.
    let next = claim(&shared, "x", 11, 9).await;
    assert_eq!(ids(&next), ["2"]);
    assert!(end(&shared, "x", &next[0], HookEnd::Done, 12).await);
    assert_eq!(ids(&claim(&shared, "x", 12, 9).await), ["4"]);
    // Another instance's are not for us.
    let others = HookClaim {
        owner: "x",
        targets: &["org.example.other/other".to_owned()],
        until: at(99),
        deliveries_max: 9,
    };
    assert_eq!(shared.claim_hooks(&others, at(50)).await, Ok(Vec::new()));
}

async fn a_claim_that_is_not_renewed_is_anybodys_and_its_owner_can_end_nothing(ground: Ground) {
    let shared = ground.shared().await;
    accept(&shared, "1", "a").await;
    let lost = claim(&shared, "dead", 0, 9).await;
    assert_eq!(shared.renew_hooks("dead", at(2 * MINUTE)).await, Ok(1));
    assert!(claim(&shared, "alive", MINUTE, 9).await.is_empty());
    let taken = claim(&shared, "alive", 2 * MINUTE, 9).await;
    assert_eq!((ids(&taken), taken[0].attempt), (vec!["1"], 2));
    assert_eq!(shared.renew_hooks("dead", at(9 * MINUTE)).await, Ok(0));
    assert!(!end(&shared, "dead", &lost[0], HookEnd::Done, 121).await);
    assert!(end(&shared, "alive", &taken[0], HookEnd::Again(at(0)), 121).await);
    // The same owner's earlier attempt ends nothing either.
    let anew = claim(&shared, "alive", 121, 9).await;
    assert!(!end(&shared, "alive", &taken[0], HookEnd::Done, 122).await);
    assert_eq!(shared.release_hooks(Some("other")).await, Ok(0));
    assert_eq!(shared.release_hooks(Some("alive")).await, Ok(1));
    assert!(!end(&shared, "alive", &anew[0], HookEnd::Done, 122).await);
    claim(&shared, "gone", 122, 9).await;
    assert_eq!(shared.release_hooks(None).await, Ok(1));
    assert_eq!(ids(&claim(&shared, "alive", 122, 9).await), ["1"]);
}

async fn the_content_goes_with_the_last_delivery(ground: Ground) {
    let shared = ground.shared().await;
    let canary = Canary::new("CONTENT", "content-0123456789abcdef");
    let body = String::from_utf8_lossy(canary.value()).into_owned();
    let mut new = event("1", &body, &["a"]);
    new.deliveries.push(NewHookDelivery {
        target: "org.example.app/second".to_owned(),
        order_key: "b".to_owned(),
    });
    shared.accept_hooks(&[new]).await.unwrap();
    let first = claim(&shared, "x", 0, 9).await.remove(0);
    let others = HookClaim {
        owner: "x",
        targets: &["org.example.app/second".to_owned()],
        until: at(99),
        deliveries_max: 9,
    };
    let second = shared.claim_hooks(&others, at(0)).await.unwrap().remove(0);
    assert!(end(&shared, "x", &first, HookEnd::Done, 1).await);
    let id = &first.event_id;
    assert_eq!(shared.hook_body(id).await, Ok(Some(body)));
    assert!(end(&shared, "x", &second, HookEnd::Done, 1).await);
    assert_eq!(shared.hook_body(id).await, Ok(None));
    // Names and numbers stay.
    let left = shared.hooks(&HookFilter::default(), 9).await.unwrap();
    assert_eq!((left.len(), left[0].body_bytes), (2, 24));
    assert_eq!(
        shared.replay_hook(id, at(2)).await,
        Err(SharedError::NothingToReplay)
    );
}

async fn what_failed_is_queued_again_behind_the_others(ground: Ground) {
    let shared = ground.shared().await;
    accept(&shared, "1", "a").await;
    accept(&shared, "2", "a").await;
    let first = claim(&shared, "x", 0, 9).await.remove(0);
    let early = shared.replay_hook(&first.event_id, at(0)).await;
    assert_eq!(early, Err(SharedError::StillQueued));
    assert!(end(&shared, "x", &first, HookEnd::Failed, 1).await);
    let second = claim(&shared, "x", 1, 9).await.remove(0);
    let to = shared.replay_hook(&first.event_id, at(2)).await.unwrap();
    assert_eq!(to, [APP]);
    assert!(claim(&shared, "x", 3, 9).await.is_empty());
    assert!(end(&shared, "x", &second, HookEnd::Done, 4).await);
    let again = claim(&shared, "x", 5, 9).await;
    assert_eq!((ids(&again), again[0].attempt), (vec!["1"], 1));
    assert_eq!(
        shared.hook_body(&first.event_id).await.unwrap().as_deref(),
        Some("{}")
    );
    assert_eq!(
        shared
            .replay_hook(&"abcdefghijklmnop".parse().unwrap(), at(2))
            .await,
        Err(SharedError::NoSuchEvent)
    );
}

fn purge(now: i64) -> HookPurge {
    HookPurge {
        given_up: at(now - 3 * DAY),
        forgotten: at(now - 7 * DAY),
        failed_forgotten: at(now - 14 * DAY),
        counts_forgotten: at(now - 30 * DAY),
    }
}

async fn old_events_go_and_what_waits_too_long_has_failed(ground: Ground) {
    let shared = ground.shared().await;
    for (sent_id, key) in [("done", "a"), ("waits", "b"), ("abandoned", "c")] {
        accept(&shared, sent_id, key).await;
    }
    let ignored = event("ignored", "{}", &[]);
    shared.accept_hooks(&[ignored]).await.unwrap();
    let done = claim(&shared, "x", 0, 1).await.remove(0);
    assert!(end(&shared, "x", &done, HookEnd::Done, 0).await);
    let states = async || {
        let mut states: Vec<String> = Vec::new();
        for event in shared.hooks(&HookFilter::default(), 9).await.unwrap() {
            let state = event.delivery.map_or("-", |one| one.state.as_str());
            states.push(format!("{} {state}", event.sent_id));
        }
        states.sort();
        states
    };
    let sweep = async |now: i64| shared.purge_hooks(&purge(now), at(now)).await.unwrap();
    assert_eq!(sweep(2 * DAY).await, 0);
    assert_eq!(states().await.len(), 4);
    // Somebody took it and was never heard of again.
    assert_eq!(ids(&claim(&shared, "dead", 2 * DAY, 9).await).len(), 2);
    assert_eq!(shared.release_hooks(Some("nobody")).await, Ok(0));
    assert_eq!(sweep(3 * DAY + HOUR).await, 0);
    let failed = ["abandoned failed", "done done", "ignored -", "waits failed"];
    assert_eq!(states().await, failed);
    assert_eq!(sweep(7 * DAY + 1).await, 2);
    assert_eq!(states().await, ["abandoned failed", "waits failed"]);
    assert_eq!(sweep(17 * DAY).await, 0);
    assert_eq!(sweep(17 * DAY + 2 * HOUR).await, 2);
    assert!(states().await.is_empty());
}

async fn an_installation_or_an_instance_that_is_gone_leaves_nothing_behind(ground: Ground) {
    let shared = ground.shared().await;
    accept(&shared, "1", "a").await;
    let mut other = event("2", "{}", &["b"]);
    other.installation = Some(12);
    shared.accept_hooks(&[other]).await.unwrap();
    assert_eq!(shared.forget_hooks_of_installation(11, None).await, Ok(1));
    assert_eq!(shared.forget_hooks_of_installation(11, None).await, Ok(0));
    let left = shared.hooks(&HookFilter::default(), 9).await.unwrap();
    assert_eq!((left.len(), left[0].sent_id.as_str()), (1, "2"));
    let id = &left[0].id;
    let but = shared.forget_hooks_of_installation(12, Some(id)).await;
    assert_eq!(but, Ok(0));
    assert_eq!(shared.hook_body(id).await, Ok(Some("{}".to_owned())));
    assert_eq!(shared.forget_hooks_of_target(APP).await, Ok(1));
    assert_eq!(shared.hook_body(id).await, Ok(None));
}

async fn servers_that_claim_at_once_share_the_queue_and_keep_its_order(ground: Ground) {
    let shared = ground.shared().await;
    const EVENTS: usize = 60;
    let names: Vec<String> = (0..EVENTS).map(|n| format!("{n:03}")).collect();
    for (n, name) in names.iter().enumerate() {
        accept(&shared, name, &format!("key {}", n % 7)).await;
    }
    let server = async |owner: &'static str| {
        let shared = ground.shared().await;
        let mut made = Vec::new();
        loop {
            let claimed = claim(&shared, owner, 1, 3).await;
            if claimed.is_empty() {
                // Others may be at the rest.
                if shared.hook_backlog().await.unwrap().deliveries == 0 {
                    return made;
                }
                tokio::task::yield_now().await;
            }
            for one in claimed {
                // Written down before it is ended: whoever is next of the key comes after this.
                let at_all = shared.hook_backlog().await.unwrap().deliveries;
                assert!(end(&shared, owner, &one, HookEnd::Done, 1).await);
                made.push((one.sent_id, at_all));
            }
        }
    };
    let (one, two, three) = tokio::join!(server("one"), server("two"), server("three"));
    let mut all: Vec<(String, u64)> = [one, two, three].concat();
    all.sort();
    let made: Vec<&String> = all.iter().map(|(name, _)| name).collect();
    assert_eq!(made, names.iter().collect::<Vec<_>>());
    // The queue was the shorter the later one was ended: within a key it never grew.
    for key in 0..7 {
        let of_key = all.iter().skip(key).step_by(7).map(|(_, left)| *left);
        let lengths: Vec<u64> = of_key.collect();
        assert!(lengths.is_sorted_by(|a, b| a > b), "{lengths:?}");
    }
}

/// Random servers claim, end, fail, die; time goes on. Deliveries of a key are done in their order, and all of them in the end.
async fn whatever_happens_each_key_is_delivered_in_order(ground: Ground) {
    let shared = ground.shared().await;
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    let mut expected: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut done: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut held: HashMap<&str, Vec<ClaimedHook>> = HashMap::new();
    let (mut now, mut sent) = (0, 0);
    let key_of = |sent_id: &str| sent_id.split_once('-').unwrap().0.to_owned();
    loop {
        now += random.i64(0..20);
        let owner = *random.choice(["x", "y", "z"].as_slice()).unwrap();
        match random.u8(0..6) {
            0 | 1 if sent < 40 => {
                let key = format!("k{}", random.u8(0..4));
                let sent_id = format!("{key}-{sent}");
                accept(&shared, &sent_id, &key).await;
                expected.entry(key).or_default().push(sent_id);
                sent += 1;
            }
            // It dies, and comes back as somebody who knows nothing.
            2 if sent < 40 => drop(held.remove(owner)),
            3 => {
                for one in held.remove(owner).unwrap_or_default() {
                    let is_again = random.u8(0..3) == 0;
                    let how = match is_again {
                        true => HookEnd::Again(at(now + random.i64(0..90))),
                        false => HookEnd::Done,
                    };
                    if end(&shared, owner, &one, how, now).await && !is_again {
                        done.entry(key_of(&one.sent_id))
                            .or_default()
                            .push(one.sent_id);
                    }
                }
            }
            _ => {
                let claimed = claim(&shared, owner, now, random.u32(1..4)).await;
                let mut keys: Vec<String> =
                    claimed.iter().map(|one| key_of(&one.sent_id)).collect();
                keys.sort();
                keys.dedup();
                assert_eq!(
                    keys.len(),
                    claimed.len(),
                    "two of a key at once; seed {seed}"
                );
                held.entry(owner).or_default().extend(claimed);
            }
        }
        if sent == 40 && shared.hook_backlog().await.unwrap().deliveries == 0 {
            break;
        }
        assert!(now < 1_000_000, "it does not end; seed {seed}");
    }
    assert_eq!(done, expected, "seed {seed}");
}

async fn what_came_of_requests_is_counted(ground: Ground) {
    let shared = ground.shared().await;
    let add = async |counts: &[(&str, u64)], time| shared.count_hooks(counts, at(time)).await;
    add(&[("accepted", 2), ("wrong_signature", 5)], 0)
        .await
        .unwrap();
    add(&[("accepted", 1)], 1).await.unwrap();
    add(&[("accepted", 4)], 2 * DAY).await.unwrap();
    accept(&shared, "1", "a").await;
    let counts = async |since: i64| {
        let stats = shared.hook_stats(at(since)).await.unwrap();
        assert_eq!(stats.deliveries, [(HookState::Queued, 1)]);
        assert_eq!(stats.oldest, Some(at(0)));
        let requests = stats.requests.into_iter();
        requests
            .map(|count| (count.verdict, count.number))
            .collect::<Vec<_>>()
    };
    let all = [
        ("accepted".to_owned(), 7),
        ("wrong_signature".to_owned(), 5),
    ];
    assert_eq!(counts(0).await, all);
    assert_eq!(counts(DAY).await, [("accepted".to_owned(), 4)]);
    shared
        .purge_hooks(&purge(31 * DAY), at(31 * DAY))
        .await
        .unwrap();
    let stats = shared.hook_stats(at(0)).await.unwrap();
    assert_eq!(stats.requests.len(), 1);
}

async fn hostile_texts_are_cut_and_unfit_ones_refused(ground: Ground) {
    let shared = ground.shared().await;
    let long = "x".repeat(100_000);
    let mut hostile = event("1", "{}", &[]);
    (hostile.event, hostile.action) = (&long, Some("\x1b[2J\0"));
    (hostile.repository, hostile.sent_to) = (Some("'; DROP TABLE users; --"), Some(long.as_str()));
    shared.accept_hooks(&[hostile]).await.unwrap();
    let read = shared
        .hooks(&HookFilter::default(), 9)
        .await
        .unwrap()
        .remove(0);
    assert!(read.event.len() <= 256 && read.sent_to.unwrap().len() <= 256);
    assert!(!read.action.unwrap().contains(char::is_control));
    for sent_id in ["", "\0", &long, "a\nb"] {
        let refused = shared.accept_hooks(&[event(sent_id, "{}", &[])]).await;
        assert!(
            matches!(refused, Err(SharedError::Unfit { .. })),
            "{refused:?}"
        );
    }
    let refused = shared.accept_hooks(&[event("2", "\0", &["a"])]).await;
    assert!(matches!(refused, Err(SharedError::Unfit { .. })));
    // All or none.
    let both = [event("3", "{}", &["a"]), event("", "{}", &["a"])];
    shared.accept_hooks(&both).await.unwrap_err();
    assert_eq!(
        shared.hooks(&HookFilter::default(), 9).await.unwrap().len(),
        1
    );
}
