//! Describes the option by which a command asks no question before it deletes something.

use clap::Args;

/// The answer to the question before something is deleted.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Confirmation {
    /// Do not ask; without a terminal, nothing is asked
    #[arg(short, long)]
    pub(crate) yes: bool,
}
