//! `kill -9` at every system call of an import: each key is in the file or in the vault, whole, and the next import completes it.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;

use serde_json::Value;

use crate::support::{MIRA, VALUE, keyfile_home, mira};

/// The calls by which an import changes a disk.
const CALLS: &str =
    "write,fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat,flock,fchmod,chmod";

/// More calls than an import makes; what happens first of all is too much to try all of it.
const CALLS_MAX: usize = 120;

#[test]
fn an_import_that_is_killed_anywhere_loses_nothing() {
    let config = format!(
        r#"{{"mcpServers": {{"x": {{"command": "printenv", "args": ["API_KEY"], "env": {{"API_KEY": "{VALUE}"}}}}}}}}"#
    );
    let home = keyfile_home();
    let folder = home.path().join("home/client");
    fs::create_dir(&folder).unwrap();
    let file = folder.join("mcp.json");
    let path = file.to_str().unwrap();
    let import = ["mcp", "import", path, "--yes"];
    let (mut killed, mut ended) = (0, false);
    for call in 1..=CALLS_MAX {
        fs::write(&file, &config).unwrap();
        let inject = format!("inject={CALLS}:signal=KILL:when={call}");
        let run = home
            .mira("strace")
            .args(["-f", "-qq", "-o", "/dev/null", "-e", &inject, MIRA])
            .args(import)
            .run();
        ended = match (run.status.code(), run.status.signal()) {
            (Some(0), _) => true,
            (_, Some(9)) => false,
            _ => panic!("call {call}: {run:?}"),
        };
        killed += usize::from(!ended);
        let text = fs::read_to_string(&file).unwrap();
        let now: Value = serde_json::from_str(&text).unwrap();
        if now["mcpServers"]["x"]["env"]["API_KEY"] != VALUE {
            assert_eq!(
                now["mcpServers"]["x"]["args"][0], "mcp",
                "call {call}: {text}"
            );
            // The server has its key, which Mira takes out of what it prints.
            let run = mira(&home, &["mcp", "run", "x"]).run().assert_code(0);
            assert_eq!(run.stdout_text(), "[redacted:API_KEY]\n", "call {call}");
        }
        mira(&home, &import).run().assert_code(0);
        assert!(
            !fs::read_to_string(&file).unwrap().contains(VALUE),
            "call {call}"
        );
        mira(&home, &["mcp", "rm", "x", "--yes"])
            .run()
            .assert_code(0);
        if ended {
            break;
        }
    }
    assert!(ended && killed > 10, "{killed} killed, ended: {ended}");
}
