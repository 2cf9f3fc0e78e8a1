//! Small state that outlives the process: a JSON file of the user's alone, replaced whole at each change.

use std::{
    fs::{File, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use serde::{Serialize, de::DeserializeOwned};

/// Where a service keeps its state; nowhere, for one that is forgotten with the process.
#[derive(Clone, Debug)]
pub struct StateFile(Option<PathBuf>);

impl StateFile {
    pub fn new(directory: Option<&Path>, name: &str) -> Self {
        Self(directory.map(|directory| directory.join(name)))
    }

    pub fn read<T: DeserializeOwned + Default>(&self) -> Result<T> {
        let Some(path) = &self.0 else { return Ok(T::default()) };
        match std::fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .with_context(|| format!("{} cannot be read; move it away to start afresh", path.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(T::default()),
            Err(error) => Err(error).with_context(|| format!("{} cannot be read", path.display())),
        }
    }

    pub fn write<T: Serialize>(&self, state: &T) -> Result<()> {
        let Some(path) = &self.0 else { return Ok(()) };
        let new = path.with_extension("new");
        let mut file = private(&new)?;
        file.write_all(&serde_json::to_vec(state)?)?;
        std::fs::rename(&new, path).with_context(|| format!("{} cannot be written", path.display()))
    }
}

/// Creates or empties a file that only the user may read (mode 0600).
pub fn private(path: &Path) -> Result<File> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("{} cannot be written", path.display()))
}

/// Opens a file that only the user may read (mode 0600), as it is.
pub fn private_if_new(path: &Path) -> Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("{} cannot be written", path.display()))
}
