//! Finds and reads playbooks: commands that a repository describes in `.runvoy/*.yaml` or `.yml`.

use std::{
    collections::BTreeMap,
    env, fs,
    io::{self, IsTerminal},
    path::{Path, PathBuf},
};

use serde::Deserialize;

use crate::{
    arguments::{PlaybookOptions, RunOptions},
    commands::{user_variable, with_files},
    config,
    failure::{Failure, Result},
    say,
};

const FOLDER: &str = ".runvoy";

/// The fields of a playbook's file.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Playbook {
    #[serde(default)]
    pub(crate) description: String,
    image: Option<String>,
    git_repo: Option<String>,
    git_ref: Option<String>,
    git_path: Option<String>,
    #[serde(default)]
    secrets: Vec<String>,
    #[serde(default)]
    env: BTreeMap<String, Scalar>,
    /// Seconds, or a duration such as `10m`.
    timeout: Option<Scalar>,
    #[serde(default)]
    pub(crate) parameters: Vec<Parameter>,
    commands: Vec<String>,
}

/// A parameter of a playbook. The command gets its value in the variable of its name.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Parameter {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) description: String,
    pub(crate) default: Option<Scalar>,
    #[serde(default)]
    pub(crate) allowed: Vec<Scalar>,
}

/// A value as the file has it: `1.10` is not 1.1, and `0x1F` is not 31.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Scalar(String);

impl std::fmt::Display for Scalar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

const FIELDS: [&str; 10] =
    ["description", "image", "git_repo", "git_ref", "git_path", "secrets", "env", "timeout", "parameters", "commands"];
const PARAMETER_FIELDS: [&str; 4] = ["name", "description", "default", "allowed"];

/// The keys of a playbook's file that mean nothing, such as `commmands` or `parameters[].defualt`.
fn unknown_keys(text: &str) -> Vec<String> {
    let Ok(file) = yaml_serde::from_str::<yaml_serde::Value>(text) else { return Vec::new() };
    let keys = |value: &yaml_serde::Value, known: &[&str], before: &str| -> Vec<String> {
        let names = value.as_mapping().into_iter().flat_map(|mapping| mapping.keys()).filter_map(|key| key.as_str());
        names.filter(|name| !known.contains(name)).map(|name| format!("{before}{name}")).collect()
    };
    let mut unknown = keys(&file, &FIELDS, "");
    for parameter in file.get("parameters").and_then(|list| list.as_sequence()).into_iter().flatten() {
        unknown.extend(keys(parameter, &PARAMETER_FIELDS, "parameters[]."));
    }
    unknown
}

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
            let is_yaml = path.extension().is_some_and(|extension| extension == "yml" || extension == "yaml");
            let name = path.file_stem().and_then(|stem| stem.to_str()).map(str::to_owned);
            // ~/.runvoy/config.yaml is the configuration.
            if let Some(name) = name.filter(|name| is_yaml && name != "config") {
                found.entry(name).or_insert(path);
            }
        }
    }
    found
}

/// # Errors
/// There is no such playbook, or its file is wrong; the message names the line.
pub(crate) fn load(name: &str) -> Result<(PathBuf, Playbook)> {
    let all = all();
    let Some(path) = all.get(name) else {
        let names = all.into_keys().collect::<Vec<_>>().join(", ");
        let remedy = match names.as_str() {
            "" => format!("write {FOLDER}/{name}.yml"),
            names => format!("there are: {names}"),
        };
        return Err(Failure::new(format!("there is no playbook {name:?}")).remedy(remedy));
    };
    Ok((path.clone(), read(path)?))
}

/// # Errors
/// The file cannot be read, or is wrong.
pub(crate) fn read(path: &Path) -> Result<Playbook> {
    let name = path.display();
    let text = fs::read_to_string(path).map_err(|error| Failure::new(format!("{name} cannot be read: {error}")))?;
    let text = text.trim_start_matches('\u{feff}');
    let unknown = unknown_keys(text);
    if !unknown.is_empty() {
        say!("runvoy: {name}: unknown, and ignored: {}", unknown.join(", "));
    }
    let playbook: Playbook = yaml_serde::from_str(text).map_err(|error| Failure::new(format!("{name}: {error}")))?;
    if playbook.commands.iter().all(|command| command.trim().is_empty()) {
        return Err(Failure::new(format!("{name}: `commands` has no command")));
    }
    if let Some(parameter) = playbook.parameters.iter().find(|parameter| !is_variable(&parameter.name)) {
        let wrong = &parameter.name;
        return Err(Failure::new(format!("{name}: the parameter {wrong:?} cannot be a variable"))
            .remedy("use letters, digits and _, and no digit first"));
    }
    Ok(playbook)
}

