//! Playbooks: commands that a repository describes in `.runvoy/*.yml`.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use crate::{
    arguments::{PlaybookOptions, RunOptions},
    failure::{Failure, Result},
};

const FOLDER: &str = ".runvoy";

/// The fields of a playbook's file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
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
#[serde(deny_unknown_fields)]
pub(crate) struct Parameter {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) description: String,
    pub(crate) default: Option<Scalar>,
    #[serde(default)]
    pub(crate) allowed: Vec<Scalar>,
}

/// A text, or a number or truth value that stands for its text.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Scalar {
    Text(String),
    Bool(bool),
    Integer(i64),
    Float(f64),
}

impl std::fmt::Display for Scalar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Bool(value) => value.fmt(f),
            Self::Integer(value) => value.fmt(f),
            Self::Float(value) => value.fmt(f),
        }
    }
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
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
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
pub(crate) fn load(name: &str) -> Result<Playbook> {
    let all = all();
    let Some(path) = all.get(name) else {
        let names = all.into_keys().collect::<Vec<_>>().join(", ");
        let remedy = match names.as_str() {
            "" => format!("write {FOLDER}/{name}.yml"),
            names => format!("there are: {names}"),
        };
        return Err(Failure::new(format!("there is no playbook {name:?}")).remedy(remedy));
    };
    read(path)
}

pub(crate) fn read(path: &Path) -> Result<Playbook> {
    let name = path.display();
    let text = fs::read_to_string(path).map_err(|error| Failure::new(format!("{name} cannot be read: {error}")))?;
    let playbook: Playbook = yaml_serde::from_str(&text).map_err(|error| Failure::new(format!("{name}: {error}")))?;
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
    /// The commands as one, of which each runs if the one before succeeds.
    pub(crate) fn command(&self) -> String {
        let commands: Vec<&str> =
            self.commands.iter().map(|command| command.trim()).filter(|command| !command.is_empty()).collect();
        commands.join(" && ")
    }

    /// What the playbook and the user's options say together. The options win.
    ///
    /// # Errors
    /// A parameter is missing, unknown, or has a value that is not allowed.
    pub(crate) fn options(&self, given: PlaybookOptions) -> Result<RunOptions> {
        let PlaybookOptions { parameters, run } = given;
        let mut env: BTreeMap<String, String> =
            self.env.iter().map(|(name, value)| (name.clone(), value.to_string())).collect();
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
        for parameter in &self.parameters {
            let name = &parameter.name;
            let given = parameters.iter().rfind(|(given, _)| given == name).map(|(_, value)| value.clone());
            let Some(value) = given.or_else(|| parameter.default.as_ref().map(Scalar::to_string)) else {
                return Err(Failure::new(format!("the playbook wants a value for its parameter {name:?}"))
                    .remedy(format!("add -P {name}=…   {}", parameter.description)));
            };
            let allowed: Vec<String> = parameter.allowed.iter().map(Scalar::to_string).collect();
            if !allowed.is_empty() && !allowed.contains(&value) {
                return Err(Failure::new(format!("{value:?} is not allowed for the parameter {name:?}"))
                    .remedy(format!("it may be: {}", allowed.join(", "))));
            }
            env.insert(name.clone(), value);
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
        secrets.extend(run.secrets);
        secrets.dedup();
        Ok(RunOptions {
            image: run.image.or_else(|| self.image.clone()),
            env: env.into_iter().collect(),
            secrets,
            timeout,
            git_repo: run.git_repo.or_else(|| self.git_repo.clone()),
            git_ref: run.git_ref.or_else(|| self.git_ref.clone()),
            git_path: run.git_path.or_else(|| self.git_path.clone()),
        })
    }
}
