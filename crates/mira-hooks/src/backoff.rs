//! How long after a failed attempt the next one begins.

use std::time::Duration;

/// Returns a random time between half and the whole of what doubles with each attempt, from `first` on to `most`.
///
/// Random, so that what failed together is not tried again together.
pub(crate) fn delay(attempt: u64, first: Duration, most: Duration) -> Duration {
    let doublings = u32::try_from(attempt.saturating_sub(1)).unwrap_or(u32::MAX);
    let factor = 2_u32.checked_pow(doublings.min(31)).unwrap_or(u32::MAX);
    let whole = first.saturating_mul(factor).min(most);
    whole.mul_f64(0.5 + fastrand::f64() / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_bound_and_are_not_all_alike() {
        let (first, most) = (Duration::from_secs(5), Duration::from_secs(3600));
        for (attempt, whole) in [
            (0, 5),
            (1, 5),
            (2, 10),
            (3, 20),
            (10, 2560),
            (11, 3600),
            (40, 3600),
            (u64::MAX, 3600),
        ] {
            let whole = Duration::from_secs(whole);
            let delays: Vec<Duration> = (0..100).map(|_| delay(attempt, first, most)).collect();
            assert!(
                delays
                    .iter()
                    .all(|delay| *delay >= whole / 2 && *delay <= whole),
                "{attempt}"
            );
            assert!(delays.iter().any(|delay| *delay != delays[0]), "{attempt}");
        }
    }
}
