//! Many processes at once: no update is lost.

use crate::support::{keyfile_home, list, mira};

const WRITERS: usize = 32;
const UPDATES: usize = 1_000;

#[test]
fn a_thousand_updates_by_32_writers_are_all_kept() {
    let home = keyfile_home();
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let home = &home;
            scope.spawn(move || {
                let name = format!("KEY_{writer}");
                for update in (writer..UPDATES).step_by(WRITERS) {
                    mira(home, &["set", &name, "--stdin", "--replace"])
                        .stdin_bytes(format!("value-{writer}-{update}"))
                        .run()
                        .assert_code(0);
                }
            });
        }
    });
    let entries = list(&home);
    assert_eq!(entries.len(), WRITERS);
    let updates: u64 = entries
        .iter()
        .map(|entry| entry["version"].as_u64().unwrap())
        .sum();
    assert_eq!(updates, UPDATES as u64);
}
