//! What keeps `runvoy` itself from doing its work, in contrast to a command that fails.

use std::{fmt, io, process::ExitCode};

/// The exit code of every failure of `runvoy` itself, as Docker and Podman have it. A command may end with it too.
pub(crate) const EXIT_CODE: u8 = 125;
/// The exit code when the program that reads the output is gone, as a shell reports SIGPIPE.
const CLOSED_PIPE: u8 = 141;

pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

/// A failure, as users read it.
#[derive(Debug)]
pub(crate) struct Failure {
    /// What happened, without the final period.
    what: String,
    /// What the user can do.
    remedy: Option<String>,
    is_closed_pipe: bool,
}

impl Failure {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), remedy: None, is_closed_pipe: false }
    }

    pub(crate) fn what(&self) -> &str {
        &self.what
    }

    pub(crate) fn remedy(self, remedy: impl Into<String>) -> Self {
        Self { remedy: Some(remedy.into()), ..self }
    }

    /// Tells the user, and returns the exit code.
    pub(crate) fn report(&self) -> ExitCode {
        if self.is_closed_pipe {
            return ExitCode::from(CLOSED_PIPE);
        }
        eprintln!("runvoy: {self}");
        ExitCode::from(EXIT_CODE)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        match &self.remedy {
            Some(remedy) => write!(f, "\n  {remedy}"),
            None => Ok(()),
        }
    }
}

/// A failure to write to standard output. Other files have failures of their own that name them.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        let is_closed_pipe = error.kind() == io::ErrorKind::BrokenPipe;
        Self { is_closed_pipe, ..Self::new(format!("standard output cannot be written: {error}")) }
    }
}
