//! The manifest's parser against any bytes: it reads or refuses them, each fault lies in the text and can be printed, and what a manifest
//! that was read refers to is in it.
//!
//! With an even first byte the rest is the file. With an odd one it is put into a good file, in the place of some of it, as the next
//! four bytes say: so the parser gets further than the first line.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mira_package::manifest::{Manifest, Probe, Reference};

const GOOD: &str = include_str!("../../crates/mira-package/tests/data/manifest/good/full.yaml");

fuzz_target!(|data: &[u8]| {
    let (first, rest) = match data.split_first() {
        Some((first, rest)) => (*first, rest),
        None => (0, data),
    };
    if first & 1 == 0 {
        return check(rest);
    }
    let Some((&[a, b, c, d], piece)) = rest.split_first_chunk::<4>() else {
        return;
    };
    let at = usize::from(u16::from_le_bytes([a, b])) % (GOOD.len() + 1);
    let end = (at + usize::from(u16::from_le_bytes([c, d])) % 256).min(GOOD.len());
    let (before, after) = (&GOOD.as_bytes()[..at], &GOOD.as_bytes()[end..]);
    check(&[before, piece, after].concat());
});

fn check(bytes: &[u8]) {
    match Manifest::parse_bytes(bytes) {
        Ok(app) => consistent(&app),
        Err(error) => {
            let text = String::from_utf8_lossy(bytes).replace("\r\n", "\n");
            let lines: Vec<&str> = text.split(['\n', '\r']).collect();
            assert!(!error.faults().is_empty());
            for fault in error.faults() {
                let width = lines[fault.line - 1].chars().count();
                assert!((1..=width + 1).contains(&fault.column), "{fault}");
                assert!(!fault.to_string().contains(char::is_control), "{fault:?}");
            }
        }
    }
}

fn consistent(app: &Manifest) {
    let order = app.start_order();
    assert_eq!(order.len(), app.services.len());
    for (at, service) in order.iter().enumerate() {
        for needed in &service.depends_on {
            assert!(order[..at].iter().any(|before| before.name == *needed));
        }
        let probed = match service.health.as_ref().map(|health| &health.probe) {
            Some(Probe::Command(words)) => words.as_slice(),
            _ => &[],
        };
        let texts = service
            .command
            .iter()
            .chain(service.env.values())
            .chain(probed);
        for reference in texts.flat_map(|text| text.references()) {
            let known = match reference {
                Reference::Port { service, port } => app
                    .service(service.as_str())
                    .is_some_and(|service| service.ports.iter().any(|known| known.name == *port)),
                Reference::Volume(name) => app.state.volumes.contains(name),
                Reference::Setting(name) => app.settings.iter().any(|known| known.name == *name),
                _ => true,
            };
            assert!(known, "{reference:?}");
        }
    }
}
