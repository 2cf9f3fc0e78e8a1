//! Virtual time, and an executor on one thread that advances the time when no task can run.

use std::{
    collections::BTreeMap,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use aws_smithy_async::{
    rt::sleep::{AsyncSleep, Sleep},
    time::TimeSource,
};
use futures_executor::LocalPool;
use futures_util::{FutureExt, task::LocalSpawnExt};

/// The time at which every simulation begins: 2026-01-01T00:00:00Z, in milliseconds.
const BEGINNING: u64 = 1_767_225_600_000;

#[derive(Clone, Debug)]
pub struct Clock(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    /// Milliseconds since 1970.
    now: u64,
    /// The sleeping tasks, by the time at which they wake. The second number keeps the order of those that wake at the same
    /// time.
    sleepers: BTreeMap<(u64, u64), Waker>,
    next: u64,
}

impl Clock {
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(Inner { now: BEGINNING, sleepers: BTreeMap::new(), next: 0 })))
    }

    /// Milliseconds since 1970.
    pub fn millis(&self) -> u64 {
        self.0.lock().unwrap().now
    }

    pub fn wait(&self, time: Duration) -> Nap {
        let wake_at = self.millis() + time.as_millis() as u64;
        Nap { clock: self.clone(), wake_at, registered: None }
    }

    /// Advances the time to the next sleeping task. `false` if there is none.
    fn advance(&self) -> bool {
        let mut inner = self.0.lock().unwrap();
        let Some(((at, _), waker)) = inner.sleepers.pop_first() else { return false };
        inner.now = inner.now.max(at);
        drop(inner);
        waker.wake();
        true
    }

    /// Runs all tasks until `main` is done.
    pub fn run(&self, pool: &mut LocalPool, main: impl Future<Output = ()> + 'static) {
        let main = pool.spawner().spawn_local_with_handle(main).unwrap();
        let mut main = std::pin::pin!(main);
        loop {
            pool.run_until_stalled();
            if main.as_mut().now_or_never().is_some() {
                return;
            }
            assert!(self.advance(), "everybody waits for somebody else");
        }
    }
}

impl TimeSource for Clock {
    fn now(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.millis())
    }
}

impl AsyncSleep for Clock {
    fn sleep(&self, duration: Duration) -> Sleep {
        Sleep::new(self.wait(duration))
    }
}

pub struct Nap {
    clock: Clock,
    wake_at: u64,
    registered: Option<(u64, u64)>,
}

impl Future for Nap {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let clock = self.clock.clone();
        let mut inner = clock.0.lock().unwrap();
        if inner.now >= self.wake_at {
            return Poll::Ready(());
        }
        let key = match self.registered {
            Some(key) => key,
            None => {
                inner.next += 1;
                (self.wake_at, inner.next)
            }
        };
        inner.sleepers.insert(key, context.waker().clone());
        self.registered = Some(key);
        Poll::Pending
    }
}

impl Drop for Nap {
    fn drop(&mut self) {
        if let Some(key) = self.registered {
            self.clock.0.lock().unwrap().sleepers.remove(&key);
        }
    }
}
