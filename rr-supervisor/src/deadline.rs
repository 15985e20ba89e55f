//! One deadline for the whole stop, shared out among its phases.

use std::time::{Duration, Instant};

/// What each later phase is left with at least, if there is that much.
const RESERVE: Duration = Duration::from_secs(2);

/// The deadline of the phase that begins now, when so many phases with something to stop come after it: all the time
/// there is, but for a last two seconds for each of those (less when the whole is short).
pub(crate) fn of_phase(now: Instant, end: Instant, phases_after: u32) -> Instant {
    let left = end.saturating_duration_since(now);
    let reserve = RESERVE.min(left / (phases_after + 1)) * phases_after;
    now + left.saturating_sub(reserve)
}

/// What a plugin is told of its phase's deadline: a little less, so that it ends by itself before it is killed.
pub(crate) fn told(now: Instant, phase: Instant) -> Duration {
    let left = phase.saturating_duration_since(now);
    left - (left / 10).min(Duration::from_millis(500))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phase_may_use_all_but_the_reserve_of_the_later_ones() {
        let now = Instant::now();
        for (total, after, expected) in [
            (30, 0, 30.0),
            (30, 1, 28.0),
            (30, 2, 26.0),
            (3, 2, 1.0),
            (2, 1, 1.0),
            (0, 2, 0.0),
        ] {
            let phase = of_phase(now, now + Duration::from_secs(total), after);
            let given = phase.duration_since(now).as_secs_f64();
            assert!((given - expected).abs() < 0.001, "{total} s, {after} after: {given}");
        }
    }

    #[test]
    fn a_plugin_hears_of_less() {
        let now = Instant::now();
        assert_eq!(told(now, now + Duration::from_secs(30)), Duration::from_millis(29_500));
        assert_eq!(told(now, now + Duration::from_secs(1)), Duration::from_millis(900));
        assert_eq!(told(now, now), Duration::ZERO);
    }
}
