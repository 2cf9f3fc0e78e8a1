//! Paces repetitions: pauses that double up to a longest one. Each is shortened by a random part, so that invocations that collided do not
//! collide again.

use std::time::Duration;

use crate::App;

/// The pauses of one loop.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    next: Duration,
    longest: Duration,
}

impl Backoff {
    /// Pauses from the first to the longest.
    pub(crate) const fn new((first, longest): (Duration, Duration)) -> Self {
        Self { next: first, longest }
    }

    /// Lets the next pause be no shorter than this.
    pub(crate) fn at_least(&mut self, shortest: Duration) {
        self.next = self.next.max(shortest);
    }

    /// The next pause.
    pub(crate) fn take(&mut self, app: &App) -> Duration {
        let pause = self.next;
        self.next = after(self.next, self.longest, 1);
        app.jitter(pause)
    }

    /// Waits for the next pause.
    pub(crate) async fn wait(&mut self, app: &App) {
        app.sleep(self.take(app)).await;
    }
}

/// The length, before a random part is taken off, of the pause that comes so many pauses after the first.
pub fn after(first: Duration, longest: Duration, pauses: u32) -> Duration {
    first.saturating_mul(2_u32.saturating_pow(pauses)).min(longest)
}
