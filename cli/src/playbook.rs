//! Finds and reads the files of playbooks, `.runvoy/*.yaml` or `.yml`, and collects the values of parameters.

use std::{
    collections::BTreeMap,
    env, fs,
    io::{self, IsTerminal},
    path::{Path, PathBuf},
};

use runvoy_api_types::{OnConflict, Parameter, ParameterType, Playbook, Problem, playbook::from_yaml};

use crate::{
    arguments::{PlaybookOptions, RunOptions},
    commands::{user_variable, with_files},
    config,
    failure::{Failure, Result},
    output, say,
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

/// The values that a user gives to the parameters of a playbook, by name. One that is given several times has the last value, and one of
/// several choices has all.
///
/// # Errors
/// There is no such parameter.
pub(crate) fn given(playbook: &Playbook, values: &[(String, String)]) -> Result<BTreeMap<String, String>> {
    let mut given = BTreeMap::new();
    for (name, value) in values {
        let Some(parameter) = playbook.parameters.iter().find(|known| known.name == *name) else {
            let known: Vec<&str> = playbook.parameters.iter().map(|parameter| parameter.name.as_str()).collect();
            let remedy = if known.is_empty() {
                "it has none".to_owned()
            } else {
                format!("its parameters: {}", known.join(", "))
            };
            return Err(Failure::new(format!("the playbook has no parameter {name:?}")).remedy(remedy));
        };
        match given.get_mut(name) {
            Some(chosen) if parameter.kind == ParameterType::Choices => *chosen = format!("{chosen}\n{value}"),
            _ => {
                given.insert(name.clone(), value.clone());
            }
        }
    }
    Ok(given)
}

/// The options of a playbook and the user's together. The user's win.
///
/// # Errors
/// A parameter is missing, unknown, or has a value that does not fit.
pub(crate) fn options(playbook: &Playbook, options: PlaybookOptions, missing: Missing) -> Result<RunOptions> {
    let PlaybookOptions { parameters, run } = options;
    let run = with_files(run)?;
    let given = given(playbook, &parameters)?;
    let mut base_env: Vec<(String, String)> =
        playbook.env.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    let mut env = Vec::new();
    for parameter in &playbook.parameters {
        let name = parameter.name.clone();
        match given.get(&name).cloned().or_else(|| user_variable(&name)) {
            Some(value) => env.push((name, checked(parameter, Some(&value))?)),
            None if !parameter.is_required() => base_env.push((name, checked(parameter, None)?)),
            None if missing == Missing::LeaveOut => {}
            None => env.push((name, ask(parameter)?)),
        }
    }
    env.extend(run.env);
    let mut secrets = playbook.secrets.clone();
    secrets.extend(run.secrets.into_iter().filter(|name| !playbook.secrets.contains(name)));
    Ok(RunOptions {
        image: run.image.or_else(|| playbook.image.clone()),
        env_file: Vec::new(),
        env,
        base_env,
        secrets,
        timeout: run.timeout.or(playbook.timeout.map(|timeout| timeout.0)),
        git_repo: run.git_repo.or_else(|| playbook.git_repo.clone()),
        git_ref: run.git_ref.or_else(|| playbook.git_ref.clone()),
        git_path: run.git_path.or_else(|| playbook.git_path.clone()),
        cpu: run.cpu.or(playbook.cpu),
        memory: run.memory.or(playbook.memory),
        disk: run.disk.or(playbook.disk),
        spot: run.spot || playbook.spot,
        // Slots are those of the lock that they are given with.
        slots: run.slots.or(playbook.slots.filter(|_| run.locks.is_empty())),
        locks: if run.locks.is_empty() { playbook.lock.clone() } else { run.locks },
        queue: run.queue || playbook.on_conflict == Some(OnConflict::Queue),
        after: run.after,
        run_if: run.run_if,
        deadline: run.deadline.or(playbook.deadline.map(|deadline| deadline.0)),
        retry: run.retry,
        retry_on: run.retry_on,
        retry_backoff: run.retry_backoff,
    }
    .with_retry_of(playbook.retry.as_ref()))
}

/// Says what to do about a parameter without a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// Ask on the terminal, and fail where there is none.
    Ask,
    LeaveOut,
}

/// The value that the command gets.
///
/// # Errors
/// It is missing, or does not fit the parameter.
pub(crate) fn checked(parameter: &Parameter, value: Option<&str>) -> Result<String> {
    parameter.value(value).map_err(|problem| {
        let failure = Failure::new(problem.message);
        match problem.hint {
            Some(hint) => failure.remedy(hint),
            None => failure,
        }
    })
}

/// Asks for the value of a parameter, and asks again for one that does not fit.
///
/// # Errors
/// There is no terminal, or it is at its end.
pub(crate) fn ask(parameter: &Parameter) -> Result<String> {
    let name = &parameter.name;
    let description = output::indented(&parameter.description);
    if !io::stdin().is_terminal() {
        return Err(Failure::new(format!("the playbook wants a value for its parameter {name:?}"))
            .remedy(format!("add -P {name}=…   {description}")));
    }
    match (&parameter.label, description.is_empty()) {
        (Some(label), true) => say!("{name}: {label}"),
        (Some(label), false) => say!("{name}: {label}: {description}"),
        (None, true) => {}
        (None, false) => say!("{name}: {description}"),
    }
    if !parameter.allowed.is_empty() {
        say!("  it may be: {}", parameter.allowed.join(", "));
    }
    loop {
        say::ask(&format!("{name}: "));
        let mut line = String::new();
        let read = io::stdin()
            .read_line(&mut line)
            .map_err(|error| Failure::new(format!("the terminal cannot be read: {error}")))?;
        if read == 0 {
            return Err(Failure::new(format!("the playbook wants a value for its parameter {name:?}")));
        }
        match checked(parameter, Some(line.trim_end_matches(['\n', '\r']))) {
            Ok(value) => return Ok(value),
            Err(failure) => say!("{failure}"),
        }
    }
}