fn is_variable(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

impl Playbook {
    /// The commands as a script, each as it is written. The shell that runs it ends at the first that fails.
    pub(crate) fn command(&self) -> String {
        self.commands.iter().map(|command| command.strip_suffix('\n').unwrap_or(command)).collect::<Vec<_>>().join("\n")
    }

    /// The playbook's options and the user's together. The user's win.
    ///
    /// # Errors
    /// A parameter is missing, unknown, or has a value that is not allowed.
    pub(crate) fn options(&self, given: PlaybookOptions, missing: Missing) -> Result<RunOptions> {
        let PlaybookOptions { parameters, run } = given;
        let run = with_files(run)?;
        if let Some((name, _)) =
            parameters.iter().find(|(name, _)| !self.parameters.iter().any(|known| known.name == *name))
        {
            let known: Vec<&str> = self.parameters.iter().map(|parameter| parameter.name.as_str()).collect();
            let remedy = if known.is_empty() {
                "it has none".to_owned()
            } else {
                format!("its parameters: {}", known.join(", "))
            };
            return Err(Failure::new(format!("the playbook has no parameter {name:?}")).remedy(remedy));
        }
        let mut base_env: Vec<(String, String)> =
            self.env.iter().map(|(name, value)| (name.clone(), value.to_string())).collect();
        let mut env = Vec::new();
        for parameter in &self.parameters {
            let name = parameter.name.clone();
            let given = parameters.iter().rfind(|(given, _)| *given == name).map(|(_, value)| value.clone());
            match given.or_else(|| user_variable(&name)) {
                Some(value) => env.push((name, parameter.checked(value)?)),
                None => match (&parameter.default, missing) {
                    (Some(default), _) => base_env.push((name, parameter.checked(default.to_string())?)),
                    (None, Missing::LeaveOut) => {}
                    (None, Missing::Ask) => env.push((name, parameter.ask()?)),
                },
            }
        }
        env.extend(run.env);
        let timeout = match (&run.timeout, &self.timeout) {
            (Some(seconds), _) => Some(*seconds),
            (None, Some(text)) => Some(crate::arguments::duration(&text.to_string()).map_err(|wants| {
                Failure::new(format!("the playbook's `timeout` is {:?}", text.to_string())).remedy(wants)
            })?),
            (None, None) => None,
        };
        let mut secrets = self.secrets.clone();
        secrets.extend(run.secrets.into_iter().filter(|name| !self.secrets.contains(name)));
        Ok(RunOptions {
            image: run.image.or_else(|| self.image.clone()),
            env_file: Vec::new(),
            env,
            base_env,
            secrets,
            timeout,
            git_repo: run.git_repo.or_else(|| self.git_repo.clone()),
            git_ref: run.git_ref.or_else(|| self.git_ref.clone()),
            git_path: run.git_path.or_else(|| self.git_path.clone()),
        })
    }
}

/// Says what to do about a parameter without a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// Ask on the terminal, and fail where there is none.
    Ask,
    LeaveOut,
}

impl Parameter {
    fn checked(&self, value: String) -> Result<String> {
        let allowed: Vec<&str> = self.allowed.iter().map(|each| each.0.as_str()).collect();
        if allowed.is_empty() || allowed.contains(&value.as_str()) {
            return Ok(value);
        }
        Err(Failure::new(format!("{value:?} is not allowed for the parameter {:?}", self.name))
            .remedy(format!("it may be: {}", allowed.join(", "))))
    }

    fn ask(&self) -> Result<String> {
        let name = &self.name;
        if !io::stdin().is_terminal() {
            return Err(Failure::new(format!("the playbook wants a value for its parameter {name:?}"))
                .remedy(format!("add -P {name}=…   {}", self.description)));
        }
        if !self.description.is_empty() {
            say!("{name}: {}", self.description);
        }
        if !self.allowed.is_empty() {
            let allowed: Vec<&str> = self.allowed.iter().map(|each| each.0.as_str()).collect();
            say!("  it may be: {}", allowed.join(", "));
        }
        say::ask(&format!("{name}: "));
        let mut line = String::new();
        io::stdin()
            .read_line(&mut line)
            .map_err(|error| Failure::new(format!("the terminal cannot be read: {error}")))?;
        self.checked(line.trim_end_matches(['\n', '\r']).to_owned())
    }
}
