//! Finds the local system whose folder is here or above.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

/// The folder of a local system.
const FOLDER: &str = ".runvoy-local";

/// The endpoint, the key and the folder of a local system. Folders of other users are passed over, with a line that says so.
pub(super) fn system() -> Option<(String, String, PathBuf)> {
    find(true)
}

/// The same without a line.
pub(super) fn system_quietly() -> Option<(String, String, PathBuf)> {
    find(false)
}

fn find(tells: bool) -> Option<(String, String, PathBuf)> {
    let here = env::current_dir().ok()?;
    for folder in here.ancestors() {
        let folder = folder.join(FOLDER);
        let files = ["api-endpoint", "admin-key"].map(|name| folder.join(name));
        let [Ok(url), Ok(key)] = files.clone().map(fs::read_to_string) else { continue };
        if is_foreign(&folder) || files.iter().any(|file| is_foreign(file)) {
            if tells {
                super::ignored(&folder);
            }
            continue;
        }
        return Some((url.trim().to_owned(), key.trim().to_owned(), folder));
    }
    None
}

/// Tells that a file or folder belongs to another user. What cannot be read is not another's.
#[cfg(unix)]
pub(crate) fn is_foreign(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let me = rustix::process::geteuid().as_raw();
    // The link itself counts too: its owner chooses where it leads.
    let owners = [fs::metadata(path), fs::symlink_metadata(path)];
    owners.into_iter().flatten().any(|metadata| metadata.uid() != me)
}

#[cfg(not(unix))]
pub(crate) fn is_foreign(_: &Path) -> bool {
    false
}
