//! Many processes and many pools at once, from the moment when there is no database yet.

use std::collections::{HashMap, HashSet};
use std::thread;

use mira_store::PortRequest;

use crate::common::{Place, lines_of_all, new, run};

const PROCESSES: usize = 16;

#[test]
fn processes_that_make_the_database_together_get_different_names() {
    let place = Place::new();
    let children = (0..PROCESSES).map(|_| place.start("names", &["5"]));
    let names: Vec<String> = lines_of_all(children.collect()).concat();
    let distinct: HashSet<&str> = names.iter().map(String::as_str).collect();
    assert_eq!(distinct.len(), PROCESSES * 5);
    // No number is left out.
    for number in 2..=PROCESSES * 5 {
        assert!(
            distinct.contains(&*format!("readlater-{number}")),
            "{number}"
        );
    }
    assert_eq!(place.sqlite("SELECT count(*) FROM instances"), "80");
    assert_eq!(place.sqlite("PRAGMA integrity_check"), "ok");
}

/// Only one makes the database, since SQLite's change to a journal for many cannot wait for others.
#[cfg(target_os = "linux")]
#[test]
fn an_opener_waits_for_the_one_before_it() {
    use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
    let place = Place::new();
    let lock = std::fs::OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(place.file(".lock"))
        .unwrap();
    lock.lock().unwrap();
    let inode = format!(":{} ", lock.metadata().unwrap().ino());
    let mut child = place.start("open", &[]);
    drop(child.stdin.take());
    let waits = |locks: String| {
        let waits = |line: &str| line.contains("->") && line.contains(&inode);
        locks.lines().any(waits)
    };
    while !waits(std::fs::read_to_string("/proc/locks").unwrap()) {
        assert_eq!(child.try_wait().unwrap(), None, "it did not wait");
        thread::yield_now();
    }
    assert!(!place.file("").exists());
    lock.unlock().unwrap();
    assert!(child.wait().unwrap().success());
    assert!(place.file("").exists());
}

#[test]
fn processes_get_different_ports_for_different_services_and_the_same_for_one() {
    let place = Place::new();
    let (one, two) = run(async {
        let store = place.store().await;
        let one = store.insert_instance(&new()).await.unwrap().id;
        let two = store.insert_instance(&new()).await.unwrap().id;
        (one, two)
    });
    let ids = [&one, &two];
    let children: Vec<_> = (0..PROCESSES)
        .map(|number| place.start("ports", &[ids[number % 2].as_str(), "6"]))
        .collect();
    let mut given: HashMap<(usize, String), HashSet<String>> = HashMap::new();
    for (number, lines) in lines_of_all(children).into_iter().enumerate() {
        for line in lines {
            let (service, port) = line.split_once(' ').unwrap();
            let key = (number % 2, service.to_owned());
            given.entry(key).or_default().insert(port.to_owned());
        }
    }
    assert_eq!(given.len(), 12);
    assert!(given.values().all(|ports| ports.len() == 1), "{given:?}");
    let distinct: HashSet<&String> = given.values().flatten().collect();
    assert_eq!(distinct.len(), 12, "{given:?}");
}

#[test]
fn guesses_of_many_processes_are_counted_one_by_one() {
    let place = Place::new();
    let children = (0..PROCESSES).map(|_| place.start("guesses", &["ab01", "10"]));
    let mut seen: Vec<u64> = lines_of_all(children.collect())
        .concat()
        .iter()
        .map(|line| line.parse().unwrap())
        .collect();
    seen.sort_unstable();
    // Each saw what all before it had written.
    let expected: Vec<u64> = (0..160).collect();
    assert_eq!(seen, expected);
}

#[test]
fn threads_with_pools_of_their_own_do_not_disturb_each_other() {
    let place = Place::new();
    let ports: Vec<u16> = thread::scope(|threads| {
        let workers: Vec<_> = (0..8)
            .map(|_| {
                threads.spawn(|| {
                    run(async {
                        // Each opens and closes several times, while the others hold their locks.
                        let mut ports = Vec::new();
                        for _ in 0..5 {
                            let store = place.store().await;
                            let made = store.insert_instance(&new()).await.unwrap();
                            let request = PortRequest {
                                service: "web".to_owned(),
                                name: "http".to_owned(),
                                prefer: None,
                            };
                            let port = store.allocate_port(&made.id, &request, &|_| true).await;
                            ports.push(port.unwrap());
                            store.close().await;
                        }
                        ports
                    })
                })
            })
            .collect();
        let joined = workers.into_iter().map(|worker| worker.join().unwrap());
        joined.flatten().collect()
    });
    let distinct: HashSet<u16> = ports.iter().copied().collect();
    assert_eq!((ports.len(), distinct.len()), (40, 40));
    run(async {
        let store = place.store().await;
        assert_eq!(store.instances().await.unwrap().len(), 40);
        store.check().await.unwrap();
    });
}

/// A process that closes last puts the journal into the database and removes it. Whether it is the last it sees by the
/// locks of others, which the system drops when a process closes any descriptor of the file. Newer versions of SQLite look
/// closer, so it is another one that closes here.
#[test]
fn a_second_open_in_one_process_keeps_the_locks_of_the_first() {
    let place = Place::new();
    run(async {
        let first = place.store().await;
        first.insert_instance(&new()).await.unwrap();
        let second = place.store().await;
        assert_eq!(place.sqlite("SELECT name FROM instances"), "readlater");
        assert!(place.file("-wal").exists(), "it is still in use");
        first.insert_instance(&new()).await.unwrap();
        assert_eq!(second.instances().await.unwrap().len(), 2);
        first.check().await.unwrap();
    });
}

/// Each connection is a thread and a cache.
#[cfg(target_os = "linux")]
#[test]
fn one_thing_after_the_other_takes_one_connection() {
    let place = Place::new();
    run(async {
        let store = place.store().await;
        for _ in 0..5 {
            let made = store.insert_instance(&new()).await.unwrap();
            store.find(made.id.as_str()).await.unwrap();
        }
        let opened = std::fs::read_dir("/proc/self/fd")
            .unwrap()
            .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
            .filter(|target| *target == place.file(""))
            .count();
        assert_eq!(opened, 1);
    });
}
