//! Makes deliveries go wrong on purpose, as they may in AWS: late, twice, in another order, to a function that fails before or after
//! it has done its work.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// The longest delay of a delivery, in milliseconds. It is longer than the usual time between two events, so that events overtake
/// each other.
const MAX_DELAY: u64 = 1500;

/// Decides what goes wrong, from a seed.
#[derive(Debug)]
pub(super) struct Chaos(Mutex<u64>);

/// The fate of one try of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Undisturbed,
    /// The function is not invoked, and the delivery fails.
    FailsBefore,
    /// The function does its work, and the delivery fails all the same.
    FailsAfter,
}

impl Chaos {
    pub(super) fn new(seed: u64) -> Self {
        Self(Mutex::new(seed))
    }

    /// A random number below `limit` by SplitMix64. The same seed gives the same sequence of numbers, in each version of the
    /// program, which crates for random numbers do not promise.
    fn below(&self, limit: u64) -> u64 {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = *state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }

    /// The number of times that an event is delivered.
    pub(super) fn copies(&self) -> u64 {
        if self.below(4) == 0 { 2 + self.below(2) } else { 1 }
    }

    /// The time that a delivery is delayed.
    pub(super) fn delay(&self) -> Duration {
        let most = if self.below(3) == 0 { MAX_DELAY } else { 50 };
        Duration::from_millis(self.below(most))
    }

    pub(super) fn fate(&self) -> Fate {
        match self.below(8) {
            0 => Fate::FailsBefore,
            1 => Fate::FailsAfter,
            _ => Fate::Undisturbed,
        }
    }
}
