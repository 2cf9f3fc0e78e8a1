//! Deliveries that go wrong on purpose, within what AWS may do: late, twice, in another order, with a function that fails before
//! or after it has done its work.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// The longest that a delivery is held back, in milliseconds. Longer than what usually lies between two events.
const MAX_DELAY: u64 = 1500;

/// What goes wrong, decided by a seed.
#[derive(Debug)]
pub struct Chaos(Mutex<u64>);

/// What becomes of one try of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Undisturbed,
    /// The function does not even begin.
    FailsBefore,
    /// The function does its work, and nobody hears of it.
    FailsAfter,
}

impl Chaos {
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(seed))
    }

    /// SplitMix64: the same numbers for the same seed, in the order in which they are asked for.
    fn below(&self, limit: u64) -> u64 {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = *state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }

    /// How often an event is delivered.
    pub fn copies(&self) -> u64 {
        if self.below(4) == 0 { 2 + self.below(2) } else { 1 }
    }

    /// How long a delivery is held back.
    pub fn delay(&self) -> Duration {
        let most = if self.below(3) == 0 { MAX_DELAY } else { 50 };
        Duration::from_millis(self.below(most))
    }

    pub fn fate(&self) -> Fate {
        match self.below(8) {
            0 => Fate::FailsBefore,
            1 => Fate::FailsAfter,
            _ => Fate::Undisturbed,
        }
    }
}
