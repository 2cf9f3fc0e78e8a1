//! Describes failures of `runvoy` itself, in contrast to those of a command.

use std::{fmt, io, process::ExitCode};

use crate::{escape, exit_code, say};

pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

/// A failure, as users read it. Its texts are escaped, since they may quote what others wrote.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The problem, without the final period.
    what: String,
    /// The remedy: a command to type, or a setting to change.
    remedy: Option<String>,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Own,
    /// Standard output or standard error cannot be written.
    Output,
    /// The program that reads the output is gone.
    ClosedPipe,
    /// A signal has ended a question.
    Interrupted,
}

impl Failure {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), remedy: None, kind: Kind::Own }
    }

    /// The end of a question that a signal has ended, before anything was done.
    pub(crate) fn interrupted() -> Self {
        Self { what: "nothing was done".to_owned(), remedy: None, kind: Kind::Interrupted }
    }

    /// A failure to write to `stream`.
    pub(crate) fn of_output(stream: &str, error: &io::Error) -> Self {
        let is_closed = error.kind() == io::ErrorKind::BrokenPipe;
        let (what, kind) = if is_closed {
            (format!("{stream} is closed"), Kind::ClosedPipe)
        } else {
            (format!("{stream} cannot be written: {error}"), Kind::Output)
        };
        Self { what, remedy: None, kind }
    }

    pub(crate) fn what(&self) -> &str {
        &self.what
    }

    pub(crate) fn remedy(self, remedy: impl Into<String>) -> Self {
        Self { remedy: Some(remedy.into()), ..self }
    }

    /// Tells whether the output is lost, so that `runvoy` cannot do its work any more.
    pub(crate) fn is_of_output(&self) -> bool {
        matches!(self.kind, Kind::Output | Kind::ClosedPipe)
    }

    pub(crate) fn exit_code(&self) -> u8 {
        match self.kind {
            Kind::ClosedPipe => exit_code::CLOSED_PIPE,
            Kind::Interrupted => exit_code::INTERRUPTED,
            Kind::Own | Kind::Output => exit_code::FAILURE,
        }
    }

    /// Tells the user, and returns the exit code. A reader that left is told nothing.
    pub(crate) fn report(&self) -> ExitCode {
        if self.kind != Kind::ClosedPipe {
            say::line(&format!("runvoy: {self}"));
        }
        ExitCode::from(self.exit_code())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&escape::text(&self.what))?;
        match &self.remedy {
            Some(remedy) => write!(f, "\n  {}", escape::text(remedy)),
            None => Ok(()),
        }
    }
}

/// A failure to write to standard output. Other files have failures of their own that name them.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::of_output("standard output", &error)
    }
}
