//! Finds the local system whose folder is here or above.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

/// The folder of a local system.
const FOLDER: &str = ".runvoy-local";

/// The endpoint, the key and the folder of a local system. A folder that no local system of this user can have made is passed over, with a
/// line that says so: it may belong to another user, or have come with a repository, and would choose where commands go.
pub(super) fn system() -> Option<(String, String, PathBuf)> {
    find(true)
}

/// Finds the local system without a line about folders that it ignores.
pub(super) fn system_quietly() -> Option<(String, String, PathBuf)> {
    find(false)
}

fn find(tells: bool) -> Option<(String, String, PathBuf)> {
    let here = env::current_dir().ok()?;
    for folder in here.ancestors() {
        let folder = folder.join(FOLDER);
        let files = ["api-endpoint", "admin-key"].map(|name| folder.join(name));
        let [Ok(url), Ok(key)] = files.clone().map(fs::read_to_string) else { continue };
        let url = url.trim();
        let reason = if is_foreign(&folder) || files.iter().any(|file| is_foreign(file)) {
            Some("belongs to another user of this machine")
        } else if !is_private(&folder) {
            Some("can be read by other users (a local system makes it with mode 0700)")
        } else if !is_on_this_machine(url) {
            Some("names an endpoint that is not this machine")
        } else {
            None
        };
        let Some(reason) = reason else { return Some((url.to_owned(), key.trim().to_owned(), folder)) };
        if tells {
            say!("runvoy: {} {reason}, and is ignored", folder.display());
        }
    }
    None
}

/// Tells that a URL is that of a local system: over HTTP, to this machine.
fn is_on_this_machine(url: &str) -> bool {
    reqwest::Url::parse(url).is_ok_and(|url| {
        let has_user = !url.username().is_empty() || url.password().is_some();
        url.scheme() == "http" && url.host_str().is_some_and(runvoy_api_types::is_loopback) && !has_user
    })
}

/// Tells that the mode of a folder lets in its owner only. The one that comes with a repository or an archive usually lets in others.
#[cfg(unix)]
fn is_private(folder: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(folder).is_ok_and(|metadata| metadata.mode() & 0o077 == 0)
}

#[cfg(not(unix))]
fn is_private(_: &Path) -> bool {
    true
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
