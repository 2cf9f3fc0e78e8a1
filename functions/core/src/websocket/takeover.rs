//! Takes the fan-out's lease for an invocation after which no other may come, or makes sure that a live invocation has it.

use jiff::SignedDuration;

use super::delivery::{LEASE_PAUSES, WATCH};
use crate::{
    App, Result,
    backoff::Backoff,
    execution::ExecutionId,
    logs::{LogHead, fan_out_lease, head},
    table,
};

/// The result of an attempt to take the fan-out's lease.
pub(super) enum Wake {
    Taken(Box<LogHead>),
    /// Another invocation, which is alive, has the lease, and looks again before it releases it.
    HeldByAnother,
    /// Another invocation has the lease, which it has not renewed. It may have died.
    HeldInSilence,
    NotWatched,
}

/// Takes the fan-out's lease. If another invocation has it, counts the head's version up, so that this invocation looks again, and watches
/// the lease: one that changes has a live holder, and one that stays the same may belong to an invocation that died.
pub(super) async fn take_or_watch(app: &App, id: &ExecutionId) -> Result<Wake> {
    let owner = fan_out_lease::new_owner()?;
    let mut first_seen = None;
    let mut pauses = Backoff::new(LEASE_PAUSES);
    let (mut is_counted, mut attempt) = (false, 0);
    let gives_up = app.now() + WATCH;
    loop {
        let Some(head) = head::find(app, id).await?.filter(|head| head.watched) else { return Ok(Wake::NotWatched) };
        // The answer to an earlier try may have been lost.
        if head.fan_owner.as_ref() == Some(&owner) {
            return Ok(Wake::Taken(Box::new(head)));
        }
        let is_written = if head.is_fan_out_free(app.now()) {
            match fan_out_lease::take(app, id, &head, &owner).await? {
                Some(head) => return Ok(Wake::Taken(Box::new(head))),
                None => false,
            }
        } else if is_counted {
            let holder = (head.fan_owner, head.fan_until);
            if *first_seen.get_or_insert_with(|| holder.clone()) != holder {
                return Ok(Wake::HeldByAnother);
            }
            if app.now() >= gives_up {
                return Ok(Wake::HeldInSilence);
            }
            true
        } else {
            is_counted = fan_out_lease::wake(app, id, &head).await?;
            is_counted
        };
        if is_written {
            let left = gives_up.duration_since(app.now()).max(SignedDuration::ZERO).unsigned_abs();
            app.sleep(pauses.take(app).min(left)).await;
        } else {
            // Another writer was first.
            app.sleep(table::pause(app, attempt)).await;
            attempt += 1;
        }
    }
}
