//! Finds and reads the files of playbooks, `.runvoy/*.yaml` or `.yml`, and collects the values of parameters.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
};

use runvoy_api_types::{Playbook, Problem, playbook::from_yaml};

use crate::{
    config,
    failure::{Failure, Result},
};

/// The folder of playbooks, in the current directory or above.
const FOLDER: &str = ".runvoy";

/// The folders in which playbooks are looked for: this one and those above it, up to the root of the repository; then the home.
fn folders() -> Vec<PathBuf> {
    let mut folders = Vec::new();
    if let Ok(here) = env::current_dir() {
        for folder in here.ancestors() {
            folders.push(folder.join(FOLDER));
            if folder.join(".git").exists() {
                break;
            }
        }
    }
    folders.extend(env::home_dir().map(|home| home.join(FOLDER)));
    folders
}

/// All playbooks by name, with their files. One in a nearer folder hides those of the same name.
pub(crate) fn all() -> BTreeMap<String, PathBuf> {
    let mut found = BTreeMap::new();
    for folder in folders() {
        if config::is_foreign(&folder) {
            say!("runvoy: {} belongs to another user of this machine, and is ignored", folder.display());
            continue;
        }
        let mut paths: Vec<PathBuf> =
            fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
        // Of two files with one name, `.yaml` comes first.
        paths.sort();
        for path in paths {
            let name = path.file_stem().and_then(|stem| stem.to_str()).map(str::to_owned);
            // ~/.runvoy/config.yaml is the configuration.
            if let Some(name) = name.filter(|name| is_yaml(&path) && name != "config") {
                found.entry(name).or_insert(path);
            }
        }
    }
    found
}

/// # Errors
/// There is no such playbook, or its file is wrong; the message names the line.
pub(crate) fn load(name: &str) -> Result<(PathBuf, Playbook)> {
    // A file may lie anywhere.
    if is_file(name) {
        let file = PathBuf::from(name);
        let playbook = read(&file)?;
        return Ok((file, playbook));
    }
    let all = all();
    let Some(path) = all.get(name) else {
        let names = all.into_keys().collect::<Vec<_>>().join(", ");
        let remedy = match names.as_str() {
            "" => format!("write {FOLDER}/{name}.yaml, or name a file"),
            names => format!("there are: {names}"),
        };
        return Err(Failure::new(format!("there is no playbook {name:?}")).remedy(remedy));
    };
    Ok((path.clone(), read(path)?))
}

/// # Errors
/// The file cannot be read, or is wrong.
pub(crate) fn read(path: &Path) -> Result<Playbook> {
    let (playbook, unknown) = read_with_unknown(path)?;
    if !unknown.is_empty() {
        say!("runvoy: {}: unknown, and ignored: {}", path.display(), unknown.join(", "));
    }
    Ok(playbook)
}

/// The playbook of a file, and its keys that mean nothing.
///
/// # Errors
/// As [`read`].
pub(crate) fn read_with_unknown(path: &Path) -> Result<(Playbook, Vec<String>)> {
    let name = path.display();
    let text = fs::read_to_string(path).map_err(|error| Failure::new(format!("{name} cannot be read: {error}")))?;
    let wrong = |problem: Problem| {
        let place = problem.field.map(|field| format!(" ({field})")).unwrap_or_default();
        let failure = Failure::new(format!("{name}: {}{place}", problem.message));
        match problem.hint {
            Some(hint) => failure.remedy(hint),
            None => failure,
        }
    };
    let (playbook, unknown) = from_yaml(&text).map_err(wrong)?;
    if let Some(parameter) = playbook.parameters.iter().find(|parameter| !is_variable(&parameter.name)) {
        let wrong = &parameter.name;
        return Err(Failure::new(format!("{name}: the parameter {wrong:?} cannot be a variable"))
            .remedy("use letters, digits and _, and no digit first"));
    }
    if let Err(problem) = playbook.check() {
        // The keys may be the reason.
        if !unknown.is_empty() {
            say!("runvoy: {name}: unknown, and ignored: {}", unknown.join(", "));
        }
        return Err(wrong(problem));
    }
    Ok((playbook, unknown))
}

/// Tells that a name is the path of a playbook's file.
pub(crate) fn is_file(name: &str) -> bool {
    let path = Path::new(name);
    is_yaml(path) && path.is_file()
}

fn is_yaml(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "yml" || extension == "yaml")
}

fn is_variable(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
