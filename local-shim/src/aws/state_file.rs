//! Keeps small state that outlives the process, in JSON files that only the user can read. Each change replaces the file.

use std::{
    fs::{File, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use serde::{Serialize, de::DeserializeOwned};

/// The file that holds the API key of the admin.
pub const ADMIN_KEY: &str = "admin-key";

/// The file of a service's state. Without a path, the state ends with the process.
#[derive(Clone, Debug)]
pub(crate) struct StateFile(Option<PathBuf>);

impl StateFile {
    pub(crate) fn new(directory: Option<&Path>, name: &str) -> Self {
        Self(directory.map(|directory| directory.join(name)))
    }

    pub(crate) fn read<T: DeserializeOwned + Default>(&self) -> Result<T> {
        let Some(path) = &self.0 else { return Ok(T::default()) };
        match std::fs::read(path) {
            Ok(bytes) if bytes.is_empty() => {
                anyhow::bail!("{} is empty; put back its content, or move it away to start afresh", path.display())
            }
            Ok(bytes) => serde_json::from_slice(&bytes)
                .with_context(|| format!("{} cannot be read; move it away to start afresh", path.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(T::default()),
            Err(error) => Err(error).with_context(|| format!("{} cannot be read", path.display())),
        }
    }

    /// Replaces the file with this state.
    pub(crate) fn write<T: Serialize>(&self, state: &T) -> Result<()> {
        let Some(path) = &self.0 else { return Ok(()) };
        replace(path, &serde_json::to_vec(state)?)
    }
}

/// The path of a SQLite database in the data directory. A new one gets a file that only the user may read. An empty file is taken for new
/// before the admin's key is written, and with `is_taken_over`, when its content may still be in other files; otherwise it is an error.
pub(crate) fn database(directory: &Path, name: &str, is_taken_over: bool) -> Result<PathBuf> {
    let path = directory.join(name);
    let is_empty = path.metadata().is_ok_and(|file| file.len() == 0);
    if is_empty && !is_taken_over && directory.join(ADMIN_KEY).exists() {
        anyhow::bail!(
            "{} is empty; put back its content, or move the data directory away to start afresh",
            path.display()
        );
    }
    drop(private_if_new(&path)?);
    Ok(path)
}

/// Replaces the content of a file that only the user may read (mode 0600). After a crash or a loss of power, the file has the old
/// content or the new, and never a part of it.
pub(crate) fn replace(path: &Path, content: &[u8]) -> Result<()> {
    replace_with(path, content, File::sync_data)
}

/// As [`replace`], but a loss of power may leave the file empty.
pub(crate) fn replace_unsynced(path: &Path, content: &[u8]) -> Result<()> {
    replace_with(path, content, |_| Ok(()))
}

fn replace_with(path: &Path, content: &[u8], sync: impl FnOnce(&File) -> std::io::Result<()>) -> Result<()> {
    let cannot = || format!("{} cannot be written", path.display());
    let new = path.with_extension("new");
    let mut file = private(&new)?;
    let written = file.write_all(content).and_then(|()| sync(&file)).and_then(|()| std::fs::rename(&new, path));
    if written.is_err() {
        // On a disk that is full, the file exists and is empty.
        let _ = std::fs::remove_file(&new);
    }
    written.with_context(cannot)
}

/// Creates or empties a file that only the user may read (mode 0600).
fn private(path: &Path) -> Result<File> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("{} cannot be written", path.display()))
}

/// Opens a file to append to it, and keeps its content. A new one can be read by the user only (mode 0600).
pub(crate) fn private_if_new(path: &Path) -> Result<File> {
    OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("{} cannot be written", path.display()))
}
