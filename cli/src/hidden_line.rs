//! Reads what is typed on the terminal without showing it.

use std::io::{self, IsTerminal};

use console::Term;

use crate::{
    failure::{Failure, Result},
    say,
    signals::Interrupts,
};

/// Reads a line from the terminal without showing it. `otherwise` says what to do where there is none. A signal ends it, and the terminal
/// shows what is typed again.
pub(crate) async fn read(prompt: &str, otherwise: &str) -> Result<String> {
    if !io::stdin().is_terminal() {
        return Err(Failure::new("there is no terminal to ask on").remedy(otherwise));
    }
    let mut interrupts = Interrupts::listen()?;
    let before = Echo::now();
    say::ask(prompt);
    // It cannot be cancelled, and waits in a thread of its own until the program ends.
    let typed = tokio::task::spawn_blocking(|| Term::stderr().read_secure_line());
    tokio::select! {
        line = typed => line
            .map_err(io::Error::other)
            .flatten()
            .map_err(|error| Failure::new(format!("the terminal cannot be read: {error}"))),
        () = interrupts.next() => {
            before.restore();
            say!("");
            Err(Failure::interrupted())
        }
    }
}

/// The way in which the terminal of standard input shows what is typed.
struct Echo {
    #[cfg(unix)]
    mode: Option<rustix::termios::Termios>,
}

#[cfg(unix)]
impl Echo {
    fn now() -> Self {
        Self { mode: rustix::termios::tcgetattr(io::stdin()).ok() }
    }

    fn restore(self) {
        if let Some(mode) = self.mode {
            // The terminal may be gone, as after SIGHUP.
            let _ = rustix::termios::tcsetattr(io::stdin(), rustix::termios::OptionalActions::Now, &mode);
        }
    }
}

#[cfg(not(unix))]
impl Echo {
    fn now() -> Self {
        Self {}
    }

    fn restore(self) {}
}
