//! Reads and writes `~/.runvoy/config.yaml`.
//!
//! The profile `default` is the file's top level, as in files that know no profiles. The others are below `profiles`.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use yaml_serde::{Mapping, Value};

use super::endpoint::normal_endpoint;
use crate::failure::{Failure, Result};

/// The profile of a file that names none as its current one.
pub(crate) const DEFAULT_PROFILE: &str = "default";
/// Fields of the file.
const CURRENT: &str = "current_profile";
const PROFILES: &str = "profiles";

/// An endpoint, and the key that belongs to it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct Profile {
    pub(crate) api_endpoint: Option<String>,
    pub(crate) api_key: Option<String>,
}

/// The fields of the file that are read here. It may have others.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct File {
    api_endpoint: Option<String>,
    api_key: Option<String>,
    current_profile: Option<String>,
    #[serde(default)]
    profiles: Option<BTreeMap<String, Profile>>,
}

impl File {
    /// Reads the file. It is empty where there is none, or no home folder.
    ///
    /// # Errors
    /// The file cannot be read, or is not valid.
    pub(crate) fn read() -> Result<Self> {
        let Ok(path) = path() else { return Ok(Self::default()) };
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if is_absent(&error) => return Ok(Self::default()),
            Err(error) => {
                return Err(Failure::new(format!("{} cannot be read: {error}", path.display()))
                    .remedy("make it readable, or set RUNVOY_ENDPOINT and RUNVOY_API_KEY"));
            }
        };
        Self::parse(&text).map_err(|error| {
            // The message of the parser may quote a line with a key.
            let place = error.location().map(|at| format!(" in line {}", at.line())).unwrap_or_default();
            Failure::new(format!("{} is not valid{place}", path.display())).remedy("mend it, or run `runvoy configure`")
        })
    }

    fn parse(text: &str) -> Result<Self, yaml_serde::Error> {
        let file: Option<Self> = yaml_serde::from_str(text.trim_start_matches('\u{feff}'))?;
        Ok(file.unwrap_or_default())
    }

    pub(crate) fn current(&self) -> &str {
        self.current_profile.as_deref().filter(|name| !name.is_empty()).unwrap_or(DEFAULT_PROFILE)
    }

    pub(crate) fn profile(&self, name: &str) -> Option<Profile> {
        let profile = if name == DEFAULT_PROFILE {
            Some(Profile { api_endpoint: self.api_endpoint.clone(), api_key: self.api_key.clone() })
        } else {
            self.profiles.as_ref().and_then(|profiles| profiles.get(name)).cloned()
        };
        let filled = |value: Option<String>| value.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        profile
            .map(|profile| Profile { api_endpoint: filled(profile.api_endpoint), api_key: filled(profile.api_key) })
            .filter(|profile| profile.api_endpoint.is_some())
    }

    /// The names of the profiles that have an endpoint, `default` first.
    pub(crate) fn names(&self) -> Vec<String> {
        let others = self.profiles.iter().flatten().map(|(name, _)| name.clone());
        [DEFAULT_PROFILE.to_owned()].into_iter().chain(others).filter(|name| self.profile(name).is_some()).collect()
    }

    pub(crate) fn endpoints(&self) -> BTreeSet<String> {
        self.names().iter().filter_map(|name| self.profile(name)?.api_endpoint).collect()
    }

    /// The key that is kept for an endpoint.
    pub(super) fn key_of(&self, endpoint: &str) -> Option<String> {
        let endpoint = normal_endpoint(endpoint).ok()?;
        let is_same = |profile: &Profile| {
            profile.api_endpoint.as_deref().and_then(|url| normal_endpoint(url).ok()).as_ref() == Some(&endpoint)
        };
        let current = self.profile(self.current()).filter(is_same);
        let any = || self.names().iter().find_map(|name| self.profile(name).filter(is_same));
        current.or_else(any)?.api_key
    }
}

/// # Errors
/// There is no home folder.
fn path() -> Result<PathBuf> {
    let home = env::home_dir().filter(|home| !home.as_os_str().is_empty());
    let home = home.ok_or_else(|| {
        Failure::new("this user has no home folder").remedy("set HOME, or RUNVOY_ENDPOINT and RUNVOY_API_KEY")
    })?;
    Ok(home.join(".runvoy/config.yaml"))
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Writes a profile to the file, and keeps everything else in it.
///
/// # Errors
/// The file cannot be written.
pub(crate) fn write_profile(name: &str, profile: &Profile) -> Result<PathBuf> {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.@".contains(&byte);
    if name.is_empty() || !name.bytes().all(is_name) {
        return Err(Failure::new(format!("{name:?} cannot be the name of a profile"))
            .remedy("use letters, digits, and -, _, . or @"));
    }
    change(|text| {
        let values = [("api_endpoint", &profile.api_endpoint), ("api_key", &profile.api_key)];
        let path: &[&str] = if name == DEFAULT_PROFILE { &[] } else { &[PROFILES, name] };
        values.into_iter().fold(text, |text, (key, value)| match value {
            Some(value) => with_value(&text, path, key, value),
            None => text,
        })
    })
}

/// Makes a profile the one that is used where no other is named.
///
/// # Errors
/// The file cannot be written.
pub(crate) fn use_profile(name: &str) -> Result<PathBuf> {
    change(|text| with_value(&text, &[], CURRENT, name))
}

fn change(edit: impl FnOnce(String) -> String) -> Result<PathBuf> {
    let path = path()?;
    let failed = |error: io::Error| Failure::new(format!("{} cannot be written: {error}", path.display()));
    let before = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if is_absent(&error) => String::new(),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => "\u{0}".to_owned(),
        Err(error) => return Err(failed(error)),
    };
    // The file of someone who keeps it elsewhere stays a link.
    let target = fs::canonicalize(&path).unwrap_or_else(|_| path.clone());
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    let before = if File::parse(&before).is_ok() {
        before.trim_start_matches('\u{feff}').to_owned()
    } else {
        let kept = path.with_extension("yaml.broken");
        fs::copy(&target, &kept).map_err(failed)?;
        say!("runvoy: {} was not valid, and is written anew; the old one is {}", path.display(), kept.display());
        String::new()
    };
    write_private(&target, &edit(before)).map_err(failed)?;
    Ok(path)
}

