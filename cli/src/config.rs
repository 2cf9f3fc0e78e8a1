//! Which API is called, and with which key.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use crate::failure::{Failure, Result};

const ENDPOINT: &str = "RUNVOY_ENDPOINT";
const API_KEY: &str = "RUNVOY_API_KEY";
/// The folder of a local system.
const LOCAL: &str = ".runvoy-local";

/// The fields of `~/.runvoy/config.yaml` that are read here. The file may have others.
#[derive(Debug, Default, Deserialize)]
struct File {
    api_endpoint: Option<String>,
    api_key: Option<String>,
}

#[derive(Clone)]
pub(crate) struct Config {
    /// The URL of the API up to the path, without a final slash.
    pub(crate) endpoint: String,
    pub(crate) api_key: Option<String>,
}

impl Config {
    /// Reads the environment, then the file, then a local system of this folder or one above.
    ///
    /// # Errors
    /// No endpoint is configured, or a file cannot be read.
    pub(crate) fn load() -> Result<Self> {
        let variable = |name| env::var(name).ok().filter(|value| !value.is_empty());
        let (endpoint, api_key) = (variable(ENDPOINT), variable(API_KEY));
        let file = read_file()?;
        let endpoint_of_file = file.api_endpoint.filter(|endpoint| !endpoint.is_empty());
        if endpoint.is_none()
            && endpoint_of_file.is_none()
            && let Some(local) = local_system()?
        {
            return Ok(Self { api_key: api_key.or(local.api_key), ..local });
        }
        let Some(endpoint) = endpoint.or(endpoint_of_file) else {
            return Err(Failure::new("no endpoint is configured")
                .remedy(format!("run `runvoy configure`, or set {ENDPOINT} and {API_KEY}")));
        };
        let api_key = api_key.or(file.api_key).map(|key| key.trim().to_owned()).filter(|key| !key.is_empty());
        Ok(Self { endpoint: normal_endpoint(&endpoint)?, api_key })
    }
}

/// The endpoint without what users add to it: a final slash, or the path of the API.
///
/// # Errors
/// The text is no URL of HTTP.
pub(crate) fn normal_endpoint(text: &str) -> Result<String> {
    let text = text.trim();
    let url = text.trim_end_matches('/');
    let url = url.strip_suffix("/api/v1").unwrap_or(url);
    match reqwest::Url::parse(url) {
        Ok(parsed) if ["http", "https"].contains(&parsed.scheme()) && parsed.has_host() => Ok(url.to_owned()),
        _ => Err(Failure::new(format!("the endpoint {text:?} is not a URL"))
            .remedy("it wants the API's URL, such as https://abc.lambda-url.eu-west-1.on.aws")),
    }
}

pub(crate) fn file_path() -> Result<PathBuf> {
    let home = env::home_dir().ok_or_else(|| Failure::new("this user has no home folder").remedy("set HOME"))?;
    Ok(home.join(".runvoy/config.yaml"))
}

fn read_file() -> Result<File> {
    let path = file_path()?;
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(File::default()),
        Err(error) => return Err(Failure::new(format!("{} cannot be read: {error}", path.display()))),
    };
    let file: Option<File> = yaml_serde::from_str(&text).map_err(|error| {
        Failure::new(format!("{} is not valid: {error}", path.display())).remedy("mend it, or run `runvoy configure`")
    })?;
    Ok(file.unwrap_or_default())
}

/// The endpoint and the key of a local system whose folder is here or above.
fn local_system() -> Result<Option<Config>> {
    let Ok(here) = env::current_dir() else { return Ok(None) };
    for folder in here.ancestors() {
        let folder = folder.join(LOCAL);
        let read = |name: &str| fs::read_to_string(folder.join(name)).ok().map(|text| text.trim().to_owned());
        if let (Some(url), Some(key)) = (read("api-endpoint"), read("admin-key")) {
            return Ok(Some(Config { endpoint: normal_endpoint(&url)?, api_key: Some(key) }));
        }
    }
    Ok(None)
}

/// Writes the endpoint and the key to the file, and keeps everything else in it.
///
/// # Errors
/// The file cannot be written.
pub(crate) fn save(endpoint: &str, api_key: &str) -> Result<PathBuf> {
    let path = file_path()?;
    let failed = |error: io::Error| Failure::new(format!("{} cannot be written: {error}", path.display()));
    let before = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(failed(error)),
    };
    let text = with_value(&with_value(&before, "api_endpoint", endpoint), "api_key", api_key);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    write_private(&path, &text).map_err(failed)?;
    Ok(path)
}

/// The text of the file with this value of a top-level key. Other lines stay as they are, comments included.
fn with_value(text: &str, key: &str, value: &str) -> String {
    // A JSON string is a YAML string too.
    let line = format!("{key}: {}", serde_json::Value::from(value));
    let is_key = |line: &str| line.strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with(':'));
    let mut lines: Vec<&str> = text.lines().collect();
    match lines.iter().position(|line| is_key(line)) {
        Some(at) => lines[at] = &line,
        None => lines.push(&line),
    }
    lines.join("\n") + "\n"
}

/// Replaces a file by one that only its owner can read.
fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let new = path.with_extension("yaml.new");
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
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
        let after = with_value(&with_value(before, "api_endpoint", "https://a"), "api_key", "k\"");
        assert_eq!(after, "# mine\napi_endpoint: \"https://a\"\nother:\n  api_key: nested\napi_key: \"k\\\"\"\n");
    }

    #[test]
    fn an_endpoint_may_have_what_users_add() {
        for text in [
            "https://a.example.com",
            "https://a.example.com/",
            "https://a.example.com/api/v1/",
            " https://a.example.com ",
        ] {
            assert_eq!(normal_endpoint(text).unwrap(), "https://a.example.com", "{text}");
        }
        for text in ["", "a.example.com", "ftp://a", "https://"] {
            assert!(normal_endpoint(text).is_err(), "{text}");
        }
    }
}
