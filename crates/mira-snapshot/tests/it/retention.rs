//! What is kept, what is removed, and that what is removed is gone.

use std::fs;

use mira_snapshot::{Retention, SnapshotError, TAG_AUTOSAVE, TAG_SAFETY};

use crate::support::{Fixture, SECRET, noise, options, secrets};

fn packs_bytes(fixture: &Fixture) -> u64 {
    let folders = fs::read_dir(fixture.snapshots().join("data")).unwrap();
    folders
        .flat_map(|folder| fs::read_dir(folder.unwrap().path()).unwrap())
        .map(|pack| pack.unwrap().metadata().unwrap().len())
        .sum()
}

#[test]
fn the_newest_stay_and_what_only_others_needed_goes() {
    let fixture = Fixture::new();
    let mut ids = Vec::new();
    for round in 0..5 {
        fixture.write("file", noise(round, 2 << 20));
        ids.push(fixture.take().unwrap().snapshot.id);
    }
    let full = packs_bytes(&fixture);
    let retention = Retention {
        last: 2,
        ..Retention::default()
    };
    let removed = fixture.repository.apply_retention(&retention).unwrap();
    let sorted = |mut ids: Vec<_>| {
        ids.sort();
        ids
    };
    assert_eq!(sorted(removed), sorted(ids[..3].to_vec()));
    let left: Vec<_> = fixture
        .repository
        .list()
        .unwrap()
        .into_iter()
        .map(|one| one.id)
        .collect();
    assert_eq!(left, ids[3..]);
    assert!(
        packs_bytes(&fixture) < full * 3 / 5,
        "the space is free again"
    );
    fixture.restic_ok(&["check", "--read-data"]);
    ids.push(fixture.take().unwrap().snapshot.id);
    // All of them were taken today: the day's last one stays, and the oldest, until there are seven days.
    let daily = Retention {
        daily: 7,
        monthly: 6,
        ..Retention::default()
    };
    fixture.repository.apply_retention(&daily).unwrap();
    let left: Vec<_> = fixture
        .repository
        .list()
        .unwrap()
        .into_iter()
        .map(|one| one.id)
        .collect();
    assert_eq!(left, [ids[3].clone(), ids[5].clone()]);
}

#[test]
fn safety_snapshots_are_counted_apart() {
    let fixture = Fixture::new();
    let mut safety = options();
    safety.tags = vec![TAG_SAFETY.into()];
    let none = secrets(&[]);
    fixture.write("file", "0");
    let usual = fixture.take_with(&none, &options()).unwrap().snapshot.id;
    for round in 0..3 {
        fixture.write("file", format!("{round} before a restore"));
        fixture.take_with(&none, &safety).unwrap();
    }
    let retention = Retention {
        daily: 1,
        ..Retention::default()
    };
    fixture.repository.apply_retention(&retention).unwrap();
    let left = fixture.repository.list().unwrap();
    assert_eq!(left.len(), 2, "{left:?}");
    assert_eq!(left[0].id, usual);
    assert_eq!(left[1].tags, [TAG_SAFETY]);
}

#[test]
fn a_retention_of_autosaves_leaves_all_others() {
    let fixture = Fixture::new();
    let none = secrets(&[]);
    for round in 0..3 {
        for tags in [&[] as &[&str], &[TAG_SAFETY], &[TAG_AUTOSAVE]] {
            let mut options = options();
            options.tags = tags.iter().map(|tag| (*tag).into()).collect();
            fixture.write("file", format!("{round} {tags:?}"));
            fixture.take_with(&none, &options).unwrap();
        }
    }
    let retention = Retention {
        last: 1,
        ..Retention::default()
    };
    let repository = &fixture.repository;
    let removed = repository.apply_retention_to_autosaves(&retention).unwrap();
    assert_eq!(removed.len(), 2);
    let left = repository.list().unwrap();
    let with = |tag: &str| left.iter().filter(|one| one.tags == [tag]).count();
    assert_eq!(
        (left.len(), with(TAG_SAFETY), with(TAG_AUTOSAVE)),
        (7, 3, 1)
    );
}

#[test]
fn a_snapshot_of_what_is_as_it_was_is_not_taken_if_so_wished() {
    let fixture = Fixture::new();
    let mut options = options();
    options.skip_unchanged = true;
    let searched = secrets(&[("API_KEY", SECRET)]);
    fixture.write("file", "one");
    let first = fixture.take_with(&searched, &options).unwrap();
    assert!(!first.unchanged, "there was none to compare with");
    let second = fixture.take_with(&searched, &options).unwrap();
    assert!(second.unchanged);
    assert_eq!(second.snapshot.id, first.snapshot.id);
    assert_eq!(fixture.repository.list().unwrap().len(), 1);
    // Another secret to look for: what was not searched for it is not enough.
    let more = secrets(&[("API_KEY", SECRET), ("OTHER", "another-value-altogether")]);
    assert!(!fixture.take_with(&more, &options).unwrap().unchanged);
    fixture.write("file", "two");
    assert!(!fixture.take_with(&more, &options).unwrap().unchanged);
    fs::remove_file(fixture.data().join("file")).unwrap();
    assert!(!fixture.take_with(&more, &options).unwrap().unchanged);
    assert_eq!(fixture.repository.list().unwrap().len(), 4);
    fixture.restic_ok(&["check", "--read-data"]);
}

#[test]
fn a_retention_that_keeps_nothing_and_unknown_ids_are_refused() {
    let fixture = Fixture::new();
    fixture.write("file", "content");
    let id = fixture.take().unwrap().snapshot.id;
    let error = fixture
        .repository
        .apply_retention(&Retention::default())
        .unwrap_err();
    assert!(matches!(error, SnapshotError::RetentionEmpty));
    let other = "ab".repeat(32).parse().unwrap();
    let error = fixture.repository.forget(&[id.clone(), other]).unwrap_err();
    assert!(
        matches!(error, SnapshotError::NoSuchSnapshot { .. }),
        "{error}"
    );
    assert_eq!(fixture.repository.list().unwrap().len(), 1);
    for text in ["", "latest~1", "zz", "../x"] {
        let error = fixture.repository.find(text).unwrap_err();
        assert!(
            matches!(error, SnapshotError::NoSuchSnapshot { .. }),
            "{text}: {error}"
        );
    }
    assert_eq!(fixture.repository.find(id.short()).unwrap(), id);
    fixture.repository.forget(&[id]).unwrap();
    assert_eq!(packs_bytes(&fixture), 0);
}