/// The text with this value of a key below the keys of `path`. Other lines stay as they are, comments included, as long as the file is
/// written in block style; a file in another style is written anew.
fn with_value(text: &str, path: &[&str], key: &str, value: &str) -> String {
    let wanted = |text: &str| {
        let mut at: Value = yaml_serde::from_str(text).ok()?;
        for name in path.iter().chain([&key]) {
            at = at.get(*name)?.clone();
        }
        Some(at.as_str() == Some(value))
    };
    let edited = edited(text, path, key, value);
    if wanted(&edited) == Some(true) {
        return edited;
    }
    let mut whole = yaml_serde::from_str(text).ok().filter(Value::is_mapping).unwrap_or(Value::Mapping(Mapping::new()));
    let mut at = &mut whole;
    for name in path {
        if !at.get(*name).is_some_and(Value::is_mapping) {
            at[*name] = Value::Mapping(Mapping::new());
        }
        at = &mut at[*name];
    }
    at[key] = value.into();
    yaml_serde::to_string(&whole).unwrap_or(edited)
}

/// Edits the lines of a file in block style.
fn edited(text: &str, path: &[&str], key: &str, value: &str) -> String {
    // A JSON string is a YAML string too.
    let quoted = serde_json::Value::from(value);
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let indent_of = |line: &str| line.len() - line.trim_start_matches(' ').len();
    let is_content = |line: &str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
    let is_key = |line: &str, indent: usize, key: &str| {
        let rest =
            line.get(indent..).and_then(|rest| rest.strip_prefix(key).or(rest.strip_prefix(&format!("{key:?}"))));
        indent_of(line) == indent && rest.is_some_and(|rest| rest.trim_start().starts_with(':'))
    };
    let (mut from, mut to, mut indent) = (0, lines.len(), 0);
    for name in path {
        let block = match (from..to).find(|at| is_key(&lines[*at], indent, name)) {
            Some(block) => block,
            None => {
                lines.insert(to, format!("{}{name}:", " ".repeat(indent)));
                to
            }
        };
        let inner = |line: &String| !is_content(line) || indent_of(line) > indent;
        from = block + 1;
        to = from + lines[from..].iter().take_while(|line| inner(line)).count();
        // Blank lines and comments before the next block belong to it.
        while to > from && !is_content(&lines[to - 1]) {
            to -= 1;
        }
        let nested = lines[from..to].iter().find(|line| is_content(line)).map(|line| indent_of(line));
        indent = nested.unwrap_or(indent + 2);
    }
    let line = format!("{}{key}: {quoted}", " ".repeat(indent));
    match (from..to).find(|at| is_key(&lines[*at], indent, key)) {
        Some(at) => lines[at] = line,
        None => lines.insert(to, line),
    }
    lines.join("\n") + "\n"
}

/// Replaces a file by one that only its owner can read.
fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let new = path.with_extension("yaml.new");
    // One that was left behind may be readable by others.
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&new)?;
    io::Write::write_all(&mut file, text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_lines_of_the_file_survive() {
        let before = "# mine\napi_endpoint: old\nother:\n  api_key: nested\n";
        let after = with_value(&with_value(before, &[], "api_endpoint", "https://a"), &[], "api_key", "k\"");
        assert_eq!(after, "# mine\napi_endpoint: \"https://a\"\nother:\n  api_key: nested\napi_key: \"k\\\"\"\n");
    }

    #[test]
    fn a_profile_is_added_and_changed_in_its_place() {
        let mut text =
            "api_key: k\nprofiles:\n    # staging\n    staging:\n        api_key: s\n\n# end\nlast: 1\n".to_owned();
        text = with_value(&text, &[PROFILES, "staging"], "api_key", "t");
        text = with_value(&text, &[PROFILES, "prod"], "api_key", "p");
        assert_eq!(
            text,
            "api_key: k\nprofiles:\n    # staging\n    staging:\n        api_key: \"t\"\n    prod:\n      api_key: \"p\"\n\n# end\nlast: 1\n"
        );
        let file = File::parse(&text).unwrap();
        assert_eq!(file.profiles.unwrap()["prod"].api_key.as_deref(), Some("p"));
        assert_eq!(with_value("", &[PROFILES, "a"], "api_key", "k"), "profiles:\n  a:\n    api_key: \"k\"\n");
    }

    #[test]
    fn a_file_in_flow_style_is_written_anew() {
        let text = with_value("{api_key: k, other: 1}", &[PROFILES, "a"], "api_key", "s");
        let value: Value = yaml_serde::from_str(&text).unwrap();
        assert_eq!((value["api_key"].as_str(), value["other"].as_i64()), (Some("k"), Some(1)));
        assert_eq!(value["profiles"]["a"]["api_key"].as_str(), Some("s"));
    }
}
