//! The folder that the state is kept in: the user's alone, and one program's at a time.

use std::{
    collections::BTreeMap,
    fs::{DirBuilder, File, Permissions, TryLockError},
    io::Write,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use crate::aws::state_file::{private, private_if_new};

pub struct DataDir {
    directory: Option<PathBuf>,
    /// Where workspaces are made when nothing is kept.
    scratch: PathBuf,
    /// Locked for as long as this lives.
    _lock: Option<File>,
}

impl DataDir {
    pub fn open(directory: Option<&Path>) -> Result<Self> {
        let scratch = std::env::temp_dir().join(format!("runvoy-local-{}", uuid::Uuid::new_v4().simple()));
        let Some(directory) = directory else { return Ok(Self { directory: None, scratch, _lock: None }) };
        let name = directory.display();
        DirBuilder::new().recursive(true).mode(0o700).create(directory).with_context(|| {
            format!("the data directory {name} cannot be made; name another with --data-dir, or use --ephemeral")
        })?;
        let unusable =
            || format!("the data directory {name} cannot be used; check its owner, or name another with --data-dir");
        std::fs::set_permissions(directory, Permissions::from_mode(0o700)).with_context(unusable)?;
        // Commands run in workspaces below: they need the path whatever their own directory is.
        let directory = directory.canonicalize().with_context(unusable)?;
        let lock = private_if_new(&directory.join("lock")).with_context(unusable)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => bail!(
                "another local-shim is using the data directory {name}; stop it, or name another directory with --data-dir"
            ),
            Err(TryLockError::Error(error)) => return Err(error).with_context(unusable),
        }
        Ok(Self { directory: Some(directory), scratch, _lock: Some(lock) })
    }

    /// Where state is kept that outlives the process, if any is.
    pub fn persistent(&self) -> Option<&Path> {
        self.directory.as_deref()
    }

    /// Writes variables as `docker run --env-file` and others read them, a line each; nowhere, if nothing is kept.
    pub fn write_variables(&self, name: &str, variables: &BTreeMap<String, String>) -> Result<()> {
        let Some(directory) = &self.directory else { return Ok(()) };
        let lines: String = variables.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
        private(&directory.join(name))?.write_all(lines.as_bytes())?;
        Ok(())
    }

    pub fn workspaces(&self) -> PathBuf {
        self.directory.as_ref().map_or_else(|| self.scratch.clone(), |directory| directory.join("workspaces"))
    }
}

impl Drop for DataDir {
    fn drop(&mut self) {
        // Workspaces are of no use without their commands.
        let _ = std::fs::remove_dir_all(self.workspaces());
    }
}
