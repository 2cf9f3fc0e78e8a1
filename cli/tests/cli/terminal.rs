//! Runs the program on a pseudo-terminal.

use std::{
    io::{Read, Write},
    process::Command,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use crate::system::end_of;

/// A pseudo-terminal: the program's side, and the side that a person sees and types on.
pub(crate) fn terminal(columns: u16) -> (std::fs::File, std::fs::File) {
    use rustix::{pty, termios};
    let person = pty::openpt(pty::OpenptFlags::RDWR | pty::OpenptFlags::NOCTTY).unwrap();
    pty::grantpt(&person).unwrap();
    pty::unlockpt(&person).unwrap();
    let name = pty::ptsname(&person, Vec::new()).unwrap();
    let program = std::fs::File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap();
    let size = termios::Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    termios::tcsetwinsize(&program, size).unwrap();
    (program, std::fs::File::from(person))
}

/// Runs a command on a terminal, types a line when it asks for one, and returns its exit code and what is seen.
pub(crate) fn on_terminal(command: Command, columns: u16, answer: Option<(&str, &str)>) -> (Option<i32>, String) {
    on_terminal_that(command, columns, answer, is_hidden)
}

/// Runs a command on a terminal and types a line when it asks a question whose answer is shown, as [`on_terminal`] does.
pub(crate) fn answers_on_terminal(command: Command, columns: u16, question: &str, line: &str) -> (Option<i32>, String) {
    on_terminal_that(command, columns, Some((question, line)), |_| true)
}

fn on_terminal_that(
    mut command: Command,
    columns: u16,
    answer: Option<(&str, &str)>,
    is_ready: fn(&std::fs::File) -> bool,
) -> (Option<i32>, String) {
    let (program, mut person) = terminal(columns);
    command.env("TERM", "xterm-256color");
    command.stdin(program.try_clone().unwrap()).stdout(program.try_clone().unwrap()).stderr(program);
    let child = command.spawn().unwrap();
    // The command holds copies of the program's side, which would keep the reader from its end.
    drop(command);
    let mut screen = person.try_clone().unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let reader = std::thread::spawn({
        let seen = seen.clone();
        move || {
            let mut buffer = [0; 4096];
            // Linux reports the end of the other side as an error.
            while let Ok(length @ 1..) = screen.read(&mut buffer) {
                seen.lock().unwrap().extend_from_slice(&buffer[..length]);
            }
        }
    });
    let seen = || String::from_utf8_lossy(&seen.lock().unwrap()).into_owned();
    if let Some((question, line)) = answer {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !(seen().contains(question) && is_ready(&person)) {
            assert!(Instant::now() < deadline, "it does not ask: {:?}", seen());
            std::thread::sleep(Duration::from_millis(5));
        }
        person.write_all(line.as_bytes()).unwrap();
    }
    let code = end_of(child).status.code();
    reader.join().unwrap();
    (code, seen())
}

/// Tells whether a terminal does not show what is typed.
pub(crate) fn is_hidden(terminal: &std::fs::File) -> bool {
    let modes = rustix::termios::tcgetattr(terminal).unwrap().local_modes;
    !modes.contains(rustix::termios::LocalModes::ECHO)
}
