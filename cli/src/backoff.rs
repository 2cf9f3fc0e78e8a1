//! Paces repetitions: pauses that grow, each a little different, so that many programs that lost the same server do not come back at once.

use std::time::Duration;

/// Pauses that double from the first to the longest.
#[derive(Clone, Debug)]
pub(crate) struct Pauses {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl Pauses {
    pub(crate) const fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, next: first }
    }

    /// The next pause: between three quarters of its length and the whole.
    pub(crate) fn next(&mut self) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(self.longest);
        let mut random = [0; 1];
        // Without randomness the pause is whole.
        let share = getrandom::fill(&mut random).map_or(0, |()| random[0]);
        pause - pause * u32::from(share) / (4 * 255)
    }

    /// Begins again with the first pause, after a success.
    pub(crate) fn reset(&mut self) {
        self.next = self.first;
    }

    /// Waits for the next pause.
    pub(crate) async fn wait(&mut self) {
        tokio::time::sleep(self.next()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_longest_and_begin_again() {
        let mut pauses = Pauses::new(Duration::from_millis(100), Duration::from_millis(350));
        for longest in [100, 200, 350, 350] {
            let pause = pauses.next().as_millis();
            assert!((longest * 3 / 4..=longest).contains(&pause), "{pause} of {longest}");
        }
        pauses.reset();
        assert!(pauses.next().as_millis() <= 100);
    }
}
