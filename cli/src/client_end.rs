//! Decides what becomes of an execution when `runvoy` ends before it: at a signal, when its output has no reader or no room any more,
//! or when the API does not show the log any more.
//!
//! The answer is the same each time, and is said once: the execution is stopped, or goes on where the user asked for that with
//! `--on-interrupt detach` or only watches it.

use std::time::Duration;

use crate::{
    api::Api,
    arguments::OnInterrupt,
    exit_code,
    failure::{Failure, Result},
    say,
    signals::Interrupts,
};

/// The time that a stop may take when nothing else is waited for.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// The end of `runvoy` for an execution.
pub(crate) struct ClientEnd {
    pub(crate) id: String,
    pub(crate) on_interrupt: OnInterrupt,
    pub(crate) interrupts: Interrupts,
    /// The execution is being stopped because of a signal.
    pub(crate) is_stopping: bool,
}

impl ClientEnd {
    pub(crate) fn new(id: String, on_interrupt: OnInterrupt, interrupts: Interrupts) -> Self {
        Self { id, on_interrupt, interrupts, is_stopping: false }
    }

    /// Reacts to a signal. Returns an exit code if `runvoy` ends now, and none if it waits for the last lines.
    pub(crate) async fn on_signal(&mut self, api: &Api) -> Result<Option<u8>> {
        let id = &self.id;
        if self.is_stopping {
            say!("runvoy: the execution is being stopped; see how it ends: runvoy logs -f {id}");
            return Ok(Some(exit_code::INTERRUPTED));
        }
        if self.on_interrupt == OnInterrupt::Detach {
            self.goes_on();
            return Ok(Some(exit_code::INTERRUPTED));
        }
        self.is_stopping = true;
        say!("runvoy: stopping the execution; again to leave at once");
        tokio::select! {
            stopped = api.stop(id) => match stopped {
                Ok(_) => Ok(None),
                Err(failure) => {
                    say::line(&format!("runvoy: {}", self.cannot_stop(&failure)));
                    Ok(Some(exit_code::FAILURE))
                }
            },
            () = self.interrupts.next() => {
                say!("runvoy: it is not certain that the execution stops; make sure: runvoy kill {id}");
                Ok(Some(exit_code::INTERRUPTED))
            }
        }
    }

    /// Ends after a failure, when an execution that this program started has not ended. Returns the exit code.
    pub(crate) async fn on_failure(mut self, api: &Api, failure: &Failure) -> u8 {
        let id = self.id.clone();
        say::line(&format!("runvoy: {failure}"));
        if self.is_stopping {
            say!("runvoy: the execution is being stopped; see how it ends: runvoy logs -f {id}");
        } else if self.on_interrupt == OnInterrupt::Detach {
            self.goes_on();
        } else {
            let stopped = tokio::select! {
                stopped = tokio::time::timeout(STOP_TIMEOUT, api.stop(&id)) => stopped.ok(),
                () = self.interrupts.next() => None,
            };
            match stopped {
                Some(Ok(_)) => {
                    say!("runvoy: the execution is being stopped; see how it ends: runvoy logs -f {id}");
                }
                Some(Err(why)) => say::line(&format!("runvoy: {}", self.cannot_stop(&why))),
                None => say!("runvoy: it is not certain that the execution stops; make sure: runvoy kill {id}"),
            }
        }
        failure.exit_code()
    }

    fn goes_on(&self) {
        say!("runvoy: the execution goes on; come back to it: runvoy logs -f {}", self.id);
    }

    fn cannot_stop(&self, why: &Failure) -> Failure {
        Failure::new(format!("the execution cannot be stopped: {}", why.what()))
            .remedy(format!("try again: runvoy kill {}", self.id))
    }
}

/// The time that an answer is waited for after a signal, so that a command that was started can be stopped.
const ANSWER_AFTER_SIGNAL: Duration = Duration::from_secs(5);

/// Waits for the answer to a request that starts an execution. Returns it with a flag that is set if a signal came meanwhile, and no
/// answer if `runvoy` ends without it.
pub(crate) async fn started<T>(starting: impl Future<Output = T>, interrupts: &mut Interrupts) -> Option<(T, bool)> {
    tokio::pin!(starting);
    tokio::select! {
        answer = &mut starting => return Some((answer, false)),
        () = interrupts.next() => {}
    }
    say!("runvoy: waiting for the server's answer, so that the command can be stopped; again to leave at once");
    tokio::select! {
        answer = tokio::time::timeout(ANSWER_AFTER_SIGNAL, &mut starting) => if let Ok(answer) = answer {
            return Some((answer, true));
        },
        () = interrupts.next() => {}
    }
    say!("runvoy: the server has not answered; the command may have been started: look at `runvoy list`");
    None
}
