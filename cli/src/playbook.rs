//! Finds, reads and checks the files of playbooks, `.runvoy/*.yaml` or `.yml`.

use std::{
    collections::BTreeMap,
    env, fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use runvoy_api_types::{
    Playbook, Problem,
    playbook::{MAX_FILE_BYTES, from_yaml, line_of},
};

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
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        // What is no file, such as a pipe, may have no end.
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|path| path.is_file()).collect();
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
    let text = text_of(path)?;
    let wrong = |problem: Problem| {
        let line = problem.field.as_deref().and_then(|field| line_of(&text, field));
        let line = line.map(|line| format!("line {line}: ")).unwrap_or_default();
        let place = problem.field.map(|field| format!(" ({field})")).unwrap_or_default();
        let failure = Failure::new(format!("{name}: {line}{}{place}", problem.message));
        match problem.hint {
            Some(hint) => failure.remedy(hint),
            None => failure,
        }
    };
    let (playbook, unknown) = from_yaml(&text).map_err(wrong)?;
    if let Some((at, parameter)) =
        playbook.parameters.iter().enumerate().find(|(_, parameter)| !is_variable(&parameter.name))
    {
        let problem = Problem::new(format!("the parameter {:?} cannot be a variable", parameter.name))
            .with_hint("use letters, digits and _, and no digit first");
        return Err(wrong(problem.at_field(format!("parameters[{at}].name"))));
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

/// The text of a playbook's file. No more is read of a larger file than a playbook can have.
fn text_of(path: &Path) -> Result<String> {
    let name = path.display();
    let unreadable = |error: io::Error| Failure::new(format!("{name} cannot be read: {error}"));
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(unreadable)?;
    file.take(MAX_FILE_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() > MAX_FILE_BYTES {
        return Err(Failure::new(format!("{name}: a playbook's file has at most {MAX_FILE_BYTES} bytes"))
            .remedy("put scripts into a git repository, and name it with git_repo"));
    }
    String::from_utf8(bytes).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        Failure::new(format!("{name}: line {line}: this is not text in UTF-8"))
    })
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
