//! Opens the folder of the state. Only the user can read it, and one program at a time uses it.

use std::{
    collections::BTreeMap,
    fs::{DirBuilder, File, Metadata, Permissions, TryLockError},
    io::Write,
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use crate::aws::{
    dynamodb::DATABASE,
    signature::AccessKey,
    state_file::{StateFile, private_if_new, replace, replace_unsynced},
};

pub use crate::aws::state_file::ADMIN_KEY;

pub(crate) struct DataDir {
    directory: Option<PathBuf>,
    /// The folder of the workspaces when there is no data directory.
    scratch: PathBuf,
    /// Tells whether an earlier start has left a database in the folder.
    has_state: bool,
    /// A lock that is held until this value is dropped.
    _lock: Option<Lock>,
}

struct Lock(File);

impl Drop for Lock {
    /// Unlocks the file. Closing it would not do: a command that is about to be started is a copy of this process for a moment, and keeps
    /// the file open.
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

/// The file that exists while the first start is under way. A start that finds it begins anew: the one before was interrupted before a
/// caller could use what it had created.
const FIRST_START: &str = "first-start";
/// The file that a running program holds locked.
const LOCK: &str = "lock";
/// The file that holds the number of the folder's form. A folder without it is of the first form.
const VERSION: &str = "version";
/// The form of the folder that this program writes. It grows when an earlier program could not use the folder any more.
const CURRENT_VERSION: u32 = 2;
/// The file from which the command line and a second start learn where the system is.
const API_ENDPOINT: &str = "api-endpoint";
/// Bytes that [`has_room`] writes. A disk on which they fit is not taken for full.
const ROOM: usize = 64 * 1024;

impl DataDir {
    /// Opens and locks the folder, and creates it if it does not exist.
    ///
    /// # Errors
    /// The folder cannot be used, another program uses it, it belongs to another user, or a newer program has written it.
    pub(crate) fn open(directory: Option<&Path>) -> Result<Self> {
        let scratch = std::env::temp_dir().join(format!("runvoy-local-{}", uuid::Uuid::new_v4().simple()));
        let Some(directory) = directory else {
            return Ok(Self { directory: None, scratch, has_state: false, _lock: None });
        };
        let name = directory.display();
        DirBuilder::new().recursive(true).mode(0o700).create(directory).with_context(|| {
            format!("the data directory {name} cannot be made; name another with --data-dir, or use --ephemeral")
        })?;
        let unusable =
            || format!("the data directory {name} cannot be used; check its owner, or name another with --data-dir");
        check_owner(directory, &directory.metadata().with_context(unusable)?)?;
        std::fs::set_permissions(directory, Permissions::from_mode(0o700)).with_context(unusable)?;
        // Commands run in folders below this one and need its path from the root.
        let directory = directory.canonicalize().with_context(unusable)?;
        let lock = Lock(private_if_new(&directory.join(LOCK)).with_context(unusable)?);
        match lock.0.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => bail!(
                "runvoy already runs with the data directory {name}{}; use it, stop it, or name another directory with --data-dir",
                place(&directory)
            ),
            Err(TryLockError::Error(error)) => return Err(error).with_context(unusable),
        }
        check_version(&directory)?;
        begin_first_start(&directory).with_context(unusable)?;
        replace(&directory.join(VERSION), format!("{CURRENT_VERSION}\n").as_bytes()).with_context(unusable)?;
        let has_state = directory.join(DATABASE).metadata().is_ok_and(|file| file.len() > 0);
        Ok(Self { directory: Some(directory), scratch, has_state, _lock: Some(lock) })
    }

    /// Marks the first start as complete.
    pub(crate) fn end_first_start(&self) -> Result<()> {
        let Some(directory) = &self.directory else { return Ok(()) };
        match std::fs::remove_file(directory.join(FIRST_START)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Tells whether an earlier start has left a database here, and so may have made the files beside it.
    pub(crate) fn has_state(&self) -> bool {
        self.has_state
    }

    /// The folder, unless the state is in memory.
    pub(crate) fn persistent(&self) -> Option<&Path> {
        self.directory.as_deref()
    }

    /// The access key of the emulated AWS. It is created at the first start and stays the same after that.
    pub(crate) fn access_key(&self) -> Result<AccessKey> {
        let Some(directory) = &self.directory else { return Ok(AccessKey::generate()?) };
        let file = StateFile::new(Some(directory), "aws-access-key.json");
        match file.read::<Option<AccessKey>>()? {
            Some(key) => Ok(key),
            None => {
                let key = AccessKey::generate()?;
                file.write(&Some(&key))?;
                Ok(key)
            }
        }
    }

    /// Writes variables to a file that shells, cargo-lambda, Docker and systemd read in the same way: a line `NAME=value` for each,
    /// without quotes. Without a data directory, nothing is written.
    ///
    /// # Errors
    /// Names a variable whose value these programs would read differently.
    pub(crate) fn write_variables(&self, name: &str, variables: &BTreeMap<String, String>) -> Result<()> {
        let Some(directory) = &self.directory else { return Ok(()) };
        let is_plain = |value: &str| value.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-./:,@+%=".contains(&b));
        if let Some((variable, value)) = variables.iter().find(|(_, value)| !is_plain(value)) {
            bail!(
                "{variable} is {value:?}: {name} cannot hold it for every program that reads that file; use letters, digits and \
                 _ - . / : , @ + % = only, or start with --aws-port off"
            );
        }
        let lines: String = variables.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
        replace(&directory.join(name), lines.as_bytes())
    }

    /// Writes a file that only the user can read. Without a data directory, nothing is written.
    pub(crate) fn write(&self, name: &str, content: &str) -> Result<()> {
        let Some(directory) = &self.directory else { return Ok(()) };
        let path = directory.join(name);
        if let Some(folder) = path.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        replace(&path, content.as_bytes())
    }

    /// Writes where the system answers, for the command line and for a second start. Each start writes it, so it is not synced.
    pub(crate) fn write_endpoint(&self, url: &str) -> Result<()> {
        let Some(directory) = &self.directory else { return Ok(()) };
        replace_unsynced(&directory.join(API_ENDPOINT), format!("{url}\n").as_bytes())
    }

    /// The folder in which the `process` runner creates workspaces.
    pub(crate) fn workspaces(&self) -> PathBuf {
        self.directory.as_ref().map_or_else(|| self.scratch.clone(), |directory| directory.join("workspaces"))
    }
}

/// Refuses a folder that another user has prepared: the admin's key in it would let that user run commands with this user's rights.
/// A folder that a repository or an archive has brought along is known by its mode, which this program makes 0700.
fn check_owner(directory: &Path, found: &Metadata) -> Result<()> {
    let name = directory.display();
    let (owner, user) = (found.uid(), rustix::process::geteuid().as_raw());
    if owner != user {
        bail!(
            "the data directory {name} belongs to another user (id {owner}, and this program runs as {user}); name another with \
             --data-dir"
        );
    }
    let mode = found.mode() & 0o777;
    if mode & 0o077 != 0 && directory.join(ADMIN_KEY).exists() {
        bail!(
            "the data directory {name} has an admin's key and can be read by other users (mode {mode:o}), so this program has not \
             made it as it is; if it is yours, use chmod 700 {name}, otherwise name another with --data-dir"
        );
    }
    Ok(())
}

/// Tells whether files can be written in a folder. The function writes one and deletes it.
pub(crate) fn has_room(folder: &Path) -> bool {
    let path = folder.join("room");
    let written = private_if_new(&path).and_then(|mut file| Ok(file.write_all(&[0; ROOM])?));
    let _ = std::fs::remove_file(&path);
    written.is_ok()
}

/// The end of a message that says where the program that holds the folder answers. Empty if the folder's files do not tell it.
fn place(directory: &Path) -> String {
    match std::fs::read_to_string(directory.join(API_ENDPOINT)) {
        Ok(url) if !url.trim().is_empty() => format!(", at {}", url.trim()),
        _ => String::new(),
    }
}

/// Refuses a folder that a newer program has written.
fn check_version(directory: &Path) -> Result<()> {
    let path = directory.join(VERSION);
    let text = match std::fs::read_to_string(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        text => text.with_context(|| format!("{} cannot be read", path.display()))?,
    };
    let name = directory.display();
    match text.trim().parse::<u32>() {
        Ok(version) if version <= CURRENT_VERSION => Ok(()),
        Ok(version) => bail!(
            "the data directory {name} was written by a newer local-shim (its version is {version}, and this program reads up to \
             {CURRENT_VERSION}); start that program, or name another directory with --data-dir"
        ),
        Err(_) => bail!(
            "{} is {:?} and not a version; put back its content, or name another directory with --data-dir",
            path.display(),
            text.trim()
        ),
    }
}

/// Marks an empty folder, and empties one that an interrupted first start has left. A folder with the admin's key is kept: a first
/// start writes the key last, and a user may have put it there.
fn begin_first_start(directory: &Path) -> Result<()> {
    let marker = directory.join(FIRST_START);
    let is_own = |name: &std::ffi::OsStr| name == LOCK || name == FIRST_START || name == VERSION;
    let entries: Vec<_> = std::fs::read_dir(directory)?.flatten().filter(|entry| !is_own(&entry.file_name())).collect();
    if !marker.exists() {
        return if entries.is_empty() { replace(&marker, b"") } else { Ok(()) };
    }
    if entries.iter().any(|entry| entry.file_name() == ADMIN_KEY) {
        return Ok(std::fs::remove_file(marker)?);
    }
    for entry in entries {
        let path = entry.path();
        if entry.file_type()?.is_dir() { std::fs::remove_dir_all(path)? } else { std::fs::remove_file(path)? }
    }
    Ok(())
}

impl Drop for DataDir {
    fn drop(&mut self) {
        // Workspaces are useless after their commands have ended.
        let _ = std::fs::remove_dir_all(self.workspaces());
    }
}
