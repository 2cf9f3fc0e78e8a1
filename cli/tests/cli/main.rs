//! Runs the program itself, against a local system.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod client_end;
mod configuration;
mod ids;
#[cfg(unix)]
mod installer;
mod later_server;
mod locks;
mod logs;
mod lost_answers;
mod manage;
mod playbook_files;
mod playbooks;
mod proxy;
#[cfg(unix)]
mod readme;
mod reworded;
mod run;
mod schedules;
mod screens;
mod system;
mod terminal;

/// The things that nearly every test uses.
mod prelude {
    pub(crate) use std::{
        io::{BufRead, BufReader, Read, Write},
        path::Path,
        process::{Command, Stdio},
        sync::atomic::Ordering,
        time::{Duration, Instant},
    };

    pub(crate) use local_shim::{Settings, Shim};
    pub(crate) use serde_json::{Value, json};

    pub(crate) use crate::{proxy::*, system::*, terminal::*};
}
