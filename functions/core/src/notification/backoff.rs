//! Says when a delivery that failed is tried again.

use std::time::Duration;

use crate::backoff;

/// The pause before the first repetition. Each further one is twice as long.
const FIRST: Duration = Duration::from_secs(5);
/// The longest pause: a receiver that was down for long gets what it missed within an hour.
const LONGEST: Duration = Duration::from_hours(1);
/// The time from the first try after which a delivery is given up.
pub(super) const GIVE_UP_AFTER: Duration = Duration::from_hours(24);

/// The pause after so many tries.
pub(super) fn pause(attempts: u32) -> Duration {
    backoff::after(FIRST, LONGEST, attempts.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_repetition_is_after_five_seconds_and_a_day_has_few() {
        let pauses: Vec<u64> = (1..=12).map(|attempts| pause(attempts).as_secs()).collect();
        assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600]);
        assert_eq!(pause(u32::MAX), LONGEST);
        let (mut tries, mut passed) = (0, Duration::ZERO);
        while passed < GIVE_UP_AFTER {
            tries += 1;
            passed += pause(tries);
        }
        assert_eq!(tries, 33);
    }
}
