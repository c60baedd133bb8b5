//! CPU time of child processes, and the median of many runs.

use std::process::Stdio;

use nix::sys::resource::{UsageWho, getrusage};

use crate::cases::Case;

/// Runs every case once a round and returns each one's median, in milliseconds of CPU time.
pub(crate) fn medians(cases: &mut [Case], rounds: usize) -> Vec<f64> {
    let mut samples = vec![Vec::with_capacity(rounds); cases.len()];
    // One round more, whose figures are dropped: files are read for the first time there.
    for round in 0..=rounds {
        for (case, samples) in cases.iter_mut().zip(&mut samples) {
            let took = cpu_ms(case);
            if round > 0 {
                samples.push(took);
            }
        }
    }
    samples.into_iter().map(median).collect()
}

fn cpu_ms(case: &mut Case) -> f64 {
    let before = children_ms();
    let status = case
        .command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .expect("the program was found when the case was made");
    let took = children_ms() - before;
    assert!(status.success(), "{} ended with {status}", case.name);
    took
}

/// Returns the CPU time of all processes that were waited for, by us or by those we waited for.
fn children_ms() -> f64 {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).expect("it is always there");
    let time = usage.user_time() + usage.system_time();
    time.tv_sec() as f64 * 1e3 + time.tv_usec() as f64 / 1e3
}

fn median(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples.get(samples.len() / 2).copied().unwrap_or_default()
}
