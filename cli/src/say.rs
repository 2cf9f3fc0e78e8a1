//! Writes runvoy's own messages to standard error, and shows there that it waits.
//!
//! A message that cannot be written is not a panic: the failure is kept, and [`lost`] tells those who must know of it.

use std::{
    fmt::Display,
    io::{self, IsTerminal, Write},
    sync::Mutex,
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};

use crate::escape;

/// Writes a line to standard error. Control characters in it are escaped.
macro_rules! say {
    ($($argument:tt)*) => { $crate::say::line(&$crate::escape::text(&format!($($argument)*))) };
}

struct State {
    /// The spinner that shows. It makes room for lines.
    spinner: Option<ProgressBar>,
    failed: Option<io::ErrorKind>,
    is_muted: bool,
}

/// The spinner, and what became of standard error. All of the program's messages share it.
static STATE: Mutex<State> = Mutex::new(State { spinner: None, failed: None, is_muted: false });

fn with_state<T>(action: impl FnOnce(&mut State) -> T) -> T {
    action(&mut STATE.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
}

/// Writes a line as it is, with the colours that this program gives it.
pub(crate) fn line(text: &str) {
    write(text, "\n");
}

/// Writes a question without a line end.
pub(crate) fn ask(question: &str) {
    write(&escape::text(question), "");
}

fn write(text: &str, end: &str) {
    with_state(|state| {
        if state.is_muted {
            return;
        }
        let write = || {
            let mut stderr = io::stderr().lock();
            stderr.write_all(format!("{text}{end}").as_bytes()).and_then(|()| stderr.flush())
        };
        let written = match &state.spinner {
            Some(spinner) => spinner.suspend(write),
            None => write(),
        };
        if let Err(error) = written {
            state.failed = Some(error.kind());
        }
    });
}

/// Says nothing from now on, for a shell that completes what its user types.
pub(crate) fn mute() {
    with_state(|state| state.is_muted = true);
}

/// The reason for which a message could not be written to standard error, if one could not.
pub(crate) fn lost() -> Option<io::ErrorKind> {
    with_state(|state| state.failed)
}

/// A spinner that shows on a terminal only, until this is dropped.
pub(crate) struct Waiting;

impl Waiting {
    pub(crate) fn begin(what: impl Into<String>) -> Self {
        if is_lively() {
            let spinner = ProgressBar::new_spinner().with_message(what.into());
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
                spinner.set_style(style);
            }
            spinner.enable_steady_tick(Duration::from_millis(100));
            with_state(|state| state.spinner = Some(spinner));
        }
        Self
    }

    /// Shows another text.
    pub(crate) fn now(&self, what: impl Display) {
        with_state(|state| {
            if let Some(spinner) = &state.spinner {
                spinner.set_message(what.to_string());
            }
        });
    }
}

impl Waiting {
    /// Writes to the terminal while the spinner is away.
    pub(crate) fn aside<T>(&self, write: impl FnOnce() -> T) -> T {
        // The state has no spinner meanwhile: a message of `write` that suspended it a second time would wait for the first time's end for ever.
        let Some(spinner) = with_state(|state| state.spinner.take()) else { return write() };
        let written = spinner.suspend(write);
        with_state(|state| state.spinner = Some(spinner));
        written
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(spinner) = with_state(|state| state.spinner.take()) {
            spinner.finish_and_clear();
        }
    }
}

/// Tells whether standard error is a terminal on which text can change.
fn is_lively() -> bool {
    io::stderr().is_terminal() && !is_dumb()
}

/// Tells whether the terminal says that it knows neither colours nor movements.
pub(crate) fn is_dumb() -> bool {
    std::env::var_os("TERM").is_some_and(|term| term == "dumb")
}
