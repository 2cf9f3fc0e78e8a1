//! Bounds how long a run may take: checks the timeout that a request asks for, and how much of it a clone may use. The scripts of the
//! containers stop what takes longer (`image/runner.sh` and `image/sidecar.sh`).

use jiff::Timestamp;
use runvoy_api_types::limits::MAX_TIMEOUT_SECONDS;

use crate::{Error, Result};

/// # Errors
/// [`Error::Invalid`] for a timeout, in seconds, that is longer than a run may take.
pub(super) fn check(timeout: Option<u64>) -> Result<()> {
    if timeout.is_some_and(|seconds| seconds > MAX_TIMEOUT_SECONDS) {
        let problem = format!("timeout must be 1 to {MAX_TIMEOUT_SECONDS} seconds, or 0 for none");
        return Err(Error::invalid(problem).at_field("timeout"));
    }
    Ok(())
}

/// The seconds for which a repository may be cloned: those of the timeout, or those until the deadline where it comes first.
pub(super) fn of_clone(timeout: Option<u64>, deadline: Option<Timestamp>, now: Timestamp) -> Option<u64> {
    let left = deadline.map(|deadline| deadline.duration_since(now).as_secs().max(1).unsigned_abs());
    [timeout, left].into_iter().flatten().min()
}
