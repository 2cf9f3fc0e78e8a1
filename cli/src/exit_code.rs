//! Names the exit codes of `runvoy`. Every other code is that of the command that ran.

/// A failure of `runvoy` itself, as Docker and Podman have it. A command may end with it too.
pub(crate) const FAILURE: u8 = 125;
/// A run that a signal interrupted, as of a program that SIGINT ends.
pub(crate) const INTERRUPTED: u8 = 130;
/// The program that reads the output is gone, as a shell reports SIGPIPE.
pub(crate) const CLOSED_PIPE: u8 = 141;

/// The exit code for an execution that ended: the command's own, or 1 where it has none. A command's code that does not fit into a
/// byte is cut as the operating system cuts it.
pub(crate) fn of_execution(succeeded: bool, exit_code: Option<i32>) -> u8 {
    match exit_code {
        Some(code) if code != 0 || succeeded => u8::try_from(code & 0xff).unwrap_or(1),
        _ => 1,
    }
}
