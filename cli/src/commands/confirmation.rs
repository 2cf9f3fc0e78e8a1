//! Asks before something is deleted.

use std::io::{self, IsTerminal};

use super::account::ask;
use crate::{
    arguments::Confirmation,
    failure::{Failure, Result},
};

impl Confirmation {
    /// Tells whether there is somebody to ask, who has not said yes already.
    pub(crate) fn asks(&self) -> bool {
        !self.yes && io::stdin().is_terminal()
    }

    /// Asks on the terminal. A script has no terminal, and is not asked.
    ///
    /// # Errors
    /// The user does not say yes.
    pub(crate) fn ask(self, question: &str) -> Result<()> {
        if !self.asks() {
            return Ok(());
        }
        match ask(&format!("{question} [y/N]"), None)?.to_ascii_lowercase().as_str() {
            "y" | "yes" => Ok(()),
            _ => Err(Failure::new("nothing is changed")),
        }
    }
}
